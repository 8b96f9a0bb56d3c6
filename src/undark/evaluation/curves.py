"""Charts of PSNR over amplification as inline SVG; the report's style sheet sets their colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 330
LEFT, RIGHT, TOP, BOTTOM = 36, 12, 10, 40
"""Margins."""

Point = tuple[float, float]
"""Amplification, dB."""


@dataclass(frozen=True)
class Curve:
    """A line of a chart."""

    name: str
    style: str
    """Classes of the report's style sheet."""
    points: Sequence[Point]


def chart(curves: Sequence[Curve], title: str) -> str:
    """An SVG of PSNR in dB over amplification, on a logarithmic axis; "" without points."""
    points = [point for curve in curves for point in curve.points if math.isfinite(point[1])]
    if not points:
        return ""
    axes = _Axes.around(points)
    parts = [_grid(axes, sorted({x for x, _ in points}))]
    parts += [_curve(curve, axes) for curve in reversed(curves)]  # the first is drawn last, on top
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


@dataclass(frozen=True)
class _Axes:
    """Maps amplifications and decibels to coordinates of the chart."""

    low: Point
    high: Point

    @classmethod
    def around(cls, points: Iterable[Point]) -> _Axes:
        x, y = zip(*points, strict=True)
        spare = max(0.06 * (max(y) - min(y)), 0.5)
        logs = [math.log2(value) for value in x]
        wide = max(0.08 * (max(logs) - min(logs)), 0.2)
        return cls(
            (min(logs) - wide, min(y) - spare),
            (max(logs) + wide, max(y) + spare),
        )

    def across(self, amplification: float) -> float:
        share = (math.log2(amplification) - self.low[0]) / (self.high[0] - self.low[0])
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def down(self, decibels: float) -> float:
        share = (decibels - self.low[1]) / (self.high[1] - self.low[1])
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _grid(axes: _Axes, amplifications: list[float]) -> str:
    """Lines at round decibels; labels of the amplifications, omitted where they would overlap."""
    step = next(s for s in (1, 2, 5, 10, 20, 50) if (axes.high[1] - axes.low[1]) / s <= 7)
    decibels = range(step * math.ceil(axes.low[1] / step), math.floor(axes.high[1]) + 1, step)
    parts = [
        f'<path class="grid" d="M{LEFT} {axes.down(d):.1f}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 8}" y="{axes.down(d) + 4:.1f}" text-anchor="end">{d}</text>'
        for d in decibels
    ]
    last = -math.inf
    for amplification in amplifications:
        x = axes.across(amplification)
        if x - last >= 38:
            last = x
            parts.append(
                f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
                f"×{amplification:g}</text>"
            )
    return (
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">amplification</text>'
        + "".join(parts)
    )


def _curve(curve: Curve, axes: _Axes) -> str:
    places = [
        (f"{axes.across(x):.1f}", f"{axes.down(y):.1f}", f"{curve.name}, ×{x:g}: {y:.2f} dB")
        for x, y in curve.points
        if math.isfinite(y)
    ]
    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="3.5"><title>{escape(text)}</title></circle>'
        for x, y, text in places
    )
    line = " ".join(f"{x},{y}" for x, y, _ in places)
    return f'<g class="curve {curve.style}"><polyline points="{line}"/>{dots}</g>'


def legend(styles: Mapping[str, str]) -> str:
    """The legend of a chart: name → style."""
    entries = (
        f'<li class="curve {style}"><svg viewBox="0 0 30 10" aria-hidden="true">'
        f'<polyline points="1,5 29,5"/><circle cx="15" cy="5" r="3.5"/></svg>{escape(name)}</li>'
        for name, style in styles.items()
    )
    return f'<ul class="legend">{"".join(entries)}</ul>'
