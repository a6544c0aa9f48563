"""The conformance kit: what VRL expects of a plugin, as functions for the plugin's own tests.

    from vrl_core.testing import check_penalty
    from my_package.config import Mine

    def test_the_penalty_conforms():
        check_penalty(Mine())

Every check raises `ConformanceError`, an `AssertionError` that says what was expected and found.
Importing this package loads nothing heavy.
"""

from vrl_core.testing.algorithms import check_algorithm
from vrl_core.testing.datasets import check_dataset
from vrl_core.testing.environments import check_environment
from vrl_core.testing.expectations import ConformanceError
from vrl_core.testing.penalties import check_penalty
from vrl_core.testing.plugins import check_plugin
from vrl_core.testing.tiny_data import TinyDataset, episode_and_step, tiny_data

__all__ = [
    "ConformanceError",
    "TinyDataset",
    "check_algorithm",
    "check_dataset",
    "check_environment",
    "check_penalty",
    "check_plugin",
    "episode_and_step",
    "tiny_data",
]
