import subprocess
import sys

import pytest

from tiny_runs import registry, run_config
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
        VRLError, match=r"Cannot write to the run's folder.*Choose another --output"
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
        (tmp_path / "run.json").write_text("{")
        with pytest.raises(VRLError, match=r"Cannot read .*run\.json"):
            run.facts()
