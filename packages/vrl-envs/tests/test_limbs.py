"""Limb lengths: which models there are, that the stock one is the suite's, equal shares of data."""

from collections import Counter

import mujoco
import numpy as np
import pytest

import vrl_envs.plugin
from tiny_behaviours import save_behaviours
from vrl_core.config import from_data
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_core.testing import check_environment
from vrl_envs.dmc.config import DMC, DMCDataset
from vrl_envs.dmc.environment import DMCEnvironment
from vrl_envs.dmc.limbs import limb_model
from vrl_envs.dmc.several_limbs import SeveralLimbs

from dm_control.suite import cheetah, walker  # isort: skip


def model_bytes(physics) -> bytes:
    model = physics.model.ptr
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


@pytest.mark.parametrize(("domain", "limb"), [(walker, "C"), (cheetah, "A")])
def test_the_stock_length_is_the_suites_model_bit_for_bit(domain, limb):
    stock, assets = domain.get_model_and_assets()
    name = domain.__name__.rpartition(".")[2]
    edited = domain.Physics.from_xml_string(limb_model(name, limb), assets)
    assert model_bytes(edited) == model_bytes(domain.Physics.from_xml_string(stock, assets))


@pytest.mark.parametrize(
    ("task", "body", "halves"),
    [
        ("walker_walk", "left_foot", {"A": 0.08, "stock": 0.1, "H": 0.15}),
        ("cheetah_run", "torso", {"stock": 0.5, "B": 0.6, "H": 1.2}),
    ],
)
def test_one_capsule_has_another_length(task, body, halves):
    models = {
        limb: DMCEnvironment(DMC(task=task, observation="state", limb=limb))._physics.model
        for limb in halves
    }
    for limb, half in halves.items():
        sizes, stock = models[limb].geom_size, models["stock"].geom_size
        geom = models[limb].name2id(body, "geom")
        assert sizes[geom, 1] == pytest.approx(half)
        rest = np.arange(len(sizes)) != geom
        np.testing.assert_array_equal(sizes[rest], stock[rest])
        np.testing.assert_array_equal(models[limb].body_pos, models["stock"].body_pos)


def test_names_have_one_spelling():
    assert DMC(limb="train").limbs == ("B", "C", "F", "G")
    assert DMC(limb="interpolate").limb == "DE"
    assert DMC(limb="HA") == DMC(limb="extrapolate")
    assert DMC(limb="C") == DMC()  # the walker's own, which is the cheetah's A
    assert DMC(task="cheetah_run", limb="A") == DMC(task="cheetah_run")
    assert DMC(task="cheetah_run", limb="C").limb == "C"


def test_several_limbs_are_drawn_by_the_seed():
    env = DMC(limb="extrapolate", observation="state").build()
    assert isinstance(env, SeveralLimbs)
    chosen = [env.reset(seed=seed)[1]["limb"] for seed in range(8)]
    assert set(chosen) == {"A", "H"}
    assert [env.reset(seed=seed)[1]["limb"] for seed in range(8)] == chosen
    alone = DMCEnvironment(DMC(limb=chosen[3], observation="state"))
    np.testing.assert_array_equal(env.reset(seed=3)[0], alone.reset(seed=3)[0])
    action = np.full(6, 0.5, np.float32)
    np.testing.assert_array_equal(env.step(action)[0], alone.step(action)[0])


def test_conformance():
    check_environment(DMC(size=16, rendering="fast", limb="interpolate"), steps=3)


def test_data_has_equally_many_episodes_of_each_length(tmp_path):
    save_behaviours(tmp_path)
    config = DMCDataset(
        quality="medium_expert",
        limb="train",
        episodes=8,
        observation="state",
        action_repeat=250,  # episodes of 4 steps
        behaviours=str(tmp_path),
    )
    dataset = config.build()
    infos = [dataset[index].info for index in range(8)]
    kinds = Counter((info["behaviour"], info["limb"]) for info in infos)
    assert kinds == {(who, limb): 1 for who in ("medium", "expert") for limb in "BCFG"}
    assert dataset[0].info == infos[0]
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    recorded = from_data("environments", dict(dataset.spec.environment), registry)
    assert recorded == config.environment()
    assert recorded.limb == "BCFG"
    uneven = DMCDataset(quality="random", limb="AH", observation="state", episodes=5).build()
    assert [uneven.limb(index) for index in range(5)] == ["A", "A", "H", "H", "H"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limb": "I"}, "Known: .*extrapolate"),
        ({"limb": ""}, "Known: .*interpolate"),
        ({"task": "hopper_hop", "limb": "A"}, "hopper_hop has no limb lengths"),
    ],
)
def test_bad_limbs_are_explained(settings, message):
    with pytest.raises(VRLError, match=message):
        DMC(**settings)


def test_data_that_limbs_do_not_fit_is_refused():
    with pytest.raises(VRLError, match="'mixed' episodes are joint positions"):
        DMCDataset(quality="mixed", limb="B")
    with pytest.raises(VRLError, match="episodes is 7; it must be at least 8"):
        DMCDataset(quality="medium_expert", limb="train", episodes=7)
