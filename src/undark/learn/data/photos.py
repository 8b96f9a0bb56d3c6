"""Clean crops of ordinary photographs, with random parameters for each.

After Brooks et al., "Unprocessing images for learned raw denoising" (CVPR 2019): invert the
rendering of a clean photo (curve, colour matrix, white balance), darken it, and simulate a sensor.
The RGB picture is augmented before the mosaic is made: flipping a mosaic changes its CFA's phase.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undark.errors import ReadError, TrainingError
from undark.files.folder import find_pictures as pictures_below
from undark.files.folder import no_folder
from undark.files.picture import read_picture
from undark.files.suffixes import PICTURE_SUFFIXES
from undark.learn.data import radiance
from undark.learn.data.batches import Samples
from undark.learn.data.draws import DEEP, draw_defects, draw_exposures
from undark.learn.data.exposing import LINEAR, Exposures, PhotoCrops, join_photo_crops
from undark.learn.data.looks import Look, decode, draw_look
from undark.learn.data.scenes import draw_scene, saturate
from undark.learn.kind import BAYER, InputKind
from undark.sensor.conditioning import HIGHLIGHT_CEILING

Photo = NDArray[np.uint8] | NDArray[np.float32]
"""(H, W, 3): 8-bit sRGB, or linear light."""
SCENES = 0.14
"""Fraction of samples that show a synthetic scene."""
CACHE_BYTES = 2 << 30
"""Limit of the decoded photographs that are kept in memory."""
_NO_TINT = np.ones((1, 3), np.float32)

_log = logging.getLogger(__name__)


class PhotoFiles:
    """Photographs, decoded on demand, with a least-recently-used cache."""

    def __init__(self, paths: Sequence[Path], limit: int = CACHE_BYTES) -> None:
        """Photographs that cannot be read are left out when that is found.

        `limit` is in bytes: as many photographs are decoded at once, the others at first use.
        Raises `TrainingError` if none can be read.
        """
        self.paths, self.skipped = list(paths), dict[Path, str]()
        self._limit, self._taken, self._lock = limit, 0, Lock()
        self._kept: OrderedDict[Path, Photo] = OrderedDict()
        self._shapes: dict[Path, tuple[int, ...]] = {}
        for path in paths:
            if self.get(path) is not None and self._taken > 0.9 * limit:
                break
        if not self.readable:
            raise TrainingError(f"none of the photographs can be read; the first: {paths[0]}")

    @property
    def readable(self) -> list[Path]:
        """All but those that are known to be unreadable."""
        return [path for path in self.paths if path not in self.skipped]

    def get(self, path: Path) -> Photo | None:
        """A photograph; None if it cannot be read, which is logged once."""
        if path in self.skipped:
            return None
        with self._lock:
            if path in self._kept:
                self._kept.move_to_end(path)
                return self._kept[path]
        try:
            photo = _load(path)
        except ReadError as error:
            self._skip(path, str(error))
            return None
        self._keep(path, photo)
        return photo

    def share_skipped(self, skipped: dict[Path, str]) -> None:
        """Record unreadable photographs in this dict from now on, including those found so far."""
        skipped.update(self.skipped)
        self.skipped = skipped

    def known_shape(self, path: Path) -> tuple[int, ...] | None:
        """(H, W, 3) of a photograph that was decoded before."""
        return self._shapes.get(path)

    def _skip(self, path: Path, why: str) -> None:
        with self._lock:
            if path not in self.skipped:
                _log.warning("%s (left out)", why)
            self.skipped[path] = why

    def _keep(self, path: Path, photo: Photo) -> None:
        """Keep a photograph; evict the least recently used ones beyond the limit."""
        with self._lock:
            self._shapes[path] = photo.shape
            if path in self._kept:  # decoded by two threads
                return
            self._kept[path], self._taken = photo, self._taken + photo.nbytes
            while self._taken > self._limit and len(self._kept) > 1:
                self._taken -= self._kept.popitem(last=False)[1].nbytes

    def __getstate__(self) -> dict[str, Any]:
        """Without the lock and the pixels, for worker processes that are not forked."""
        return self.__dict__ | {"_lock": None, "_kept": OrderedDict(), "_taken": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_lock": Lock()}


def _load(path: Path) -> Photo:
    return radiance.read_radiance(path) if is_radiance(path) else read_picture(path)


def is_radiance(path: Path) -> bool:
    """Whether a file is a Radiance map, by its suffix."""
    return path.suffix.lower() == radiance.SUFFIX


def find_pictures(folder: Path) -> list[Path]:
    """All photographs below a folder, sorted, without undark's own files.

    Raises `TrainingError` where there are none.
    """
    if why := no_folder(folder):
        raise TrainingError(why)
    found = pictures_below(folder, {*PICTURE_SUFFIXES, radiance.SUFFIX})
    if not found:
        raise TrainingError(f"{folder}: no photographs here; give a folder of JPEG, PNG or TIFF")
    return found


def too_small(side: int, use: str = "") -> TrainingError:
    """The error where no photograph is `side` pixels wide and high; `use` as " to judge by"."""
    return TrainingError(
        f"none of the photographs{use} is {side} pixels wide and high; give larger ones"
    )


class PhotoSamples(Samples):
    """Crops of photographs, for the simulation of a kind of sensor."""

    def __init__(
        self, files: PhotoFiles, crop: int, seed: int = 0, kind: InputKind = BAYER
    ) -> None:
        """`crop` is in packed pixels. Raises `TrainingError` if no photo is large enough."""
        self._files, self._seed, self.kind = files, seed, kind
        self._side = crop * kind.cell
        self._paths = files.readable
        if not any(self._may_fit(path) for path in self._paths):
            raise too_small(self._side)

    def _may_fit(self, path: Path) -> bool:
        shape = self._files.known_shape(path)
        return shape is None or min(shape[:2]) >= self._side

    def join(self, crops: Sequence[PhotoCrops]) -> PhotoCrops:
        return join_photo_crops(crops)

    def sample(self, step: int, number: int) -> PhotoCrops:
        """A clean crop and its random parameters, a function of the seed, step and number."""
        random = np.random.default_rng((self._seed, step, number))
        is_scene = random.random() < SCENES
        exposures = self._exposures(random, is_scene)
        sigma = exposures.noise.sigma(exposures.noise.read * 0)
        defects = draw_defects(random, float(sigma), self.kind.period)
        if is_scene:
            sigmas = exposures.sigma_at_black[0]
            light = torch.from_numpy(draw_scene(random, self._side, sigmas, HIGHLIGHT_CEILING))
            camera = np.eye(3, dtype=np.float32)[None]
            exposures = replace(exposures, camera=camera, tint=_NO_TINT)
            look, defects = Look(), replace(defects, below_black=True)
        else:
            light, look = self._photo(random)
        seeds = (int(random.integers(2**62)),)
        coded, linear = (light[None][: light.dtype == dtype] for dtype in (torch.uint8, LINEAR))
        return PhotoCrops(coded, linear, (look,), exposures, (defects,), seeds, self.kind)

    def _exposures(self, random: np.random.Generator, is_scene: bool) -> Exposures:
        return draw_exposures(1, random, 0.4 if is_scene else DEEP)

    def _photo(self, random: np.random.Generator) -> tuple[Tensor, Look]:
        """(3, H, W) of a random photo, 8-bit sRGB or linear sRGB, and its augmentation."""
        crop = torch.from_numpy(self._crop(random))
        if crop.dtype != torch.uint8:
            crop = crop * 2 ** random.uniform(-1, 1)
        look = draw_look(random, coded=crop.dtype == torch.uint8)
        if random.random() < 0.07:
            crop = look.light(decode(crop) if look.coded else crop).clone()
            saturate(random, crop.numpy())
            look = Look()
        return crop, look

    def _crop(self, random: np.random.Generator) -> Photo:
        """(3, H, W): a square of a photo, flipped and transposed at random."""
        photo: NDArray[Any] = self._choose(random)
        top, left = (random.integers(n - self._side + 1) for n in photo.shape[:2])
        crop = photo[top : top + self._side, left : left + self._side]
        crop = crop[:: random.choice((-1, 1)), :: random.choice((-1, 1))]
        axes = (2, 1, 0) if random.random() < 0.5 else (2, 0, 1)
        return np.ascontiguousarray(crop.transpose(axes))

    def _choose(self, random: np.random.Generator) -> Photo:
        """A photograph that can be read and is large enough. Raises `TrainingError` if none is."""
        for at in random.permutation(len(self._paths)):
            path = self._paths[at]
            photo = self._files.get(path) if self._may_fit(path) else None
            if photo is not None and min(photo.shape[:2]) >= self._side:
                return photo
        raise too_small(self._side)
