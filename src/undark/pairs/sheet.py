"""The contact sheet: each pair as it was shot, what moved, and how the two lie on each other."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.align.planes import blurred
from undark.develop.drawing import WHITE, fitted, title_bar
from undark.develop.render import render
from undark.files.folder import MARK
from undark.files.output import whole, writing
from undark.files.picture import write_picture
from undark.pairs.examine import CHANGE_CELL, Finding
from undark.pairs.table import GOOD, Row
from undark.sensor.cfa import pack
from undark.sensor.mosaic import Mosaic, Shot

Picture = NDArray[np.uint8]

WIDTH, HEIGHT, TITLE = 312, 208, 26
"""Pixels of a picture of a strip, three side by side, and of the title above them."""
COLUMNS, ROWS = 2, 24
"""Strips on a page."""
_ZOOM = 3
"""Pixels of the overlay for one of the plane."""
_GREEN, _ORANGE = (0.55, 0.9, 0.55), (1.0, 0.65, 0.3)


class Sheet:
    """Pages of strips; each is written, whole or not at all, as soon as it is full."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._strips = folder, list[Picture]()
        self.pages: list[Path] = []
        """Those written."""

    def add(self, strip: Picture) -> None:
        """Raises `OutputError`."""
        self._strips.append(strip)
        if len(self._strips) == COLUMNS * ROWS:
            self._write()

    def finish(self) -> None:
        """Write the last page; pages that an earlier, longer run left behind it are removed."""
        if self._strips:
            self._write()
        number = len(self.pages) + 1
        while (left := self._path(number)).is_file():
            with writing(left):
                left.unlink()
            number += 1

    def _write(self) -> None:
        path = self._path(len(self.pages) + 1)
        with whole(path, overwrite=True) as temporary:
            write_picture(temporary, _page(self._strips), Shot(), quality=90)
        self._strips.clear()
        self.pages.append(path)

    def _path(self, number: int) -> Path:
        """pairs-undark.jpg, pairs-2-undark.jpg, …: named as undark's own, no photo of a pair."""
        return self._folder / f"pairs{'' if number == 1 else f'-{number}'}{MARK}.jpg"


def _page(strips: list[Picture]) -> Picture:
    rows = []
    for first in range(0, len(strips), COLUMNS):
        row = strips[first : first + COLUMNS]
        row += [np.zeros_like(strips[0])] * (min(COLUMNS, len(strips)) - len(row))
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)


def strip(finding: Finding) -> Picture:
    """(TITLE + HEIGHT, 3 · WIDTH, 3) of one pair.

    The dark photo amplified; the bright one, red where they differ; and the piece with most detail
    of both as they lie, the dark one in red, the bright one in cyan: coloured edges are a shift.
    """
    (dark, bright), gain = finding.photos, finding.registration.gain
    pictures = [
        _thumbnail(dark, gain),
        _thumbnail(bright, 1.0, finding.changed),
        _overlay(finding),
    ]
    return np.concatenate([_title(finding.row), np.concatenate(pictures, axis=1)])


def blank(row: Row) -> Picture:
    """The strip of a pair that could not be examined."""
    return np.concatenate([_title(row), np.zeros((HEIGHT, 3 * WIDTH, 3), np.uint8)])


def _title(row: Row) -> Picture:
    colour = _GREEN if row.verdict == GOOD else _ORANGE
    ratio = f"  x{row.amplification:.3g}" if math.isfinite(row.amplification) else ""
    shift = f"  {row.dx:+.1f} {row.dy:+.1f} px" if math.isfinite(row.dx) else ""
    name = f"{row.dark.parent.name}/{row.dark.name}{ratio}{shift}"
    widths = (2 * WIDTH - 60, WIDTH + 60)
    parts = zip((name, row.verdict), widths, (WHITE, colour), strict=True)
    return np.concatenate([title_bar(_text(t), w, TITLE, c) for t, w, c in parts], axis=1)


def _text(name: str) -> str:
    """What OpenImageIO can draw: no bytes that are no text, no line ends."""
    return "".join(c if c.isprintable() else "?" for c in name)


def _thumbnail(photo: Mosaic, gain: float, changed: NDArray[np.bool_] | None = None) -> Picture:
    """(HEIGHT, WIDTH, 3), upright; cells that changed are red."""
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


def _overlay(finding: Finding) -> Picture:
    """A piece of both planes as they lie, dark in red, bright in cyan."""
    found, (dark, bright) = finding.registration, finding.planes
    rows, columns = _piece(finding, (HEIGHT // _ZOOM, WIDTH // _ZOOM))
    layers = (
        dark[rows, columns] * np.float32(found.gain) - np.float32(found.offset),
        bright[rows, columns],
    )
    red, cyan = (blurred(blurred(layer)) for layer in layers)
    white = max(float(np.quantile(cyan, 0.98)), 1e-6)
    rgb = np.stack([red, cyan, cyan], axis=-1) / white
    shown = (255 * np.sqrt(np.clip(rgb, 0, 1))).astype(np.uint8)
    return fitted(shown, HEIGHT, WIDTH)


def _piece(finding: Finding, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns around the block with most detail in the bright photo."""
    bright, grid = finding.registration.bright, finding.registration.grid
    usable = np.isfinite(finding.registration.variance).all(axis=(1, 2))
    # by fine detail: a lamp's glow would show no shift
    detail = np.where(usable, np.abs(np.diff(bright, 2)).mean(axis=(1, 2)), -1)
    side, plane = bright.shape[1], finding.planes[0]
    middle = [(n + 0.5) * side for n in divmod(int(np.argmax(detail)), grid[1])]
    starts = [
        int(min(max(m - s / 2, 0), max(n - s, 0)))
        for m, s, n in zip(middle, size, plane.shape, strict=True)
    ]
    rows, columns = (slice(start, start + s) for start, s in zip(starts, size, strict=True))
    return rows, columns
