"""The restore way, whole: a dark mosaic in, light out.

mosaic → noise, amplification → tiles of packed planes → model → linear camera RGB → picture
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.develop.demosaic import demosaic
from undark.develop.render import render, srgb_matrix
from undark.engine.card import PICTURE_TASK, SRGB_TASK
from undark.engine.catalogue import DEFAULT_MODEL
from undark.engine.model import Model, load_model
from undark.engine.tiling import TILE, place, run_tiled, tiles
from undark.errors import UnsupportedError
from undark.files.dng import write_linear
from undark.files.output import atomic_output
from undark.files.picture import write_picture
from undark.sensor.cfa import CFA, pack, unpack
from undark.sensor.conditioning import HIGHLIGHT_CEILING, condition, scale
from undark.sensor.exposure import Exposure, as_exposure
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.lookup import noise_of


@dataclass(frozen=True, eq=False)
class Restored:
    """A restored photo, not yet rendered."""

    mosaic: Mosaic
    linear: NDArray[np.float32]
    """(H, W, 3) white-balanced camera RGB, as the sensor lies; 1 is white, lamps are above."""
    exposure: Exposure
    noise: NoiseModel
    noise_source: str

    def picture(self, bits: int = 8) -> NDArray[Any]:
        """(H, W, 3) uint8 or uint16, sRGB, upright."""
        return render(self.linear, self.mosaic, self.exposure.amplification, bits)

    def blend(self, strength: float) -> Restored:
        """Between the plainly demosaiced photo (0) and the restored one (1); no new run."""
        if strength == 1:
            return self
        return replace(self, linear=_blend(self, strength))

    def save(
        self,
        path: str | Path,
        bits: int = 8,
        overwrite: bool = False,
        source: str | None = None,
    ) -> Path:
        """Write JPEG, PNG, TIFF or linear DNG, by the suffix, atomically.

        `source` is the digest of the photo's file (`files.provenance.digest_of`), kept in the
        result's metadata. Raises `ExistsError`, `OutputError`.
        """
        path = Path(path)
        with atomic_output(path, overwrite) as temporary:
            if path.suffix.lower() == ".dng":
                amplification = self.exposure.amplification
                write_linear(temporary, self.linear, self.mosaic, amplification, source)
            else:
                write_picture(temporary, self.picture(bits), self.mosaic.shot, source=source)
        return path


def restore(
    mosaic: Mosaic,
    *,
    exposure: Exposure | float | None = None,
    strength: float = 1.0,
    model: Model | str = DEFAULT_MODEL,
    noise: NoiseModel | None = None,
    tile: int = TILE,
    progress: Callable[[float], None] = lambda share: None,
) -> Restored:
    """Restore a dark photo.

    `exposure` is an amplification ratio or an `Exposure`, by default chosen from the photo;
    `noise` by default from its tags, its camera or itself; `progress` is called with the share
    done. Raises `UnsupportedError` where the model is for another CFA, and `ModelError`.
    """
    chosen = as_exposure(exposure, mosaic)
    source = "as given"
    if noise is None:
        noise, source = noise_of(mosaic)
    network = _shipped(model) if isinstance(model, str) else model
    linear = _run(network, mosaic, noise, chosen.amplification, tile, progress)
    return Restored(mosaic, linear, chosen, noise, source).blend(strength)


def _run(
    model: Model,
    mosaic: Mosaic,
    noise: NoiseModel,
    amplification: float,
    tile: int,
    progress: Callable[[float], None],
) -> NDArray[np.float32]:
    """The network over the frame: (H, W, 3) linear camera RGB."""
    cfa = _check_cfa(model, mosaic)
    (height, width), (top, left) = mosaic.shape, cfa.shift
    whole_cells = mosaic.canonical(model.card.multiple * cfa.cell)
    frame = _Frame(whole_cells, noise, amplification)
    down, across = (n // cfa.cell for n in whole_cells.shape)
    plan = tiles(down, across, model.card.multiple, model.card.halo, tile)
    linear = np.empty((height, width, 3), np.float32)
    done = run_tiled(model, frame.inputs, plan, cfa.cell)
    to_camera = _to_camera(model, mosaic)
    for number, ((rows, columns), light) in enumerate(done, 1):
        light = np.tensordot(to_camera, light, 1) if to_camera is not None else light
        light = light + frame.lamps(rows, columns)
        place(linear, light, rows.start - top, columns.start - left)
        progress(number / len(plan))
    return linear


class _Frame:
    """A mosaic at the canonical phase and the network's multiple, given out in parts."""

    def __init__(self, mosaic: Mosaic, noise: NoiseModel, amplification: float) -> None:
        self._mosaic, self._noise = mosaic, noise
        like = np.empty(0, np.float32)
        balance = mosaic.white_balance
        self._factor = scale(mosaic.cfa, balance, mosaic.span, amplification, like)

    def inputs(self, tile: tuple[slice, slice]) -> NDArray[np.float32]:
        """(1, C, h, w) for rows and columns of packed pixels."""
        cell = self._mosaic.cfa.cell
        signal = self._mosaic.signal(*(slice(s.start * cell, s.stop * cell) for s in tile))
        made = condition(signal, self._mosaic.cfa, self._noise, self._factor)
        return np.asarray(made[None], np.float32)

    def lamps(self, rows: slice, columns: slice) -> NDArray[np.float32] | float:
        """(3, H, W): what was above the ceiling and not given to the network; 0 if nothing."""
        cfa = self._mosaic.cfa
        # a period more on each side, which demosaicing looks at
        wide = [slice(max(s.start - cfa.period, 0), s.stop + cfa.period) for s in (rows, columns)]
        brightest = self._mosaic.plane[*wide].max() - self._mosaic.black.min()
        if brightest * self._factor.max() <= HIGHLIGHT_CEILING:
            return 0.0
        signal = self._mosaic.signal(*wide)
        above = np.clip(pack(signal, cfa) * self._factor - HIGHLIGHT_CEILING, 0, None)
        light = demosaic(unpack(above, cfa, signal.shape), cfa)
        top, left = rows.start - wide[0].start, columns.start - wide[1].start
        inside = light[top:, left:][: rows.stop - rows.start, : columns.stop - columns.start]
        return np.moveaxis(inside, -1, 0)


def _to_camera(model: Model, mosaic: Mosaic) -> NDArray[np.float32] | None:
    """(3, 3) from the model's colours to camera RGB; None where they are the camera's already."""
    if model.card.task != SRGB_TASK:
        return None
    return np.linalg.inv(srgb_matrix(mosaic.camera_from_xyz)).astype(np.float32)


def _check_cfa(model: Model, mosaic: Mosaic) -> CFA:
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
    return mosaic.cfa


def _blend(restored: Restored, strength: float) -> NDArray[np.float32]:
    mosaic = restored.mosaic
    blended = plain(mosaic, restored.exposure.amplification)
    blended += np.float32(strength) * (restored.linear - blended)
    return blended


def plain(mosaic: Mosaic, amplification: float) -> NDArray[np.float32]:
    """(H, W, 3) linear camera RGB: amplified and demosaiced, nothing else."""
    light = demosaic(mosaic.signal(), mosaic.cfa)
    light *= mosaic.white_balance * np.float32(amplification / mosaic.span)
    return light


@cache
def _shipped(name: str) -> Model:
    return load_model(name)
