"""Presets are the published figures; Table 9; nothing heavy is imported."""

import math
import subprocess
import sys

import pytest

from vrl_core.errors import VRLError
from vrl_modelfree.config import BCConfig, CQLConfig, DrQBCConfig, resolve_trade_off
from vrl_modelfree.plugin import vrl_algorithms


def test_paper_presets_are_table_8() -> None:
    for config in (BCConfig(), DrQBCConfig(), CQLConfig()):
        assert (config.batch_size, config.learning_rate, config.steps) == (256, 1e-4, 100_000)
        assert (config.noise_start, config.noise_end, config.noise_duration) == (1, 0.1, 500_000)
        assert config.noise_clip == 0.3
    assert (DrQBCConfig().return_steps, DrQBCConfig().bc_weight) == (3, 2.5)
    assert DrQBCConfig().discount == 0.99


def test_reference_code_presets() -> None:
    for config in (BCConfig, DrQBCConfig, CQLConfig):
        code = config.presets()["reference-code"]
        assert (code.learning_rate, code.steps, code.noise_duration) == (3e-4, 550_000, 250_000)
    cql = CQLConfig.presets()["reference-code"]
    assert (cql.return_steps, cql.trade_off, cql.bellman_weight) == (1, 10.0, 1.0)
    assert DrQBCConfig.presets()["reference-code"].return_steps == 3


def test_every_preset_of_every_algorithm_is_of_its_class() -> None:
    for config in vrl_algorithms().values():
        presets = config.presets()
        assert set(presets) == {"paper", "reference-code", "small"}
        assert {type(preset) for preset in presets.values()} == {config}


@pytest.mark.parametrize(
    ("task", "behaviour", "factor"),
    [
        ("walker_walk", "expert", 5.0),
        ("walker_walk", "medium_expert", 2.0),
        ("cheetah_run", "medium", 10.0),
        ("cheetah_run", "medexp", 1.0),
        ("cheetah_run", "medium_replay", 0.5),
        ("cheetah-run", "expert", 20.0),
        ("humanoid_walk", "mixed", 1.0),
    ],
)
def test_trade_off_of_table_9(task: str, behaviour: str, factor: float) -> None:
    assert resolve_trade_off("paper", task, behaviour) == factor


def test_a_number_overrides_the_table() -> None:
    assert resolve_trade_off(3, "walker_walk", "expert") == 3.0


@pytest.mark.parametrize(
    ("task", "behaviour"), [("hopper_hop", "expert"), ("walker_walk", "unknown")]
)
def test_data_outside_the_table_asks_for_a_number(task: str, behaviour: str) -> None:
    with pytest.raises(VRLError, match=rf"{task}.*{behaviour}.*--trade-off"):
        resolve_trade_off("paper", task, behaviour)


def test_encoder_settings_must_agree() -> None:
    with pytest.raises(VRLError, match="one entry for each convolution"):
        BCConfig(encoder_channels=(32, 32), encoder_strides=(2,))


@pytest.mark.parametrize(
    ("algorithm", "settings", "said"),
    [
        (BCConfig, {"batch_size": 0}, "batch_size must be at least 1, not 0"),
        (BCConfig, {"encoder_strides": (2, 0, 1, 1)}, "encoder_strides must be at least 1"),
        (DrQBCConfig, {"discount": 1.5}, "discount must be between 0 and 1, not 1.5"),
        (DrQBCConfig, {"return_steps": 0}, "return_steps must be at least 1"),
        (CQLConfig, {"temperature": 0.0}, "temperature must be positive"),
        (CQLConfig, {"target_rate": -1.0}, "target_rate must be between 0 and 1"),
    ],
)
def test_impossible_settings_are_refused(algorithm, settings, said: str) -> None:
    with pytest.raises(VRLError, match=said):
        algorithm(**settings)


def test_plugin_imports_nothing_heavy() -> None:
    check = "import sys, vrl_modelfree.plugin; print({'torch', 'numpy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", ["noise_start", "learning_rate", "bc_weight"])
def test_settings_are_finite(name, value):
    with pytest.raises(VRLError, match=f"{name} must be a finite number, not {value}"):
        DrQBCConfig(**{name: value})


def test_a_falling_rate_is_a_schedule_over_all_updates():
    assert BCConfig().schedule() == ""
    assert CQLConfig.presets()["small"].schedule() == (
        "The learning rate falls from 0.001 to 1e-05 over `steps`"
    )
    assert DrQBCConfig(final_learning_rate=1e-4).schedule() == ""  # it stays where it is
