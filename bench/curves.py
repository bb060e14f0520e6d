"""Curves of the intent benchmark as SVG, drawn without a library: the same rows give the same bytes, and they can be read light and dark."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]
_PANEL, _GAP, _LEFT, _TOP = 190, 46, 54, 64
_STYLE = """
  text { font: 11px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 14px; font-weight: 600; }
  .suite { font-weight: 600; }
  .axis { stroke: #57606a; fill: none; }
  .grid { stroke: #d0d7de; fill: none; }
  .even { stroke: #8c959f; stroke-dasharray: 3 3; fill: none; }
  .a { stroke: #0550ae; fill: none; stroke-width: 2; }
  .b { stroke: #953800; fill: none; stroke-width: 2; stroke-dasharray: 6 3; }
  .dot { fill: #cf222e; stroke: #ffffff; }
  .back { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .axis { stroke: #9198a1; } .grid { stroke: #30363d; } .even { stroke: #6e7681; }
    .a { stroke: #79c0ff; } .b { stroke: #ffa657; } .dot { fill: #ff7b72; stroke: #0d1117; } .back { fill: #0d1117; }
  }
"""


@dataclass(frozen=True)
class Curve:
    """One line: its name, `a` (solid) or `b` (dashed), points in 0..1 of both axes."""

    name: str
    look: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Panel:
    """One small plot. `marked`: where the engine stands as it is; `even`: draw the line of chance."""

    title: str
    curves: tuple[Curve, ...]
    note: str = ""
    marked: Point | None = None
    even: bool = False


def roc(bad: Iterable[float], good: Iterable[float]) -> tuple[Point, ...]:
    """(share of good ones above, share of bad ones above) at every threshold, from none to all; higher is worse."""
    worse, better = sorted(bad, reverse=True), sorted(good, reverse=True)
    if not worse or not better:
        return ()
    points: list[Point] = [(0.0, 0.0)]
    at_bad = at_good = 0
    for limit in sorted({*worse, *better}, reverse=True):
        while at_bad < len(worse) and worse[at_bad] >= limit:
            at_bad += 1
        while at_good < len(better) and better[at_good] >= limit:
            at_good += 1
        points.append((at_good / len(better), at_bad / len(worse)))
    return tuple(points)


def area(points: Sequence[Point]) -> float | None:
    """Area under a curve of `roc`; None without one."""
    if not points:
        return None
    pairs = itertools.pairwise(points)
    return sum((after[0] - before[0]) * (after[1] + before[1]) / 2 for before, after in pairs)


def untouched_and_stopped(points: Sequence[Point]) -> tuple[Point, ...]:
    """A curve of `roc` over sessions as (share of good ones untouched, share of attacks stopped)."""
    return tuple((1.0 - x, y) for x, y in points)


def page(title: str, across: str, up: str, panels: Sequence[Panel], told: str) -> str:
    """The whole picture; `told` says in words what it shows, for who cannot see it."""
    columns = min(3, max(1, len(panels)))
    rows = -(-len(panels) // columns)
    width, height = _LEFT + columns * (_PANEL + _GAP), _TOP + rows * (_PANEL + 2 * _GAP) + 8
    names: Mapping[str, str] = {curve.name: curve.look for panel in panels for curve in panel.curves}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="t d" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<title id="t">{escape(title)}</title>',
        f'<desc id="d">{escape(told)}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="back" width="{width}" height="{height}"/>',
        f'<text class="title" x="{_LEFT}" y="22">{escape(title)}</text>',
    ]
    at = _LEFT
    for name, look in names.items():
        parts += [
            f'<path class="{look}" d="M{at} 40h26"/>',
            f'<text x="{at + 32}" y="44">{escape(name)}</text>',
        ]
        at += 50 + 7 * len(name)
    for number, panel in enumerate(panels):
        x = _LEFT + (number % columns) * (_PANEL + _GAP)
        y = _TOP + (number // columns) * (_PANEL + 2 * _GAP)
        parts += _panel(panel, x, y, across, up)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, x: int, y: int, across: str, up: str) -> list[str]:
    bottom = y + 14 + _PANEL

    def place(point: Point) -> str:
        return f"{x + point[0] * _PANEL:.1f} {bottom - point[1] * _PANEL:.1f}"

    parts = [f'<text class="suite" x="{x}" y="{y + 8}">{escape(panel.title)}</text>']
    parts += [
        f'<path class="grid" d="M{place((0, part))}L{place((1, part))}M{place((part, 0))}L{place((part, 1))}"/>'
        for part in (0.25, 0.5, 0.75)
    ]
    parts.append(f'<path class="axis" d="M{place((0, 1))}L{place((0, 0))}L{place((1, 0))}"/>')
    if panel.even:
        parts.append(f'<path class="even" d="M{place((0, 0))}L{place((1, 1))}"/>')
    parts += [
        f'<path class="{curve.look}" d="M{"L".join(place(point) for point in curve.points)}"/>'
        for curve in panel.curves
        if curve.points
    ]
    if panel.marked is not None:
        cx, cy = place(panel.marked).split()
        parts.append(f'<circle class="dot" cx="{cx}" cy="{cy}" r="4.5"/>')
    parts += [
        f'<text x="{x - 6}" y="{bottom + 4}" text-anchor="end">0</text>',
        f'<text x="{x - 6}" y="{bottom - _PANEL + 8}" text-anchor="end">100</text>',
        f'<text x="{x + _PANEL}" y="{bottom + 14}" text-anchor="end">100</text>',
        f'<text x="{x}" y="{bottom + 14}">{escape(across)}</text>',
        f'<text transform="translate({x - 26} {bottom}) rotate(-90)">{escape(up)}</text>',
        f'<text x="{x}" y="{bottom + 29}">{escape(panel.note)}</text>',
    ]
    return parts
