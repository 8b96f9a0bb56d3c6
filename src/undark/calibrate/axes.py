"""A small chart as a picture, drawn with Pillow: axes with ticks, dots, lines, a legend."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Values = NDArray[np.float64]
Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (31, 119, 180), (214, 80, 30), (44, 140, 60), (148, 103, 189),
    (140, 86, 75), (200, 60, 140), (110, 110, 110), (160, 150, 20),
)  # fmt: skip
WIDTH, HEIGHT = 720, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 20, 56, 58
"""Margins, pixels."""
_BLACK, _GRID = (30, 30, 30), (225, 225, 225)


@dataclass
class Panel:
    """One chart; its axes hold all that was added."""

    title: str
    x_name: str
    y_name: str
    log: tuple[bool, bool] = (False, False)
    """Whether the axes are logarithmic; values are then above 0."""
    _dots: list[tuple[Values, Values, Colour]] = field(default_factory=list)
    _lines: list[tuple[Values, Values, Colour]] = field(default_factory=list)
    _legend: list[tuple[str, Colour]] = field(default_factory=list)

    def dots(self, x: Values, y: Values, colour: Colour, name: str = "") -> None:
        """Add points, named in the legend."""
        self._dots.append((*self._scaled(x, y), colour))
        self._legend += [(name, colour)] * bool(name)

    def line(self, x: Values, y: Values, colour: Colour) -> None:
        """Add a curve."""
        self._lines.append((*self._scaled(x, y), colour))

    def picture(self) -> NDArray[np.uint8]:
        """(HEIGHT, WIDTH, 3)."""
        image = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
        draw = ImageDraw.Draw(image)
        small, large = ImageFont.load_default(14), ImageFont.load_default(18)
        places = [self._place(axis) for axis in (0, 1)]
        self._draw_axes(draw, places, small)
        for x, y, colour in self._lines:
            draw.line(_points(x, y, places), fill=colour, width=2)
        for x, y, colour in self._dots:
            for a, b in _points(x, y, places):
                draw.ellipse((a - 3, b - 3, a + 3, b + 3), fill=colour)
        draw.text((_LEFT, 6), self.title, _BLACK, large)
        draw.text((WIDTH / 2, HEIGHT - 8), self.x_name, _BLACK, small, anchor="mb")
        draw.text((6, _TOP - 6), self.y_name, _BLACK, small, anchor="lb")
        for number, (name, colour) in enumerate(self._legend[:16]):
            at = (_LEFT + 12 + 110 * (number // 8) * (len(self._legend) > 8), _TOP + 8)
            draw.text((at[0], at[1] + 18 * (number % 8)), name, colour, small)
        return np.array(image)

    def _scaled(self, x: Values, y: Values) -> tuple[Values, Values]:
        both = [
            np.log10(v) if log else np.asarray(v, float)
            for v, log in zip((x, y), self.log, strict=True)
        ]
        return both[0], both[1]

    def _place(self, axis: int) -> _Axis:
        values = [part[axis] for part in (*self._dots, *self._lines)]
        whole = np.concatenate(values) if values else np.array([0.0, 1.0])
        low, high = float(whole.min()), float(whole.max())
        spare = 0.05 * (high - low) or 0.5
        ends = (_LEFT, WIDTH - _RIGHT) if axis == 0 else (HEIGHT - _BOTTOM, _TOP)
        return _Axis(low - spare, high + spare, *ends, self.log[axis])

    def _draw_axes(
        self, draw: ImageDraw.ImageDraw, places: list[_Axis], font: ImageFont.ImageFont | object
    ) -> None:
        for value, label in places[0].ticks():
            at = places[0].to_pixel(value)
            draw.line((at, _TOP, at, HEIGHT - _BOTTOM), fill=_GRID)
            draw.text((at, HEIGHT - _BOTTOM + 6), label, _BLACK, font, anchor="mt")  # type: ignore[arg-type]
        for value, label in places[1].ticks():
            at = places[1].to_pixel(value)
            draw.line((_LEFT, at, WIDTH - _RIGHT, at), fill=_GRID)
            draw.text((_LEFT - 6, at), label, _BLACK, font, anchor="rm")  # type: ignore[arg-type]
        draw.rectangle((_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM), outline=_BLACK)


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    start: int
    end: int
    log: bool

    def to_pixel(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """(value, label) of five or so round numbers; of a logarithmic axis 1, 2, 5, 10, ..."""
        if self.log:
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            few = (1, 2, 5) if self.high - self.low < 2.5 else (1,)
            known = [factor * 10.0**power for power in powers for factor in few]
            inside = [v for v in known if self.low <= math.log10(v) <= self.high]
            return [(math.log10(v), f"{v:g}") for v in inside]
        step = 10 ** math.floor(math.log10((self.high - self.low) / 3))
        step *= max(f for f in (1, 2, 5) if f * step <= (self.high - self.low) / 3)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        values = [n * step for n in range(first, last + 1)]
        return [(v, f"{v:.4g}") for v in values]


def _points(x: Values, y: Values, places: list[_Axis]) -> list[tuple[float, float]]:
    pairs = zip(x.tolist(), y.tolist(), strict=True)
    return [(places[0].to_pixel(a), places[1].to_pixel(b)) for a, b in pairs]
