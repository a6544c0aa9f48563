"""A replaced file is the old one or the new one, and nothing lies beside it."""

import pytest

from vrl_core.atomic import replacing, write_text


def test_text_is_replaced(tmp_path):
    path = tmp_path / "notes.json"
    write_text(path, "old")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "clip.mp4"
    write_text(path, "old")

    def fail():
        with replacing(path) as partial:
            assert partial.suffix == ".mp4"
            partial.write_text("half of the n")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
