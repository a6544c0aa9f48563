import io

from vrl_core import progress
from vrl_core.progress import Speed, TrainingProgress, describe_pace, describe_seconds


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_speed_is_measured_over_the_last_half_minute():
    speed = Speed()
    assert speed.updates_per_second == 0
    for now, step in [(0.0, 0), (10.0, 100), (50.0, 900), (60.0, 1200)]:
        speed.mark(step, now)
    assert speed.updates_per_second == 30  # 300 updates in the 10 s since the mark at 50 s
    speed.restart()
    assert speed.updates_per_second == 0


def test_words():
    assert describe_pace(0, 10) == "starting"
    assert describe_pace(12.54, 1254) == "12.5 updates/s, 2 min left"
    assert [describe_seconds(value) for value in (5, 59.4, 90, 3600, 3900, 36_000)] == [
        "5 s",
        "59 s",
        "2 min",
        "1 h 00 min",
        "1 h 05 min",
        "10 h 00 min",
    ]


def test_a_log_gets_a_line_every_ten_seconds_and_the_last(monkeypatch):
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    stream = io.StringIO()
    with TrainingProgress(4, stream=stream) as shown:
        for step, moment in [(1, 100.0), (2, 105.0), (3, 111.0), (4, 112.0)]:
            now = moment
            shown.advance(step, "train")
            shown.log(step, "train", {"loss": step / 8})
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/4", "3/4", "4/4"]
    assert lines[-1].endswith("loss 0.5")
    assert "0.25 updates/s" in lines[-1]  # 3 updates in 12 s


def test_a_terminal_gets_a_bar():
    stream = Terminal()
    with TrainingProgress(10, stream=stream) as shown:
        shown.advance(10, "train")
        shown.log(10, "train", {"loss": 1.0})
        shown.say("hello")
    assert "10/10" in stream.getvalue()
    assert "hello" in stream.getvalue()
    assert "loss" not in stream.getvalue()
