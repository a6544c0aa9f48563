import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import vrl_core.plugin
import vrl_theory.plugin
from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig
from vrl_core.ingest import write_store
from vrl_core.protocols import EnsemblePrediction
from vrl_core.registry import Registry
from vrl_core.run_config import RunConfig
from vrl_core.run_folder import RunFolder
from vrl_core.store_config import StoreDataset
from vrl_core.testing.plugins import check_plugin
from vrl_core.testing.tiny_data import TinyDataset, tiny_data
from vrl_core.train import train
from vrl_theory.config import Theory, TheoryBoundConfig
from vrl_theory.empirical import ExpertPenalties, empirical_bound, expert_penalties
from vrl_theory.judged_run import judged_steps, load_judged, require_same_kind, with_penalty
from vrl_theory.learned_calibration import rollout_errors, transport_errors
from vrl_theory.rollout_model import StateRollouts, find_rollout_model

FAKE = Path(__file__).with_name("fake_run.py")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def registry():
    return Registry(installed=False, modules=[vrl_core.plugin, vrl_theory.plugin], files=[FAKE])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "expert"
    return tiny_data(folder, episodes=3, steps=6, image_size=None, state_size=3)


class Certain:
    """A model of the given bias, without noise in what it draws."""

    fields = ("state",)

    def __init__(self, bias=0.0):
        self.bias = bias

    def start(self, observations, action):
        return observations["state"]

    def step(self, state, action):
        following = state.clone()
        following[:, 1] += 1 + self.bias
        mean = torch.cat([following, torch.zeros(len(state), 1)], -1)[None]
        member = torch.zeros(len(state), dtype=torch.int64)
        return following, EnsemblePrediction(
            kind="gaussian", sample=mean[0], member=member, mean=mean, std=torch.zeros_like(mean)
        )


def predicted_step(prediction):
    """The number that the model predicts to follow, less one: its own state's step."""
    return prediction.mean[0, :, 1] - 1


def test_equation_12_by_hand(store):
    found = expert_penalties(Certain(), store, predicted_step, horizon=2, episodes=9, device=CPU)
    assert len(found.penalties) == 3
    # Starts 0..3 of 6 steps; a start j reaches the steps j and j + 1.
    assert found.penalties[0] == pytest.approx(np.array([[0, 1, 2, 3], [1, 2, 3, 4]]))
    assert found.mean == pytest.approx(2.0)
    assert found.by_horizon() == pytest.approx([1.5, 2.5])
    assert found.epsilon_u(1.0) == pytest.approx(6 * 2.0)
    # Means of the starts .5 1.5 2.5 3.5, weights 1 1/2 1/4 1/8; the sum over 6 steps is 63/32.
    mean = (0.5 + 0.75 + 0.625 + 0.4375) / 1.875
    assert found.epsilon_u(0.5) == pytest.approx(mean * 63 / 32)
    assert found.epsilon_u(0.0) == pytest.approx(0.5)


def test_the_rollouts_leave_the_logged_states(store):
    """With a bias of one the imagined step grows by two, while the actions are the expert's."""
    found = expert_penalties(
        Certain(bias=1.0), store, predicted_step, horizon=3, episodes=1, device=CPU
    )
    assert found.penalties[0] == pytest.approx(np.array([[1, 2, 3], [3, 4, 5], [5, 6, 7]]))


def test_the_bound_is_twice_the_weighted_error_beside_the_gap():
    found = ExpertPenalties(penalties=(np.full((2, 3), 0.5),), lengths=(5,))
    bound = empirical_bound(
        found,
        label="x",
        step=1,
        horizon=2,
        discount=0.5,
        coefficient=3.0,
        expert_return=10.0,
        policy_return=2.0,
    )
    assert bound.episode_bound == pytest.approx(2 * 3 * 5 * 0.5)
    assert bound.bound == pytest.approx(2 * 3 * 0.5 * (31 / 16))
    assert (bound.gap, bound.holds) == (8.0, True)
    assert not replace(bound, gap=16.0).holds
    assert replace(bound, gap=None).holds is None


def test_an_expert_that_does_not_fit(store, tmp_path):
    def evaluate(store, **changes):
        settings = {"horizon": 2, "episodes": 1, "device": CPU} | changes
        return expert_penalties(Certain(), store, lambda p: p.mean[0, :, 0] / 0, **settings)

    with pytest.raises(
        VRLError, match=r"No episode of .* has more than 6 steps; the longest has 6"
    ):
        evaluate(store, horizon=6)
    with pytest.raises(VRLError, match="after 0 imagined steps from step 0 of episode"):
        evaluate(store)
    images = tiny_data(tmp_path / "images", episodes=1, image_size=16)
    with pytest.raises(VRLError, match=r"observes state, but .* has only image"):
        evaluate(images)


def test_state_rollouts_draw_from_the_elites():
    class Members:
        state_size = 1

        def predict(self, state, action):
            levels = torch.tensor([0.0, 10.0, 20.0])[:, None, None]
            mean = levels + torch.zeros(3, len(state), 2)
            return mean, torch.zeros_like(mean)

    model = StateRollouts(Members(), torch.tensor([0, 2]))
    following, prediction = model.step(torch.zeros(50, 1), torch.zeros(50, 1))
    assert set(following.flatten().tolist()) == {0.0, 20.0}
    assert set(prediction.member.tolist()) == {0, 2}
    with pytest.raises(VRLError, match="bc has no model to imagine with"):
        find_rollout_model(object(), "bc")


def test_transport_to_a_point_is_the_expected_distance():
    mean = torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]]])
    prediction = EnsemblePrediction(
        kind="gaussian",
        sample=mean[0],
        member=torch.zeros(1, dtype=torch.int64),
        mean=mean,
        std=torch.zeros_like(mean),
    )
    assert transport_errors(prediction, torch.zeros(1, 2)).item() == pytest.approx(2.5)
    first = torch.tensor([0])  # rollouts draw from the elites alone
    assert transport_errors(prediction, torch.zeros(1, 2), first).item() == pytest.approx(5.0)


def test_true_errors_are_those_of_the_elites(store):
    class Members:
        state_size = 3

        def predict(self, state, action):
            steps = torch.tensor([1.0, 4.0])[:, None] * torch.eye(4)[1]
            mean = torch.cat([state, torch.zeros(len(state), 1)], -1) + steps[:, None]
            return mean, torch.zeros_like(mean)

    def simulate(state, action):
        return state + np.eye(3, dtype=np.float32)[1], np.zeros(len(state), np.float32)

    def errors(elites):
        model = StateRollouts(Members(), elites)
        settings = {"horizon": 1, "episodes": 2, "device": CPU}
        return rollout_errors(model, store, {}, simulate, **settings)

    assert errors(torch.tensor([0])).errors == pytest.approx(0.0)
    assert errors(None).errors == pytest.approx(1.5)
    assert errors(None).episodes.tolist().count(errors(None).episodes[0]) == 5


def test_what_a_simulator_refuses_is_said_with_the_way_out(store):
    def refuse(state, action):
        raise VRLError("No such state.")

    with pytest.raises(VRLError, match=r"No such state. An imagined state .* shorten --horizon"):
        rollout_errors(Certain(), store, {}, refuse, horizon=1, episodes=1, device=CPU)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"environment": {"name": "hiv", "reward_scale": 1.0}}, "reward scale 1.0, .* 0.0001"),
        ({"task": "hopper"}, "task 'hopper', .* 'tiny'"),
        ({"environment": None}, None),
        ({"environment": {"name": "hiv", "reward_scale": 1e-4, "new": 1}}, None),
    ],
)
def test_data_of_another_environment_does_not_compare(store, changes, said):
    environment = {"name": "hiv", "reward_scale": 1e-4}
    spec = replace(store.spec, task="tiny", environment=environment)
    other = SimpleNamespace(spec=replace(spec, **changes), path=Path("expert"))
    run = SimpleNamespace(spec=spec, model=Certain(), folder=Path("run"))
    if said is None:
        require_same_kind(run, other)
    else:
        with pytest.raises(VRLError, match=said):
            require_same_kind(run, other)


def test_true_errors_are_those_of_one_more_step(store):
    def simulate(state, action):
        following = state.copy()
        following[:, 1] += 1
        return following, np.zeros(len(state), np.float32)

    found = rollout_errors(
        Certain(bias=0.5),
        store,
        {"step": predicted_step},
        simulate,
        horizon=3,
        episodes=2,
        device=CPU,
    )
    assert found.errors == pytest.approx(np.full((3, 6), 0.5))
    assert found.penalties["step"].shape == (3, 6)
    with pytest.raises(VRLError, match=r"next states \(3, 2\)"):
        rollout_errors(
            Certain(),
            store,
            {},
            lambda state, action: (state[:, :2], state[:, 0]),
            horizon=3,
            episodes=1,
            device=CPU,
        )


@pytest.fixture(scope="module")
def run(store, registry, tmp_path_factory):
    """A run of four updates with two evaluations, followed by the callback."""
    config = RunConfig(
        algorithm=registry.get("algorithms", "counter")(),
        dataset=StoreDataset(path=str(store.path)),
        environment=registry.get("environments", "counting")(),
        callbacks=(TheoryBoundConfig(expert=store.path, horizon=2, episodes=2),),
        device="cpu",
        evaluate_every=2,
        evaluation_episodes=2,
        evaluation_workers=0,
        checkpoint_every=2,
        plugins=(str(FAKE),),
    )
    return train(config, registry=registry, folder=tmp_path_factory.mktemp("runs") / "run").path


def test_the_callback_follows_bound_and_gap(run, store):
    lines = [json.loads(line) for line in (run / "theory_bound.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    for line in lines:
        assert line["penalty_coefficient"] == 2.0
        assert line["gap"] == pytest.approx(float(store.returns.mean()) - 3.0)
        assert line["episode_bound"] == pytest.approx(2 * 2 * 6 * line["mean_penalty"])
    assert lines[0]["by_horizon"][0] == pytest.approx(lines[1]["by_horizon"][0])
    for ending in ("png", "svg"):
        assert (run / f"theory_bound.{ending}").stat().st_size > 0
    Image.open(run / "theory_bound.png").verify()


def test_the_callback_changes_nothing_in_the_training(run, registry, tmp_path):
    config = replace(RunFolder(run).config(registry), callbacks=())
    alone = train(config, registry=registry, folder=tmp_path / "alone")
    mine, theirs = (each.newest_checkpoint() for each in (alone, RunFolder(run)))
    assert torch.equal(mine[1]["random"]["torch"], theirs[1]["random"]["torch"])
    drawn = [
        [line["counting/drawn"] for line in each.metrics.read()] for each in (alone, RunFolder(run))
    ]
    assert drawn[0] == drawn[1]


def test_a_resumed_run_forgets_what_it_will_do_again(run, store, tmp_path):
    callback = TheoryBoundConfig(expert=store.path).build()
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "theory_bound.jsonl").write_text('{"step": 3}\n')
    callback.on_start(folder)
    assert (folder / "theory_bound.jsonl").read_text() == ""


def test_runs_of_one_label_are_told_apart_by_their_folders(run, store, registry, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "other")
    command = Theory(
        subject="bound",
        runs=(run, tmp_path / "other"),
        data=(store.path,),
        horizon=2,
        output=tmp_path / "theory",
        json=True,
    )
    assert command.run(registry) == 0
    bounds = json.loads(capsys.readouterr().out)["bounds"]
    names = [f"counter random seed 0 ({name})" for name in (run.name, "other") for _ in range(2)]
    assert [bound["label"] for bound in bounds] == names


def test_the_command_judges_every_checkpoint(run, store, registry, tmp_path, capsys):
    command = Theory(
        subject="bound", runs=(run,), data=(store.path,), horizon=2, output=tmp_path, json=True
    )
    assert command.run(registry) == 0
    bounds = json.loads(capsys.readouterr().out)["bounds"]
    assert [bound["step"] for bound in bounds] == [2, 4]
    assert bounds[0]["label"] == "counter random seed 0"
    assert bounds[0]["policy_return"] == 3.0
    assert bounds[0]["discount"] == 0.5
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"bound.{ending}" for ending in ("md", "json", "png", "svg")}
    assert "| counter random seed 0 | 2 |" in (tmp_path / "bound.md").read_text()
    heavier = replace(command, weight=4.0, discount=1.0)
    heavier.run(registry)
    again = json.loads(capsys.readouterr().out)["bounds"]
    assert again[0]["bound"] == pytest.approx(2 * bounds[0]["episode_bound"])


def test_penalties_that_estimate_nothing_ask_for_a_name(run, registry):
    judged = load_judged(run, registry, CPU, 4)
    blind = replace(judged, penalty_config=registry.get("penalties", "none")())
    with pytest.raises(VRLError, match=r"without a penalty. Name one, --penalty NAME: first-std"):
        with_penalty(blind, None, None, registry)
    assert with_penalty(judged, "none", None, registry).penalty_coefficient == 2.0
    oracle = replace(judged, penalty_config=registry.get("penalties", "oracle")())
    with pytest.raises(VRLError, match=r"oracle of counter .* asks the simulator"):
        with_penalty(oracle, None, None, registry)
    assert with_penalty(oracle, "first-std", None, registry)


def test_a_missing_run_is_answered_with_the_nearest(run):
    with pytest.raises(VRLError, match=f"Did you mean '{run}'"):
        judged_steps(run.with_name("runn"))
    with pytest.raises(VRLError, match=f"Known: .*{run}"):
        judged_steps(run.parent)


@dataclass(frozen=True, kw_only=True)
class Simulated(DatasetConfig):
    """Tiny data that name the environment of the fake run."""

    simulates: bool

    def build(self):
        episodes = TinyDataset(episodes=2, steps=6, image_size=None, state_size=3).build()
        return WithEnvironment(episodes, {"name": "counting", "simulates": self.simulates})


class WithEnvironment:
    """Episodes of a spec that names an environment."""

    def __init__(self, episodes, environment):
        self.episodes = episodes
        self.spec = replace(episodes.spec, environment=environment)

    def __len__(self):
        return len(self.episodes)

    def __getitem__(self, index):
        return self.episodes[index]


def test_calibration_needs_a_simulator(run, store, registry, tmp_path, capsys):
    def judge(path, **changes):
        settings = {"runs": (run,), "data": (path,), "horizon": 2, "output": tmp_path / "out"}
        return Theory(subject="calibration", json=True, **settings | changes).run(registry)

    with pytest.raises(VRLError, match="names no environment"):
        judge(store.path)
    for simulates in (True, False):
        config = Simulated(simulates=simulates)
        write_store(config, tmp_path / f"simulates-{simulates}", workers=1)
    with pytest.raises(VRLError, match="counting has no method simulate"):
        judge(tmp_path / "simulates-False")
    assert judge(tmp_path / "simulates-True", penalty=("first-std",)) == 0
    (found,) = json.loads(capsys.readouterr().out)["calibrations"]
    assert [step["horizon"] for step in found["horizons"]] == [0, 1, None]
    # Four updates bias the step by 2; deviations from steps 0..3 are 0.1, 0.2, 0.3, 0.4.
    first = found["horizons"][0]
    assert first["mean_penalty"] == pytest.approx(0.25)
    assert 1.9 < first["mean_error"] < 2.5
    assert first["admissible"] == 0
    assert first["factor"] > 4
    assert (tmp_path / "out" / "calibration.png").is_file()
    assert first["correlation_low"] <= first["correlation"] <= first["correlation_high"]
    assert "| 95% interval |" in (tmp_path / "out" / "calibration.md").read_text()
    with pytest.raises(VRLError, match="asks the simulator"):
        judge(tmp_path / "simulates-True", penalty=("oracle",))


def test_the_plugin_conforms():
    check_plugin(vrl_theory.plugin)


def test_settings_that_cannot_be_meant(store):
    with pytest.raises(VRLError, match="takes no states"):
        Theory(subject="bound", runs=(Path("run"),), data=(store.path,), states=5)
    with pytest.raises(VRLError, match="takes no runs"):
        Theory(subject="mdp", runs=(Path("run"),))
    with pytest.raises(VRLError, match="RUN --data STORE"):
        Theory(subject="bound", runs=(Path("run"),))
    with pytest.raises(VRLError, match="horizon must be at least 1"):
        TheoryBoundConfig(horizon=0)
    with pytest.raises(VRLError, match="expert: STORE"):
        TheoryBoundConfig().build()
