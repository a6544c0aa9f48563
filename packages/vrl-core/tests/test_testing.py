"""The conformance kit accepts what conforms and refuses, one by one, what does not."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from vrl_core import (
    AlgorithmConfig,
    CommandConfig,
    EnvironmentConfig,
    PenaltyConfig,
    ReferenceReturns,
    hookimpl,
)
from vrl_core.protocols import Phase, Sequences, Transitions
from vrl_core.store import Store
from vrl_core.testing import (
    ConformanceError,
    TinyDataset,
    check_algorithm,
    check_dataset,
    check_environment,
    check_penalty,
    check_plugin,
    episode_and_step,
    tiny_data,
)

# ------------------------------------------------------------------------------------------ data


def test_tiny_data_is_a_store_whose_values_say_where_they_stand(tmp_path):
    store = tiny_data(tmp_path / "store", episodes=3, steps=5, image_size=8, state_size=4)
    assert isinstance(store, Store)
    assert Store.open(tmp_path / "store", verify=True).lengths.tolist() == [5, 5, 5]
    for index in range(3):
        episode = store[index]
        episodes, steps = episode_and_step(episode.observations["image"])
        assert episodes.tolist() == [index] * 6
        assert steps.tolist() == [0, 1, 2, 3, 4, 5]
        assert episode.observations["state"][:, :2].tolist() == [[index, t] for t in range(6)]
        np.testing.assert_allclose(episode.actions[:, 0], [-1, -0.6, -0.2, 0.2, 0.6], atol=1e-6)
        np.testing.assert_allclose(episode.rewards, [0, 0.2, 0.4, 0.6, 0.8])
        assert bool(episode.terminations[-1]) == bool(index % 2) != bool(episode.truncations[-1])


def test_tiny_data_conforms_also_in_another_process():
    check_dataset(TinyDataset(steps=3, image_size=8, state_size=3))


def wrong_dataset(change):
    """Return a configuration whose episodes are changed."""

    @dataclass(frozen=True, kw_only=True)
    class Wrong(TinyDataset):
        def build(self):
            episodes = super().build()

            class Changed(type(episodes)):
                def __getitem__(self, index):
                    episode = super().__getitem__(index)
                    return dataclasses.replace(episode, **change(episode))

            return Changed(self)

    # A local class cannot be pickled, which is another check than the one tried here.
    Wrong.__reduce__ = lambda self: (TinyDataset, ())
    return Wrong(steps=4, image_size=8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: {"rewards": e.rewards[:-1]}, r"rewards must be float32 \(4,\)"),
        (lambda e: {"actions": e.actions.astype("float64")}, "actions must be float32"),
        (lambda e: {"actions": e.actions * 3}, r"leave \[-1, 1\]"),
        (lambda e: {"rewards": e.rewards * np.float32("nan")}, "rewards holds NaN"),
        (lambda e: {"truncations": np.ones(4, bool)}, "truncations is set before"),
        (lambda e: {"observations": {}}, "episode 0 has the observations"),
        (
            lambda e: {"observations": {"image": e.observations["image"][1:]}},
            "observation image must be uint8",
        ),
        (
            lambda e: {"rewards": np.random.default_rng().random(4, "float32")},
            "must be pure",
        ),
    ],
)
def test_wrong_datasets_are_refused(change, message):
    with pytest.raises(ConformanceError, match=message):
        check_dataset(wrong_dataset(change), spawn=False)


# ------------------------------------------------------------------------------------- penalties


@dataclass(frozen=True, kw_only=True)
class Disagreement(PenaltyConfig):
    """Mean over features of the members' variance."""

    mistake: str = ""
    kinds = ("categorical", "gaussian")

    def build(self):
        """Return the function, with a mistake if one is asked for."""

        def penalty(prediction):
            means = prediction.logits.flatten(-2) if prediction.logits is not None else None
            means = prediction.mean if means is None else means
            variance = means.var(0).mean(-1)
            mistakes = {
                "shape": lambda: variance.mean(0),
                "offset": lambda: variance + 1,
                "shrinks": lambda: -variance,
                "nan": lambda: variance / 0 * 0,
                "root": lambda: variance.sqrt(),
                "batch": lambda: variance * variance.mean(),
                "": lambda: variance,
            }
            return mistakes[self.mistake]()

        return penalty


def test_a_conforming_penalty_is_accepted():
    check_penalty(Disagreement())


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("shape", r"shape \(... batch\) is \(3, 4\), not \(4,\)"),
        ("offset", "members agree, but the penalty is 1"),
        ("shrinks", "as members part it goes"),
        ("nan", "NaN or infinity"),
        ("root", "gradient to logits has NaN"),
        ("batch", "depends on the others"),
    ],
)
def test_wrong_penalties_are_refused(mistake, message):
    with pytest.raises(ConformanceError, match=message):
        check_penalty(Disagreement(mistake=mistake))


def test_a_penalty_of_another_nature_may_say_so():
    check_penalty(Disagreement(mistake="offset"), zero_in_agreement=False)


# ---------------------------------------------------------------------------------- environments


class Corridor(gymnasium.Env):
    """A point walks along a line; the picture shows where it is."""

    def __init__(self, mistake: str):
        self.mistake = mistake
        size = 9 if mistake == "size" else 8
        self.observation_space = gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8)
        low = -2.0 if mistake == "bounds" else -1.0
        self.action_space = gymnasium.spaces.Box(low, 1.0, (2,), np.float32)
        self.rng = np.random.default_rng()

    def reset(self, *, seed=None, options=None):
        if seed is not None and self.mistake != "seed":
            self.rng = np.random.default_rng(seed)
        self.place, self.steps = self.rng.random(), 0
        return self.picture(), {}

    def picture(self):
        return np.full((8, 8, 3), int(self.place * 255), np.uint8)

    def step(self, action):
        self.place = float(np.clip(self.place + 0.1 * action[0], 0, 1))
        self.steps += 1
        reward = float("nan") if self.mistake == "reward" else self.place
        done = self.steps >= 4
        result = (self.picture(), reward, False, done, {})
        return result[:4] if self.mistake == "four" else result


@dataclass(frozen=True, kw_only=True)
class CorridorConfig(EnvironmentConfig):
    """A corridor."""

    mistake: str = ""

    def build(self):
        """Make the corridor."""
        return Corridor(self.mistake)

    def references(self):
        """Return references, wrong ones if asked for."""
        return ReferenceReturns(random=5.0 if self.mistake == "references" else 0.0, expert=3.0)


def test_a_conforming_environment_is_accepted():
    check_environment(CorridorConfig())


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("size", "an observation is not in the space"),
        ("bounds", r"actions must lie in \[-1, 1\]"),
        ("seed", "reset with the same seed: "),
        ("reward", "finite number, not nan"),
        ("four", r"step\(\) must return"),
        ("references", "must exceed random's"),
    ],
)
def test_wrong_environments_are_refused(mistake, message):
    with pytest.raises(ConformanceError, match=message):
        check_environment(CorridorConfig(mistake=mistake))


# ------------------------------------------------------------------------------------ algorithms


class Cloning:
    """Linear regression of actions from the mean pixel, then from states' sequences."""

    def __init__(self, config: CloningConfig, action_size: int):
        self.mistake = config.mistake
        self.actor = torch.nn.Linear(3, action_size)
        self.optimiser = torch.optim.Adam(self.actor.parameters(), 1e-2)
        self.updates = 0
        self.prepared = 0.0
        self.imagined = torch.zeros(())
        length = 0 if self.mistake == "steps" else 10
        self.phases = (
            Phase("transitions", length, Transitions(batch_size=4, frame_stack=2), self.update),
            Phase(
                "sequences",
                10,
                Sequences(batch_size=2, length=3),
                self.update_sequences,
                prepare=self.prepare,
                refresh=self.imagine,
                refresh_every=2,
            ),
        )

    def prepare(self, replay, seed):
        """Keep something of the data, and a random number."""
        pixels = replay.read("observation.image", 0, 4).float().mean() / 255
        self.prepared = float(pixels + torch.rand(()))

    def imagine(self, number):
        """Make new data at random."""
        self.imagined = torch.randn(()) + number

    def update(self, batch):
        image = batch.observation["image"]
        return self.learn(image.float().mean((1, 2, 3)) / 255, batch.action)

    def update_sequences(self, batch):
        image = batch.observations["image"][:, :-1]
        noise = 0.01 * (self.prepared + self.imagined)
        return self.learn(image.float().mean((2, 3)) / 255 + noise, batch.action)

    def learn(self, features, actions):
        self.updates += 1
        predicted = self.actor(features + 0.01 * torch.randn_like(features))
        loss = (predicted - actions).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        if self.mistake == "nan":
            return {"loss": loss.detach() / 0}
        return {"loss": loss if self.mistake == "attached" else loss.detach()}

    def policy(self):
        return CloningPolicy(self.actor, self.mistake)

    def state_dict(self) -> dict[str, Any]:
        state = {"actor": self.actor.state_dict(), "updates": self.updates}
        if self.mistake != "forgets":
            state["adam"] = self.optimiser.state_dict()
        if self.mistake != "forgets imagination":
            state["imagined"] = self.imagined
        return state

    def load_state_dict(self, state):
        self.actor.load_state_dict(state["actor"])
        self.updates = state["updates"]
        if "adam" in state:
            self.optimiser.load_state_dict(state["adam"])
        self.imagined = state.get("imagined", self.imagined)


class CloningPolicy:
    """The regression's action."""

    def __init__(self, actor, mistake):
        self.actor, self.mistake = actor, mistake

    def start(self, environments):
        return None

    def act(self, observations, state):
        features = torch.from_numpy(observations["image"]).float().mean((1, 2)) / 255
        with torch.no_grad():
            action = self.actor(features).tanh().numpy()
        changes = {
            "range": lambda: action + 2,
            "random": lambda: np.clip(action + np.random.default_rng().random(), -1, 1),
            "mixes": lambda: action - action.mean(0) if len(action) > 1 else action,
            "double": lambda: action.astype(np.float64),
        }
        return changes.get(self.mistake, lambda: action)(), state


@dataclass(frozen=True, kw_only=True)
class CloningConfig(AlgorithmConfig):
    """A tiny algorithm with two phases."""

    mistake: str = ""

    def build(self, spec, device):
        """Make it."""
        return Cloning(self, spec.action_size)


def test_a_conforming_algorithm_is_accepted():
    check_algorithm(CloningConfig(), image_size=8, steps=8)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("steps", "phase transitions has 0 steps"),
        ("nan", "metric loss is inf"),
        ("attached", "metric loss must be detached"),
        ("forgets", "after loading a checkpoint"),
        ("forgets imagination", "phase sequences, after loading a checkpoint"),
        ("range", r"leave \[-1, 1\]"),
        ("random", "acts differently on the same observations"),
        ("mixes", "depends on the other environments"),
        ("double", "actions must be float32"),
    ],
)
def test_wrong_algorithms_are_refused(mistake, message):
    with pytest.raises(ConformanceError, match=message):
        check_algorithm(CloningConfig(mistake=mistake), image_size=8, steps=8)


def test_the_check_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check_algorithm(CloningConfig(), image_size=8, steps=8)
    assert torch.equal(torch.rand(2), expected)


# --------------------------------------------------------------------------------------- plugins


def module_with(**hooks) -> ModuleType:
    module = ModuleType("made_up")
    for hook, answer in hooks.items():
        setattr(module, hook, hookimpl(lambda answer=answer: answer))
    return module


@dataclass(frozen=True, kw_only=True)
class Undocumented(PenaltyConfig):
    extra: int = 0


@dataclass(frozen=True, kw_only=True)
class Unsaved(PenaltyConfig):
    """A field that no file can hold."""

    extra: Any = object


@dataclass(frozen=True, kw_only=True)
class NoPreset(AlgorithmConfig):
    """Its default preset does not exist."""

    default_preset = "best"

    @classmethod
    def presets(cls):
        """Have one."""
        return {"paper": cls()}


@dataclass(frozen=True, kw_only=True)
class Act(CommandConfig):
    """A command."""

    times: int = 1

    def run(self, registry):
        """Do it."""
        return 0


@dataclass(frozen=True, kw_only=True)
class Idle(CommandConfig):
    """A command that does nothing."""


@dataclass(frozen=True, kw_only=True)
class Unparsed(CommandConfig):
    """A field that no word can set."""

    extra: type[int]

    def run(self, registry):
        """Do it."""
        return 0


def test_conforming_commands_are_accepted(capsys):
    assert check_plugin(module_with(vrl_commands={"act": Act})).names("commands") == ["act"]
    assert capsys.readouterr().out == ""


def test_a_conforming_plugin_is_accepted():
    registry = check_plugin(module_with(vrl_penalties={"disagreement": Disagreement}))
    assert registry.names("penalties") == ["disagreement"]


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        ({"vrl_penaltys": {}}, "set aside: .*Did you mean 'vrl_penalties'"),
        ({"vrl_penalties": {"x": Undocumented}}, "penalties x: Undocumented needs a docstring"),
        ({"vrl_penalties": {"x": Unsaved}}, "penalties x: .*cannot be saved"),
        ({"vrl_algorithms": {"x": NoPreset}}, "no preset 'best', the default"),
        ({"vrl_commands": {"x": Idle}}, r"command x: Idle must define run\(\)"),
        ({"vrl_commands": {"x": Unparsed}}, "command x: its flags cannot be parsed"),
    ],
)
def test_wrong_plugins_are_refused(hooks, message):
    with pytest.raises(ConformanceError, match=message):
        check_plugin(module_with(**hooks))


def test_a_plugin_that_imports_something_heavy_is_refused(tmp_path):
    file = tmp_path / "heavy_plugin.py"
    source = "from vrl_core import hookimpl\n@hookimpl\ndef vrl_penalties():\n    return {}\n"
    file.write_text(source)
    check_plugin(file)
    heavy = tmp_path / "heavier_plugin.py"
    heavy.write_text("import numpy\n" + source)
    with pytest.raises(ConformanceError, match=r"loads numpy; import them in build"):
        check_plugin(heavy)
