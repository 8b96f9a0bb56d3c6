"""Decoded frames kept on disk: decoding a RAW file takes a second, mapping its pixels almost none.

A frame is an array in NumPy's file format, opened as a memory map, so that a crop reads only the
pages it needs. JSON beside it, the record, holds its metadata ("facts"), a checksum, and the
version of the code that decoded it: frames of other code are decoded again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import warnings
import zlib
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from undark.errors import OutputError, UndarkError
from undark.files.output import atomic_output, write_atomically

Decoded = tuple[NDArray[Any], dict[str, Any]]
"""A frame and its facts, which JSON can hold."""

_README = b"Decoded photos, kept by undark to read them faster. May be deleted.\n"
_SHARE = 0.5
"""Fraction of the disk's free space that frames may take by default."""
_PACKAGES = ("sensor", "develop", "files")
"""undark's packages that decide what a decoded frame and its noise estimate are."""
_DECODERS = ("rawpy", "imagecodecs", "pillow", "tifffile")


class CacheWarning(UserWarning):
    """Most frames cannot be kept or found again: photos are decoded each time they are needed."""


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
            write_atomically(folder / "README", _README)
        except OutputError as error:
            raise OutputError(
                f"{folder}: decoded photos cannot be kept here; choose another folder with --cache"
            ) from error
        self._folder = folder
        taken = sum(size for _, size, _ in self._kept())
        self._limit = limit or int(_SHARE * (shutil.disk_usage(folder).free + taken))
        self._checked, self._decoded = set[str](), set[str]()
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)
        self._hits = self._again = 0
        self._warned = False

    def get(self, source: Path, what: str, decode: Callable[[], Decoded]) -> Decoded:
        """The frame that `decode` makes of a file, from the disk where an intact one is there.

        `what` distinguishes frames made of one file. The array may be a read-only memory map. Warns
        once (`CacheWarning`) where frames cannot be kept, or are not there when needed again.
        """
        name = _name(source, what)
        with self._locks[name]:  # two threads that need one frame decode it once
            found = self._find(name)
            if found is not None:
                self._hits += 1
                return found
            array, facts = decode()
            self._count_decoded(name)
            self._keep(name, array, facts)
            return array, facts

    def _count_decoded(self, name: str) -> None:
        """Warn if more frames were decoded again than were found."""
        self._again += name in self._decoded
        self._decoded.add(name)
        if self._again > self._hits:
            self._warn(f"too small ({self._limit >> 20} MiB), or its files cannot be read")

    def _find(self, name: str) -> Decoded | None:
        record, pixels = self._paths(name)
        try:
            known = json.loads(record.read_text())
            if known["code"] != code_version():
                return None
            array = np.load(pixels, mmap_mode="r")
            if name not in self._checked and _checksum(array) != known["checksum"]:
                return None
            os.utime(record)  # the time of last use, for eviction
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            return None  # missing, damaged, or just evicted
        self._checked.add(name)
        return array, known["facts"]

    def _keep(self, name: str, array: NDArray[Any], facts: dict[str, Any]) -> None:
        """Write a frame; if that fails, warn and continue: the cache is optional."""
        record, pixels = self._paths(name)
        known = {"code": code_version(), "checksum": _checksum(array), "facts": facts}
        content = json.dumps(known)
        try:
            self._make_room(array.nbytes)
            with atomic_output(pixels, overwrite=True) as temporary, temporary.open("wb") as file:
                np.save(file, array)
            with atomic_output(record, overwrite=True) as temporary:
                temporary.write_text(content)
        except (OSError, UndarkError) as error:
            self._warn(str(error))
        else:
            self._checked.add(name)

    def _warn(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{self._folder}: decoded photos are not found here when needed again: {why}; "
                "training is slower; choose another folder with --cache",
                CacheWarning,
                stacklevel=4,
            )

    def _make_room(self, needed: int) -> None:
        """Evict the least recently used frames. Raises `OSError`."""
        if needed > self._limit:
            raise OSError(errno.ENOSPC, f"a photo takes {needed >> 20} MiB, more than the limit")
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
            with suppress(OSError):  # another process may evict it meanwhile
                pixels = record.with_suffix(".npy")
                found.append((record.stat().st_mtime, pixels.stat().st_size, record))
        return found

    def _paths(self, name: str) -> tuple[Path, Path]:
        """Its record, which is written last and removed first, and its pixels."""
        return self._folder / f"{name}.json", self._folder / f"{name}.npy"


@cache
def code_version() -> str:
    """A digest of the code and tables that decode photos and estimate their noise.

    Any change of them invalidates what older code has kept: no number has to be raised by hand.
    """
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(p for name in _PACKAGES for p in (package / name).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
    digest.update(repr([version(name) for name in _DECODERS]).encode())
    return digest.hexdigest()[:16]


def _name(source: Path, what: str) -> str:
    """The name of a frame; another as soon as the file changes."""
    state = source.stat()
    parts = [str(source.resolve()), state.st_size, state.st_mtime_ns, what]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _checksum(array: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)
