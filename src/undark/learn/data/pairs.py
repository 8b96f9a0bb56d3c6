"""Pairs of dark and bright photos of one scene → crops: one's own pairs, and SID's.

The dark photo is given to the network exactly as `undark.restore` would; the target is defined in
`undark.pairs.target`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil, lcm
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undark.align.resample import TAPS, Place, starts
from undark.develop.colour import decode_srgb, light_of
from undark.develop.render import srgb_matrix
from undark.engine.card import PICTURE_TASK, SRGB_TASK, TASK
from undark.errors import PhotoError, ReadError, TrainingError, UnsupportedError
from undark.files.cache import Decoded, FrameCache
from undark.files.picture import is_picture, open_picture
from undark.files.raw import read_mosaic
from undark.learn.aims import Aim
from undark.learn.data.batches import Batch, Samples
from undark.learn.data.exposing import NOISE_PARAMETERS
from undark.learn.kind import KINDS, PICTURE, InputKind
from undark.pairs.choose import exposure_unknown
from undark.pairs.place import check_sizes, moved
from undark.pairs.table import Row
from undark.pairs.target import (
    Target,
    camera_levels,
    camera_target,
    rounded_gains,
    srgb_levels,
    srgb_target,
)
from undark.sensor.cfa import CFA, dihedral
from undark.sensor.conditioning import condition, scale
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.lookup import noise_of

MAX_AMPLIFICATION = 300.0
COARSEST = 16
"""Crops for judging are a multiple of this, which fits any network here and X-Trans's period."""
LOOKED_AT = 24
"""Photos that are decoded to find the kind of sensor of most."""
MOST_TINT = 0.7
"""Logarithm of the largest gain by which a crop's colours are changed."""

_log = logging.getLogger(__name__)

Span = tuple[float, float]
"""From and to, as shares of a frame's width."""
WHOLE = (0.0, 1.0)


class PairFrames:
    """The frames of pairs, decoded once and kept on disk."""

    def __init__(self, cache: FrameCache, aim: Aim, kind: InputKind | None = None) -> None:
        """`kind` is that of the photos to use; others are left out. None: any."""
        self._cache, self.aim, self._lock, self.kind = cache, aim, Lock(), kind
        self.skipped: dict[Path, str] = {}
        """Photos that cannot be used, and why."""

    def dark(self, path: Path) -> tuple[Mosaic, NoiseModel]:
        """A dark photo and its noise. Raises `ReadError`, `UnsupportedError`."""
        _check_found(path)
        plane, facts = self._cache.get(path, "mosaic", partial(_decode_mosaic, path))
        return _mosaic(plane, facts), NoiseModel(**facts["noise"])

    def bright(self, path: Path, white_balance: NDArray[np.float32]) -> Target:
        """Light of a bright photo in the dark one's white balance, or sRGB in its own, as in SID.

        Raises `ReadError`, `UnsupportedError`.
        """
        _check_found(path)
        if self.aim.task == TASK:
            what = f"camera light {rounded_gains(white_balance)}"
            make = partial(camera_levels, path, white_balance)
            return camera_target(self._levels(path, what, make), white_balance)
        return srgb_target(self._levels(path, "sRGB light", partial(srgb_levels, path)))

    def _levels(
        self, path: Path, what: str, make: Callable[[], NDArray[np.uint16]]
    ) -> NDArray[np.uint16]:
        levels: NDArray[np.uint16] = self._cache.get(path, what, lambda: (make(), {}))[0]
        return levels

    def usable(self, row: Row) -> bool:
        """Whether neither photo of a pair is known to be unusable."""
        return row.dark not in self.skipped and row.bright not in self.skipped

    def skip(self, photo: Path, why: str) -> None:
        """Remember a photo that cannot be used, and log it once."""
        with self._lock:
            if photo not in self.skipped:
                _log.warning("%s (left out)", why)
            self.skipped[photo] = why

    def skip_for(self, row: Row, error: PhotoError) -> None:
        """Remember the photo of a pair that an error names."""
        self.skip(row.bright if str(row.bright) in str(error) else row.dark, str(error))

    def picture(self, path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """(H, W, 3) sRGB of a finished picture. Raises `ReadError`."""
        _check_found(path)
        found = self._cache.get(path, "levels", lambda: (open_picture(path).levels, {}))
        levels: NDArray[np.uint8] | NDArray[np.uint16] = found[0]
        return levels


def kind_of_rows(frames: PairFrames, rows: Sequence[Row]) -> InputKind:
    """The kind of most dark photos; pairs of another kind are left out, both kinds named.

    At most `LOOKED_AT` photos, evenly chosen, are decoded for it; others are left out when they
    are first used. Raises `TrainingError` for photos of another sort than the aim, and where none
    can be read.
    """
    kinds: dict[Path, InputKind] = {}
    for row in rows[:: -(-len(rows) // LOOKED_AT) or 1]:
        _check_aim(frames.aim, row)
        try:
            kinds[row.dark] = _kind_of(frames, row.dark)
        except PhotoError as error:
            frames.skip(row.dark, str(error))
    if not kinds:
        raise TrainingError(none_readable(frames.skipped) if rows else "no pairs to learn from")
    counted = Counter(kinds.values())
    kind = max(counted, key=lambda k: (counted[k], -KINDS.index(k)))
    for path, other in kinds.items():
        if other != kind:
            frames.skip(path, _another_kind(path, other, kind))
    return kind


def _another_kind(path: Path, own: InputKind, others: InputKind) -> str:
    return (
        f"{path}: {own.name}, but most pairs are {others.name}; give photos of one kind of sensor"
    )


def _kind_of(frames: PairFrames, path: Path) -> InputKind:
    return PICTURE if is_picture(path) else InputKind(frames.dark(path)[0].cfa.kind)


def _check_aim(aim: Aim, row: Row) -> None:
    if is_picture(row.dark) and aim.task != PICTURE_TASK:
        raise TrainingError(
            f"{row.dark}: a picture, not a RAW photo; add --aim rgb to learn from it"
        )
    if not is_picture(row.dark) and aim.task == PICTURE_TASK:
        raise TrainingError(f"{row.dark}: no JPEG, PNG or TIFF; for RAW photos leave out --aim rgb")


def _check_found(path: Path) -> None:
    if not path.is_file():
        raise ReadError(f"{path}: there is no such file; put it back, or take the pair out")


def _decode_mosaic(path: Path) -> Decoded:
    mosaic = read_mosaic(path)
    noise, _ = noise_of(mosaic)
    matrix = mosaic.camera_from_xyz
    facts = {
        "cfa": mosaic.cfa.rows,
        "black": mosaic.black.tolist(),
        "white": mosaic.white,
        "white_balance": mosaic.white_balance.tolist(),
        "camera_from_xyz": None if matrix is None else matrix.tolist(),
        "noise": asdict(noise),
    }
    return mosaic.plane, facts


def _mosaic(plane: NDArray[np.uint16], facts: dict[str, Any]) -> Mosaic:
    matrix = facts["camera_from_xyz"]
    return Mosaic(
        plane=plane,
        cfa=CFA(tuple(tuple(row) for row in facts["cfa"])),
        black=np.array(facts["black"], np.float32),
        white=facts["white"],
        white_balance=np.array(facts["white_balance"], np.float32),
        camera_from_xyz=None if matrix is None else np.array(matrix, np.float32),
    )


@dataclass(frozen=True)
class PairCrops:
    """Crops of N pairs, sensor values and target: what is still to be conditioned."""

    signal: Tensor
    """(N, H, W) DN above black at the canonical phase; of pictures (N, 3, H, W) linear light."""
    factor: Tensor
    """(N, planes, 1, 1) by which DN become amplified, white-balanced light; of pictures
    (N, 1, 1, 1)."""
    noise: Tensor
    """(5, N, 1, 1): `NOISE_PARAMETERS`; of pictures zeros."""
    target: Tensor
    """(N, 3, H, W)."""
    srgb: Tensor
    """(N, 3, 3); see `Batch`."""
    saturation: Tensor
    """(N,); see `Batch`."""
    kind: InputKind

    def to(self, device: torch.device | str) -> PairCrops:
        return self._each(lambda tensor, _: tensor.to(device))

    def parts(self, count: int) -> list[PairCrops]:
        size = -(-len(self.target) // count)
        return [self._part(at, size) for at in range(0, len(self.target), size)]

    def _part(self, at: int, size: int) -> PairCrops:
        return self._each(lambda t, axis: t.narrow(axis, at, min(size, t.shape[axis] - at)))

    def _each(self, change: Callable[[Tensor, int], Tensor]) -> PairCrops:
        """`change` of each tensor and the axis of its samples."""
        tensors = {name: change(getattr(self, name), axis) for name, axis in _TENSORS.items()}
        return PairCrops(**tensors, kind=self.kind)

    def prepare(self) -> Batch:
        if self.kind == PICTURE:
            inputs = self.signal * self.factor
        else:
            named = dict(zip(NOISE_PARAMETERS, self.noise, strict=True))
            inputs = condition(self.signal, self.kind.cfa, NoiseModel(**named), self.factor)
        return Batch(inputs, self.target, self.srgb, self.saturation, self.kind)


_TENSORS = {"signal": 0, "factor": 0, "noise": 1, "target": 0, "srgb": 0, "saturation": 0}
"""The tensors of `PairCrops`, each with the axis of its samples."""


def join_pair_crops(parts: Sequence[PairCrops]) -> PairCrops:
    """Many samples as one."""
    tensors = {n: torch.cat([getattr(p, n) for p in parts], axis) for n, axis in _TENSORS.items()}
    return PairCrops(**tensors, kind=parts[0].kind)


class PairSamples(Samples):
    """Crops of pairs at random places, flipped and turned."""

    def __init__(
        self, rows: Sequence[Row], frames: PairFrames, crop: int, seed: int, span: Span = WHOLE
    ) -> None:
        """`crop` is in packed pixels, `span` the part of each frame to learn from."""
        self._rows, self.frames = list(rows), frames
        self._crop, self._seed, self._span = crop, seed, span
        self._failed = torch.zeros(len(self._rows), dtype=torch.bool).share_memory_()

    def join(self, crops: Sequence[PairCrops]) -> PairCrops:
        return join_pair_crops(crops)

    def sample(self, step: int, number: int) -> PairCrops:
        """A crop of some pair; of another one where it cannot be read.

        Raises `TrainingError` if none can.
        """
        random = np.random.default_rng((self._seed, step, number))
        for at in random.permutation(len(self._rows)):
            made = try_crop(self.frames, self._rows[at], self._crop, self._span, random)
            if made is not None:
                return made
            self._failed[at] = True
        raise TrainingError(none_readable(self.frames.skipped))

    def skipped(self) -> dict[Path, str]:
        """Photos that cannot be used, those that failed in worker processes included."""
        for at in self._failed.nonzero().flatten().tolist():
            row = self._rows[at]
            if self.frames.usable(row):  # it failed in another process: find out why
                try_crop(self.frames, row, self._crop, self._span, np.random.default_rng(0))
        return dict(self.frames.skipped)


def none_readable(skipped: dict[Path, str]) -> str:
    return f"none of the pairs can be used; the first: {next(iter(skipped.values()))}"


def try_crop(
    frames: PairFrames, row: Row, crop: int, span: Span, random: np.random.Generator
) -> PairCrops | None:
    """See `random_crop`; None where a photo cannot be used, which is logged once."""
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
    """A crop of a pair at a random place, flipped, turned and, for camera light, recoloured.

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
    """Up to `count` crops of a pair to judge by, evenly spread over `span`, as they lie.

    One alone is from the middle. They are smaller than `crop` packed pixels where the frame is.
    Raises as `random_crop`.
    """
    pair = open_pair(frames, row)
    side = _fitting(crop, pair.shape, pair.kind, span, row) * pair.kind.cell
    tops, lefts = _starts(row, pair.shape, side + pair.kind.period, span)
    places = _spread(tops, lefts, side, count)
    return [pair.crop(top, left, side) for top, left in places]


def _spread(tops: range, lefts: range, side: int, count: int) -> list[tuple[int, int]]:
    """Up to `count` places that do not overlap, those nearest to the middle first."""
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
    """Both photos of a pair, opened; crops read only what they need."""

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
        """A square of `side` pixels from (top, left) on or less than a period behind.

        `turn` is one of the eight of `dihedral`; with `random` the crop is recoloured.
        """
        place = (top, left, side + self.kind.period, side + self.kind.period)
        light = self._light(place, turn)
        if isinstance(self.dark, Mosaic):
            return self._mosaic_crop(self.dark.crop(*place).dihedral(turn), light, side, random)
        dark = light_of(self.dark[top : top + side, left : left + side])
        inputs = np.moveaxis(dihedral(dark, turn), -1, 0)
        return self._crops(inputs, np.full((1, 1, 1), self._amplification), light[:side, :side])

    def _light(self, place: Place, turn: int) -> NDArray[np.float32]:
        if self.kind == PICTURE:  # no period to cut to
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
        top, left = (-n % part.cfa.period for n in part.cfa.shift)  # cut to the canonical phase
        part = part.crop(top, left, side, side)
        light = light[top : top + side, left : left + side]
        if random is not None:
            part, light = _recoloured(part, light, random)
        signal = part.signal()
        factor = scale(part.cfa, part.white_balance, part.span, self._amplification, signal)
        return self._crops(signal, factor, light)

    @property
    def _amplification(self) -> float:
        return min(self.row.amplification, MAX_AMPLIFICATION)

    def _crops(self, signal: Any, factor: Any, light: NDArray[np.float32]) -> PairCrops:
        noise = [0.0] * len(NOISE_PARAMETERS)
        if self.noise is not None:
            noise = [float(getattr(self.noise, n) or 0) for n in NOISE_PARAMETERS]
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
        raise UnsupportedError(_another_kind(row.dark, kind, frames.kind))
    target = frames.bright(row.bright, dark.white_balance)
    _check_pair(row, dark.shape, target.levels.shape[:2])
    is_srgb = frames.aim.task == SRGB_TASK
    return OpenPair(row, kind, dark.shape, dark, noise, target, is_srgb)


def _recoloured(
    part: Mosaic, light: NDArray[np.float32], random: np.random.Generator
) -> tuple[Mosaic, NDArray[np.float32]]:
    """The same sensor values as if the light had been of another colour.

    By a white balance of its own for each crop. Without it, two pairs teach a network their
    colours sooner than the camera's noise. Gains are 1 or more: what is saturated stays above
    white.
    """
    gains = np.exp(random.uniform(0, MOST_TINT, 3)).astype(np.float32)
    return part.replace(white_balance=part.white_balance * gains), light * gains


def _fitting(crop: int, shape: tuple[int, ...], kind: InputKind, span: Span, row: Row) -> int:
    """The largest crop, in packed pixels, up to `crop` that a frame of `shape` has room for."""
    room = min(shape[0], int(span[1] * shape[1]) - int(span[0] * shape[1]))
    edge = 2 * TAPS + kind.period + ceil(max(abs(row.align_dx), abs(row.align_dy)))
    multiple = lcm(COARSEST, kind.cells)
    return max(min(crop, (room - edge) // kind.cell // multiple * multiple), multiple)


def _check_pair(row: Row, dark: tuple[int, ...], bright: tuple[int, ...]) -> None:
    check_sizes(row, dark, bright)
    unknown = exposure_unknown(row)
    if unknown:
        raise UnsupportedError(unknown)


def _starts(row: Row, shape: tuple[int, int], side: int, span: Span) -> tuple[range, range]:
    """Rows and columns where a crop may begin so that the bright photo, moved, covers it."""
    tops = starts(0, shape[0], row.align_dy, side)
    lefts = starts(int(span[0] * shape[1]), int(span[1] * shape[1]), row.align_dx, side)
    if not tops or not lefts:
        raise UnsupportedError(
            f"{row.dark}: too small for crops of {side} pixels; set a smaller --crop"
        )
    return tops, lefts
