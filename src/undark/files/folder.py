"""What a folder holds, and which of it undark has made itself."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

MARK = "-undark"
"""Ends the name of every result that undark names itself."""


def find_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """All files in a folder and its folders with one of these suffixes (lower case), sorted.

    Hidden files and folders are left out.
    """
    found = (p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    return sorted(p for p in found if not _is_hidden(p.relative_to(folder)))


def is_result(path: Path) -> bool:
    """Whether undark has named the file."""
    return path.stem.endswith(MARK)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
