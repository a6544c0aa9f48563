"""Words, file and preset become one run, in this order of weight."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from vrl_core import (
    AlgorithmConfig,
    CallbackConfig,
    DatasetConfig,
    EnvironmentConfig,
    PenaltyConfig,
    VRLError,
    hookimpl,
)
from vrl_core.config import save_yaml, to_data
from vrl_core.flags import parse_run, split_words
from vrl_core.registry import Registry
from vrl_core.run_config import RunConfig
from vrl_core.store_config import StoreDataset


@dataclass(frozen=True, kw_only=True)
class Spread(PenaltyConfig):
    """How far the members are apart."""

    order: int = 2


@dataclass(frozen=True, kw_only=True)
class Entropy(PenaltyConfig):
    """How unsure they are."""

    floor: float = 0.1
    """Least probability."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Nested settings."""

    depth: int = 4


@dataclass(frozen=True, kw_only=True)
class Careful(AlgorithmConfig):
    """An algorithm with a penalty."""

    rate: float = 1e-3
    """Learning rate."""
    steps: int = 100
    encoder: Encoder = Encoder()
    penalty: PenaltyConfig = Spread(weight=5.0)

    def __post_init__(self):
        if self.rate <= 0:
            raise ValueError("rate must be positive")

    @classmethod
    def presets(cls):
        """Two presets."""
        return {"paper": cls(), "small": cls(rate=0.5, steps=7)}


@dataclass(frozen=True, kw_only=True)
class Plain(AlgorithmConfig):
    """An algorithm without a penalty."""


@dataclass(frozen=True, kw_only=True)
class Suite(DatasetConfig):
    """A dataset of tasks."""

    task: str
    size: int = 64


@dataclass(frozen=True, kw_only=True)
class Room(EnvironmentConfig):
    """An environment."""

    size: int = 64


@dataclass(frozen=True, kw_only=True)
class Recorder(CallbackConfig):
    """An observer."""

    every: int = 1


def plugin(name: str, **answers: dict) -> ModuleType:
    module = ModuleType(name)
    for kind, answer in answers.items():
        setattr(module, f"vrl_{kind}", hookimpl(lambda answer=answer: answer))
    return module


EVERYTHING = plugin(
    "everything",
    algorithms={"careful": Careful, "plain": Plain},
    penalties={"spread": Spread, "entropy": Entropy},
    datasets={"suite": Suite, "store": StoreDataset},
    environments={"room": Room},
    callbacks={"recorder": Recorder},
)


@pytest.fixture
def registry() -> Registry:
    return Registry(installed=False, modules=(EVERYTHING,))


def stored(path: str) -> StoreDataset:
    return StoreDataset(path=str(Path(path).absolute()))


def parsed(registry: Registry, line: str) -> RunConfig:
    return parse_run(split_words(line.split()), registry)


def test_a_store_by_its_folder_is_enough(registry):
    run = parsed(registry, "plain --data data/x")
    assert run == RunConfig(algorithm=Plain(), dataset=stored("data/x"))


def test_choices_and_their_flags_come_in_any_order(registry):
    run = parsed(
        registry,
        "careful --dataset.task walk --penalty.floor 1e-2 environment:room dataset:suite "
        "--rate 3e-4 --seed 4 penalty:entropy --environment.size 84 --encoder.depth 2",
    )
    assert run.dataset == Suite(task="walk")
    assert run.environment == Room(size=84)
    assert run.algorithm == Careful(
        rate=3e-4, penalty=Entropy(floor=0.01), encoder=Encoder(depth=2)
    )
    assert type(run.algorithm) is Careful
    assert run.seed == 4


def test_a_choice_may_name_its_task(registry):
    run = parsed(registry, "careful dataset:suite:walk --dataset.size 9")
    assert run.dataset == Suite(task="walk", size=9)
    assert run == parsed(registry, "careful --dataset.task walk dataset:suite --dataset.size 9")


def test_the_default_choice_takes_flags_without_its_word(registry):
    run = parsed(registry, "careful --data x --penalty.order 3")
    assert run.algorithm == Careful(penalty=Spread(weight=5.0, order=3))


def test_the_algorithms_own_steps_win_over_the_runs(registry):
    run = parsed(registry, "careful --data x --steps 3")
    assert (run.algorithm.steps, run.steps) == (3, None)
    assert parsed(registry, "plain --data x --steps 3").steps == 3


@pytest.fixture
def file(tmp_path, registry) -> Path:
    run = RunConfig(
        algorithm=Careful(rate=0.25, penalty=Entropy(floor=0.75)),
        dataset=Suite(task="walk", size=32),
        environment=Room(size=16),
        callbacks=(Recorder(every=9),),
        seed=8,
    )
    save_yaml(tmp_path / "run.yaml", to_data(run, registry))
    return tmp_path / "run.yaml"


def test_a_file_alone_is_a_run(registry, file):
    run = parsed(registry, f"--config {file}")
    assert run.algorithm == Careful(rate=0.25, penalty=Entropy(floor=0.75))
    assert (run.dataset, run.environment) == (Suite(task="walk", size=32), Room(size=16))
    assert (run.callbacks, run.seed) == ((Recorder(every=9),), 8)


def test_flags_win_over_the_file(registry, file):
    run = parsed(
        registry, f"--config={file} --seed 1 --dataset.size 84 --penalty.floor 0.5 --rate 1e-4"
    )
    assert run.algorithm == Careful(rate=1e-4, penalty=Entropy(floor=0.5))
    assert (run.seed, run.dataset) == (1, Suite(task="walk", size=84))
    assert run.callbacks == (Recorder(every=9),)


def test_a_choice_over_the_file_starts_from_its_own_defaults(registry, file):
    run = parsed(registry, f"--config {file} penalty:spread --data y environment:as-recorded")
    assert run.algorithm == Careful(rate=0.25, penalty=Spread())
    assert (run.dataset, run.environment) == (stored("y"), None)


def test_another_algorithm_over_the_file_keeps_the_rest(registry, file):
    run = parsed(registry, f"plain --config {file}")
    assert (run.algorithm, run.seed) == (Plain(), 8)


def test_the_file_wins_over_the_preset(registry, tmp_path):
    file = tmp_path / "part.yaml"
    file.write_text("algorithm: {name: careful, rate: 0.125}\n")
    assert parsed(registry, f"--config {file} --preset small --data x").algorithm == Careful(
        rate=0.125, steps=7
    )
    assert parsed(registry, "careful --preset small --data x --steps 9").algorithm == Careful(
        rate=0.5, steps=9
    )


def test_callbacks_are_named_and_tensorboard_is_the_default(registry):
    assert parsed(registry, "plain --data x").callbacks == ()
    assert parsed(registry, "plain --data x --callbacks recorder").callbacks == (Recorder(),)
    registry.load_module(plugin("more", callbacks={"tensorboard": Recorder}))
    assert parsed(registry, "plain --data x").callbacks == (Recorder(),)
    assert parsed(registry, "plain --data x --callbacks").callbacks == ()


def test_one_dataset_to_choose_from_keeps_its_word():
    few = plugin("few", algorithms={"plain": Plain}, datasets={"store": StoreDataset})
    registry = Registry(installed=False, modules=(few,))
    run = parsed(registry, "plain dataset:store --dataset.path z")
    assert run.dataset == stored("z")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("carefull --data x", "no algorithm named 'carefull'. Did you mean 'careful'"),
        ("careful --data x environment:room:hall", "no flag --environment.task"),
        ("careful dataset:suit:walk", "no dataset named 'suit'. Did you mean 'suite'"),
        ("careful dataset:suit", "no dataset named 'suit'. Did you mean 'suite'"),
        ("careful --data x penalty:entropi", "no penalty named 'entropi'. Did you mean 'entropy'"),
        ("careful --data x environment:rom", "Did you mean 'room'"),
        ("careful --data x --preset smal", "Did you mean 'small'"),
        ("careful --data x --callbacks recoder", "Did you mean 'recorder'"),
        ("careful --data", "--data needs a value"),
        ("--seed 3", "Say which algorithm.*careful, plain"),
        ("plain --data x --seed -1", "seed must be at least 0"),
        ("careful --data x --rate -1", "careful: rate must be positive"),
    ],
)
def test_a_wrong_name_is_met_with_the_nearest(registry, line, message):
    with pytest.raises(VRLError, match=message):
        parsed(registry, line)


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("careful --data x --xyz 3", "There is no flag --xyz. See: vrl train careful --help"),
        ("careful --data x --evaluate-evry 3", "Did you mean --evaluate-every?"),
        ("careful --data x --seeed 3", "Did you mean --seed? See: vrl train careful --help"),
        ("careful --data x --penalty.ordr 3", "Did you mean --penalty.order?"),
        ("careful dataset:suite --dataset.tsk x", "Did you mean --dataset.task?"),
        ("careful --data x --encoder.dept=3", "Did you mean --encoder.depth?"),
    ],
)
def test_a_wrong_flag_is_met_with_the_nearest(registry, line, nearest, capsys):
    with pytest.raises(VRLError, match=re.escape(nearest)):
        parsed(registry, line)
    assert capsys.readouterr().err == ""


def test_a_value_that_does_not_parse_is_shown_with_its_flag(registry, capsys):
    with pytest.raises(SystemExit) as stop:
        parsed(registry, "careful --data x --rate fast")
    assert stop.value.code == 2
    assert "Error parsing --rate" in capsys.readouterr().err


def test_without_data_the_way_to_some_is_named(registry):
    with pytest.raises(VRLError, match=r"vrl train careful --data FOLDER.*one of: store, suite"):
        parsed(registry, "careful")


def test_an_unknown_preset_is_one_of_the_algorithm_as_it_is_called(registry):
    with pytest.raises(VRLError, match=r"no preset of careful named 'smal'\. Did you mean 'small'"):
        parsed(registry, "careful --preset smal --data x")


def test_paths_mean_the_same_in_every_folder(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = parsed(registry, "careful --data data/x")
    assert run.dataset.path == str(tmp_path / "data/x")
    save_yaml(tmp_path / "run.yaml", to_data(run, registry))
    monkeypatch.chdir("/")
    assert parsed(registry, f"--config {tmp_path / 'run.yaml'}") == run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed: 3", "part.yaml: .*no key named 'sed'. Did you mean 'seed'"),
        ("seed: low", "part.yaml: seed: expected a whole number"),
        ("algorithm: {name: careful, rat: 1}", "part.yaml: algorithm: .*Did you mean 'rate'"),
        ("dataset: {name: suite}", "part.yaml: dataset: the key 'task' is missing"),
        ("plugins: 3", "plugins: expected a list"),
        ("algorithm: [careful]", r"part.yaml: algorithm: expected a name or .*\['careful'\]"),
    ],
)
def test_a_wrong_file_says_where(registry, tmp_path, text, message):
    (tmp_path / "part.yaml").write_text(text + "\n")
    with pytest.raises(VRLError, match=message):
        parsed(registry, f"careful --config {tmp_path / 'part.yaml'} --data x")


def test_help_shows_flags_presets_and_choices(registry, capsys):
    with pytest.raises(SystemExit) as stop:
        parsed(registry, "careful --help")
    assert stop.value.code == 0
    said = capsys.readouterr().out
    for word in ("Learning rate.", "paper (default), small", "penalty:entropy", "dataset:suite"):
        assert word in said
    assert "--plugins" not in said


def test_plugin_files_travel_with_the_run(tmp_path):
    source = tmp_path / "travelling.py"
    source.write_text(
        "from dataclasses import dataclass\n"
        "from vrl_core import AlgorithmConfig, hookimpl\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Mine(AlgorithmConfig):\n    'Mine.'\n"
        "@hookimpl\ndef vrl_algorithms():\n    return {'mine': Mine}\n"
    )
    registry = Registry(installed=False, modules=(EVERYTHING,), files=(source,))
    run = parsed(registry, "mine --data x")
    assert run.plugins == (str(source),)
    save_yaml(tmp_path / "run.yaml", to_data(run, registry))
    fresh = Registry(installed=False, modules=(EVERYTHING,))
    assert parsed(fresh, f"--config {tmp_path / 'run.yaml'}") == run
