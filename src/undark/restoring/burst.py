"""Many noisy mosaics of one scene in, one with less noise out.

After Hasinoff et al., "Burst photography for high dynamic range and low-light imaging on mobile
cameras" (2016), and Wronski et al., "Handheld multi-frame super-resolution" (2019): each frame is
aligned with the first to a fraction of a pixel, and each pixel of the first frame's mosaic becomes
the weighted mean of the nearest pixels of its colour in all frames. No pixel is interpolated, so
the noise stays white, as networks and noise models expect it, and its variance is known:
Σw² / (Σw)² of one frame's. A pixel's weight falls where its light differs from that at the place
where it should be (`guide`), which limits blur, and where a frame shows something else than the
first (`consistency`), so that what moves leaves no ghosts.

Frames are read, aligned and added one after another: memory does not grow with their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from undark.align.field import Field
from undark.align.nearest import nearest_pixels
from undark.align.noisy import SMALLEST, Alignment, Reference
from undark.cpus import in_threads
from undark.engine.catalogue import FAST, choose
from undark.engine.model import Model, cached_model
from undark.errors import UnsupportedError
from undark.restoring.consistency import Consistency, summed
from undark.restoring.guide import Guide
from undark.sensor.hot import mend
from undark.sensor.merged import MergedNoise
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.lookup import estimate_of

Floats = NDArray[np.float32]

_WIDTH = 1.2
"""Standard deviation in pixels of the Gaussian by which a pixel's weight falls with its distance:
for what the guide does not show. Chosen with `_CORRECTED` on twelve photographs of `train`
at ISO 1600 ×200, four of them also at ×20 and at ISO 6400 ×300, true motions given."""
_CORRECTED = 0.5
"""Share of the difference that the guide shows by which a pixel is corrected: less than the whole,
because the guide is wrong where detail is finest."""
_UNSURE = 0.5
"""Share of the range of the guide's light around a place by which that light may be wrong, a pixel
away: at the edge of a lamp it is."""
_LEAST_USED = 0.05
"""Mean weight of a frame below which it is left out: next to nothing of it would be merged."""
_DIFFERENT = (
    "it differs from the first frame nearly everywhere: in brightness, black level or scene"
)
_BAND = 192
"""Rows that a thread adds at a time: whole periods of every CFA."""
_MOST = 65535


@dataclass(frozen=True)
class Aligned:
    """What became of one frame."""

    number: int
    """Of the frames given, from 0: the reference."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Of the middle of the frame, pixels down and right."""
    turn: float = 0.0
    """Degrees, clockwise."""
    used: float = 1.0
    """Mean weight of its pixels, without that by distance: 1 where nothing moved."""
    fault: str | None = None
    """Why it was left out; None where it was merged."""
    copy_of: int | None = None
    """The number of a frame with the same pixels, for which it was left out."""


def fast_model(mosaic: Mosaic) -> Model:
    """The fast model that ships for a photo's sensor. Raises `ModelError`."""
    return cached_model(choose(mosaic.cfa.kind.name, quality=FAST))


def merge(
    mosaics: Iterable[Mosaic],
    *,
    noise: NoiseModel | None = None,
    model_for: Callable[[Mosaic], Model] = fast_model,
    told: Callable[[Aligned], None] = lambda frame: None,
) -> Mosaic:
    """One mosaic of all frames (H, W) of a scene, as the first frame shows it.

    `undark.restore(undark.merge([...]))` knows its noise: `Mosaic.merged` holds it for each pixel.
    Frames are iterated over once; of a generator only two are held. Levels of the result are those
    of the frames times the largest integer for which white fits 16 bits. Offsets of rows and
    columns, black-level errors, dark shading and hot pixels are taken out frame by frame.

    `noise` is that of a frame, by default as `restore` finds it. `model_for` gives the model that
    restores the first frame as a guide, by default the fast one that ships for its sensor. `told`
    is called with what became of each frame; one that cannot be aligned, or has the same pixels as
    another, is left out. Raises
    `UnsupportedError` where frames differ in size, CFA or levels, are merged already or too small,
    `ValueError` without any, or for one that no photo is, and `ModelError`.
    """
    frames = iter(mosaics)
    first = next(frames, None)
    if first is None:
        raise ValueError("no frames to merge")
    _check(first, first, 0)
    seen = {_digest(first): 0}  # a frame that counts twice would have less noise than it has
    merging, first = _Merging(first, noise, model_for(first)), outline(first)
    told(Aligned(0))
    for number, mosaic in enumerate(frames, 1):
        _check(mosaic, first, number)
        same = seen.setdefault(_digest(mosaic), number)
        if same == number:
            told(merging.add(number, mosaic))
        else:
            fault = f"it has the same pixels as frame {same + 1}"
            told(Aligned(number, fault=fault, copy_of=same))
        del mosaic  # not held while the next one is read
    return merging.merged()


def _digest(mosaic: Mosaic) -> bytes:
    """Of the pixels."""
    return hashlib.blake2b(np.ascontiguousarray(mosaic.plane).data, digest_size=16).digest()


def _check(mosaic: Mosaic, first: Mosaic, number: int) -> None:
    """Raises `UnsupportedError` for what does not belong to the burst, or cannot be merged."""
    mosaic.check()
    if mosaic.merged is not None:
        raise UnsupportedError(f"frame {number + 1} is merged already; give single frames")
    if min(mosaic.shape) < SMALLEST * mosaic.cfa.cell:
        raise UnsupportedError(f"frame {number + 1} is too small to be aligned")
    if why := difference(mosaic, first):
        raise UnsupportedError(f"frame {number + 1} has another {why} than the first one")


def difference(mosaic: Mosaic, other: Mosaic) -> str | None:
    """In what two mosaics differ that frames of a burst share; None if in nothing."""
    shared = (
        ("size", mosaic.shape, other.shape),
        ("colour filter", mosaic.cfa, other.cfa),
        ("white level", mosaic.white, other.white),
    )
    return next((what for what, a, b in shared if a != b), None)


def outline(mosaic: Mosaic) -> Mosaic:
    """The same without the memory of its pixels, which are 0."""
    return mosaic.replace(plane=np.broadcast_to(np.uint16(0), mosaic.shape))


class _Merging:
    """The sums of a burst, whose first frame is the reference."""

    def __init__(self, first: Mosaic, noise: NoiseModel | None, model: Model) -> None:
        mosaic, self._noise = _cleaned(first, noise)
        self._guide = Guide(mosaic, self._noise, model)
        signal = mosaic.signal()
        self._given = noise is not None
        self._first = outline(first)
        self._shape, self._cfa = first.shape, first.cfa
        self._reference = Reference(stabilised(signal, self._noise, self._cfa.cell))
        self._consistency = Consistency(summed(signal, self._cfa), self._noise)
        self._sum, self._weights = signal, np.ones(self._shape, np.float32)
        self._squares = np.ones(self._shape, np.float32)
        self._frames = 1

    def add(self, number: int, mosaic: Mosaic) -> Aligned:
        """Align a frame and add its pixels, unless it cannot be aligned."""
        mosaic, _ = _cleaned(mosaic, self._noise if self._given else None)
        signal = mosaic.signal()
        found = self._reference.align(stabilised(signal, self._noise, self._cfa.cell))
        motion, cell = found.field.motion, self._cfa.cell
        frame = Aligned(number, (motion.y * cell, motion.x * cell), float(np.degrees(motion.turn)))
        if found.fault:
            return replace(frame, fault=found.fault)
        same = self._consistency.weights(summed(signal, self._cfa), found.field)
        used = float(same.mean())
        if used < _LEAST_USED:
            return replace(frame, used=used, fault=_DIFFERENT)
        self._frames += 1
        self._add(signal, found, same)
        return replace(frame, used=used)

    def _add(self, signal: Floats, found: Alignment, same: Floats) -> None:
        """Add a frame's pixels, those of a cell with the weight `same` (h, w)."""

        def work(top: int) -> None:
            rows = slice(top, min(top + _BAND, self._shape[0]))
            self._add_band(signal, found.field, same, rows)

        in_threads(work, range(0, self._shape[0], _BAND))

    def _add_band(self, signal: Floats, field: Field, same: Floats, rows: slice) -> None:
        down, across = places(field, self._cfa.cell, rows, self._shape[1])
        height, width = self._shape
        cfa = self._cfa.crop(rows.start % self._cfa.period, 0)
        colours = cfa.colour_map((rows.stop - rows.start, width))
        y, x = nearest_pixels(self._cfa, colours, down, across)
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        flat = y.clip(0, height - 1) * width + x.clip(0, width - 1)
        away = (y - down).astype(np.float32), (x - across).astype(np.float32)
        level, excess, around = self._guide.at(rows, colours, *away)
        variance = self._variance(level)
        distance = away[0] ** 2 + away[1] ** 2
        unsure = np.square(excess) + np.square(np.float32(_UNSURE) * around) * distance
        weight = np.exp(distance * np.float32(-0.5 / _WIDTH**2)) * inside
        weight *= variance / (variance + unsure)
        weight *= _of_pixels(same, self._cfa.cell, rows, width)
        self._sum[rows] += weight * (signal.ravel()[flat] + np.float32(_CORRECTED) * excess)
        self._weights[rows] += weight
        self._squares[rows] += weight * weight

    def _variance(self, level: Floats) -> Floats:
        """Of a frame's pixels with this light, DN²."""
        return np.asarray(self._noise.variance(np.maximum(level, 0)), np.float32)

    def merged(self) -> Mosaic:
        """The mean, in 16 bits, and its noise."""
        first = self._first
        scale = max(1, int(_MOST / first.white))
        black = np.float32(round(float(first.black.mean()) * scale))
        share = (self._squares / np.square(self._weights)).astype(np.float16)
        light = self._sum
        light /= self._weights
        light *= np.float32(scale)
        light += black
        plane = np.clip(np.rint(light, out=light), 0, _MOST).astype(np.uint16)
        one = replace(self._noise, row=0.0, bias=0.0).scaled(scale)
        noise = MergedNoise.of(replace(one, step=1.0), share, self._frames)
        return first.replace(
            plane=plane,
            black=np.full_like(first.black, black),
            white=float(first.white * scale),
            noise_profile=profile_of(noise.typical, first.white * scale - float(black)),
            calibrated=None,
            shading=None,
            offsets=None,
            masked=None,
            merged=noise,
        )


def _cleaned(mosaic: Mosaic, noise: NoiseModel | None) -> tuple[Mosaic, NoiseModel]:
    """A frame without offsets, black-level errors and hot pixels; its noise."""
    if noise is None:
        estimate = estimate_of(mosaic)
        mosaic, noise = estimate.correct(mosaic), estimate.noise
    return mend(mosaic, noise).mosaic, noise


def stabilised(signal: Floats, noise: NoiseModel, cell: int) -> Floats:
    """(h, w): means over cells, with a noise of variance 1 (generalised Anscombe transform)."""
    count = cell**2
    height, width = (n // cell for n in signal.shape)
    cells = signal[: height * cell, : width * cell].reshape(height, cell, width, cell)
    mean = cells.mean(axis=(1, 3))
    gain = noise.gain / count
    at_black = float(noise.variance(np.float32(0))) / count
    # negative roots: beyond four sigmas below black
    root = np.maximum(gain * mean + 0.375 * gain**2 + at_black, 0.04 * at_black)
    found: Floats = np.asarray(2 / gain * np.sqrt(root), np.float32)
    return found


def places(field: Field, cell: int, rows: slice, width: int) -> tuple[Floats, Floats]:
    """Rows and columns in the frame of the pixels in some rows of the reference, (h, width)."""
    y, x = np.arange(rows.start, rows.stop, dtype=float), np.arange(width, dtype=float)
    across, down = field.at((y + 0.5) / cell - 0.5, (x + 0.5) / cell - 0.5)
    return (
        (y[:, None] + cell * down).astype(np.float32),
        (x[None] + cell * across).astype(np.float32),
    )


def _of_pixels(of_cells: Floats, cell: int, rows: slice, width: int) -> Floats:
    """Values of cells (h, w) for some rows of pixels; the last cell's where a cell is cut off."""
    down = np.minimum(np.arange(rows.start, rows.stop) // cell, of_cells.shape[0] - 1)
    across = np.minimum(np.arange(width) // cell, of_cells.shape[1] - 1)
    found: Floats = of_cells[np.ix_(down, across)]
    return found


def profile_of(noise: NoiseModel, span: float) -> tuple[tuple[float, float], ...]:
    """The DNG NoiseProfile of a noise: variance = S·x + O of x = signal / span."""
    at_black = float(noise.read**2 + noise.row**2 + noise.bias**2)
    return ((float(noise.gain) / span, at_black / span**2),)
