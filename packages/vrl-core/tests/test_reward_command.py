"""`vrl reward` from labels to a store with learned rewards, and the mistakes people make."""

from __future__ import annotations

import json

import pytest

from lamp_dataset import Lamp
from vrl_core import cli
from vrl_core.ingest import write_store
from vrl_core.store import Store

SMALL = [
    "--steps", "40", "--batch-size", "16", "--channels", "4", "4", "--strides", "2", "2",
    "--learning-rate", "0.01",
]  # fmt: skip


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_store(Lamp(), tmp_path / "store", workers=1)


def said(capsys, *words: str, status: int = 0) -> str:
    assert cli.main(words) == status
    captured = capsys.readouterr()
    return captured.err if status else captured.out


def test_from_labels_to_a_store_with_learned_rewards(store, tmp_path, capsys):
    told = said(capsys, "reward", "label", "store", "labels", "--frames", "36", "--from-rewards")
    assert "36 frames, labelled by the rewards" in told
    train = ("reward", "train", "labels", "--data", "store", "--output", "lamp", *SMALL)
    told = said(capsys, *train)
    assert "18 successes and 18 others" in told
    assert "on held-out frames: accuracy 1.000, precision 1.000, recall 1.000" in told
    assert "exists already" in said(capsys, *train, status=1)
    told = said(capsys, "reward", "check", "lamp", "store", "--json")
    assert json.loads(told)["store"]["accuracy"] > 0.95
    assert "accuracy" in said(capsys, "reward", "check", "lamp.safetensors", "store")
    words = ("data", "convert", "rewarded", "--dataset.path", "store")
    said(capsys, *words, "--dataset.classifier", "lamp", "learned", "--workers", "1")
    learned = Store.open("learned", verify=True)
    assert len(learned) == 6
    assert 0 < learned[1].rewards.min() < 0.5 < learned[1].rewards.max() <= 1


def test_a_person_is_told_what_to_do(store, tmp_path, capsys):
    told = said(capsys, "reward", "label", "store", "labels", "--frames", "8")
    assert "8 frames to label" in told
    assert "vrl reward train labels --data store --output CLASSIFIER" in told
    assert len(list((tmp_path / "labels" / "frames").iterdir())) == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lable",), "Did you mean 'label'?"),
        (("label", "none", "labels"), "There is no store"),
        (("label", "store", "labels", "--frames", "1"), "--frames is 1"),
        (("label", "store", "labels", "--ending-share", "2"), "--ending-share is 2"),
        (("label", "store", "labels", "--camera", "wrist"), "no camera named 'wrist'"),
        (("train", "none", "--data", "store", "--output", "x"), "There are no labels"),
        (("check", "none", "store"), "There is no classifier"),
    ],
)
def test_mistakes_are_explained(store, capsys, words, message):
    assert message in said(capsys, "reward", *words, status=1)


def test_help_names_the_commands(capsys):
    told = said(capsys, "reward", "--help")
    assert all(name in told for name in ("label", "train", "check"))
