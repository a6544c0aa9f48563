import os

import pytest

from vrl_core.json_lines import JsonLines


def test_append_and_truncate(tmp_path):
    lines = JsonLines(tmp_path / "log.jsonl")
    assert lines.read() == []
    for step in (1, 2, 3):
        lines.append({"step": step})
    lines.truncate(2)
    assert lines.read() == [{"step": 1}, {"step": 2}]


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    lines = JsonLines(path)
    assert lines.read() == [{"step": 1}]
    lines.truncate(5)
    lines.append({"step": 3})
    assert path.read_text() == '{"step": 1}\n{"step": 3}\n'


def test_what_a_full_disk_refuses_is_written_later(tmp_path, monkeypatch):
    lines = JsonLines(tmp_path / "log.jsonl")
    lines.append({"step": 1})
    real = os.write

    def half(descriptor, content):
        return real(descriptor, content[: len(content) // 2])

    with monkeypatch.context() as patch:
        patch.setattr("os.write", half)
        with pytest.warns(UserWarning, match="No space left"):
            lines.append({"step": 2})
        assert lines.path.read_text() == '{"step": 1}\n'
    lines.append({"step": 3})
    assert lines.read() == [{"step": 1}, {"step": 2}, {"step": 3}]
