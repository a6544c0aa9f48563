"""Rules that end imagined episodes, on states at and beside their limits."""

from __future__ import annotations

import pytest
import torch

from vrl_core.errors import VRLError
from vrl_worldmodel.terminations import RULES, termination_rule


def ends(rule: str, *state: float) -> bool:
    return bool(RULES[rule](torch.tensor([state]))[0])


@pytest.mark.parametrize(
    ("rule", "state", "ended"),
    [
        ("never", (1e9, 1e9, 1e9), False),
        ("halfcheetah", (-5.0, 9.0, 1e9), False),
        ("hopper", (0.71, 0.19, 99.0), False),
        ("hopper", (0.69, 0.0, 0.0), True),
        ("hopper", (1.2, 0.2, 0.0), True),
        ("hopper", (1.2, -0.21, 0.0), True),
        ("hopper", (1.2, 0.0, 100.0), True),
        ("hopper", (1.2, 0.0, -500.0), False),  # as in the public code: no lower bound
        ("hopper", (200.0, 0.0, 0.0), False),  # nor one of the height
        ("hopper", (1.2, 0.0, float("nan")), True),
        ("walker2d", (0.81, 0.99, 7.0), False),
        ("walker2d", (0.79, 0.0, 0.0), True),
        ("walker2d", (2.01, 0.0, 0.0), True),
        ("walker2d", (1.2, -1.01, 0.0), True),
        ("ant", (0.21, 9.0, 0.0), False),
        ("ant", (0.19, 0.0, 0.0), True),
        ("ant", (1.01, 0.0, 0.0), True),
        ("ant", (0.5, float("inf"), 0.0), True),
        ("humanoid", (1.5, 9.0, 0.0), False),
        ("humanoid", (0.9, 0.0, 0.0), True),
        ("humanoid", (2.1, 0.0, 0.0), True),
    ],
)
def test_rules(rule, state, ended):
    assert ends(rule, *state) is ended


@pytest.mark.parametrize(
    ("task", "rule"),
    [
        ("halfcheetah", "halfcheetah"),
        ("HalfCheetah-v5", "halfcheetah"),
        ("halfcheetah_jump", "halfcheetah"),
        ("hopper", "hopper"),
        ("walker2d_v4", "walker2d"),
        ("ant_angle_45", "ant"),
        ("ant-angle", "ant"),
        ("humanoid", "humanoid"),
        ("hiv", "never"),
    ],
)
def test_a_task_has_the_rule_of_its_family(task, rule):
    assert termination_rule("task", task, 17) is RULES[rule]


@pytest.mark.parametrize("task", ["antmaze", "walker_walk", "hopper_hop", "humanoid_walk", "tiny"])
def test_a_task_without_a_rule_needs_one_named(task):
    with pytest.raises(VRLError, match="termination") as refusal:
        termination_rule("task", task, 17)
    assert "`never`" in str(refusal.value)
    assert termination_rule("never", task, 17) is RULES["never"]
    assert termination_rule("hopper", task, 17) is RULES["hopper"]


def test_states_too_small_for_a_rule_are_refused():
    with pytest.raises(VRLError, match="height and angle"):
        termination_rule("task", "hopper", 1)


def test_a_bound_ends_episodes_besides_the_tasks_rule():
    rule = termination_rule("task", "hopper", 3, bound=100.0)
    states = torch.tensor(
        [[1.2, 0.0, 99.0], [1.2, 0.0, -100.0], [0.5, 0.0, 0.0], [1.2, 0.0, float("nan")]]
    )
    assert rule(states).tolist() == [False, True, True, True]
