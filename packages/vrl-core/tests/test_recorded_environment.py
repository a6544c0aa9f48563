"""Flags of an environment that is not named are those of the environment of the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_runs import registry, run_config, train_tiny
from tiny_training import CountingEnvironmentConfig, TinyConfig
from vrl_core.commands.evaluate import main as vrl_evaluate
from vrl_core.config import save_yaml, to_data
from vrl_core.errors import VRLError
from vrl_core.flags import parse_run, split_words
from vrl_core.recorded_environment import overlays, without_environment
from vrl_core.run_config import RunConfig
from vrl_core.run_folder import load_config
from vrl_core.run_record import read_run


def parsed(store: Path, *words: str) -> RunConfig:
    return parse_run(split_words(["tiny", "--data", str(store), *words]), registry())


@pytest.mark.parametrize("word", [(), ("environment:as-recorded",)])
def test_one_setting_is_changed_and_the_rest_is_the_datas(counting_store, word) -> None:
    run = parsed(counting_store.path, "--environment.shape", "square", *word, "--seed", "4")
    assert run.environment == CountingEnvironmentConfig(size=16, shape="square")
    assert run.seed == 4
    assert run.algorithm == TinyConfig()


def test_places_become_absolute(counting_store, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = parsed(counting_store.path, "--environment.assets=models")
    assert run.environment == CountingEnvironmentConfig(size=16, assets=tmp_path / "models")


def test_without_flags_nothing_is_restated(counting_store) -> None:
    assert parsed(counting_store.path).environment is None
    assert parsed(Path("nowhere")).environment is None  # and nothing is opened


def test_a_named_environment_starts_from_its_own_defaults(counting_store) -> None:
    run = parsed(counting_store.path, "environment:counting", "--environment.shape", "square")
    assert run.environment == CountingEnvironmentConfig(shape="square")


def test_over_a_file(counting_store, tmp_path) -> None:
    """A file that says nothing of it is as no file; its own comes before the data's."""
    store, file = counting_store.path, tmp_path / "run.yaml"
    words = ("--config", str(file), "--environment.shape", "square")
    save_yaml(file, to_data(run_config(store), registry()))
    assert parsed(store, *words).environment == CountingEnvironmentConfig(size=16, shape="square")
    of_file = CountingEnvironmentConfig(size=8)
    save_yaml(file, to_data(run_config(store, environment=of_file), registry()))
    assert parsed(store, *words).environment == CountingEnvironmentConfig(size=8, shape="square")
    recorded = parsed(store, *words, "environment:as-recorded").environment
    assert recorded == CountingEnvironmentConfig(size=16, shape="square")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--environment.rendering", "reference"), "render quality 'fast'.*--allow-mismatch"),
        (("--environment.shape", "square"), "shape 'round'.*'square'"),
        (("--environment.size", "20"), "16×16×3.*20×20×3"),
    ],
)
def test_another_environment_than_the_datas_is_refused(
    counting_store, tmp_path, words, message
) -> None:
    run = parsed(counting_store.path, "--device", "cpu", "--evaluation-workers", "0", *words)
    with pytest.raises(VRLError, match=message):
        train_tiny(run, tmp_path / "run")


def test_resuming_and_evaluating_use_it_too(counting_store, tmp_path, capsys) -> None:
    words = ("--environment.assets", str(tmp_path / "models"), "--evaluation-workers", "0")
    run = parsed(counting_store.path, "--device", "cpu", "--steps", "5", *words)
    folder = train_tiny(run, tmp_path / "run").path
    assert load_config(folder, registry()).environment == run.environment
    train_tiny(load_config(folder, registry()), folder, resume=True)
    assert vrl_evaluate([str(folder), "--episodes", "1", "--workers", "0"], registry()) == 0
    assert read_run(folder).environment["assets"] == str(tmp_path / "models")


def test_a_wrong_flag_and_data_that_does_not_say(counting_store, tmp_path) -> None:
    with pytest.raises(VRLError, match=r"no setting of counting.*'asets'. Did you mean 'assets'"):
        parsed(counting_store.path, "--environment.asets", "x")
    with pytest.raises(VRLError, match="nowhere"):
        parsed(tmp_path / "nowhere", "--environment.assets", "x")


def test_words_are_told_apart() -> None:
    words = ["--environment.objects", "a:1", "b", "penalty:none", "--seed", "2", "dataset:store"]
    assert without_environment(words, ("penalty", "dataset", "environment")) == words[3:]
    assert overlays(words, configured=False)
    assert not overlays(words, configured=True)
    assert not overlays(["environment:room", *words], configured=False)
    assert not overlays(["--environment"], configured=False)
