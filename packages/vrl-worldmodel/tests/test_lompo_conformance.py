"""The core's conformance kit on LOMPO and its relatives."""

import pytest

from vrl_core.testing import check_algorithm
from vrl_worldmodel.config import LMBRLConfig, LOMPOConfig, OfflineSLACConfig

CASES = {
    "lompo": (LOMPOConfig, {}),
    "lompo, bfloat16": (LOMPOConfig, {"precision": "bfloat16"}),
    "lompo, as in the public code": (
        LOMPOConfig,
        {"agent": "deterministic", "imagined_reward": "sampled-member"},
    ),
    "lompo, without a cache": (LOMPOConfig, {"cache_encodings": False}),
    "lmbrl": (LMBRLConfig, {"evaluation_latent": "mode"}),
    "offline-slac": (OfflineSLACConfig, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_algorithm_conforms(case, gaussian) -> None:
    algorithm, options = CASES[case]
    settings = {
        "model": gaussian,
        "precision": "float32",
        "imagination_horizon": 3,
        "first_imagined": 50,
        "imagine_every": 2,  # so that rollouts are made on both sides of the kit's checkpoint
        "batch_size": 8,
        "actor_layers": (8,),
        "critic_layers": (8,),
    }
    check_algorithm(algorithm(**settings | options), image_size=16, steps=8)
