"""Restored light from top to bottom, so that no frame of floats is held.

The network gives strips, a row of tiles each. A band of a strip can be corrected towards the
measured light once the rows below it are known. Tiles are made beside each other, and beside what
follows them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from math import lcm

import numpy as np
from numpy.typing import NDArray

from undark.cpus import tiles_at_once
from undark.develop.render import srgb_matrix
from undark.engine.card import PICTURE_TASK, SRGB_TASK
from undark.engine.model import Model
from undark.engine.recovery import redone_on_cpu
from undark.engine.tiling import Tile, inner_light, scaled, strips, tiles_of
from undark.errors import UnsupportedError
from undark.restoring.ahead import abreast
from undark.restoring.blocks import BLOCK, PATCH, clipped_below
from undark.restoring.bound import bound
from undark.restoring.coarse import CoarseField, add_field, moved_means
from undark.restoring.comparison import Comparison
from undark.restoring.frame import Frame
from undark.restoring.photons import LIMIT, Agreement, correct, seen, together
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel

Floats = NDArray[np.float32]
Progress = Callable[[float], None]

HEIGHT = 4 * PATCH
"""Rows of a band that is corrected at a time: whole blocks, at the same phase of every CFA."""
AROUND = 2 * PATCH
"""Rows above and below a band that its correction looks at: 6 blocks."""
_MAY_DISAGREE = LIMIT - 0.5
"""Standard errors beyond which a band is compared again: means that `CoarseField` moves are not
taken anew, and an incomplete block at the frame's edge moves a little farther than they say."""


@dataclass(frozen=True)
class Band:
    """Some rows of restored light, with rows around them; to be read, until the next is made."""

    top: int
    """The first row of the frame that the band stands for."""
    around: Floats
    """(h, W, 3): the band's rows, corrected, and those above and below that are known."""
    own: slice
    """The rows of `around` that the band stands for."""
    agreement: Agreement | None = None
    """Of the band's own blocks."""

    @property
    def light(self) -> Floats:
        """(h, W, 3): the band's own rows."""
        return self.around[self.own]


def network_strips(
    model: Model,
    mosaic: Mosaic,
    noise: NoiseModel,
    amplification: float,
    *,
    tile: int | None = None,
    bounded: bool = True,
    progress: Progress = lambda share: None,
) -> Iterator[Floats]:
    """The network's output from top to bottom: strips (h, W, 3) of linear camera RGB, of
    `AROUND` rows each, the last of fewer.

    `bounded` holds it to the measured light around each pixel (see `restoring.bound`), but for
    models of finished colours. Raises `UnsupportedError` where the model is for another sensor,
    and `ModelError`.
    """
    check_model(model, mosaic)
    cfa, card, to_camera = mosaic.cfa, model.card, _to_camera(model, mosaic)
    multiple = lcm(card.multiple, cfa.kind.cells)  # tiles begin at the canonical phase
    padded = mosaic.canonical(multiple * cfa.cell)
    frame = Frame(padded, noise, amplification)
    down, across = (n // cfa.cell for n in padded.shape)
    plan = tiles_of(card, down, across, multiple, tile)

    def made(tile: Tile) -> tuple[Tile, Floats]:
        """(3, H, W): the inner part of a tile, with the light that the network is not given."""
        inputs = frame.inputs(tile.outer)
        output = inner_light(card, model, inputs, tile.margins)
        if to_camera is None and bounded:
            bound(output, inputs, tile.margins, cfa.colours)
        light: Floats = output[0]
        if to_camera is not None:
            light = np.asarray(np.tensordot(to_camera, light, 1), np.float32)
        frame.add_highlights(light, *scaled(tile.inner, cfa.cell))
        return tile, light

    parts = abreast(made, chain(*plan), tiles_at_once())
    yield from strips(plan, parts, mosaic.shape, AROUND, cfa.cell, cfa.shift, progress)


@redone_on_cpu
def run_network(
    model: Model,
    mosaic: Mosaic,
    noise: NoiseModel,
    amplification: float,
    *,
    bounded: bool = True,
) -> Floats:
    """The network over the frame: (H, W, 3) linear camera RGB, not yet corrected.

    `bounded` holds it to the measured light around each pixel (see `restoring.bound`).
    """
    return np.concatenate([*network_strips(model, mosaic, noise, amplification, bounded=bounded)])


def corrected_bands(
    strips: Iterator[Floats], mosaic: Mosaic, noise: NoiseModel, amplification: float
) -> Iterator[Band]:
    """Bands of strips of `AROUND` rows: low frequencies corrected (`restoring.coarse`), and blocks
    that disagree with the measured light (`restoring.photons`).

    A band is corrected with the rows `AROUND` it, so that it fits the next one. Rows are compared
    with the measured light once, and again only where a block near them may disagree.
    """
    floor, (height, width) = clipped_below(mosaic.plane), mosaic.shape
    held, top, done = _Rows(width), 0, 0
    field = CoarseField((-(-height // BLOCK), -(-width // BLOCK)))
    waiting: deque[tuple[Floats, Comparison]] = deque()  # `AROUND` rows each, for those below
    looked: list[Agreement] = []  # of each `AROUND` rows

    def compared(light: Floats, begin: int) -> Comparison:
        around = mosaic.crop(begin, 0, len(light), width)
        return Comparison(light, around, noise, amplification, floor)

    def parts(first: int, last: int) -> list[Agreement]:
        return looked[first // AROUND : -(-last // AROUND)]

    def band_at(top: int) -> Band:
        begin, end = max(top - AROUND, 0), min(top + HEIGHT + AROUND, height)
        band = slice(top - begin, min(top + HEIGHT, height) - begin)
        light, agreement = held.rows(begin, end), together(parts(top, begin + band.stop))
        if any(part.largest > _MAY_DISAGREE for part in parts(begin, end)):
            light = held.copy(begin, end)
            own = slice(band.start // BLOCK, -(-band.stop // BLOCK))
            agreement = correct(compared(light, begin), own)
        return Band(top, light, band, agreement)

    for strip in strips:
        waiting.append((strip, compared(strip, (len(looked) + len(waiting)) * AROUND)))
        field.add(waiting[-1][1].block_means())
        while waiting and field.is_known((done + HEIGHT) // BLOCK):
            moved = field.rows(done // BLOCK, -(-min(done + HEIGHT, height) // BLOCK))
            for first in range(0, len(moved) - 2, AROUND // BLOCK):
                rows, part = waiting.popleft()
                near = moved[first : first + AROUND // BLOCK + 2]
                add_field(rows, near)
                part.move(moved_means(near))
                looked.append(seen(part))
                done = held.add(rows, needed=max(top - AROUND, 0))
            while top < height and done >= min(top + HEIGHT + AROUND, height):
                yield band_at(top)
                top += HEIGHT


def collected(bands: Iterator[Band], shape: tuple[int, int]) -> tuple[Floats, Agreement | None]:
    """The light (H, W, 3) of all bands of a frame (H, W), and its agreement."""
    light, agreements = np.empty((*shape, 3), np.float32), []
    for band in bands:
        light[band.top : band.top + len(band.light)] = band.light
        agreements.append(band.agreement)
    return light, together(agreements)


class _Rows:
    """Some rows of a frame, in a buffer whose end new rows are put at: fresh memory would cost more
    time than the copying."""

    def __init__(self, width: int) -> None:
        # those that the next band waits for, at most, and a band's more
        self._buffer = np.empty((2 * (HEIGHT + AROUND), width, 3), np.float32)
        self._rows, self._first = slice(0, 0), 0  # in the buffer; the first one's in the frame
        self._copy = np.empty((HEIGHT + 2 * AROUND, width, 3), np.float32)

    def add(self, rows: Floats, needed: int) -> int:
        """Rows below those held, of which those above row `needed` of the frame are dropped.

        Returns the number of the frame's first row that is not known yet.
        """
        begin, end = self._rows.start + needed - self._first, self._rows.stop
        if end + len(rows) > len(self._buffer):  # those held to its beginning
            self._buffer[: end - begin] = self._buffer[begin:end]
            begin, end = 0, end - begin
        self._buffer[end : end + len(rows)] = rows
        self._rows, self._first = slice(begin, end + len(rows)), needed
        return needed + self._rows.stop - begin

    def rows(self, begin: int, end: int) -> Floats:
        """Rows `begin` to `end` of the frame, until rows are added."""
        return self._buffer[self._rows][begin - self._first : end - self._first]

    def copy(self, begin: int, end: int) -> Floats:
        """The same, in a buffer that the next copy uses again."""
        copy = self._copy[: end - begin]
        copy[:] = self.rows(begin, end)
        return copy


def _to_camera(model: Model, mosaic: Mosaic) -> Floats | None:
    """(3, 3) from the model's colours to camera RGB; None where they are the camera's already."""
    if model.card.task != SRGB_TASK:
        return None
    return np.linalg.inv(srgb_matrix(mosaic.camera_from_xyz)).astype(np.float32)


def check_model(model: Model, mosaic: Mosaic) -> None:
    kind = mosaic.cfa.kind.name
    if model.card.task == PICTURE_TASK:
        raise UnsupportedError(
            f"the model {model.card.name} restores finished pictures, not RAW photos; "
            "choose another with --model (see `undark models`)"
        )
    if model.card.cfa != kind:
        raise UnsupportedError(
            f"this photo's sensor is {kind}, the model {model.card.name} restores "
            f"{model.card.cfa}; choose a model for {kind} with --model (see `undark models`)"
        )
