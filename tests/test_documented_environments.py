"""The package's README and the index of environments list what is registered, and agree."""

from __future__ import annotations

import re
from pathlib import Path

from vrl_envs.plugin import vrl_datasets, vrl_environments

ROOT = Path(__file__).parents[1]
README, INDEX = ROOT / "packages/vrl-envs/README.md", ROOT / "docs/environments.md"


def rows(page: Path) -> dict[str, list[str]]:
    """Return the cells of every table's row of names, by each of the names."""
    lines = re.findall(r"^\| (`.*) \|$", page.read_text(), re.MULTILINE)
    cells = [[cell.strip() for cell in line.split(" |")] for line in lines]
    return {name: row for row in cells for name in re.findall(r"`([^`]+)`", row[0])}


def test_the_readme_lists_everything_and_pages_that_exist() -> None:
    found = rows(README)
    assert list(vrl_environments()) == [name for name in found if name in vrl_environments()]
    assert set(found) == {*vrl_environments(), *vrl_datasets()}
    for row in found.values():
        for page in re.findall(r"`(docs/[^`]+)`", row[-1]):
            assert (ROOT / page).is_file(), page


def test_the_index_asks_for_the_same_extras() -> None:
    found, index = rows(README), rows(INDEX)
    for name in vrl_environments():
        extras = [re.findall(r"vrl-envs\[\w+\]", row[2]) for row in (found[name], index[name])]
        assert extras[0] == extras[1], name
        assert found[name][-1] == index[name][-1].replace("tasks/", "docs/tasks/"), name
