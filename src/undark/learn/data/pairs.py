"""Crops of pairs of dark and bright photos of one scene, also of SID's.

The network's input is the same as in `undark.restore`; `undark.pairs.target` defines the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, lcm
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from undark.align.resample import TAPS, Place, starts
from undark.develop.colour import decode_srgb, light_of
from undark.develop.picture_noise import PictureNoise, picture_noise
from undark.develop.render import srgb_matrix
from undark.engine.card import PICTURE_TASK, SRGB_TASK, TASK
from undark.errors import PhotoError, TrainingError, UnsupportedError
from undark.learn.data.batches import Samples
from undark.learn.data.exposing import NOISE_PARAMETERS
from undark.learn.data.pair_crops import PairCrops, join_pair_crops
from undark.learn.data.pair_frames import PairFrames, another_kind, none_readable
from undark.learn.kind import PICTURE, InputKind
from undark.pairs.choose import exposure_unknown
from undark.pairs.place import check_sizes, moved
from undark.pairs.table import Row
from undark.pairs.target import Target
from undark.sensor.cfa import dihedral
from undark.sensor.conditioning import scale
from undark.sensor.exposure import MAX_AMPLIFICATION
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel

COARSEST = 16
"""Validation crops are a multiple of this, which fits every network and X-Trans's period."""
MAX_TINT = 0.7
"""Logarithm of the largest gain by which a crop's colours are changed."""

Span = tuple[float, float]
"""From and to, as fractions of a frame's width."""
FULL_SPAN = (0.0, 1.0)


class PairSamples(Samples):
    """Crops of pairs at random positions, with random flips."""

    def __init__(
        self, rows: Sequence[Row], frames: PairFrames, crop: int, seed: int, span: Span = FULL_SPAN
    ) -> None:
        """`crop` is in packed pixels; `span` is the part of each frame used for training."""
        self._rows, self.frames = list(rows), frames
        self._crop, self._seed, self._span = crop, seed, span
        self._failed = torch.zeros(len(self._rows), dtype=torch.bool).share_memory_()

    def join(self, crops: Sequence[PairCrops]) -> PairCrops:
        return join_pair_crops(crops)

    def sample(self, step: int, number: int) -> PairCrops:
        """A crop of a random pair, or of another one if that cannot be read.

        Raises `TrainingError` if none can be read.
        """
        random = np.random.default_rng((self._seed, step, number))
        for at in random.permutation(len(self._rows)):
            made = try_crop(self.frames, self._rows[at], self._crop, self._span, random)
            if made is not None:
                return made
            self._failed[at] = True
        raise TrainingError(none_readable(self.frames.skipped))

    def skipped(self) -> dict[Path, str]:
        """Photos that cannot be used, including those that failed in worker processes."""
        for at in self._failed.nonzero().flatten().tolist():
            row = self._rows[at]
            if self.frames.usable(row):  # it failed in another process: get the error again
                try_crop(self.frames, row, self._crop, self._span, np.random.default_rng(0))
        return dict(self.frames.skipped)


def try_crop(
    frames: PairFrames, row: Row, crop: int, span: Span, random: np.random.Generator
) -> PairCrops | None:
    """See `random_crop`; None if a photo cannot be used, which is logged once."""
    if not frames.usable(row):
        return None
    try:
        return random_crop(frames, row, crop, span, random)
    except PhotoError as error:
        frames.skip_for(row, error)
        return None


def random_crop(
    frames: PairFrames, row: Row, crop: int, span: Span, random: np.random.Generator
) -> PairCrops:
    """A crop of a pair at a random position, flipped and, for camera light, recoloured.

    Raises `ReadError`, `UnsupportedError`.
    """
    pair = open_pair(frames, row)
    side = crop * pair.kind.cell
    tops, lefts = _starts(row, pair.shape, side + pair.kind.period, span)
    top, left = (places[int(random.integers(len(places)))] for places in (tops, lefts))
    turn = int(random.integers(8))
    recolour = random if frames.aim.task == TASK else None
    return pair.crop(top, left, side, turn, recolour)


def held_crops(
    frames: PairFrames, row: Row, crop: int, span: Span, count: int = 1
) -> list[PairCrops]:
    """Up to `count` validation crops of a pair, evenly spaced over `span`, not flipped.

    A single one is central. They are smaller than `crop` packed pixels if the frame is. Raises as
    `random_crop`.
    """
    pair = open_pair(frames, row)
    side = _fitting(crop, pair.shape, pair.kind, span, row) * pair.kind.cell
    tops, lefts = _starts(row, pair.shape, side + pair.kind.period, span)
    places = _spread(tops, lefts, side, count)
    return [pair.crop(top, left, side) for top, left in places]


def _spread(tops: range, lefts: range, side: int, count: int) -> list[tuple[int, int]]:
    """Up to `count` positions without overlap, those nearest to the centre first."""
    middle = tops[len(tops) // 2], lefts[len(lefts) // 2]
    rows, columns = (
        range(centre - (centre - places[0]) // side * side, places[-1] + 1, side)
        for centre, places in zip(middle, (tops, lefts), strict=True)
    )

    def away(place: tuple[int, int]) -> int:
        return abs(place[0] - middle[0]) + abs(place[1] - middle[1])

    return sorted(((top, left) for top in rows for left in columns), key=away)[:count]


@dataclass(frozen=True, eq=False)
class OpenPair:
    """Both photos of a pair, opened as memory maps; a crop reads only its own pixels."""

    row: Row
    kind: InputKind
    shape: tuple[int, int]
    dark: Mosaic | NDArray[Any]
    """A mosaic, or the levels of a picture."""
    noise: NoiseModel | None
    bright: Target
    is_srgb: bool
    """Whether the target's light is linear sRGB already."""

    def crop(
        self,
        top: int,
        left: int,
        side: int,
        turn: int = 0,
        random: np.random.Generator | None = None,
    ) -> PairCrops:
        """A square of `side` pixels from (top, left) on, or up to a period further.

        `turn` is a transformation of `dihedral`; with `random` the crop is recoloured.
        """
        place = (top, left, side + self.kind.period, side + self.kind.period)
        light = self._light(place, turn)
        if isinstance(self.dark, Mosaic):
            return self._mosaic_crop(self.dark.crop(*place).dihedral(turn), light, side, random)
        dark = light_of(self.dark[top : top + side, left : left + side])
        inputs = np.moveaxis(dihedral(dark, turn), -1, 0)
        return self._crops(inputs, np.full((1, 1, 1), self._amplification), light[:side, :side])

    def _light(self, place: Place, turn: int) -> NDArray[np.float32]:
        if self.kind == PICTURE:  # has no period
            top, left, height, width = place
            place = (top, left, height - self.kind.period, width - self.kind.period)
        levels = moved(self.bright.levels, place, self.row)
        if self.kind == PICTURE:
            levels = decode_srgb(levels * np.float32(self.bright.scale))
            return dihedral(levels, turn)
        return dihedral(levels * np.float32(self.bright.scale), turn)

    def _mosaic_crop(
        self,
        part: Mosaic,
        light: NDArray[np.float32],
        side: int,
        random: np.random.Generator | None,
    ) -> PairCrops:
        top, left = (-n % part.cfa.period for n in part.cfa.shift)  # crop to the canonical phase
        part = part.crop(top, left, side, side)
        light = light[top : top + side, left : left + side]
        if random is not None:
            part, light = _recoloured(part, light, random)
        signal = part.signal()
        factor = scale(part.cfa, part.white_balance, part.span, self._amplification, signal)
        return self._crops(signal, factor, light)

    @cached_property
    def _picture_noise(self) -> PictureNoise:
        assert not isinstance(self.dark, Mosaic)
        return picture_noise(self.dark, self._amplification)

    @property
    def _amplification(self) -> float:
        return min(self.row.amplification, MAX_AMPLIFICATION)

    def _crops(self, signal: Any, factor: Any, light: NDArray[np.float32]) -> PairCrops:
        noise = [0.0] * len(NOISE_PARAMETERS)
        if self.noise is not None:
            noise = [float(getattr(self.noise, n) or 0) for n in NOISE_PARAMETERS]
        elif not isinstance(self.dark, Mosaic):
            noise[: len(self._picture_noise)] = self._picture_noise
        camera = self.dark.camera_from_xyz if isinstance(self.dark, Mosaic) else None
        srgb = np.eye(3) if self.is_srgb else srgb_matrix(camera)
        arrays = (signal, factor, np.moveaxis(light, -1, 0), srgb)
        made = [torch.from_numpy(np.ascontiguousarray(a, np.float32))[None] for a in arrays]
        return PairCrops(
            made[0],
            made[1],
            torch.tensor(noise)[:, None, None, None],
            made[2],
            made[3],
            torch.tensor([self.bright.saturation]),
            self.kind,
        )


def open_pair(frames: PairFrames, row: Row) -> OpenPair:
    """Open both photos of a pair. Raises `ReadError`, `UnsupportedError`."""
    if frames.aim.task == PICTURE_TASK:
        levels, bright = frames.picture(row.dark), frames.picture(row.bright)
        _check_pair(row, levels.shape[:2], bright.shape[:2])
        target = Target(bright, 1 / float(np.iinfo(bright.dtype).max))  # type: ignore[arg-type]
        return OpenPair(row, PICTURE, levels.shape[:2], levels, None, target, True)
    dark, noise = frames.dark(row.dark)
    kind = InputKind(dark.cfa.kind)
    if frames.kind and kind != frames.kind:
        raise UnsupportedError(another_kind(row.dark, kind, frames.kind))
    target = frames.bright(row.bright, dark.white_balance)
    _check_pair(row, dark.shape, target.levels.shape[:2])
    is_srgb = frames.aim.task == SRGB_TASK
    return OpenPair(row, kind, dark.shape, dark, noise, target, is_srgb)


def _recoloured(
    part: Mosaic, light: NDArray[np.float32], random: np.random.Generator
) -> tuple[Mosaic, NDArray[np.float32]]:
    """The crop with a random white balance, the same for input and target.

    Without it, a network overfits the colours of a few pairs. Gains are 1 or more, so that
    saturated pixels stay above white.
    """
    gains = np.exp(random.uniform(0, MAX_TINT, 3)).astype(np.float32)
    return part.replace(white_balance=part.white_balance * gains), light * gains


def _fitting(crop: int, shape: tuple[int, ...], kind: InputKind, span: Span, row: Row) -> int:
    """The largest crop in packed pixels, up to `crop`, that fits into a frame of `shape`."""
    space = min(shape[0], int(span[1] * shape[1]) - int(span[0] * shape[1]))
    edge = 2 * TAPS + kind.period + ceil(max(abs(row.align_dx), abs(row.align_dy)))
    multiple = lcm(COARSEST, kind.cells)
    return max(min(crop, (space - edge) // kind.cell // multiple * multiple), multiple)


def _check_pair(row: Row, dark: tuple[int, ...], bright: tuple[int, ...]) -> None:
    check_sizes(row, dark, bright)
    unknown = exposure_unknown(row)
    if unknown:
        raise UnsupportedError(unknown)


def _starts(row: Row, shape: tuple[int, int], side: int, span: Span) -> tuple[range, range]:
    """Rows and columns at which a crop may start so that the shifted bright photo covers it."""
    tops = starts(0, shape[0], row.align_dy, side)
    lefts = starts(int(span[0] * shape[1]), int(span[1] * shape[1]), row.align_dx, side)
    if not tops or not lefts:
        raise UnsupportedError(
            f"{row.dark}: too small for crops of {side} pixels; set a smaller --crop"
        )
    return tops, lefts
