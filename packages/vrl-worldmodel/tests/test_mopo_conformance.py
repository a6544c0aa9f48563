"""The core's conformance kit on MOPO and MBPO, with checkpoints inside epochs and rollouts."""

import pytest

from vrl_core.testing import check_algorithm
from vrl_worldmodel.mopo_config import DynamicsConfig, MBPOConfig, MOPOConfig
from vrl_worldmodel.penalty_config import MaxDisagreement

SMALL = {"members": 3, "elites": 2, "hidden_layers": (8, 8), "weight_decay": (1e-5, 1e-5, 1e-5)}
CASES = {
    "mopo": (MOPOConfig, {}),
    "mopo, as in the paper": (
        MOPOConfig,
        {
            "dynamics": DynamicsConfig(**SMALL, batch_size=70, spectral_normalisation=True),
            "imagined_reward": "mean",
            "target_entropy": None,
        },
    ),
    "mopo, by disagreement and at random": (
        MOPOConfig,
        {"penalty": MaxDisagreement(), "rollout_actions": "uniform"},
    ),
    "mopo, ending in falls": (MOPOConfig, {"termination": "hopper"}),
    "mopo, on real data alone": (MOPOConfig, {"real_share": 1.0}),
    "mbpo": (MBPOConfig, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_algorithm_conforms(case) -> None:
    algorithm, options = CASES[case]
    settings = {
        # Epochs of two updates: the kit's checkpoint after three lies inside one.
        "dynamics": DynamicsConfig(**SMALL, batch_size=100),
        "termination": "never",
        "rollout_length": 3,
        "rollouts": 10,
        "rollout_every": 2,
        "batch_size": 40,
        "hidden_layers": (8,),
    }
    check_algorithm(algorithm(**settings | options), image_size=None, state_size=4)
