"""The core's conformance kit on Offline DV2, and on the plugin."""

from __future__ import annotations

import pytest

import vrl_worldmodel.plugin
from vrl_core.testing import check_algorithm, check_plugin
from vrl_worldmodel.config import OfflineDV2Config

SMALL = {"actor_layers": (8,), "critic_layers": (8,), "target_interval": 2}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_offline_dv2_conforms(model_config, precision) -> None:
    config = OfflineDV2Config(model=model_config, precision=precision, **SMALL)
    check_algorithm(config, image_size=16, steps=12)


def test_it_conforms_without_a_cache_and_with_the_latents_mode(categorical) -> None:
    config = OfflineDV2Config(
        model=categorical,
        cache_encodings=False,
        evaluation_latent="mode",
        precision="float32",
        **SMALL,
    )
    check_algorithm(config, updates=2, image_size=16, steps=12)


def test_plugin_conforms() -> None:
    check_plugin(vrl_worldmodel.plugin)
