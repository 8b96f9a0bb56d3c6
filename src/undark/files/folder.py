"""Which photos a folder holds, and which files undark has made itself."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from undark.errors import ReadError
from undark.files.provenance import is_made_by_undark
from undark.files.suffixes import PICTURE_SUFFIXES

MARK = "-undark"
"""Ends the name of every result that undark names itself."""
BURST_MARK = "-undark-burst"
"""Ends the names of what `undark burst` writes."""
CONFIDENCE_MARK = "-confidence"
"""Ends the name of a result's map of confidence."""


class UnreadableFolderWarning(UserWarning):
    """A folder below the one that was searched cannot be read: its photos are left out."""


@dataclass(frozen=True)
class Scan:
    """What a search of a folder found."""

    files: list[Path]
    """Sorted."""
    unreadable: list[ReadError]
    """One for each folder that cannot be read, sorted; the message names it."""


def scan_folder(folder: Path, suffixes: Collection[str]) -> Scan:
    """All files in a folder and its folders with one of these suffixes (lower case).

    Hidden files and folders are left out; links to folders are not followed.
    """
    files, errors = list[Path](), list[OSError]()
    for parent, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        files += [p for p in paths if p.suffix.lower() in suffixes and _is_file(p)]
    return Scan(sorted(files), sorted(map(_unreadable, errors), key=str))


def no_folder(path: Path) -> str | None:
    """Why a path is no folder, in one line that names it; None where it is one."""
    if path.is_dir():
        return None
    what = "a file, not a folder" if path.exists() else "there is no such folder"
    return f"{path}: {what}; check the name"


def find_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """`scan_folder`'s files; warns (`UnreadableFolderWarning`) of each folder it cannot read."""
    scan = scan_folder(folder, suffixes)
    for error in scan.unreadable:
        warnings.warn(str(error), UnreadableFolderWarning, stacklevel=2)
    return scan.files


def find_pictures(
    folder: Path, suffixes: Collection[str] = frozenset(PICTURE_SUFFIXES)
) -> list[Path]:
    """Photographs below a folder for training, by default JPEG, PNG and TIFF files, sorted.

    Hidden files are left out, and what undark has made: results, contact sheets, film frames.
    Warns as `find_files` does.
    """
    found = find_files(folder, suffixes)
    return [p for p in found if not is_result(p) and not is_made_by_undark(p)]


def is_result(path: Path) -> bool:
    """Whether undark has named the file."""
    return path.stem.endswith((MARK, BURST_MARK, CONFIDENCE_MARK))


def _is_file(path: Path) -> bool:
    """Whether it is a regular file; True if that cannot be determined: reading it then fails."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except PermissionError:
        return True
    except OSError:
        return False


def _unreadable(error: OSError) -> ReadError:
    return ReadError(
        f"{error.filename}: this folder cannot be read ({error.strerror}), its photos are left "
        "out; check its permissions"
    )
