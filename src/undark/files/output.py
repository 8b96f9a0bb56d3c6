"""Atomic outputs: a file appears under its name when it is complete, or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from undark.errors import ExistsError, NameTooLongError, OutputError

_WHAT_TO_DO = {
    errno.ENOSPC: "the disk is full: free some space, or choose another folder",
    errno.EDQUOT: "your disk quota is used up: free some space, or choose another folder",
    errno.EFBIG: "the file would be larger than this system allows: choose another folder",
    errno.EROFS: "the disk is read-only: choose another folder",
    errno.EACCES: "no permission to write there: choose another folder",
    errno.EPERM: "no permission to write there: choose another folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder: choose another path",
    errno.EEXIST: "a part of this path is a file, not a folder: choose another path",
    errno.EISDIR: "that is a folder: name a file, or move the folder away",
    errno.ENAMETOOLONG: "the name is too long for this disk: choose a shorter one",
}
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@contextmanager
def atomic_output(path: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file that the block writes there becomes `path`.

    Missing folders are made. If the block raises anything, Ctrl-C included, the temporary file is
    removed and an older file at `path` is unchanged. Raises `ExistsError` where there is a file and
    `overwrite` is false, `OutputError` where the file cannot be written.
    """
    with writing(path):
        _check_target(path, overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".undark-{secrets.token_hex(6)}{path.suffix}")
    try:
        with _renamed(temporary, path), writing(path):
            yield temporary
            _flush(temporary)
            _publish(temporary, path, overwrite)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file atomically, in place of an older one. Raises `OutputError`."""
    with atomic_output(path, overwrite=True) as temporary, writing(temporary):
        temporary.write_bytes(content)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn any `OSError` of the block into an `OutputError` that names `path`."""
    try:
        yield
    except OSError as error:
        # a name is too long for one photo; any other fault stops the run
        kind = NameTooLongError if error.errno == errno.ENAMETOOLONG else OutputError
        raise kind(f"{path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    known = _WHAT_TO_DO.get(error.errno or 0)
    return known or f"cannot be written ({error.strerror or error})"


@contextmanager
def _renamed(temporary: Path, path: Path) -> Iterator[None]:
    """Replace the temporary path by the output's in messages of writers."""
    try:
        yield
    except OutputError as error:
        raise OutputError(str(error).replace(str(temporary), str(path))) from error


def _check_target(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not overwrite and os.path.lexists(path):
        raise _exists(path)


def _exists(path: Path) -> ExistsError:
    return ExistsError(f"{path}: exists already; --overwrite replaces it")


def _flush(path: Path) -> None:
    """Write a file's buffers to the disk, so that a full disk is noticed before it is renamed."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _publish(temporary: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)  # unlike a rename, never replaces a file created meanwhile
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _check_target(path, overwrite)
        os.replace(temporary, path)
