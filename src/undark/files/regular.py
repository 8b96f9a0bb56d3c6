"""The first bytes of a file that is to be decoded, and what is wrong where there are none."""

from __future__ import annotations

import stat
from pathlib import Path

from undark.errors import ReadError


def read_start(path: Path, count: int, wanted: str) -> bytes:
    """The first `count` bytes of a regular file, fewer where it is shorter.

    Anything else is not opened: a pipe would wait for a writer, a device may never end. Raises
    `ReadError`, which names the file and what is `wanted`, as "a RAW file".
    """
    try:
        _check_kind(path, path.stat().st_mode, wanted)
        with path.open("rb") as file:
            return file.read(count)
    except FileNotFoundError as error:
        raise ReadError(f"{path}: there is no such file; check the name") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = getattr(error, "strerror", None) or error
        raise ReadError(
            f"{path}: cannot be read ({why}); check its name and permissions"
        ) from error


def _check_kind(path: Path, mode: int, wanted: str) -> None:
    if stat.S_ISDIR(mode):
        raise ReadError(f"{path}: a folder, where {wanted} is asked for; give the files in it")
    if not stat.S_ISREG(mode):
        raise ReadError(f"{path}: not a regular file; give {wanted}")
