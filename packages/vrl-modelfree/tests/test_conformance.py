"""The core's conformance kit, on every algorithm and on the plugin."""

import pytest

import vrl_modelfree.plugin
from vrl_core.testing import check_algorithm, check_plugin
from vrl_modelfree.config import BCConfig, CQLConfig, DrQBCConfig


@pytest.mark.parametrize("algorithm", [BCConfig, DrQBCConfig, CQLConfig])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_algorithm_conforms(algorithm, precision, small) -> None:
    settings = small | {"precision": precision}
    if algorithm is CQLConfig:
        settings["trade_off"] = 1.0  # the kit's task is in no paper
    check_algorithm(algorithm(**settings), image_size=24, steps=12)


def test_plugin_conforms() -> None:
    check_plugin(vrl_modelfree.plugin)
