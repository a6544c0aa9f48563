import json
from dataclasses import replace

import numpy as np
import pytest

from vrl_core.data_statistics import (
    return_statistics,
    statistics_json,
    statistics_markdown,
    success_rate,
)
from vrl_core.episode_records import EpisodeRecords
from vrl_core.store import Store


def test_columns_worked_by_hand():
    """Returns 1, 2, 3, 6: mean 3; sum of squares about it 4+1+0+9 = 14, over n-1 = 14/3."""
    numbers = return_statistics(np.array([6.0, 1.0, 3.0, 2.0]), np.array([5, 5, 4, 6]))
    assert numbers.episodes == 4
    assert numbers.timesteps == 20
    assert numbers.mean == 3
    assert numbers.standard_deviation == pytest.approx((14 / 3) ** 0.5)
    assert (numbers.minimum, numbers.maximum) == (1, 6)
    assert numbers.percentile_25 == 1.75, "a quarter of the way from rank 0 to rank 3"
    assert numbers.median == 2.5
    assert numbers.percentile_75 == 3.75


def test_one_episode_has_no_spread():
    assert return_statistics(np.array([7.0]), np.array([3])).standard_deviation == 0


def test_a_store_as_markdown_and_json(counting_store: Store):
    header, _, line = statistics_markdown([counting_store]).splitlines()
    assert header == (
        "| Task | Dataset | Timesteps | Mean | Std. Dev. | Min. | P25 | Median | P75 | Max. |"
    )
    assert line.startswith("| count_up | good | 21 | 22.3 |")
    (data,) = json.loads(statistics_json([counting_store]))
    returns = [15 + 0, 21 + 7 / 8, 28 + 8 * 2 / 8]
    assert data["mean"] == pytest.approx(sum(returns) / 3)
    assert data["maximum"] == 30
    assert data["timesteps"] == 6 + 7 + 8
    assert data["success"] is None


def test_success_is_the_share_of_episodes_that_tell_of_it(counting_store: Store):
    assert success_rate([{"success": True}, {"success": False}, {"success": False}]) == 1 / 3
    assert success_rate([{"success": True}, {}]) is None
    assert success_rate([]) is None
    manifest = counting_store.manifest
    episodes = EpisodeRecords(
        replace(episode, info={"success": number < 2})
        for number, episode in enumerate(manifest.episodes)
    )
    telling = Store(
        counting_store.path, replace(manifest, episodes=episodes), dict(counting_store.fields)
    )
    header, _, silent, line = statistics_markdown([counting_store, telling]).splitlines()
    assert header.endswith("| Max. | Success |")
    assert silent.endswith("|  |")
    assert line.endswith("| 66.7% |")
