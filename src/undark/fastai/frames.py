"""Mosaics and renderings of RAW files, kept in undark's cache of decoded frames."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from undark.files.cache import Decoded, FrameCache, default_folder
from undark.files.cameras import calibrated
from undark.files.mosaic_facts import facts_of, mosaic_of
from undark.files.raw import read_uncalibrated, render_with_libraw
from undark.sensor.mosaic import Mosaic, Shot

_MOSAIC = f"fastai mosaic {[f.name for f in (*fields(Mosaic), *fields(Shot))]}"
"""Key of mosaics in the cache; it contains the fields' names, so that a change of them invalidates
older entries."""


class CachedFrames:
    """Reads files through a `FrameCache`, which is opened at first use; can be pickled."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` defaults to undark's cache."""
        self._folder = folder
        self._cache: FrameCache | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_cache": None}  # its locks cannot be pickled

    def mosaic(self, path: Path) -> Mosaic:
        """The mosaic of a RAW file. Raises `ReadError`, `UnsupportedError`, `OutputError`."""
        if not path.exists():
            return read_uncalibrated(path)  # raises `ReadError` with the file's name
        return calibrated(mosaic_of(*self._open().get(path, _MOSAIC, partial(_decoded, path))))

    def rendering(self, path: Path, options: dict[str, Any]) -> NDArray[Any]:
        """(H, W, 3) as LibRaw renders it. Raises like `mosaic`."""
        if not path.exists():
            return render_with_libraw(path, **options)
        what = f"fastai rendering {sorted(options.items())}"
        return self._open().get(path, what, lambda: (render_with_libraw(path, **options), {}))[0]

    def _open(self) -> FrameCache:
        if self._cache is None:
            self._cache = FrameCache(self._folder or default_folder())
        return self._cache


def _decoded(path: Path) -> Decoded:
    mosaic = read_uncalibrated(path)  # calibrations may change: they are applied afterwards
    return mosaic.plane, facts_of(mosaic)
