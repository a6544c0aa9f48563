"""Reports: the right runs together, the right numbers, and nothing left out in silence."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vrl_core.commands.report import main
from vrl_core.config import load_yaml, save_yaml
from vrl_core.errors import VRLError
from vrl_core.hooks import ReferenceReturns
from vrl_core.registry import Registry
from vrl_core.report import gather, write_report
from vrl_core.report_facts import duration, seed_lines
from vrl_core.report_markdown import markdown_report
from vrl_core.run_record import read_run
from vrl_core.video import write_video

NOTHING_INSTALLED = Registry(installed=False)


def write_run(
    folder: Path,
    *,
    algorithm: str = "bc",
    seed: int = 0,
    final: float = 100.0,
    weight: float = 2.5,
    quality: str = "expert",
    checksum: int = 7,
    done: int = 200,
) -> Path:
    """Write a run's files as training does: two evaluations of two episodes, at 100 and 200."""
    folder.mkdir(parents=True)
    settings = {"name": algorithm, "bc_weight": weight}
    save_yaml(folder / "config.yaml", {"algorithm": settings, "seed": seed, "log_every": seed + 1})
    spec = {"task": "walker_walk", "behaviour": quality, "observations": {}}
    dataset = {
        "path": f"/anywhere/{seed}",
        "checksum": checksum,
        "episodes": 2,
        "returns": [190.0, 210.0],
        "spec": spec,
    }
    facts = {"steps": 200, "command": ["vrl", "train", algorithm], "dataset": dataset}
    (folder / "run.json").write_text(json.dumps(facts))
    steps = [step for step in (100, 200) if step <= done]
    lines = [{"step": s, "seconds": 3.0 * s, "updates_per_second": 9.87} for s in steps]
    write_lines(folder / "metrics.jsonl", lines)
    curve = [{"step": s, "returns": [final * s / 200 - 1, final * s / 200 + 1]} for s in steps]
    write_lines(folder / "evaluations.jsonl", curve)
    return folder


def write_lines(path: Path, lines: list[dict]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_runs_that_differ_in_their_seed_alone_are_one_group(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(seed), seed=seed, final=100.0 + seed) for seed in range(3)]
    report = gather(runs)
    (section,) = report.sections
    (group,) = section.groups
    assert (section.title, group.label) == ("walker_walk from expert data", "bc")
    assert group.row is not None
    assert group.row.summary.mean == pytest.approx(101.0)
    assert (group.row.summary.n, group.row.summary.runs) == (6, 3)
    assert section.data_row is not None
    assert section.data_row.summary.mean == 200.0
    (curve,) = section.curves
    assert curve.steps == (100, 200)
    assert [point.mean for point in curve.summaries] == pytest.approx([50.5, 101.0])
    assert report.problems == ()


def test_other_settings_make_another_group_that_is_told_apart(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", weight=2.5)
    second = write_run(tmp_path / "b", weight=10.0)
    third = write_run(tmp_path / "c", algorithm="cql")
    (section,) = gather([first, second, third]).sections
    assert [group.label for group in section.groups] == [
        "bc, bc_weight 10.0",
        "bc, bc_weight 2.5",
        "cql",
    ]


def test_other_data_makes_another_section(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "a"),
        write_run(tmp_path / "b", checksum=8),
        write_run(tmp_path / "c", quality="medium"),
    ]
    sections = gather(runs).sections
    assert sorted(section.slug for section in sections) == [
        *("walker-walk-expert-1", "walker-walk-expert-2", "walker-walk-medium")
    ]


def tell_success(run: Path, *, data: float | None, episodes: list[bool] | None) -> Path:
    facts = json.loads((run / "run.json").read_text())
    facts["dataset"]["success"] = data
    (run / "run.json").write_text(json.dumps(facts))
    curve = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    write_lines(run / "evaluations.jsonl", [line | {"successes": episodes} for line in curve])
    return run


def test_successes_of_data_and_runs_are_shown(tmp_path: Path) -> None:
    runs = [
        tell_success(write_run(tmp_path / "a"), data=0.9, episodes=[True, False]),
        tell_success(write_run(tmp_path / "b", seed=1), data=0.9, episodes=[True, True]),
        write_run(tmp_path / "written before", seed=2),
    ]
    (section,) = gather(runs).sections  # it is the same data
    (group,) = section.groups
    assert section.data_row is not None
    assert (section.data_row.success, group.row.success) == (0.9, None)
    files = write_report(gather(runs[:2]), tmp_path / "report")
    text = files.markdown.read_text()
    assert "| data | 200 | 190–210 | 200 | 190–210 | 2 | 90.0% |" in text
    assert "| 4 (2 seeds) | 75.0% |" in text
    assert "| seed | mean | 95% CI | success |" in text
    assert "| 50.0% | 2 | 200 |" in text
    assert "| success |" not in markdown_report(gather(runs[2:]), tmp_path)
    header, *lines = seed_lines(group)
    assert [line[header.index("success")] for line in lines] == ["50.0%", "100.0%", ""]


def test_a_run_judged_in_another_task_stands_apart_and_says_so(tmp_path: Path) -> None:
    elsewhere = write_run(tmp_path / "b", seed=1)
    config = load_yaml(elsewhere / "config.yaml")
    save_yaml(elsewhere / "config.yaml", config | {"environment": {"task": "cheetah_run"}})
    sections = gather([write_run(tmp_path / "a"), elsewhere]).sections
    assert sorted(section.title for section in sections) == [
        "walker_walk from expert data",
        "walker_walk from expert data, in cheetah_run",
    ]
    assert len({section.slug for section in sections}) == 2


def test_the_evaluation_with_most_episodes_of_the_last_checkpoint_is_the_result(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "a")
    (run / "evaluations").mkdir()
    for name, data in {
        "more": {"step": 200, "returns": [70.0] * 5},
        "elsewhere": {"step": 200, "returns": [1.0] * 9, "overrides": {"task": "walker_run"}},
        "earlier": {"step": 100, "returns": [2.0] * 9},
    }.items():
        (run / "evaluations" / f"{name}.json").write_text(json.dumps(data))
    final = read_run(run).final
    assert final is not None
    assert (final.source, set(final.returns)) == ("evaluations/more.json", {70.0})


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    unfinished = write_run(tmp_path / "unfinished", done=100)
    unevaluated = write_run(tmp_path / "unevaluated", seed=1)
    (unevaluated / "evaluations.jsonl").unlink()
    twin = write_run(tmp_path / "unevaluated_twin", seed=1)
    damaged = write_run(tmp_path / "damaged", seed=2)
    (damaged / "metrics.jsonl").write_text('{"step": 1}\n{"st\n{"step": 200}\n')
    (damaged / "run.json").write_text("{")
    (tmp_path / "empty").mkdir()
    report = gather([unfinished, unevaluated, twin, damaged, tmp_path / "empty"])
    said = {Path(where).name: "" for where, _ in report.problems}
    for where, what in report.problems:
        said[Path(where).name] += what + "\n"
    assert (
        "100 of 200 updates are logged; its evaluation at update 100 counts" in said["unfinished"]
    )
    assert "never been evaluated" in said["unevaluated"]
    assert "same seed 1" in said["unevaluated_twin"]
    assert "metrics.jsonl is damaged in line 2" in said["damaged"]
    assert "run.json cannot be read" in said["damaged"]
    assert "no config.yaml" in said["empty"]
    files = write_report(report, tmp_path / "report")
    for text in (files.page.read_text(), files.markdown.read_text()):
        assert "What is missing" in text
        assert "never been evaluated" in text


def test_a_line_cut_off_by_a_crash_is_no_damage(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 30')
    assert read_run(run).problems == ()


def test_no_run_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VRLError, match="None of these is a run's folder"):
        gather([tmp_path])


class Page(HTMLParser):
    """Collects addresses, and checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]
        if tag not in ("meta", "img", "path", "use", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", algorithm="<bc>")
    frames = np.full((10, 16, 16, 3), 99, np.uint8)
    write_video(frames, run / "videos" / "step_00000200.mp4")
    files = write_report(gather([run]), tmp_path / "report")
    text = files.page.read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert any(address.startswith("data:video/mp4") for address in page.addresses)
    assert any(address.startswith("data:image/png") for address in page.addresses)
    assert "prefers-color-scheme: dark" in text
    assert "&lt;bc&gt;" in text
    assert "<bc>" not in text
    assert files.pictures[0].exists()
    assert f"]({files.pictures[0].name})" in files.markdown.read_text()


def test_a_damaged_video_does_not_cost_the_report(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    (run / "videos").mkdir()
    (run / "videos" / "step_00000200.mp4").write_bytes(b"no video")
    text = write_report(gather([run]), tmp_path / "report").page.read_text()
    assert "step_00000200.mp4 cannot be read" in text


def test_references_stand_around_the_results(tmp_path: Path) -> None:
    from dataclasses import replace

    (section,) = gather([write_run(tmp_path / "a")]).sections
    section = replace(section, references=ReferenceReturns(random=40.0, expert=240.0))
    names = [(row.name, row.normalised) for row in section.rows]
    assert names[0] == ("random policy", 0.0)
    assert names[-1] == ("expert policy", 100.0)
    assert [name for name, _ in names[1:-1]] == ["data", "bc"]


def test_the_command_finds_runs_below_a_folder(tmp_path: Path, capsys) -> None:
    for seed in range(2):
        write_run(tmp_path / "runs" / "bc" / str(seed), seed=seed)
    output = tmp_path / "report"
    assert main([str(tmp_path / "runs"), "--output", str(output)], NOTHING_INSTALLED) == 0
    text = capsys.readouterr().out
    assert "4 (2 seeds)" in text
    assert str(output / "index.html") in text.replace("\n", "")
    assert sorted(file.name for file in output.iterdir()) == [
        *("index.html", "report.md", "walker-walk-expert.png", "walker-walk-expert.svg")
    ]


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    report = gather([write_run(tmp_path / "a")])
    (tmp_path / "taken").write_text("")
    with pytest.raises(VRLError, match="cannot be written"):
        write_report(report, tmp_path / "taken")


def test_durations() -> None:
    assert [duration(s) for s in (None, 59.6, 119, 600, 9000)] == [
        *("", "60 s", "119 s", "10 min", "2 h 30 min")
    ]
