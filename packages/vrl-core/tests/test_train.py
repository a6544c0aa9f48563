import json
import os
import random
import signal

import numpy as np
import pytest
import torch

from nested_state import assert_equal
from tiny_runs import final_state, logged, registry, run_config, train_tiny
from tiny_training import CountingEnvironmentConfig, FaultyConfig, Tiny, TinyConfig
from vrl_core.callback_config import TensorBoardConfig
from vrl_core.checkpoint import checkpoints
from vrl_core.device import choose_device, random_state
from vrl_core.errors import VRLError
from vrl_core.protocols import Phase, Sequences
from vrl_core.replay import Replay
from vrl_core.run_folder import restore
from vrl_core.store import Store
from vrl_core.train import prepare_phase
from vrl_core.training_state import phase_seed

CPU = torch.device("cpu")


def test_a_run_from_beginning_to_end(counting_store, tmp_path):
    config = run_config(counting_store.path, callbacks=(TensorBoardConfig(),))
    run = train_tiny(config, tmp_path / "run")

    lines = logged(run.path)
    # Every third update, and the last of each phase: the first has 8 updates, the second 20.
    assert [line["step"] for line in lines] == [3, 6, 8, 9, 12, 15, 18, 21, 24, 27, 28]
    assert [line["phase"] for line in lines] == ["model"] * 3 + ["policy"] * 8
    assert set(lines[0]) == {"step", "phase", "model/loss", "model/pixel"}
    evaluations = logged(run.path, "evaluations")
    assert [line["step"] for line in evaluations] == [7, 14, 21, 28]
    line = evaluations[-1]
    assert len(line["returns"]) == len(line["seeds"]) == 2
    assert line["return_mean"] == pytest.approx(sum(line["returns"]) / 2)
    assert line["score"] == pytest.approx(10 * line["return_mean"])
    assert [step for step, _ in checkpoints(run.checkpoints)] == [25, 28]
    facts = run.facts()
    assert (facts["steps"], facts["finished"], facts["seed"]) == (28, True, 1)
    assert facts["dataset"]["episodes"] == 3
    assert facts["versions"]["torch"]
    assert list((run.path / "tensorboard").iterdir())


def test_metrics_are_means_of_the_period(counting_store, tmp_path):
    often = train_tiny(run_config(counting_store.path, log_every=1), tmp_path / "often")
    rarely = train_tiny(run_config(counting_store.path, log_every=4), tmp_path / "rarely")
    values = [line["model/loss"] for line in logged(often.path)[:4]]
    assert logged(rarely.path)[0]["model/loss"] == pytest.approx(sum(values) / 4)


def test_neither_evaluating_nor_logging_changes_the_training(counting_store, tmp_path):
    one = train_tiny(run_config(counting_store.path), tmp_path / "one")
    changes = {"evaluate_every": 0, "log_every": 5, "data_placement": "stream"}
    other = train_tiny(run_config(counting_store.path, **changes), tmp_path / "other")
    weights = [final_state(run.path)[1]["algorithm"]["network"]["weight"] for run in (one, other)]
    assert weights[0].equal(weights[1])
    assert len(logged(other.path, "evaluations")) == 1


def test_no_evaluation_needs_no_environment(counting_store, tmp_path):
    run = train_tiny(run_config(counting_store.path, evaluation_episodes=0), tmp_path / "run")
    assert not (run.path / "evaluations.jsonl").exists()


def test_steps_sets_the_last_phase(counting_store, tmp_path):
    run = train_tiny(run_config(counting_store.path, steps=2), tmp_path / "run")
    assert final_state(run.path)[0] == 10


def test_a_phase_may_end_early(counting_store, tmp_path):
    config = run_config(counting_store.path, TinyConfig(ends_first_at=4), steps=2)
    run = train_tiny(config, tmp_path / "run")
    assert [(line["step"], line["phase"]) for line in logged(run.path)] == [
        (3, "model"),
        (6, "model"),
        (8, "policy"),
    ]
    assert run.facts()["steps"] == 8


def test_a_phase_is_prepared_once_a_process_and_refreshed_every_so_often(
    counting_store, tmp_path, monkeypatch
):
    diaries = []
    init = Tiny.__init__

    def remembered(self, *arguments):
        init(self, *arguments)
        diaries.append(self.diary)

    monkeypatch.setattr(Tiny, "__init__", remembered)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        # Eight updates of the first phase, then six of the second: the next is to be refreshed.
        train_tiny(run_config(counting_store.path, TinyConfig(stops_at=14)), folder)
    train_tiny(run_config(counting_store.path), folder, resume=True)
    seed = phase_seed(1, 1)
    assert diaries == [
        [f"prepare with {seed} before 8", "refresh 0"],
        [f"prepare with {seed} before 14", "refresh 6", "refresh 12", "refresh 18"],
    ]


def test_a_resumed_run_is_not_refreshed_twice(counting_store, tmp_path, monkeypatch):
    numbers = []
    refresh = Tiny.refresh
    monkeypatch.setattr(
        Tiny, "refresh", lambda self, number: numbers.append(number) or refresh(self, number)
    )
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_tiny(run_config(counting_store.path, TinyConfig(stops_at=16)), folder)
    train_tiny(run_config(counting_store.path), folder, resume=True)
    assert numbers == [0, 6, 12, 18]


def test_preparing_leaves_the_generators_as_they_were(counting_store):
    drawn = []

    def prepare(replay, seed):
        drawn.append((float(torch.rand(())), float(np.random.rand()), random.random(), seed))

    phase = Phase("x", 1, Sequences(batch_size=1, length=1), lambda batch: {}, prepare=prepare)
    torch.manual_seed(3)
    before = random_state(CPU)
    prepare_phase(phase, Replay(counting_store, CPU), 7)
    after = random_state(CPU)
    torch.rand(5)
    prepare_phase(phase, Replay(counting_store, CPU), 7)
    prepare_phase(phase, Replay(counting_store, CPU), 8)
    assert_equal(before, after)
    assert drawn[0] == drawn[1] != drawn[2]


def test_nan_in_a_loss_keeps_the_last_good_checkpoint(counting_store, tmp_path):
    config = run_config(counting_store.path, TinyConfig(bad_at=17), steps=12)
    expected = (
        r"'loss' of phase 'policy' is nan from update 17 on \(batch 8 of the phase\)\. The data of "
        r"these batches \(7 to 8\) is finite.*step_00000015 \(update 15\)"
    )
    with pytest.raises(VRLError, match=expected):
        train_tiny(config, tmp_path / "run")
    assert [step for step, _ in checkpoints(tmp_path / "run/checkpoints")] == [14, 15]


def test_nan_in_the_data_is_found(counting_store, tmp_path, monkeypatch):
    """As in a large store whose file changed after it was verified."""
    file = np.lib.format.open_memmap(counting_store.path / "action.npy", mode="r+")
    file[counting_store.offsets[1] + 4, 1] = np.nan
    file.flush()
    monkeypatch.setattr(Store, "require_sound", lambda self, *rest, **options: None)
    expected = r"The data is at fault: action is not finite at step 4 of episode 1 \(batch \d+"
    with pytest.raises(VRLError, match=expected):
        train_tiny(run_config(counting_store.path), tmp_path / "run")


def test_an_interruption_saves_and_the_run_goes_on_as_if_nothing_had_been(
    counting_store, tmp_path, capsys
):
    folder = tmp_path / "stopped"
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(run_config(counting_store.path, TinyConfig(stops_at=13)), folder)
    assert f"Stopped at update 13. Go on: vrl train --resume {folder}" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    assert final_state(folder)[0] == 13
    config = run_config(counting_store.path)
    train_tiny(config, folder, resume=True)
    whole = train_tiny(config, tmp_path / "whole")
    assert_same_run(folder, whole.path)


def test_an_interruption_during_evaluation_is_caught_up(counting_store, tmp_path):
    folder = tmp_path / "stopped"
    environment = CountingEnvironmentConfig(interrupts=True)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(run_config(counting_store.path, environment=environment), folder)
    assert final_state(folder)[0] == 7
    assert not (folder / "evaluations.jsonl").exists()
    config = run_config(counting_store.path)
    train_tiny(config, folder, resume=True)
    assert_same_run(folder, train_tiny(config, tmp_path / "whole").path)


def test_a_full_disk_is_warned_of_and_costs_nothing_but_time(counting_store, tmp_path, monkeypatch):
    real, calls = os.fsync, []

    def full_for_a_while(descriptor):
        calls.append(descriptor)
        if 8 <= len(calls) <= 10:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr("os.fsync", full_for_a_while)
    with pytest.warns(UserWarning, match=r"No checkpoint.*No space left.*last good"):
        run = train_tiny(run_config(counting_store.path), tmp_path / "run")
    assert final_state(run.path)[0] == 28


def test_a_last_checkpoint_that_cannot_be_written_is_an_error(
    counting_store, tmp_path, monkeypatch
):
    def full(folder, step, *rest, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vrl_core.recording.save_checkpoint", full)
    with (
        pytest.warns(UserWarning, match="no checkpoint yet"),
        pytest.raises(VRLError, match=r"update 28: No space left on device\. Make room"),
    ):
        train_tiny(run_config(counting_store.path), tmp_path / "run")


def test_a_damaged_checkpoint_is_set_aside(counting_store, tmp_path):
    whole = train_tiny(run_config(counting_store.path), tmp_path / "whole")
    folder = tmp_path / "damaged"
    with pytest.raises(KeyboardInterrupt):
        train_tiny(run_config(counting_store.path, TinyConfig(stops_at=12)), folder)
    newest = checkpoints(folder / "checkpoints")[-1][1]
    assert newest.name == "step_00000012"
    content = bytearray((newest / "tensors.safetensors").read_bytes())
    content[-3] ^= 1
    (newest / "tensors.safetensors").write_bytes(content)
    with pytest.warns(UserWarning, match="step_00000012 is damaged"):
        train_tiny(run_config(counting_store.path), folder, resume=True)
    assert_same_run(folder, whole.path)
    assert (folder / "checkpoints/step_00000012.damaged").is_dir()


def test_all_checkpoints_damaged(counting_store, tmp_path):
    run = train_tiny(run_config(counting_store.path), tmp_path / "run")
    for _, path in checkpoints(run.checkpoints):
        (path / "state.json").unlink()
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(VRLError, match="All checkpoints"),
    ):
        train_tiny(run_config(counting_store.path), run.path, resume=True)


def test_another_number_of_threads_is_warned_of(counting_store, tmp_path, monkeypatch):
    run = train_tiny(run_config(counting_store.path, steps=1), tmp_path / "run")
    here = torch.get_num_threads()
    monkeypatch.setattr("torch.get_num_threads", lambda: here + 1)
    with pytest.warns(UserWarning, match=f"had {here} threads and goes on with {here + 1}"):
        train_tiny(run_config(counting_store.path, steps=1), run.path, resume=True)


def test_resuming_a_finished_run_changes_nothing(counting_store, tmp_path):
    run = train_tiny(run_config(counting_store.path), tmp_path / "run")
    before = (run.path / "metrics.jsonl").read_bytes()
    train_tiny(run_config(counting_store.path), run.path, resume=True)
    assert (run.path / "metrics.jsonl").read_bytes() == before
    assert [entry["step"] for entry in run.facts()["resumed"]] == [28]


def test_other_data_is_refused_on_resuming(counting_store, tmp_path):
    from counting_dataset import Counting
    from vrl_core.ingest import write_store

    run = train_tiny(run_config(counting_store.path), tmp_path / "run")
    other = write_store(Counting(episodes=2, size=16), tmp_path / "other", workers=1)
    with pytest.raises(VRLError, match=r"data of .* has changed"):
        train_tiny(run_config(other.path), run.path, resume=True)


def test_an_existing_run_is_not_overwritten(counting_store, tmp_path):
    run = train_tiny(run_config(counting_store.path, steps=1), tmp_path / "run")
    with pytest.raises(VRLError, match=r"holds a run already.*--resume.*another --output"):
        train_tiny(run_config(counting_store.path, steps=1), run.path)


def test_what_was_refused_leaves_no_folder(counting_store, tmp_path):
    with pytest.raises(VRLError, match="no store at"):
        train_tiny(run_config(tmp_path / "nothing"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(VRLError, match="no run at"):
        train_tiny(run_config(counting_store.path), tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()
    # The second phase's windows of 9 steps are longer than every episode.
    with pytest.raises(VRLError, match="episodes of at least 9 steps"):
        train_tiny(run_config(counting_store.path, TinyConfig(return_steps=9)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (CountingEnvironmentConfig(size=20), "16×16×3.*20×20×3"),
        (CountingEnvironmentConfig(action_size=3), "actions of 2 numbers.*3"),
        (CountingEnvironmentConfig(rendering="reference"), "render quality 'fast'.*'reference'"),
        (CountingEnvironmentConfig(task="count_down"), "task 'count_up'.*'count_down'"),
    ],
)
def test_an_environment_that_differs_from_the_data(counting_store, tmp_path, environment, message):
    with pytest.raises(VRLError, match=message):
        train_tiny(run_config(counting_store.path, environment=environment), tmp_path / "run")


def test_other_datasets_are_cached_as_stores(tmp_path, monkeypatch):
    from counting_dataset import Counting

    monkeypatch.setenv("VRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("vrl_core.ingest.available_cores", lambda: 1)
    diary = tmp_path / "diary"
    diary.mkdir()
    dataset = Counting(episodes=2, size=16, diary=str(diary))
    for name in ("one", "two"):
        train_tiny(run_config("", dataset=dataset, steps=1), tmp_path / name)
        assert len(list(diary.iterdir())) == (name == "one")
        for entry in diary.iterdir():
            entry.unlink()
    assert len(list((tmp_path / "home/stores").iterdir())) == 1


def test_a_damaged_small_store_is_found_before_training(counting_store, tmp_path):
    path = counting_store.path / "reward.npy"
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    with pytest.raises(VRLError, match="is damaged: reward"):
        train_tiny(run_config(counting_store.path), tmp_path / "run")


def test_a_faulty_callback(counting_store, tmp_path):
    config = run_config(counting_store.path, callbacks=(FaultyConfig(event="on_start"),))
    with pytest.raises(VRLError, match=r"Faulty could not start \(ZeroDivisionError: oh\)"):
        train_tiny(config, tmp_path / "start")
    config = run_config(counting_store.path, callbacks=(FaultyConfig(event="on_metrics"),))
    with pytest.warns(UserWarning, match=r"Faulty.on_metrics failed.*goes on without") as warned:
        run = train_tiny(config, tmp_path / "later")
    assert len([w for w in warned if "Faulty" in str(w.message)]) == 1
    assert final_state(run.path)[0] == 28


def test_restore(counting_store, tmp_path):
    run = train_tiny(run_config(counting_store.path), tmp_path / "run")
    device = choose_device("cpu")
    last = restore(run.path, registry(), device)
    assert (last.step, last.spec.task, last.config.seed) == (28, "count_up", 1)
    expected = final_state(run.path)[1]["algorithm"]["network"]["weight"]
    assert last.algorithm.network.weight.equal(expected)
    assert restore(run.path, registry(), device, "25").algorithm.updates == 25
    with pytest.raises(VRLError, match=r"no checkpoint 'best'\. There are: last, 25, 28"):
        restore(run.path, registry(), device, "best")
    with pytest.raises(VRLError, match="no run at"):
        restore(tmp_path, registry(), device)


def test_a_policy_is_restored_in_the_precision_of_its_run(counting_store, tmp_path):
    config = run_config(counting_store.path, steps=1, precision="float32")
    run = train_tiny(config, tmp_path / "run")
    assert restore(run.path, registry(), CPU).algorithm.config.precision == "float32"


def assert_same_run(one, other):
    """Equal tensors, counters and generators at the end, and equal logs but for the time."""
    assert_equal(final_state(one), final_state(other))
    assert logged(one) == logged(other)
    assert logged(one, "evaluations") == logged(other, "evaluations")
    assert json.loads((one / "run.json").read_text())["finished"]
