import subprocess
import sys

import pytest

from tiny_runs import registry, run_config
from vrl_core.checkpoint import save_checkpoint
from vrl_core.errors import VRLError
from vrl_core.run_folder import RunFolder, load_config


def begin(run, config):
    run.begin(config, registry(), {"steps": 3, "dataset": {"checksum": "0"}})


def test_configuration_and_facts_are_read_back(tmp_path):
    config = run_config("data/x", steps=3)
    with RunFolder(tmp_path / "a" / "run") as run:
        begin(run, config)
    assert load_config(run.path, registry()) == config
    assert run.facts()["seed"] == 1
    run.finish(2)
    assert (run.facts()["steps"], run.facts()["finished"]) == (2, True)


def test_two_runs_in_one_folder(tmp_path):
    with RunFolder(tmp_path), pytest.raises(VRLError, match="in use by another run"):
        RunFolder(tmp_path).__enter__()


def test_the_lock_holds_between_processes_and_ends_with_the_process(tmp_path):
    program = (
        "import fcntl, sys\nlock = open(sys.argv[1], 'a')\nfcntl.flock(lock, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\nsys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / ".lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    with pytest.raises(VRLError, match="in use by another run"):
        RunFolder(tmp_path).__enter__()
    holder.kill()
    holder.communicate()
    with RunFolder(tmp_path):
        pass


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        VRLError, match=r"run cannot be a folder: .*file is a file\. Choose another folder"
    ):
        RunFolder(tmp_path / "file" / "run").__enter__()


def test_an_unused_folder_goes_but_a_users_files_stay(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("x")
    for folder in (tmp_path / "new", tmp_path / "notes"):
        with RunFolder(folder):
            pass
    assert not (tmp_path / "new").exists()
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["mine.txt"]


def test_damaged_facts(tmp_path):
    with RunFolder(tmp_path) as run:
        begin(run, run_config("data/x"))
        with pytest.raises(VRLError, match="does not describe the run's data"):
            run.spec()
        for text, words in (("{", "is no JSON"), ("[]", "does not say what data")):
            (tmp_path / "run.json").write_text(text)
            with pytest.raises(VRLError, match=rf"run\.json is damaged: it {words}.*begin anew"):
                run.facts()
        (tmp_path / "run.json").unlink()
        with pytest.raises(VRLError, match=r"Cannot read .*run\.json: No such file.*Restore it"):
            run.facts()


def test_a_full_disk_is_called_so(tmp_path, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vrl_core.run_folder.write_text", full)
    with (
        RunFolder(tmp_path) as run,
        pytest.raises(VRLError, match=r"disk is full.*Free some space"),
    ):
        begin(run, run_config("data/x"))


def test_a_checkpoint_may_be_damaged_again(tmp_path):
    run = RunFolder(tmp_path)
    for _ in range(3):
        save_checkpoint(run.checkpoints, 1, {"a": 1})
        (save_checkpoint(run.checkpoints, 2, {"a": 2}) / "state.json").unlink()
        with pytest.warns(UserWarning, match="step_00000002 is damaged"):
            assert run.newest_checkpoint(set_aside=True) == (1, {"a": 1})
    assert sorted(path.name for path in run.checkpoints.iterdir()) == [
        "step_00000001",
        *(f"step_00000002.damaged{suffix}" for suffix in ("", "-2", "-3")),
    ]


def test_with_all_checkpoints_damaged_nothing_begins_again_in_silence(tmp_path):
    run = RunFolder(tmp_path)
    path = save_checkpoint(run.checkpoints, 1, {})
    (path / "state.json").unlink()
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(VRLError, match="All checkpoints"),
    ):
        run.newest_checkpoint(set_aside=True)
    path.rename(path.with_name(f"{path.name}.damaged"))  # as an earlier version left it
    with pytest.raises(VRLError, match=r"All checkpoints.*step_00000001\.damaged.*delete them"):
        run.newest_checkpoint(set_aside=True)
