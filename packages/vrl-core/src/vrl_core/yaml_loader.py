"""YAML as people write it: `1e-4` is a number, and a key given twice is an error."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    """`yaml.SafeLoader` with YAML 1.2's floats and without silent duplicates."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a dictionary; raises `yaml.YAMLError` with the line of a repeated key."""
        seen: set[Any] = set()
        for key, _ in node.value:
            value = key.value
            if value in seen and value != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {value!r} stands here twice", key.start_mark
                )
            seen.add(value)
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML speaks, takes 1e-4 for text because it lacks a dot.
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)
