"""The split into training and validation photos."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

HELD_BACK = 12
"""About one photo in this many is held back."""


def held_back(paths: Sequence[Path], folder: Path) -> list[Path]:
    """About one in `HELD_BACK`, at least one, by a hash of their names below `folder`.

    Adding or removing a photo does not change the split of the others.
    """
    hashes = {path: _hash(name_below(path, folder)) for path in paths}
    held = [path for path in paths if hashes[path] % HELD_BACK == 0]
    return held or [min(paths, key=lambda path: hashes[path])]


def name_below(path: Path, folder: Path) -> str:
    """The name of a photo below its folder, the same on every system."""
    path, folder = path.absolute(), folder.absolute()
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
