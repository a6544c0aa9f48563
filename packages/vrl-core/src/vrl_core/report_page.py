"""A report as one HTML page that needs nothing but itself, in light and dark."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path

from vrl_core.curves import embedded_learning_curves
from vrl_core.errors import VRLError
from vrl_core.report import Group, Report, Section
from vrl_core.report_facts import data_facts, group_facts, seed_lines
from vrl_core.result_table import cells, number
from vrl_core.run_record import RunRecord
from vrl_core.video import film_strip, read_video

EMBEDDED_VIDEO_BYTES = 4_000_000
"""Larger videos are linked instead of embedded."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2333; --soft: #5d6678; --paper: #ffffff;
  --card: #f5f7fb; --line: #dfe4ee; --accent: #2f6fde; --warn: #a4570a; --warn-card: #fff4e5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9f0; --soft: #9aa4b8; --paper: #12151c;
  --card: #1a1f2a; --line: #2b3240; --accent: #7aa7ff; --warn: #ffbf75; --warn-card: #2c2216; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1020px; padding: 2.5rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.9rem; margin: 0 0 .2rem; letter-spacing: -.02em; }
h2 { font-size: 1.35rem; margin: 3rem 0 .8rem; letter-spacing: -.01em; }
h3 { font-size: 1.05rem; margin: 0 0 .8rem; }
p.lead { color: var(--soft); margin: 0 0 1.5rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.tile { flex: 1 1 11rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.7rem; letter-spacing: -.02em; color: var(--accent); }
.tile span { color: var(--soft); font-size: .85rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 1.2rem; margin: 1.1rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .92rem; }
th, td { text-align: right; padding: .42rem .6rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: .82rem; }
th:first-child, td:first-child { text-align: left; }
tr:last-child td { border-bottom: 0; }
tr.learned td { font-weight: 600; }
figure { margin: 0; } figure svg { width: 100%; height: auto; display: block; }
.show { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; }
video { width: 256px; max-width: 100%; border-radius: 10px; background: #000; }
img.strip { flex: 1 1 20rem; min-width: 0; width: 100%; border-radius: 8px;
  image-rendering: pixelated; }
details { margin-top: .9rem; } summary { cursor: pointer; color: var(--accent); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: .8rem 0 0;
  font-size: .88rem; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
  padding: .8rem; overflow-x: auto; font-size: .82rem; }
.problems { background: var(--warn-card); border-color: var(--warn); }
.problems h3 { color: var(--warn); } .problems ul { margin: 0; padding-left: 1.2rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
"""


def html_page(report: Report, folder: Path) -> str:
    """Return the page. What is too large to embed is linked relative to `folder`."""
    title = ", ".join(dict.fromkeys(section.task for section in report.sections))
    runs = f"{report.runs} run" + ("s" if report.runs != 1 else "")
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{runs} of offline reinforcement learning from logged episodes</p>',
        _problems(report.problems),
        *(_section(section, folder) for section in report.sections),
        f"<footer>VRL {escape(version('vrl-core'))}. Intervals are 95% bootstrap intervals over "
        "runs and their episodes; IQM is the mean of the middle half of the episodes. Scores are "
        "normalised to 0% for the random and 100% for the expert policy.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: VRL report</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def _problems(problems: Sequence[tuple[str, str]]) -> str:
    if not problems:
        return ""
    items = "".join(f"<li><code>{escape(w)}</code>: {escape(what)}</li>" for w, what in problems)
    return f'<div class="card problems"><h3>What is missing</h3><ul>{items}</ul></div>'


def _section(section: Section, folder: Path) -> str:
    curves = ""
    if section.curves:
        picture = embedded_learning_curves(section.curves, levels=section.levels)
        curves = f'<div class="card"><figure>{picture}</figure></div>'
    learned = {group.label for group in section.groups}
    facts = _facts(data_facts(section.data_facts))
    return "\n".join(
        [
            f"<h2>{escape(section.title)}</h2>",
            _tiles(section),
            f'<div class="card scroll">{_table(cells(section.rows), learned)}</div>',
            curves,
            *(_group(group, folder) for group in section.groups),
            f"<details><summary>The data</summary>{facts}</details>" if facts else "",
        ]
    )


def _tiles(section: Section) -> str:
    """The best group's result in three large numbers."""
    rows = [group.row for group in section.groups if group.row]
    if not rows:
        return ""
    best = max(rows, key=lambda row: row.summary.mean)
    tiles = [(number(best.summary.mean), f"mean return of {best.name}")]
    if section.data_row and section.data_row.summary.mean > 0:
        share = best.summary.mean / section.data_row.summary.mean
        tiles.append((f"{share:.0%}", "of its data's mean return"))
    if section.references and section.references.random > 0:
        times = best.summary.mean / section.references.random
        decimals = 0 if times >= 10 else 1
        tiles.append((f"{times:.{decimals}f}×", "the random policy's return"))
    if best.normalised is not None:
        tiles.append((f"{best.normalised:.1f}", "normalised score"))
    inner = "".join(
        f'<div class="tile"><b>{value}</b><span>{escape(text)}</span></div>'
        for value, text in tiles
    )
    return f'<div class="tiles">{inner}</div>'


def _group(group: Group, folder: Path) -> str:
    parts = [f"<h3>{escape(group.label)}</h3>", _show(group.shown_run, folder)]
    parts.append(f'<div class="scroll">{_table(seed_lines(group))}</div>')
    facts = _facts(group_facts(group))
    if facts:
        parts.append(f"<details><summary>How it was made</summary>{facts}</details>")
    parts.append(_configuration(group.shown_run))
    return f'<div class="card">{"".join(parts)}</div>'


def _show(run: RunRecord, folder: Path) -> str:
    """The newest video and a film strip of it."""
    if not run.videos:
        return ""
    path = run.videos[-1]
    try:
        strip = base64.b64encode(film_strip(read_video(path), smallest_side=96)).decode()
        content = path.read_bytes()
    except (OSError, VRLError, ValueError, RuntimeError, StopIteration) as error:
        return f"<p>The video {escape(path.name)} cannot be read: {escape(str(error))}</p>"
    source = escape(os.path.relpath(path, folder))
    if len(content) <= EMBEDDED_VIDEO_BYTES:
        source = "data:video/mp4;base64," + base64.b64encode(content).decode()
    return (
        f'<div class="show"><video controls loop muted autoplay playsinline src="{source}"></video>'
        f'<img class="strip" alt="Frames of {escape(path.name)}, from its first to its last" '
        f'src="data:image/png;base64,{strip}"></div>'
    )


def _configuration(run: RunRecord) -> str:
    try:
        text = (run.folder / "config.yaml").read_text(encoding="utf-8")
    except OSError:
        return ""
    return f"<details><summary>Configuration</summary><pre>{escape(text)}</pre></details>"


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    inner = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    return f"<dl>{inner}</dl>" if inner else ""


def _table(lines: list[list[str]], learned: frozenset[str] | set[str] = frozenset()) -> str:
    header, *rows = lines
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr{' class=learned' if row[0] in learned else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
