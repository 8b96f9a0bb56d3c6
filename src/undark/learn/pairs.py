"""Pairs of dark and bright photos of one scene → batches: one's own pairs, and SID's.

The dark photo is given to the network exactly as `undark.restore` would; the target is LibRaw's
rendering of the bright one, linear, in the dark one's white balance.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undark.align.resample import TAPS, Place, starts
from undark.develop.colour import decode_srgb, encode_rec709, encode_srgb, light_of
from undark.develop.render import srgb_matrix
from undark.engine.card import PICTURE_TASK, SRGB_TASK, TASK
from undark.errors import PhotoError, ReadError, TrainingError, UnsupportedError
from undark.files.cache import Decoded, FrameCache
from undark.files.picture import open_picture
from undark.files.raw import LIBRAW_SPACES, read_mosaic, render_with_libraw
from undark.learn.photos import MAX_AMPLIFICATION, Batch, collate
from undark.learn.task import psnr
from undark.pairs.choose import exposure_unknown
from undark.pairs.place import check_sizes, moved
from undark.pairs.table import Row
from undark.sensor.cfa import CFA, dihedral
from undark.sensor.conditioning import condition, scale
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.lookup import noise_of

COARSEST = 16
"""Crops are a multiple of this, which fits any network here, and X-Trans's two kinds of cells."""
SATURATED = 0.999
"""Target light from here on is only known to be at least white."""

MOST_TINT = 0.7
"""Logarithm of the largest gain by which a crop's colours are changed."""

Span = tuple[float, float]
"""From and to, as shares of a frame's width."""
WHOLE = (0.0, 1.0)


@dataclass(frozen=True)
class Aim:
    """What pairs are learnt for: the model's task, and the curve that errors are seen through."""

    task: str
    curve: Callable[[Tensor], Tensor]


AIMS = {
    "raw-linear": Aim(TASK, lambda light: light),
    "raw-srgb": Aim(SRGB_TASK, encode_rec709),  # LibRaw's own, and so SID's
    "rgb": Aim(PICTURE_TASK, encode_srgb),
}


def l1_loss(aim: Aim, network: torch.nn.Module, batch: Batch) -> Tensor:
    """The step on pairs: batch → mean absolute error (a scalar), seen through the aim's curve."""
    output, target = (_seen(aim, light) for light in (network(batch.inputs), batch.target))
    error = torch.where(batch.target < SATURATED, output - target, (output - target).clip(max=0))
    return error.abs().mean()


def _seen(aim: Aim, light: Tensor) -> Tensor:
    """Light through the curve, going on straight outside [0, 1], where curves clip."""
    inside = light.clip(0, 1)
    return aim.curve(inside) + (light - inside)


def aim_psnr(aim: Aim, output: Tensor, target: Tensor) -> Tensor:
    """(N,) PSNR in dB of what is seen through the aim's curve, clipped to [0, 1]."""
    return psnr(aim.curve(output.clip(0, 1)), aim.curve(target.clip(0, 1)))


class PairFrames:
    """The frames of pairs, decoded once and kept."""

    def __init__(self, cache: FrameCache, aim: Aim) -> None:
        self._cache, self.aim, self._lock = cache, aim, Lock()
        self.cell: int | None = None
        """Of the photos to use; others are left out. None: any."""
        self.skipped: dict[Path, str] = {}
        """Photos that cannot be used, and why."""

    def dark(self, path: Path) -> tuple[Mosaic, NoiseModel]:
        """A dark photo and its noise. Raises `ReadError`, `UnsupportedError`."""
        _check_found(path)
        plane, facts = self._cache.get(path, "mosaic", partial(_decode_mosaic, path))
        return _mosaic(plane, facts), NoiseModel(**facts["noise"])

    def bright(self, path: Path, white_balance: NDArray[np.float32]) -> NDArray[np.uint16]:
        """(H, W, 3): linear light of a bright photo, 65535 is white, as the sensor lies.

        Camera RGB in the dark photo's white balance, or sRGB in the bright one's own, as in SID.
        """
        if self.aim.task == TASK:
            gains = [round(float(g), 5) for g in white_balance]
            colours = {"output_color": LIBRAW_SPACES.raw, "user_wb": [*gains, gains[1]]}
        else:
            colours = {"output_color": LIBRAW_SPACES.sRGB, "use_camera_wb": True}
        _check_found(path)
        make = partial(_decode_light, path, colours)
        light: NDArray[np.uint16] = self._cache.get(path, str(colours), make)[0]
        return light

    def sample(
        self, row: Row, crop: int, span: Span, random: np.random.Generator | None = None
    ) -> Batch | None:
        """See `sample`; None where a photo cannot be used, which is said once and remembered."""
        if row.dark in self.skipped or row.bright in self.skipped:
            return None
        try:
            return sample(self, row, crop, span, random)
        except PhotoError as error:
            self.skip(row.bright if str(row.bright) in str(error) else row.dark, error)
            return None

    def skip(self, photo: Path, error: PhotoError) -> None:
        """Remember a photo that cannot be used, and say so once."""
        with self._lock:
            if photo not in self.skipped:
                print(f"{error} (left out)", file=sys.stderr)
            self.skipped[photo] = str(error)

    def picture(self, path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """(H, W, 3) sRGB of a finished picture."""
        _check_found(path)
        found = self._cache.get(path, "levels", lambda: (open_picture(path).levels, {}))
        levels: NDArray[np.uint8] | NDArray[np.uint16] = found[0]
        return levels


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


def _decode_light(path: Path, colours: dict[str, Any]) -> Decoded:
    """LibRaw's own demosaicing: AHD, or of X-Trans Markesteijn's."""
    light = render_with_libraw(
        path,
        output_bps=16,
        gamma=(1, 1),
        no_auto_bright=True,
        adjust_maximum_thr=0.0,
        user_flip=0,
        **colours,
    )
    return light, {}


class PairSource:
    """Draws training batches from pairs; a step of a seed is always the same batch."""

    def __init__(
        self,
        rows: Sequence[Row],
        frames: PairFrames,
        crop: int,
        seed: int,
        device: torch.device | str = "cpu",
        span: Span = WHOLE,
    ) -> None:
        """`crop` is in packed pixels, `span` the part of each frame that is looked at."""
        self._rows, self._frames = list(rows), frames
        self._crop, self._seed, self._device, self._span = crop, seed, device, span

    def batch(self, step: int, share: range) -> Batch:
        """The samples of a step with these numbers; of other pairs where some cannot be read.

        Raises `TrainingError` if none can.
        """
        return collate(self._sample(step, number) for number in share)

    def _sample(self, step: int, number: int) -> Batch:
        """A batch of one: the same in any process."""
        random = np.random.default_rng((self._seed, step, number))
        for at in random.permutation(len(self._rows)):
            made = self._frames.sample(self._rows[at], self._crop, self._span, random)
            if made is not None:
                return made.to(self._device)
        raise TrainingError(none_readable(self._frames.skipped))


def none_readable(skipped: dict[Path, str]) -> str:
    return f"none of the pairs can be used; the first: {next(iter(skipped.values()))}"


def sample(
    frames: PairFrames, row: Row, crop: int, span: Span, random: np.random.Generator | None
) -> Batch:
    """A crop of a pair as a batch of one: at random, flipped and turned.

    Without `random` the middle, as it is, and smaller where the frame is. Raises `ReadError`,
    `UnsupportedError`.
    """
    if frames.aim.task == PICTURE_TASK:
        return _picture_sample(frames, row, crop, span, random)
    dark, noise = frames.dark(row.dark)
    if dark.cfa.cell != (frames.cell or dark.cfa.cell):
        raise UnsupportedError(
            f"{row.dark}: {dark.cfa.name}, but others are not; give photos of one kind of sensor"
        )
    bright = frames.bright(row.bright, dark.white_balance)
    _check_pair(row, dark.shape, bright.shape[:2])
    side = (
        crop if random else _fitting(crop, dark.shape, dark.cfa.cell, span, row)
    ) * dark.cfa.cell
    place = _place(row, dark.shape, side + dark.cfa.period, span, random)
    turn = int(random.integers(8)) if random is not None else 0
    part = dark.crop(*place).dihedral(turn)
    light = dihedral(moved(bright, place, row), turn)
    top, left = (-n % part.cfa.period for n in part.cfa.shift)  # cut to the canonical phase
    part = part.crop(top, left, side, side)
    light = light[top : top + side, left : left + side]
    light = light / np.float32(65535)
    if random and frames.aim.task == TASK:
        part, light = _recoloured(part, light, random)
    amplification = min(row.amplification, MAX_AMPLIFICATION)
    signal = part.signal()
    factor = scale(part.cfa, part.white_balance, part.span, amplification, signal)
    inputs = condition(signal, part.cfa, noise, factor)
    return _as_batch(inputs, light, srgb_matrix(part.camera_from_xyz))


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


def _picture_sample(
    frames: PairFrames, row: Row, crop: int, span: Span, random: np.random.Generator | None
) -> Batch:
    """The same of finished pictures."""
    dark, bright = frames.picture(row.dark), frames.picture(row.bright)
    _check_pair(row, dark.shape[:2], bright.shape[:2])
    crop = crop if random else _fitting(crop, dark.shape[:2], 1, span, row)
    place = _place(row, dark.shape[:2], crop, span, random)
    turn = int(random.integers(8)) if random is not None else 0
    top, left, height, width = place
    light = light_of(dark[top : top + height, left : left + width])
    amplification = np.float32(min(row.amplification, MAX_AMPLIFICATION))
    inputs = np.moveaxis(dihedral(light, turn), -1, 0) * amplification
    target = decode_srgb(moved(bright, place, row) / np.float32(np.iinfo(bright.dtype).max))
    return _as_batch(inputs, dihedral(target, turn), np.eye(3))


def _fitting(crop: int, shape: tuple[int, ...], cell: int, span: Span, row: Row) -> int:
    """The largest crop, in packed pixels, up to `crop` that a frame of `shape` has room for."""
    room = min(shape[0], int(span[1] * shape[1]) - int(span[0] * shape[1]))
    edge = 2 * TAPS + 6 + ceil(max(abs(row.align_dx), abs(row.align_dy)))  # 6: X-Trans's period
    return max(min(crop, (room - edge) // cell // COARSEST * COARSEST), COARSEST)


def _as_batch(inputs: Any, light: Any, srgb: NDArray[np.float64]) -> Batch:
    """NumPy (C, h, w), (H, W, 3) and (3, 3) → a batch of one."""
    arrays = (inputs, np.moveaxis(light, -1, 0), srgb)
    made = (torch.from_numpy(np.ascontiguousarray(a, np.float32))[None] for a in arrays)
    return Batch(*made)


def _check_pair(row: Row, dark: tuple[int, ...], bright: tuple[int, ...]) -> None:
    check_sizes(row, dark, bright)
    unknown = exposure_unknown(row)
    if unknown:
        raise UnsupportedError(unknown)


def _place(
    row: Row, shape: tuple[int, int], side: int, span: Span, random: np.random.Generator | None
) -> Place:
    """Where to crop, so that the bright photo, moved as the row says, covers it."""
    tops = starts(0, shape[0], row.align_dy, side)
    lefts = starts(int(span[0] * shape[1]), int(span[1] * shape[1]), row.align_dx, side)
    if not tops or not lefts:
        raise UnsupportedError(
            f"{row.dark}: too small for crops of {side} pixels; set a smaller --crop"
        )
    if random is None:
        return tops[len(tops) // 2], lefts[len(lefts) // 2], side, side
    top, left = (places[int(random.integers(len(places)))] for places in (tops, lefts))
    return top, left, side, side
