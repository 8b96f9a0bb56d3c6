"""Decoded frames kept on disk: decoding a RAW file takes a second, mapping its pixels nothing.

A frame is an array in NumPy's own file format, opened as a memory map, so that a crop reads only
what it needs; what else is to be known of it (its facts) is JSON beside it, with a checksum.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from undark.errors import OutputError
from undark.files.output import whole, write_whole

Decoded = tuple[NDArray[Any], dict[str, Any]]
"""A frame and its facts, which JSON can hold."""

_README = b"Decoded photos, kept by undark to read them faster. May be deleted.\n"
_FORMAT = 1
"""Raise it when frames are decoded in another way: what is kept then counts no more."""
_SHARE = 0.5
"""Of the disk's free space that frames may take, if nothing else is said."""


def default_folder() -> Path:
    """The system's place for caches: ~/.cache/undark/frames on Linux."""
    return user_cache_path("undark", appauthor=False) / "frames"


class FrameCache:
    """Frames by the file they came from. Several processes may share a folder."""

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        """`limit` in bytes; by default half of what is free or taken by frames already.

        Raises `OutputError` where the folder cannot be made.
        """
        try:
            write_whole(folder / "README", _README)
        except OutputError as error:
            raise OutputError(
                f"{folder}: decoded photos cannot be kept here; choose another folder with --cache"
            ) from error
        self._folder = folder
        taken = sum(size for _, size, _ in self._kept())
        self._limit = limit or int(_SHARE * (shutil.disk_usage(folder).free + taken))
        self._checked: set[str] = set()
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)

    def get(self, source: Path, what: str, decode: Callable[[], Decoded]) -> Decoded:
        """The frame that `decode` makes of a file, from the disk if it is there and whole.

        `what` tells apart what is made of one file. The array may be a read-only memory map.
        """
        name = _name(source, what)
        with self._locks[name]:  # or two threads that want the same frame both decode it
            found = self._find(name)
            if found is None:
                array, facts = found = decode()
                self._keep(name, array, facts)
            return found

    def _find(self, name: str) -> Decoded | None:
        record, pixels = self._paths(name)
        try:
            known = json.loads(record.read_text())
            array = np.load(pixels, mmap_mode="r")
            if name not in self._checked and _checksum(array) != known["checksum"]:
                return None
            os.utime(record)  # used last
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            return None  # missing, damaged, or just thrown out
        self._checked.add(name)
        return array, known["facts"]

    def _keep(self, name: str, array: NDArray[Any], facts: dict[str, Any]) -> None:
        """Write a frame; without room for it, it is not kept, and nothing is lost."""
        record, pixels = self._paths(name)
        self._make_room(array.nbytes)
        with suppress(Exception):  # a full disk must not stop a training
            with whole(pixels, overwrite=True) as temporary, temporary.open("wb") as file:
                np.save(file, array)
            known = {"checksum": _checksum(array), "facts": facts}
            with whole(record, overwrite=True) as temporary:
                temporary.write_text(json.dumps(known))
            self._checked.add(name)

    def _make_room(self, needed: int) -> None:
        """Throw out frames, those first that were not used for longest."""
        kept = sorted(self._kept())
        taken = sum(size for _, size, _ in kept)
        for _, size, record in kept:
            if taken + needed <= self._limit:
                return
            for path in self._paths(record.stem):
                path.unlink(missing_ok=True)
            taken -= size

    def _kept(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, record) of every frame."""
        found = []
        for record in self._folder.glob("*.json"):
            with suppress(OSError):  # another process may throw it out meanwhile
                pixels = record.with_suffix(".npy")
                found.append((record.stat().st_mtime, pixels.stat().st_size, record))
        return found

    def _paths(self, name: str) -> tuple[Path, Path]:
        """Its record, which is written last and thrown out first, and its pixels."""
        return self._folder / f"{name}.json", self._folder / f"{name}.npy"


def _name(source: Path, what: str) -> str:
    """Another one as soon as the file changes."""
    state = source.stat()
    parts = [_FORMAT, str(source.resolve()), state.st_size, state.st_mtime_ns, what]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _checksum(array: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)
