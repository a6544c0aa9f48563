"""What the system refuses is told with its cause and a way out that fits the place."""

import errno
import os
from pathlib import Path

import pytest

from vrl_core.errors import VRLError
from vrl_core.writing import ANOTHER_HOME, explained, unwritable


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "The disk is full while writing out. Free some space first."),
        (errno.EROFS, "No permission to write out. Choose another folder with --output, or change"),
        (errno.EIO, "Writing out failed: Input/output error."),
    ],
)
def test_each_cause_has_its_words(number: int, words: str) -> None:
    assert str(unwritable(Path("out"), OSError(number, os.strerror(number)))).startswith(words)


def test_the_file_in_the_way_is_the_one_that_exists(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    place = file / "below" / "store.partial"
    with pytest.raises(VRLError, match=rf"{file} is a file\. Choose"), explained(place):
        place.mkdir(parents=True)


def test_only_who_keeps_work_says_so() -> None:
    error = OSError(errno.ENOSPC, "full")
    assert "kept" not in str(unwritable(Path("x"), error))
    assert "It is kept. Free" in str(unwritable(Path("x"), error, kept="It is kept."))
    denied = PermissionError(errno.EACCES, "denied", "/cache")
    assert "/cache. Set VRL_HOME" in str(unwritable(Path("x"), denied, elsewhere=ANOTHER_HOME))
