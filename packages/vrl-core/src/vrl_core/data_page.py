"""The HTML page of a store: text in, text out. It refers to nothing outside itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from vrl_core.data_statistics import COLUMNS, statistics_cells
from vrl_core.store import Store

WIDTH, HEIGHT = 900, 120
"""Size of a plot in its own units; the page scales it."""
BINS = 30


@dataclass(frozen=True, kw_only=True)
class EpisodeSection:
    """One episode, ready to be shown."""

    index: int
    undiscounted_return: float
    rewards: np.ndarray
    """`(T,)`."""
    actions: np.ndarray
    """`(T, action)`."""
    ending: str
    info: Mapping[str, Any]
    strip: str | None
    """Film strip as a data URL."""
    sprite: str | None
    """Sheet of `sprite_count` frames in `sprite_columns` columns, as a data URL."""
    sprite_count: int
    sprite_columns: int


def page(store: Store, sections: Sequence[EpisodeSection]) -> str:
    """Return the page."""
    title = escape(f"{store.spec.task} · {store.spec.behaviour}")
    episodes = "\n".join(episode_html(section) for section in sections)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{STYLE}</style></head><body><main>
<header><p class="path">{escape(str(store.path))}</p><h1>{title}</h1></header>
{_facts_html(store)}
<section><h2>Returns of all {len(store)} episodes</h2>
{_statistics_html(store)}
{histogram_svg(store.returns)}</section>
{episodes}
</main><script>{SCRIPT}</script></body></html>
"""


def episode_html(section: EpisodeSection) -> str:
    """Return the part of the page that shows one episode."""
    steps = len(section.rewards)
    facts = [f"{steps} steps", section.ending, *(f"{k} {v}" for k, v in section.info.items())]
    strip = (
        f'<img class="strip" src="{section.strip}" alt="frames of episode {section.index}">'
        if section.strip
        else ""
    )
    return f"""<section class="episode" data-count="{section.sprite_count}"
 data-columns="{section.sprite_columns}">
<h2>Episode {section.index} <small>return {section.undiscounted_return:.1f}</small></h2>
<p class="quiet">{escape(" · ".join(facts))}</p>
{strip}
<div class="plots">{_player_html(section)}<div class="curves">
<h3>Reward</h3>{curves_svg(section.rewards[:, None], "reward")}
<h3>Actions</h3>{curves_svg(section.actions, "action")}</div></div></section>"""


def curves_svg(values: np.ndarray, name: str) -> str:
    """Return lines of `(time, line)` values as inline SVG with the extremes written beside."""
    low, high = _range(values)
    heights = HEIGHT - (values - low) / (high - low) * HEIGHT
    across = np.linspace(0, WIDTH, max(2, len(values)))[: len(values)]
    lines = "".join(
        f'<polyline class="line" style="--hue:{_hue(number, values.shape[1])}" points="'
        + " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, line, strict=True))
        + f'"><title>{name} {number}</title></polyline>'
        for number, line in enumerate(heights.T)
    )
    return _plot(lines, f"{high:.3g}", f"{low:.3g}", name)


def histogram_svg(returns: np.ndarray) -> str:
    """Return the distribution of returns `(episodes,)` as inline SVG."""
    low, high = _range(returns)
    counts, edges = np.histogram(returns, bins=BINS, range=(low, high))
    scale = HEIGHT / max(1, int(counts.max()))
    width = WIDTH / BINS
    bars = "".join(
        f'<rect class="bar" x="{number * width:.1f}" width="{width - 2:.1f}"'
        f' y="{HEIGHT - count * scale:.1f}" height="{count * scale:.1f}">'
        f"<title>{count} episodes from {edges[number]:.1f} to {edges[number + 1]:.1f}</title>"
        "</rect>"
        for number, count in enumerate(counts)
    )
    ends = f'<p class="ends"><span>{low:.1f}</span><span>{high:.1f}</span></p>'
    return _plot(bars, f"{counts.max()}", "0", "histogram of returns") + ends


def _plot(content: str, top: str, bottom: str, name: str) -> str:
    return (
        f'<div class="plot"><span class="top">{top}</span><span class="bottom">{bottom}</span>'
        f'<svg viewBox="0 -4 {WIDTH} {HEIGHT + 8}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(name)}">{content}<line class="cursor" y1="-4" y2="{HEIGHT + 4}"/>'
        "</svg></div>"
    )


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return lower and upper end of an axis, apart even when all values are equal."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _hue(number: int, lines: int) -> int:
    return (215 + round(number * 360 / lines)) % 360


def _player_html(section: EpisodeSection) -> str:
    if not section.sprite:
        return ""
    rows = -(-section.sprite_count // section.sprite_columns)
    size = f"{section.sprite_columns * 100}% {rows * 100}%"
    return (
        f'<figure><div class="player" style="background-image:url({section.sprite});'
        f'background-size:{size}"></div>'
        '<figcaption class="quiet">move over the curves</figcaption></figure>'
    )


def _statistics_html(store: Store) -> str:
    cells = statistics_cells(store)[2:]
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    body = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody><tr>{body}</tr></tbody></table>"


def _facts_html(store: Store) -> str:
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in _facts(store)
    )
    return f'<dl class="facts">{items}</dl>'


def _facts(store: Store) -> Iterable[tuple[str, str]]:
    spec = store.spec
    for name, field in spec.observations.items():
        yield name, f"{' × '.join(map(str, field.shape)) or 'number'} {field.dtype}"
    yield "actions", f"{spec.action_size} in [-1, 1]"
    yield "action repeat", str(spec.action_repeat)
    if spec.render_quality:
        yield "render quality", spec.render_quality
    if spec.seed is not None:
        yield "seed", str(spec.seed)
    yield "source", spec.source
    yield "licence", spec.licence
    yield "size", f"{store.size / 1e6:,.1f} MB"
    for name, version in spec.versions.items():
        yield name, version


STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--quiet:#667085;--paper:#fbfbfa;--card:#fff;
--rule:#e4e5e7;--accent:#3b6fd4;--light:48%}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--quiet:#98a2b3;--paper:#15171a;
--card:#1d2024;--rule:#31353b;--accent:#7aa5f8;--light:66%}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1100px;margin:0 auto;padding:40px 24px 80px}
h1{font-size:30px;margin:0 0 20px;letter-spacing:-.01em}h2{font-size:19px;margin:0 0 10px}
h2 small{font-weight:400;color:var(--accent);margin-left:10px;font-size:16px}
h3{font-size:12px;font-weight:600;color:var(--quiet);margin:14px 0 4px}
.path{color:var(--quiet);font:13px ui-monospace,Menlo,Consolas,monospace;margin:0 0 4px;
overflow-wrap:anywhere}
.quiet{color:var(--quiet);font-size:13px;margin:0 0 10px}
section{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:20px 22px;
margin-top:20px}
.facts{display:flex;flex-wrap:wrap;gap:6px 28px;margin:0}.facts div{min-width:90px}
dt{color:var(--quiet);font-size:12px}dd{margin:0}
table{border-collapse:collapse;width:100%;margin-bottom:16px;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:5px 8px;border-bottom:1px solid var(--rule)}
th{color:var(--quiet);font-weight:500;font-size:13px}
.strip{width:100%;display:block;border-radius:6px;image-rendering:pixelated}
.plots{display:flex;gap:22px;margin-top:8px;align-items:flex-start}.curves{flex:1;min-width:0}
figure{margin:16px 0 0;width:192px;flex:none}
.player{width:192px;aspect-ratio:1;border-radius:8px;background-color:#0003}
figcaption{margin-top:6px;text-align:center}
.plot{position:relative;padding-left:46px}.plot svg{width:100%;height:110px;display:block;
border-left:1px solid var(--rule);border-bottom:1px solid var(--rule);overflow:visible}
.plot span{position:absolute;left:0;width:40px;text-align:right;font-size:11px;color:var(--quiet)}
.plot .top{top:-4px}.plot .bottom{bottom:-4px}
.ends{display:flex;justify-content:space-between;margin:4px 0 0 46px;font-size:11px;
color:var(--quiet)}
.line{fill:none;stroke:hsl(var(--hue) 62% var(--light));stroke-width:1.4;
vector-effect:non-scaling-stroke}
.bar{fill:var(--accent);opacity:.85}
.cursor{stroke:var(--ink);stroke-width:1;vector-effect:non-scaling-stroke;visibility:hidden}
@media(max-width:720px){.plots{flex-direction:column}table{display:block;overflow-x:auto}}
"""
"""Light and dark follow the reader's system."""

SCRIPT = """
for (const episode of document.querySelectorAll('.episode')) {
  const player = episode.querySelector('.player');
  const caption = episode.querySelector('figcaption');
  const count = +episode.dataset.count, columns = +episode.dataset.columns;
  const rows = Math.ceil(count / columns);
  const place = (i, n) => n > 1 ? 100 * i / (n - 1) + '%' : '0%';
  const show = share => {
    const frame = Math.round(share * (count - 1));
    if (player) {
      player.style.backgroundPosition =
        place(frame % columns, columns) + ' ' + place(Math.floor(frame / columns), rows);
      caption.textContent = Math.round(100 * share) + ' % of the episode';
    }
    for (const line of episode.querySelectorAll('.cursor')) {
      const x = share * line.ownerSVGElement.viewBox.baseVal.width;
      line.setAttribute('x1', x); line.setAttribute('x2', x);
      line.style.visibility = 'visible';
    }
  };
  for (const svg of episode.querySelectorAll('svg'))
    svg.addEventListener('pointermove', event => {
      const box = svg.getBoundingClientRect();
      show(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
    });
}
"""
"""The frame under the pointer."""
