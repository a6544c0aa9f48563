"""Start a third-party plugin for VRL: a package with one penalty, its test, and its metadata.

    python tools/new_plugin.py vrl-mutual-information --output ..

The result installs with `pip install -e`, shows up in `vrl plugins`, and passes its own tests,
which are the conformance kit's. Replace the penalty by what you came to write; the other hooks
(algorithms, environments, datasets, callbacks, commands) take the same form.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from pathlib import Path

from bump import requirement_range
from monorepo import ROOT

PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.1.0"
description = "A plugin for VRL"
requires-python = ">=3.11"
dependencies = ["vrl-core{range}"]

[project.optional-dependencies]
test = ["pytest>=8.3"]

[project.entry-points."vrl.v1"]
{entry} = "{module}.plugin"

[tool.hatch.build.targets.wheel]
packages = ["src/{module}"]
"""

PLUGIN = '''\
"""What this package adds to VRL. Keep it light: it is imported to list what is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vrl_core import PenaltyConfig, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from vrl_core.protocols import EnsemblePrediction


@dataclass(frozen=True, kw_only=True)
class {title}(PenaltyConfig):
    """Entropy of the members' mean prediction, less their mean entropy."""

    kinds = ("categorical",)

    weight: float = 3.0
    """Factor of the penalty in the penalised reward."""

    def build(self) -> Callable[[EnsemblePrediction], Tensor]:
        """Return the penalty; whatever is heavy is imported there."""
        from {module}.penalty import mutual_information

        return mutual_information


@hookimpl
def vrl_penalties() -> Mapping[str, type[PenaltyConfig]]:
    return {{"{entry}": {title}}}
'''

PENALTY = '''\
"""The penalty itself; imported only when a run uses it."""

from __future__ import annotations

from torch import Tensor
from vrl_core.protocols import EnsemblePrediction


def entropy(probabilities: Tensor) -> Tensor:
    """Return the entropy of independent categoricals: `(..., stoch, classes)` to `(...)`."""
    return -(probabilities * probabilities.clamp_min(1e-8).log()).sum((-2, -1))


def mutual_information(prediction: EnsemblePrediction) -> Tensor:
    """Return what the members would tell each other, `(..., batch)`."""
    assert prediction.logits is not None
    probabilities = prediction.logits.softmax(-1)  # (member, ..., batch, stoch, classes)
    return entropy(probabilities.mean(0)) - entropy(probabilities).mean(0)
'''

TEST = '''\
"""The conformance kit's tests of this plugin."""

from vrl_core.testing import check_penalty, check_plugin

import {module}.plugin
from {module}.plugin import {title}


def test_plugin():
    check_plugin({module}.plugin)


def test_penalty():
    check_penalty({title}())
'''

README = """\
# {name}
A plugin for VRL. `pip install -e '.[test]'`, then `vrl plugins` lists it and `pytest` tests it.
"""


def module_name(name: str) -> str:
    """Return the import name of a distribution, or raise ValueError when it can have none."""
    module = name.lower().replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", module) or keyword.iskeyword(module):
        raise ValueError(f"{name!r} is no package name: use letters, digits and hyphens")
    return module


def files(name: str, core_range: str) -> dict[str, str]:
    """Return the text of every file of the new package, by its path."""
    module = module_name(name)
    entry = name.lower().removeprefix("vrl-").replace("_", "-")
    values = {
        "name": name.lower(),
        "module": module,
        "entry": entry,
        "title": "".join(part.capitalize() for part in entry.split("-")) + "Penalty",
        "range": core_range,
    }
    templates = {
        "README.md": README,
        "pyproject.toml": PYPROJECT,
        f"src/{module}/__init__.py": "",
        f"src/{module}/plugin.py": PLUGIN,
        f"src/{module}/penalty.py": PENALTY,
        "tests/test_plugin.py": TEST,
    }
    return {path: text.format(**values) for path, text in templates.items()}


def write(name: str, output: Path) -> Path:
    """Write the package below `output`; never over something that exists."""
    texts = files(name, requirement_range((ROOT / "VERSION").read_text()))
    folder = output / name.lower()
    if folder.exists():
        raise ValueError(f"{folder} exists already; choose another name or --output")
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return folder


def main() -> int:
    """Write the package and say what to do next."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="distribution name, such as vrl-mutual-information")
    parser.add_argument("--output", type=Path, default=Path(), help="folder to put it in")
    arguments = parser.parse_args()
    try:
        folder = write(arguments.name, arguments.output)
    except ValueError as error:
        parser.error(str(error))
    print(
        f"Wrote {folder}. Next: pip install -e '{folder}[test]' && vrl plugins && pytest {folder}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
