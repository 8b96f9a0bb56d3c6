"""Photos that were dropped on the page: bounded in number and size, and checked to be photos."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from undark.errors import PhotoError, ReadError
from undark.files.output import writing
from undark.files.picture import is_picture
from undark.files.raw import RAW_SUFFIXES, read_preview
from undark.files.small import picture_size
from undark.files.suffixes import PICTURE_SUFFIXES
from undark.web.storage import Storage

MOST_BYTES = 512 << 20
"""Of one photo; the largest cameras' RAW files have some 200 MiB."""
MOST_FILES = 500
MOST_PIXELS = 250_000_000
"""Of a finished picture."""
_LONGEST_NAME = 120


class RefusedError(ReadError):
    """What was sent is not kept; says why."""


class Uploads:
    """The folder of a session's uploads."""

    def __init__(self, storage: Storage) -> None:
        self._storage, self._folder = storage, storage.uploads

    async def receive(self, name: str, size: int | None, content: AsyncIterator[bytes]) -> Path:
        """Write a file and check that it is a photo; the path it is kept at.

        `size` is what the request declares; what comes is counted too. Raises `RefusedError`, and
        `OutputError` where the disk is full. Nothing stays of a file that is refused.
        """
        safe = _safe_name(name)
        room = min(MOST_BYTES, self._room(name))
        if size is not None and size > room:
            raise RefusedError(f"{name}: too large; {room >> 20} MiB are left for it")
        part = self._folder / f".{secrets.token_hex(8)}{Path(safe).suffix.lower()}"
        try:
            await _write(part, content, room, name)
            return part.rename(_free(self._folder, safe))
        finally:
            part.unlink(missing_ok=True)

    def check(self, path: Path) -> None:
        """Raises `RefusedError` where a file is no photo, and removes it."""
        try:
            check_photo(path)
        except PhotoError as error:
            path.unlink(missing_ok=True)
            raise RefusedError(str(error).replace(str(path), path.name)) from error

    def _room(self, name: str) -> int:
        """Raises `RefusedError` where there are too many files."""
        if sum(1 for _ in self._folder.iterdir()) >= MOST_FILES:
            raise RefusedError(f"{name}: {MOST_FILES} photos were dropped here already; clear some")
        return self._storage.room_for_uploads()


def check_photo(path: Path) -> None:
    """Raises `PhotoError` for a file that is no RAW photo or picture by its content."""
    if not is_picture(path):
        read_preview(path)  # LibRaw identifies it, in a process of its own
        return
    height, width = picture_size(path)
    if height * width > MOST_PIXELS:
        raise ReadError(f"{path.name}: {width} x {height} pixels are too many")


async def _write(path: Path, content: AsyncIterator[bytes], room: int, name: str) -> None:
    written = 0
    with writing(path), path.open("xb") as file:
        async for block in content:
            written += len(block)
            if written > room:
                raise RefusedError(f"{name}: too large; {room >> 20} MiB are left for it")
            file.write(block)
    if not written:
        raise RefusedError(f"{name}: the file is empty")


def _safe_name(name: str) -> str:
    """A name without folders and control characters. Raises `RefusedError` for another suffix."""
    last = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r"[^\w .+=,@()-]", "_", last).strip(" .")[-_LONGEST_NAME:]
    if Path(plain).suffix.lower() not in RAW_SUFFIXES | set(PICTURE_SUFFIXES):
        raise RefusedError(f"{last[:_LONGEST_NAME]}: no RAW photo, JPEG, PNG or TIFF")
    return plain.lstrip(".-") if Path(plain.lstrip(".-")).suffix else f"photo{plain}"


def _free(folder: Path, name: str) -> Path:
    """A path in the folder that is not taken."""
    path, number = folder / name, 2
    while path.exists():
        path = folder / f"{Path(name).stem} {number}{Path(name).suffix}"
        number += 1
    return path
