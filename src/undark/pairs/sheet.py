"""The contact sheet: both photos of each pair, what changed, and an overlay that shows shifts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.align.planes import blurred
from undark.align.resample import Place, Shift, moved, overlap
from undark.develop.drawing import WHITE, fitted, title_bar
from undark.develop.render import render
from undark.files.folder import MARK
from undark.files.output import atomic_output, writing
from undark.files.picture import write_picture
from undark.pairs.examine import CHANGE_CELL, Finding
from undark.pairs.table import GOOD, Row
from undark.sensor.cfa import pack
from undark.sensor.mosaic import Mosaic, Shot

Pixels = NDArray[np.uint8]
"""(h, w, 3), sRGB."""

WIDTH, HEIGHT, TITLE = 312, 208, 26
"""Size in pixels of each of the three pictures of a strip, and height of the title above them."""
COLUMNS, ROWS = 2, 24
"""Strips on a page."""
_ZOOM = 3
"""Pixels of the overlay per pixel of the plane, along a side."""
_GREEN, _ORANGE = (0.55, 0.9, 0.55), (1.0, 0.65, 0.3)


class Sheet:
    """Pages of strips; each is written atomically as soon as it is full."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._strips = folder, list[Pixels]()
        self.pages: list[Path] = []
        """Those written."""

    def add(self, strip: Pixels) -> None:
        """Raises `OutputError`."""
        self._strips.append(strip)
        if len(self._strips) == COLUMNS * ROWS:
            self._write()

    def finish(self) -> None:
        """Write the last page; remove further pages of an earlier run with more pairs."""
        if self._strips:
            self._write()
        number = len(self.pages) + 1
        while (left := self._path(number)).is_file():
            with writing(left):
                left.unlink()
            number += 1

    def _write(self) -> None:
        path = self._path(len(self.pages) + 1)
        with atomic_output(path, overwrite=True) as temporary:
            write_picture(temporary, _page(self._strips), Shot(), quality=90)
        self._strips.clear()
        self.pages.append(path)

    def _path(self, number: int) -> Path:
        """pairs-undark.jpg, pairs-2-undark.jpg, …: files with the mark are not read as photos."""
        return self._folder / f"pairs{'' if number == 1 else f'-{number}'}{MARK}.jpg"


def _page(strips: list[Pixels]) -> Pixels:
    rows = []
    for first in range(0, len(strips), COLUMNS):
        row = strips[first : first + COLUMNS]
        row += [np.zeros_like(strips[0])] * (min(COLUMNS, len(strips)) - len(row))
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)


def strip(finding: Finding) -> Pixels:
    """The strip of a pair, (TITLE + HEIGHT, 3 · WIDTH, 3).

    From left to right: the dark photo amplified; the bright one, red where they differ; an overlay
    of the region with most detail, dark in red, bright in cyan. Coloured edges there are a shift
    that training does not correct.
    """
    (dark, bright), gain = finding.photos, finding.registration.gain
    pictures = [
        _thumbnail(dark, gain),
        _thumbnail(bright, 1.0, finding.changed),
        _overlay(finding),
    ]
    return np.concatenate([_title(finding.row), np.concatenate(pictures, axis=1)])


def blank(row: Row) -> Pixels:
    """The strip of a pair that could not be examined."""
    return np.concatenate([_title(row), np.zeros((HEIGHT, 3 * WIDTH, 3), np.uint8)])


def _title(row: Row) -> Pixels:
    colour = _GREEN if row.verdict == GOOD else _ORANGE
    ratio = f"  x{row.amplification:.3g}" if math.isfinite(row.amplification) else ""
    shift = f"  {row.dx:+.1f} {row.dy:+.1f} px" if math.isfinite(row.dx) else ""
    shift += " corrected" * _is_aligned(row)
    name = f"{row.dark.parent.name}/{row.dark.name}{ratio}{shift}"
    widths = (2 * WIDTH - 60, WIDTH + 60)
    parts = zip((name, row.verdict), widths, (WHITE, colour), strict=True)
    return np.concatenate([title_bar(_text(t), w, TITLE, c) for t, w, c in parts], axis=1)


def _is_aligned(row: Row) -> bool:
    return bool(row.align_dx or row.align_dy)


def _text(name: str) -> str:
    """Unprintable characters replaced: they cannot be drawn."""
    return "".join(c if c.isprintable() else "?" for c in name)


def _thumbnail(photo: Mosaic, gain: float, changed: NDArray[np.bool_] | None = None) -> Pixels:
    """(HEIGHT, WIDTH, 3), upright; changed cells are red."""
    planes = pack(photo.signal(), photo.cfa)
    step = max(1, max(planes.shape[1:]) // WIDTH)
    small = _binned(planes, step)
    colours = np.array(photo.cfa.colours)
    light = np.stack([small[colours == c].mean(axis=0) for c in range(3)], axis=-1)
    light *= photo.white_balance * np.float32(gain / photo.span)
    if changed is not None:
        height, width = (
            np.minimum(np.arange(n) * step // CHANGE_CELL, m - 1)
            for n, m in zip(light.shape, changed.shape, strict=False)
        )
        where = changed[height[:, None], width]
        light[where] = light[where] * 0.5 + np.array([0.5, 0, 0], np.float32)
    return fitted(np.asarray(render(light, photo, gain), np.uint8), HEIGHT, WIDTH)


def _binned(planes: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """(c, h, w) → (c, h/step, w/step) means."""
    count, height, width = planes.shape[0], planes.shape[1] // step, planes.shape[2] // step
    cut = planes[:, : height * step, : width * step]
    means: NDArray[np.float32] = cut.reshape(count, height, step, width, step).mean(axis=(2, 4))
    return means


def _overlay(finding: Finding) -> Pixels:
    """A region of both planes, dark in red, bright in cyan; the row's shift is corrected."""
    found, (dark, bright) = finding.registration, finding.planes
    size, shift = (HEIGHT // _ZOOM, WIDTH // _ZOOM), _shift(finding)
    bounds = overlap(dark.shape, shift) or (0, 0, *dark.shape)
    top, left, height, width = place = _region(finding, size, bounds)
    layers = (
        dark[top : top + height, left : left + width] * np.float32(found.gain)
        - np.float32(found.offset),
        moved(bright, place, shift),
    )
    red, cyan = (blurred(blurred(layer)) for layer in layers)
    white = max(float(np.quantile(cyan, 0.98)), 1e-6)
    rgb = np.stack([red, cyan, cyan], axis=-1) / white
    shown = (255 * np.sqrt(np.clip(rgb, 0, 1))).astype(np.uint8)
    return fitted(shown, HEIGHT, WIDTH)


def _shift(finding: Finding) -> Shift:
    """The shift that training corrects, in pixels of the plane; 0 if the planes do not overlap."""
    cell, row = finding.photos[0].cfa.cell, finding.row
    shift = (row.align_dy / cell, row.align_dx / cell)
    return shift if overlap(finding.planes[0].shape, shift) else (0.0, 0.0)


def _region(finding: Finding, size: tuple[int, int], bounds: Place) -> Place:
    """A region of `size` within `bounds`, around the block with most detail in the bright photo."""
    bright, grid = finding.registration.bright, finding.registration.grid
    usable = np.isfinite(finding.registration.variance).all(axis=(1, 2))
    # by fine detail: the glow of a light source would show no shift
    detail = np.where(usable, np.abs(np.diff(bright, 2)).mean(axis=(1, 2)), -1)
    side = bright.shape[1]
    centre = [(n + 0.5) * side for n in divmod(int(np.argmax(detail)), grid[1])]
    height, width = (min(s, n) for s, n in zip(size, bounds[2:], strict=True))
    top, left = (
        int(min(max(m - s / 2, first), first + n - s))
        for m, s, first, n in zip(centre, (height, width), bounds[:2], bounds[2:], strict=True)
    )
    return top, left, height, width
