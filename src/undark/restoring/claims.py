"""Claims on results: if several runs share a folder, only one of them restores each photo.

A claim is an operating system lock on a hidden file in the result's folder. The system releases
the lock when the process ends, also when it is killed; another run can then claim the result.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from undark.files.output import writing

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


_LOCK = re.compile(r"\.undark-[0-9a-f]{16}\.lock")
_TEMPORARY = re.compile(r"\.undark-[0-9a-f]{12}\.\w+")
"""Names of `claim_path` and of `files.output.atomic_output`."""
_HELD = (BlockingIOError, PermissionError)
"""Raised where another process holds the lock: POSIX, Windows."""


@contextmanager
def claimed(target: Path) -> Iterator[bool]:
    """Claim a result for the block: False where another run or thread has claimed it.

    Makes missing folders. A disk without locks grants every claim; there the atomic output still
    keeps results from being replaced. Raises `OutputError` where the folder cannot be written.
    """
    path, handle = claim_path(target), None
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle = _claim(path)
        try:
            yield handle is not None
        finally:
            if handle is not None:
                _release(handle, path)
    except KeyboardInterrupt:  # it may have come after the file was made or before it was removed
        with suppress(OSError):
            if handle is None:
                _freed(path)
            else:
                path.unlink(missing_ok=True)
        raise


def claim_path(target: Path) -> Path:
    """The hidden file that is locked; its name is short however long the result's is."""
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    return target.with_name(f".undark-{digest}.lock")


def remove_partial(folder: Path, since: float) -> None:
    """Remove the temporary files that a killed run left in a folder since a time (as `time.time`).

    Nothing is removed while another run has a claim there: they may be that one's.
    """
    with suppress(OSError):
        names = os.listdir(folder)
        locks = [folder / name for name in names if _LOCK.fullmatch(name)]
        partial = [folder / name for name in names if _TEMPORARY.fullmatch(name)]
        if all(_freed(path) for path in locks):
            for path in partial:
                if path.stat().st_mtime >= since - 1:  # some disks keep whole seconds
                    path.unlink(missing_ok=True)


def _freed(path: Path) -> bool:
    """Whether nobody holds the claim; its file is then removed."""
    handle = _claim(path)
    if handle is not None:
        _release(handle, path)
    return handle is not None


def _claim(path: Path) -> int | None:
    """The open file that holds the lock; None where another has it. Raises `OSError`."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        with ExitStack() as otherwise:
            otherwise.callback(os.close, handle)
            try:
                _lock(handle)
                # else its holder has removed it since it was opened: the new file is locked
                ours = _is_at(handle, path)
            except _HELD:
                return None
            except OSError:  # a network disk without locks
                ours = True
            if ours:
                otherwise.pop_all()
                return handle


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _release(handle: int, path: Path) -> None:
    if sys.platform == "win32":  # which does not remove open files
        os.close(handle)
        with suppress(OSError):
            path.unlink()
        return
    with suppress(OSError):
        path.unlink()  # before the lock is released: no other run removes ours
    os.close(handle)
