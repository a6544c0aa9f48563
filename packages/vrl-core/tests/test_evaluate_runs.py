"""`vrl evaluate` from a trained run to its table, files and videos."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from counting_dataset import Counting
from tiny_runs import registry, run_config, train_tiny
from tiny_training import CountingEnvironmentConfig, TinyConfig
from vrl_core.commands.evaluate import main
from vrl_core.errors import VRLError
from vrl_core.evaluate_runs import (
    EvaluationRequest,
    evaluate_run,
    evaluation_environment,
    overrides_name,
    parse_overrides,
)
from vrl_core.evaluation_tables import tables
from vrl_core.ingest import write_store
from vrl_core.run_record import read_run
from vrl_core.video import read_video


@pytest.fixture
def run(counting_store, tmp_path: Path) -> Path:
    return train_tiny(run_config(counting_store.path), tmp_path / "runs" / "seed1").path


def vrl_evaluate(*words: object) -> None:
    arguments = [*map(str, words), "--workers", "0", "--device", "cpu"]
    assert main(arguments, registry()) == 0


def test_a_run_is_evaluated_and_its_result_is_found_again(run: Path, capsys) -> None:
    vrl_evaluate(run, "--episodes", 5, "--video", 2, "--gif")
    text = capsys.readouterr().out
    assert "tiny seed 1" in text
    assert "0% is 0 (random), 100% is 10 (expert)" in text
    videos = sorted(file.name for file in (run / "videos").iterdir())
    assert [name for name in videos if name.endswith("mp4")] == [
        "step_00000028-seed0-episode0.mp4",
        "step_00000028-seed0-episode1.mp4",
    ]
    assert len(videos) == 4
    assert read_video(run / "videos" / videos[1]).shape == (6, 256, 256, 3)
    final = read_run(run).final
    assert final is not None
    assert (final.step, len(final.returns)) == (28, 5)
    assert final.source == "evaluations/step_00000028-seed0-5episodes.json"


def test_settings_of_one_environment_are_not_anothers() -> None:
    recorded = {"name": "elsewhere", "version": "v4", "size": 8}
    restored = SimpleNamespace(
        config=SimpleNamespace(environment=None), spec=SimpleNamespace(environment=recorded)
    )
    other = evaluation_environment(restored, {"name": "counting"}, registry())
    assert other == CountingEnvironmentConfig()
    recorded |= {"name": "counting"}
    del recorded["version"]
    for overrides in ({}, {"name": "counting"}):
        same = evaluation_environment(restored, overrides, registry())
        assert same == CountingEnvironmentConfig(size=8)


def test_json_says_everything_and_nothing_else_is_printed(run: Path, capsys) -> None:
    vrl_evaluate(run, "--episodes", 3, "--json", "--checkpoint", 25)
    (data,) = json.loads(capsys.readouterr().out)
    assert (data["step"], data["algorithm"], data["training_seed"]) == (25, "tiny", 1)
    assert data["summary"]["mean"] == pytest.approx(sum(data["returns"]) / 3)
    assert data["normalised"] == pytest.approx(10 * data["summary"]["mean"])
    assert data["environment"]["name"] == "counting"
    assert data["lengths"] == [5, 5, 5]


@pytest.fixture
def others(counting_store, tmp_path: Path) -> dict[str, Path]:
    """A second seed, other settings, and the same on other data of another task."""
    down = write_store(
        Counting(episodes=3, size=16, task="count_down"), tmp_path / "down", workers=1
    )
    configs = {
        "seed2": run_config(counting_store.path, seed=2),
        "longer": run_config(counting_store.path, TinyConfig(first_steps=9)),
        "down": run_config(down.path),
    }
    return {name: train_tiny(config, tmp_path / name).path for name, config in configs.items()}


def test_only_like_is_joined_with_like(run: Path, others: dict[str, Path]) -> None:
    request = EvaluationRequest(episodes=3, workers=0, device="cpu")
    folders = [run, *others.values()]
    results = [evaluate_run(folder, request, registry()) for folder in folders]
    earlier = replace(request, checkpoint="25")
    down, up = tables([*results, evaluate_run(run, earlier, registry())])
    assert down.title == "count_down from good data"
    assert [row.name for row in down.rows] == ["tiny seed 1"]
    assert up.title == "count_up from good data"
    assert [row.name for row in up.rows] == [
        "tiny seed 1, first_steps 8, update 25",
        "tiny seed 1, first_steps 8, update 28",
        "tiny seed 2, first_steps 8, update 28",
        "tiny seed 1, first_steps 9, update 29",
        "tiny, first_steps 8, update 28, all",
    ]
    joined = up.rows[-1].summary
    assert (joined.n, joined.runs) == (6, 2)
    means = [row.summary.mean for row in up.rows[1:3]]
    assert joined.mean == pytest.approx(sum(means) / 2)


def test_another_task_is_refused_and_named_in_the_title(counting_store, tmp_path, capsys) -> None:
    walker = CountingEnvironmentConfig(task="count_up")
    run = train_tiny(run_config(counting_store.path, environment=walker), tmp_path / "run").path
    words = (run, "--episodes", 1, "--environment", "task=count_down")
    with pytest.raises(VRLError, match="task 'count_up', the environment 'count_down'"):
        vrl_evaluate(*words)
    vrl_evaluate(*words, "--allow-mismatch")
    assert "count_up from good data, evaluated with task count_down" in capsys.readouterr().out


def test_a_run_that_fails_keeps_no_other_from_being_evaluated(run: Path, tmp_path, capsys) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(VRLError, match=r"1 of 2 runs failed.*\n.*none is not a run's folder"):
        vrl_evaluate(tmp_path / "none", run, "--episodes", 2)
    assert "tiny seed 1" in capsys.readouterr().out
    assert len(list((run / "evaluations").glob("*.json"))) == 1


def test_returns_are_kept_when_the_video_fails(run: Path, monkeypatch) -> None:
    def fail(*arguments, **options):
        raise OSError("[Errno 32] Broken pipe\n\nFFMPEG COMMAND:\nffmpeg -i x")
        yield

    monkeypatch.setattr("imageio_ffmpeg.write_frames", fail)
    with pytest.raises(VRLError, match=r"could not be written: \[Errno 32\] Broken pipe\.$"):
        vrl_evaluate(run, "--episodes", 2, "--video", 1)
    assert len(list((run / "evaluations").glob("*.json"))) == 1


def test_another_render_quality_is_refused_unless_it_is_wanted(run: Path, capsys) -> None:
    words = (run, "--episodes", 1, "--environment", "rendering=reference")
    with pytest.raises(VRLError, match=r"'fast'.*'reference'.*--allow-mismatch"):
        vrl_evaluate(*words)
    vrl_evaluate(*words, "--allow-mismatch")
    capsys.readouterr()
    # It is kept, but it is no result of the run.
    assert len(list((run / "evaluations").glob("*rendering=reference.json"))) == 1
    final = read_run(run).final
    assert final is not None
    assert final.source == "evaluations.jsonl"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("size=20", "16×16×3 in the data and 20×20×3"),
        ("action_size=3", "actions of 2 numbers, the environment of 3"),
        ("sise=16", "Did you mean 'size'"),
        ("size", "not of the form KEY=VALUE"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(run: Path, override: str, words: str) -> None:
    with pytest.raises(VRLError, match=words):
        vrl_evaluate(run, "--environment", override, "--allow-mismatch")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VRLError, match=r"not a run's folder: it has no config\.yaml"):
        vrl_evaluate(tmp_path)


def test_where_files_lie_makes_no_other_environment(run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    vrl_evaluate(run, "--episodes", 4, "--environment", "assets=models", "--json")
    final = read_run(run).final
    assert final is not None
    assert final.source == "evaluations/step_00000028-seed0-4episodes.json"
    data = json.loads((run / final.source).read_text())
    assert data["environment"]["assets"] == str(tmp_path / "models")
    assert data["overrides"] == {}


def test_evaluations_of_changed_environments_have_names_of_their_own(run: Path) -> None:
    words = ["rendering=" + "reference", "--allow-mismatch", "--episodes", 1, "--video", 1]
    vrl_evaluate(run, "--environment", *words)
    names = [path.name for path in (run / "videos").iterdir()]
    assert names == ["step_00000028-seed0-episode0-rendering=reference.mp4"]
    assert overrides_name({}) == ""
    assert overrides_name({"camera": 1, "scale": 0.5}) == "-camera=1-scale=0.5"
    long = {"folder": "/a/place" + "/deep" * 80, "task": "größe"}
    others = [{"folder": "/a"}, {"folder": "_a"}, {"folder": long["folder"] + "x"}, long]
    found = [overrides_name(overrides) for overrides in others]
    assert len(set(found)) == len(found)
    assert all(name.isascii() and "/" not in name and len(name) < 80 for name in found)
    assert found[0].startswith("-folder=_a-")


def test_override_values_are_those_of_yaml() -> None:
    words = ["task=walker_run", "size=84", "scale=1e-4", "shadows=false", "note=a=b"]
    assert parse_overrides(words) == {
        "task": "walker_run",
        "size": 84,
        "scale": 1e-4,
        "shadows": False,
        "note": "a=b",
    }
