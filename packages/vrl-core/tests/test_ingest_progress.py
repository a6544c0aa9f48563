import io

from vrl_core.ingest import Progress
from vrl_core.ingest_progress import pace, shown_progress, shown_reading


def progress(episodes: int) -> Progress:
    """Of 10 episodes of 100 frames, of which an earlier run made 4."""
    frames = 100 * episodes
    return Progress(episodes=episodes, total=10, frames=frames, resumed=4, resumed_frames=400)


def test_the_pace_is_this_runs_own():
    """Two episodes in 4 s: 50 frames a second; four more take 8 s."""
    assert pace(progress(6), 4.0) == "50 frames/s, 8 s left"
    assert pace(progress(4), 4.0) == "starting"


def test_a_log_gets_a_line_every_ten_seconds_and_the_last_one():
    times = iter([0.0, 4.0, 9.0, 13.0, 15.0])
    log = io.StringIO()
    with shown_progress("walker", stream=log, clock=lambda: next(times)) as on_progress:
        for episodes in (5, 6, 7, 10):
            on_progress(progress(episodes))
    assert log.getvalue().splitlines() == [
        "walker: 7 of 10 episodes, 23 frames/s, 13 s left",
        "walker: 10 of 10 episodes, 40 frames/s, 0 s left",
    ]


def test_reading_is_silent_in_a_log():
    log = io.StringIO()
    with shown_reading("checking", stream=log) as on_episode:
        on_episode(1, 2)
    assert log.getvalue() == ""
