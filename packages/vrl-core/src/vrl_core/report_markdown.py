"""A report as Markdown, for a repository or an issue."""

from __future__ import annotations

import os
from pathlib import Path

from vrl_core.report import Group, Report, Section
from vrl_core.report_facts import group_facts, seed_lines
from vrl_core.result_table import markdown_table


def markdown_report(report: Report, folder: Path) -> str:
    """Return the report's text; links are relative to `folder`, where the pictures lie."""
    parts = ["# Report\n", *(_section(section, folder) for section in report.sections)]
    if report.problems:
        parts.append("## What is missing\n")
        parts.append("".join(f"- `{where}`: {what}\n" for where, what in report.problems))
    return "\n".join(parts)


def _section(section: Section, folder: Path) -> str:
    parts = [f"## {section.title}\n", markdown_table(section.rows)]
    if section.curves:
        parts.append(f"![Learning curves of {section.title}]({section.slug}.png)\n")
    parts += [_group(group, folder) for group in section.groups]
    return "\n".join(parts)


def _group(group: Group, folder: Path) -> str:
    header, *lines = seed_lines(group)
    rows = [header, [":--"] * len(header), *lines]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    facts = "\n".join(f"- {name}: {text}" for name, text in group_facts(group))
    videos = "".join(
        f"- video: [{run.videos[-1].name}]({os.path.relpath(run.videos[-1], folder)})\n"
        for run in group.runs
        if run.videos
    )
    return f"### {group.label}\n\n{table}\n\n{facts}\n{videos}"
