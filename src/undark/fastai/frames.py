"""Mosaics and renderings of RAW files, kept in undark's cache of decoded frames."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.files.cache import Decoded, FrameCache, default_folder
from undark.files.raw import read_mosaic, render_with_libraw
from undark.sensor.cfa import CFA
from undark.sensor.mosaic import GPS, Mosaic, Shot

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
            return read_mosaic(path)  # raises `ReadError` with the file's name
        return _mosaic(*self._open().get(path, _MOSAIC, partial(_decoded, path)))

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
    """The plane, and the other fields of the mosaic in types that JSON supports."""
    mosaic = read_mosaic(path)
    facts = asdict(replace(mosaic, plane=np.empty((0, 0), np.uint16), shot=Shot()))
    facts["cfa"] = mosaic.cfa.rows
    for name in ("black", "white_balance", "camera_from_xyz"):
        facts[name] = None if facts[name] is None else facts[name].tolist()
    facts["shot"] = asdict(mosaic.shot)
    taken = mosaic.shot.taken
    facts["shot"]["taken"] = taken.isoformat() if taken else None
    del facts["plane"]
    return mosaic.plane, facts


def _mosaic(plane: NDArray[Any], facts: dict[str, Any]) -> Mosaic:
    """The inverse of `_decoded`."""
    values = dict(facts)
    values["cfa"] = CFA(tuple(tuple(row) for row in facts["cfa"]))
    for name in ("black", "white_balance", "camera_from_xyz"):
        values[name] = None if facts[name] is None else np.array(facts[name], np.float32)
    crop, profile = facts["default_crop"], facts["noise_profile"]
    values["default_crop"] = crop and tuple(crop)
    values["noise_profile"] = profile and tuple(tuple(pair) for pair in profile)
    shot = dict(facts["shot"])
    shot["taken"] = shot["taken"] and datetime.fromisoformat(shot["taken"])
    shot["gps"] = shot["gps"] and GPS(**shot["gps"])
    values["shot"] = Shot(**shot)
    return Mosaic(plane=plane, **values)
