"""The quickstart's stages, on a simulator of six steps."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import vrl_core.plugin
from vrl_core.errors import VRLError
from vrl_core.quickstart import Quickstart, conclusion
from vrl_core.quickstart_config import QuickstartConfig
from vrl_core.registry import Registry
from vrl_core.result_table import ResultRow, reference_rows

PLUGIN = Path(__file__).with_name("quickstart_plugin.py")


def make_quickstart(output: Path) -> Quickstart:
    config = QuickstartConfig(
        output=output,
        task="lever",
        dataset="presser",
        algorithm="imitate",
        episodes=4,
        size=4,
        steps=20,
        evaluation_episodes=3,
        workers=0,
    )
    registry = Registry(installed=False, modules=[vrl_core.plugin], files=[PLUGIN])
    console = Console(file=io.StringIO(), width=150)
    return Quickstart(config=config, registry=registry, console=console)


@pytest.fixture
def quickstart(tmp_path: Path) -> Quickstart:
    return make_quickstart(tmp_path / "out")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Quickstart, list[ResultRow]]:
    """A quickstart that ran to its end, and its rows."""
    quickstart = make_quickstart(tmp_path_factory.mktemp("finished") / "out")
    return quickstart, quickstart.run()


def with_settings(quickstart: Quickstart, **settings) -> Quickstart:
    config = dataclasses.replace(quickstart.config, **settings)
    return dataclasses.replace(quickstart, config=config)


def printed(quickstart: Quickstart) -> str:
    file = quickstart.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_the_learned_policy_is_compared_with_its_data_and_with_random_actions(finished):
    quickstart, (random, data, learned) = finished
    # The data presses within 0.1 of the best, the learned policy its mean: within 0.05 or so.
    assert learned.summary.mean > data.summary.mean > 5.4
    assert random.summary.mean < 4.5
    assert learned.normalised == pytest.approx(25 * (learned.summary.mean - 2))
    output = quickstart.config.output
    results = json.loads((output / "results.json").read_text())
    assert results["learned policy"]["mean"] == learned.summary.mean
    assert results["learned policy"]["n"] == 3
    assert "learned policy" in (output / "results.md").read_text()
    assert (output / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert b"ftyp" in (output / "learned_policy.mp4").read_bytes()[:16]
    assert str(output) in printed(quickstart)


def test_what_is_done_is_not_done_again(finished):
    quickstart, first = finished
    output = quickstart.config.output
    kept = [*(output / "data").iterdir(), *(output / "evaluations").iterdir()]
    times = [path.stat().st_mtime_ns for path in kept]
    metrics = (output / "run/metrics.jsonl").read_text()
    # How many processes did it changes nothing, so another number is no other quickstart.
    assert with_settings(quickstart, workers=1).run() == first
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert (output / "run/metrics.jsonl").read_text() == metrics


@pytest.mark.parametrize("stage", ["collect", "train", "evaluate_random", "evaluate_learned"])
def test_stopped_before_a_stage_it_goes_on_to_the_same_results(
    quickstart, finished, stage, monkeypatch
):
    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Quickstart, stage, stop)
        with pytest.raises(KeyboardInterrupt):
            quickstart.run()
    _, uninterrupted = finished
    assert quickstart.run() == uninterrupted


def test_another_seed_in_the_same_folder_is_refused_and_nothing_is_lost(finished):
    quickstart, _ = finished
    before = (quickstart.config.output / "results.json").read_text()
    with pytest.raises(VRLError, match=r"seed 0 \(now 1\).*--output"):
        with_settings(quickstart, seed=1).run()
    assert (quickstart.config.output / "results.json").read_text() == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dataset": "dcm"}, r"no dataset named 'dcm'.*pip install vrl-envs vrl-modelfree"),
        ({"algorithm": "imitat"}, r"Did you mean 'imitate'"),
        ({"preset": "tiny"}, r"small"),
        ({"task": "leaver"}, r"leaver"),
        ({"evaluation_episodes": 0}, r"evaluation_episodes"),
        ({"steps": 0}, r"steps"),
    ],
)
def test_bad_settings_are_named(quickstart, settings, said):
    with pytest.raises(VRLError, match=said):
        with_settings(quickstart, **settings).run()


def test_a_folder_that_cannot_be_made_is_named(quickstart, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VRLError, match="--output"):
        with_settings(quickstart, output=tmp_path / "file/out").run()


def test_conclusion_compares_by_hand():
    rows = reference_rows(random=[40.0, 44.0], data=[900.0, 1000.0], learned=[855.0, 855.0])
    said = conclusion(rows)
    assert "90% of its data's mean return" in said
    assert "20 times the random policy's" in said
    doubled = reference_rows(random=[20.0, 20.0], data=[40.0, 40.0], learned=[50.0, 50.0])
    assert "125% of its data's mean return and 2.5 times the random" in conclusion(doubled)
    negative = reference_rows(random=[-9.0, -7.0], data=[-1.0, -3.0], learned=[-4.0, -4.0])
    assert "-4.0 where its data earned -2.0; the random policy, -8.0" in conclusion(negative)
