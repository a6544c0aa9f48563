"""Configurations survive files; files with mistakes are refused where the mistake is."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrl_core import AlgorithmConfig, DatasetConfig, PenaltyConfig, VRLError, hookimpl
from vrl_core.config import from_data, load_yaml, save_yaml, to_data
from vrl_core.registry import Registry
from vrl_core.run_config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Entropy(PenaltyConfig):
    """A penalty."""

    floor: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Nested, not registered."""

    channels: tuple[int, ...] = (8, 16)
    crop: tuple[int, int] | None = None


class Mode(enum.Enum):
    """A choice."""

    MEAN = 1
    MODE = 2


@dataclass(frozen=True, kw_only=True)
class Everything(AlgorithmConfig):
    """Every type a field may have."""

    rate: float = 1e-3
    steps: int = 10
    label: str = ""
    quick: bool = False
    kind: Literal["paper", "code", 3] = "paper"
    mode: Mode = Mode.MEAN
    folder: Path | None = None
    number_or_auto: float | Literal["auto"] = "auto"
    table: Mapping[str, float] = field(default_factory=dict)
    encoder: Encoder = Encoder()
    penalty: PenaltyConfig = Entropy()
    more: tuple[PenaltyConfig, ...] = ()

    @classmethod
    def presets(cls):
        """Two presets."""
        return {"paper": cls(), "small": cls(steps=3, rate=0.5)}


@dataclass(frozen=True, kw_only=True)
class Files(DatasetConfig):
    """A dataset with a field that must be given."""

    path: str


@pytest.fixture(scope="module")
def registry() -> Registry:
    module = ModuleType("plugin")
    module.vrl_penalties = hookimpl(lambda: {"entropy": Entropy})
    module.vrl_algorithms = hookimpl(lambda: {"everything": Everything})
    module.vrl_datasets = hookimpl(lambda: {"files": Files})
    return Registry(installed=False, modules=(module,))


def test_a_registered_configuration_carries_its_name(registry):
    data = to_data(Everything(more=(Entropy(floor=1.0),)), registry)
    assert data["name"] == "everything"
    assert data["penalty"] == {"name": "entropy", "weight": None, "floor": 0.1}
    assert data["more"] == [{"name": "entropy", "weight": None, "floor": 1.0}]
    assert data["encoder"] == {"channels": [8, 16], "crop": None}
    assert data["mode"] == "MEAN"


configs = st.builds(
    Everything,
    rate=st.floats(allow_nan=False),
    steps=st.integers(),
    label=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
    quick=st.booleans(),
    kind=st.sampled_from(["paper", "code", 3]),
    mode=st.sampled_from(Mode),
    folder=st.sampled_from([None, Path("a/b"), Path("1")]),
    number_or_auto=st.one_of(st.just("auto"), st.floats(allow_nan=False)),
    table=st.dictionaries(st.sampled_from(["a", "1", "null"]), st.floats(0, 1)),
    encoder=st.builds(
        Encoder,
        channels=st.lists(st.integers(), max_size=3).map(tuple),
        crop=st.one_of(st.none(), st.tuples(st.integers(), st.integers())),
    ),
    more=st.lists(st.builds(Entropy, floor=st.floats(0, 1)), max_size=2).map(tuple),
)


@given(config=configs)
@settings(max_examples=60, deadline=None)
def test_what_is_saved_is_read_back(config, registry, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "config.yaml"
    save_yaml(file, to_data(config, registry))
    assert from_data("algorithms", load_yaml(file), registry) == config


def test_what_people_write_is_read(registry, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("name: everything\nrate: 1e-4\nsteps: 1e5\nquick: yes\npenalty: entropy\n")
    config = from_data("algorithms", load_yaml(file), registry)
    assert config == Everything(rate=1e-4, steps=100_000, quick=True)
    assert type(config.steps) is int


def test_numbers_that_reach_us_as_text_are_numbers(registry):
    assert from_data(Everything, {"rate": "1e-4"}, registry).rate == 1e-4
    assert from_data(Everything, {"rate": 2}, registry).rate == 2.0


def test_a_preset_or_a_default_fills_what_is_left_out(registry):
    data = {"name": "everything", "preset": "small", "rate": 0.25}
    assert from_data("algorithms", data, registry) == Everything(steps=3, rate=0.25)
    default = Everything(penalty=Entropy(weight=7.0, floor=0.5), steps=4)
    config = from_data(Everything, {"penalty": {"floor": 0.75}}, registry, default=default)
    assert config == Everything(penalty=Entropy(weight=7.0, floor=0.75), steps=4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"penaltee": 1}, "no key named 'penaltee'. Did you mean 'penalty'"),
        ({"encoder": {"chanels": [1]}}, "^encoder: .*Did you mean 'channels'"),
        ({"penalty": {"name": "entrop"}}, "^penalty: .*Did you mean 'entropy'"),
        ({"penalty": {"name": "entropy", "flor": 1}}, "^penalty: .*Did you mean 'floor'"),
        ({"more": [{"name": "entropy", "floor": "low"}]}, r"^more\[0\].floor: expected a number"),
        ({"more": [{"floor": 1}]}, r"^more\[0\]: the key 'name' must say which penalty"),
        ({"steps": 1.5}, "^steps: expected a whole number, not 1.5"),
        ({"steps": True}, "^steps: expected a whole number, not True"),
        ({"rate": None}, "^rate: expected a number, not None"),
        ({"quick": 1}, "^quick: expected true or false"),
        ({"label": 3}, "^label: expected text, not 3"),
        ({"kind": "papr"}, "^kind: .*Did you mean 'paper'"),
        ({"mode": "MEEN"}, "^mode: .*Did you mean 'MEAN'"),
        ({"number_or_auto": "fast"}, "^number_or_auto: expected a number or"),
        ({"encoder": {"crop": [1, 2, 3]}}, "^encoder.crop: expected 2 values, not 3"),
        ({"encoder": {"channels": 3}}, "^encoder.channels: expected a list"),
        ({"encoder": 3}, "^encoder: expected keys and values"),
        ({"table": {"a": "x"}}, "^table.a: expected a number"),
        ({"preset": "smal"}, "Did you mean 'small'"),
    ],
)
def test_a_mistake_is_refused_where_it_is(registry, data, message):
    with pytest.raises(VRLError, match=message):
        from_data(Everything, data, registry)


def test_what_a_configuration_refuses_itself_is_said_where_it_is(registry):
    @dataclass(frozen=True, kw_only=True)
    class Picky:
        value: int = 1

        def __post_init__(self):
            if self.value < 0:
                raise ValueError("value must not be negative")

    with pytest.raises(VRLError, match=r"^picky: value must not be negative"):
        from_data(Picky, {"value": -1}, registry, path="picky")


def test_a_missing_key_is_named(registry):
    with pytest.raises(VRLError, match=r"^dataset: the key 'path' is missing"):
        from_data(RunConfig, {"algorithm": "everything", "dataset": {"name": "files"}}, registry)


def test_a_run_survives_a_file(registry, tmp_path):
    run = RunConfig(algorithm=Everything(), dataset=Files(path="x"), output=Path("runs/x"), seed=3)
    save_yaml(tmp_path / "c.yaml", to_data(run, registry))
    assert from_data(RunConfig, load_yaml(tmp_path / "c.yaml"), registry) == run


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"steps": 0}, {"log_every": 0}])
def test_numbers_that_make_no_run_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(VRLError, match=f"{name} must be at least"):
        RunConfig(algorithm=Everything(), dataset=Files(path="x"), **wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "(?s)'a' stands here twice.*line 3"),
        ("a: [1\n", "not valid YAML"),
        ("- 1\n", "must hold keys and values"),
        ("!!python/object/apply:os.getcwd []\n", "not valid YAML"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(VRLError, match=message):
        load_yaml(tmp_path / "bad.yaml")


def test_a_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(VRLError, match="There is no file"):
        load_yaml(tmp_path / "none.yaml")
    with pytest.raises(VRLError, match="Cannot write"):
        save_yaml(tmp_path / "none" / "c.yaml", {})


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "c.yaml"
    save_yaml(file, {"a": 1})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(VRLError, match="No space left"):
        save_yaml(file, {"a": 2})
    assert load_yaml(file) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]
