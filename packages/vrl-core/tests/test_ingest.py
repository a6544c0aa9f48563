import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vrl_core import ingest
from vrl_core.episodes import pieces_of
from vrl_core.episodes import whole as join_pieces
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.ingest import Progress, default_workers, write_store
from vrl_core.store import Store
from vrl_core.store_writer import StoreWriter

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let the workers find `counting_dataset`."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))


def counting(**options):
    from counting_dataset import Counting

    return Counting(**options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_dataset_becomes_a_store(tmp_path: Path):
    seen: list[Progress] = []
    store = write_store(counting(), tmp_path / "store", workers=1, on_progress=seen.append)
    assert store.lengths.tolist() == [6, 7, 8, 9, 10]
    image = store[3].observations["image"]
    assert (image[..., 0] == 3).all()
    assert image[:, 0, 0, 1].tolist() == list(range(10))
    np.testing.assert_array_equal(store[3].rewards, np.arange(9, dtype=np.float32) + 3 / 8)
    assert store[3].info == {"seed": 3, "folder": "x"}
    assert [progress.episodes for progress in seen] == [1, 2, 3, 4, 5]
    assert seen[-1] == Progress(episodes=5, total=5, frames=45, resumed=0)


def test_the_number_of_workers_changes_no_byte(tmp_path: Path):
    config = counting(episodes=7)
    one = write_store(config, tmp_path / "one", workers=1)
    two = write_store(config, tmp_path / "two", workers=2)
    assert contents(one.path) == contents(two.path)


def test_a_dead_worker_is_told_and_loses_nothing(tmp_path: Path):
    with pytest.raises(VRLError, match=r"worker process died.*run the same command again"):
        write_store(counting(dies_at=4), tmp_path / "store", workers=2)
    assert not (tmp_path / "store").exists()
    with pytest.raises(VRLError, match="another configuration: dies_at was 4, now -1"):
        write_store(counting(), tmp_path / "store", workers=1)
    with pytest.raises(VRLError, match=r"unfinished: [1-4] of 5"):
        Store.open(tmp_path / "store")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_episode_is_named_and_those_before_it_are_kept(tmp_path: Path, workers: int):
    message = "Episode 3 could not be made: ZeroDivisionError: no such thing"
    with pytest.raises(VRLError, match=message):
        write_store(counting(fails_at=3), tmp_path / "store", workers=workers)
    with pytest.raises(VRLError, match="unfinished: 3 of 5"):
        Store.open(tmp_path / "store")


def test_a_configuration_from_a_single_file_reaches_the_workers(tmp_path: Path, monkeypatch):
    """As with `--plugin file.py`: the module's name means nothing to a fresh process."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("only_here", HERE / "counting_dataset.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "only_here", module)
    monkeypatch.setenv("PYTHONPATH", "")
    spec.loader.exec_module(module)
    store = write_store(module.Counting(episodes=3), tmp_path / "store", workers=2)
    assert len(store) == 3


def test_an_existing_store_is_refused_before_any_work(tmp_path: Path):
    write_store(counting(), tmp_path / "store", workers=1)
    with pytest.raises(VRLError, match="not overwritten"):
        write_store(counting(fails_at=0), tmp_path / "store", workers=1)
    with pytest.raises(VRLError, match="no episodes"):
        write_store(counting(episodes=0), tmp_path / "empty", workers=1)
    with pytest.raises(VRLError, match="--workers 0"):
        write_store(counting(), tmp_path / "empty", workers=0)


def test_the_fingerprint_is_plain_data():
    origin = counting(seed=5).fingerprint()
    assert origin["dataset"] == "Counting"
    assert origin["seed"] == 5


INGEST = """
import sys
import vrl_core.store_writer as store_writer
from counting_dataset import Counting
from vrl_core.ingest import write_store

store_writer.FLUSH_SECONDS = 0.0
if __name__ == "__main__":
    config = Counting(episodes=20, size=16, pause=0.02)
    write_store(config, sys.argv[1], workers=int(sys.argv[2]))
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_ends_with_the_same_bytes(tmp_path: Path, workers: int):
    """SIGKILL, again and again, at whatever point of writing that happens to be."""
    whole = write_store(counting(episodes=20, size=16, pause=0.02), tmp_path / "whole", workers=1)
    script = tmp_path / "ingest.py"
    script.write_text(INGEST)
    folder = tmp_path / "killed"
    journal = tmp_path / "killed.partial" / "journal.jsonl"
    for lines in (3, 12):
        process = subprocess.Popen([sys.executable, script, folder, str(workers)])
        _wait_for_lines(journal, lines, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not folder.exists()
        with pytest.raises(VRLError, match="unfinished"):
            Store.open(folder)
    subprocess.run([sys.executable, script, folder, str(workers)], check=True)
    assert contents(folder) == contents(whole.path)


def _wait_for_lines(journal: Path, lines: int, process: subprocess.Popen) -> None:
    while not journal.exists() or journal.read_bytes().count(b"\n") <= lines:
        assert process.poll() is None, "the writer ended before it was killed"
        time.sleep(0.005)


def test_workers_end_when_their_parent_is_killed(tmp_path: Path):
    script = tmp_path / "ingest.py"
    script.write_text(INGEST.replace("pause=0.02", f"pause=1.0, diary={str(tmp_path)!r}"))
    process = subprocess.Popen([sys.executable, script, tmp_path / "store", "2"])
    _wait_for_lines(tmp_path / "store.partial" / "journal.jsonl", 1, process)
    workers = [int(path.suffix[1:]) for path in tmp_path.glob("made_by.*")]
    assert workers
    assert process.pid not in workers
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(_is_alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "workers outlived their parent"
        time.sleep(0.05)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")  # where there is none, the system's init reaps at once
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_damaged_episode_stops_the_writing_unless_told_otherwise(tmp_path: Path):
    with pytest.raises(DamagedDataError, match=r"Tape 2 is torn.*--dataset.skip-damaged"):
        write_store(counting(damaged=(2,)), tmp_path / "store", workers=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_damaged_episodes_are_left_out_and_named(tmp_path: Path, workers: int):
    config = counting(damaged=(0, 3), skip_damaged=True)
    seen: list[Progress] = []
    with pytest.warns(UserWarning, match=r"left out 2 of 5 episodes: Tape 0 is torn. Tape 3 is"):
        store = write_store(config, tmp_path / "store", workers=workers, on_progress=seen.append)
    assert [episode.info["seed"] for episode in store] == [1, 2, 4]
    assert (seen[-1].episodes, seen[-1].total) == (3, 3)


def test_left_out_episodes_are_remembered_by_a_resumed_run(tmp_path: Path):
    options = {"damaged": (0, 1), "skip_damaged": True}
    config = counting(**options)
    writer = StoreWriter(
        tmp_path / "store", config.build().spec, episodes=5, origin=config.fingerprint()
    )
    with writer:
        writer.skip("Tape 0 is torn.")
        writer.skip("Tape 1 is torn.")
        writer.append(config.build()[2])
    with pytest.warns(UserWarning, match="left out 2 of 5"):
        store = write_store(config, tmp_path / "store", workers=1)
    assert [episode.info["seed"] for episode in store] == [2, 3, 4]


def test_nothing_but_damage_is_no_store(tmp_path: Path):
    config = counting(episodes=2, damaged=(0, 1), skip_damaged=True)
    with pytest.raises(VRLError, match=r"All 2 episodes are damaged.*Tape 0"):
        write_store(config, tmp_path / "store", workers=1)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_episodes_in_pieces_give_the_same_store(tmp_path: Path, workers: int):
    from counting_dataset import CountingInPieces

    whole = write_store(counting(), tmp_path / "whole", workers=1)
    cut = write_store(CountingInPieces(), tmp_path / "cut", workers=workers)
    assert contents(whole.path) == contents(cut.path)
    joined = join_pieces(pieces_of(CountingInPieces().build(), 2))
    np.testing.assert_array_equal(joined.observations["image"], whole[2].observations["image"])
    np.testing.assert_array_equal(joined.rewards, whole[2].rewards)


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_stays_of_an_episode_that_breaks_off(tmp_path: Path, workers: int):
    from counting_dataset import CountingInPieces

    config = CountingInPieces(damaged=(0, 3), skip_damaged=True)
    with pytest.warns(UserWarning, match=r"left out 2 of 5 episodes"):
        store = write_store(config, tmp_path / "store", workers=workers)
    assert [episode.info["seed"] for episode in store] == [1, 2, 4]
    assert not list(store.verify())


def test_a_worker_that_dies_within_an_episode_is_told(tmp_path: Path):
    from counting_dataset import CountingInPieces

    with pytest.raises(VRLError, match="worker process died"):
        write_store(CountingInPieces(dies_at=2), tmp_path / "store", workers=2)
    with pytest.raises(VRLError, match=r"unfinished: 2 of 5"):
        Store.open(tmp_path / "store")


def test_readers_start_as_many_processes_as_memory_allows(monkeypatch):
    monkeypatch.setattr(ingest, "available_cores", lambda: 64)
    from counting_dataset import CountingInPieces

    pieces = CountingInPieces().build()
    assert default_workers(counting().build()) == 64
    assert default_workers(pieces) == 4
    pieces.kept_bytes = 384 * 2**20
    assert default_workers(pieces) == 1
