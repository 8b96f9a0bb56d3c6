"""Open a file with LibRaw and name its faults. Runs in a RAW worker only.

Errors do not name the file: `reading` puts its name before them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rawpy

from undark.errors import ReadError, UnsupportedError
from undark.files.raw.advice import AGAIN
from undark.files.raw.suffixes import RAW_SUFFIXES

_PICTURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
}
_DAMAGE = re.compile(rb": (?:Unexpected end of file|data corrupted at)")
_STDERR = 2


@contextmanager
def opened(path: Path, *, unpack: bool = True) -> Iterator[rawpy.RawPy]:
    """LibRaw with the file unpacked, or only its metadata read.

    Raises `ReadError`, `UnsupportedError`.
    """
    with rawpy.RawPy() as raw:
        try:
            _clear_messages()
            _open(raw, path)
            if not _holds_its_frame(path, raw):
                raise ReadError(f"the file is damaged or cut short; {AGAIN}")
            if unpack:
                raw.unpack()
        except rawpy.LibRawFileUnsupportedError as error:
            raise _unknown(path) from error
        except rawpy.LibRawError as error:
            raise ReadError(f"the file is damaged or cut short; {AGAIN}") from error
        if _DAMAGE.search(_messages()):  # LibRaw returns what it has decoded so far
            raise ReadError(f"the file is damaged or cut short; {AGAIN}")
        yield raw


def first_bytes(path: Path) -> bytes:
    """Enough of a file to tell its format."""
    with path.open("rb") as file:
        return file.read(64)


def _clear_messages() -> None:
    os.ftruncate(_STDERR, 0)
    os.lseek(_STDERR, 0, os.SEEK_SET)


def _messages() -> bytes:
    """LibRaw's messages since the last call: for some formats the only sign of damaged data."""
    os.lseek(_STDERR, 0, os.SEEK_SET)
    return os.read(_STDERR, 1 << 20)


def _open(raw: rawpy.RawPy, path: Path) -> None:
    """Open by name, or by content if the name cannot be encoded for LibRaw."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            raw.open_buffer(file)
    else:
        raw.open_file(str(path))


def _holds_its_frame(path: Path, raw: rawpy.RawPy) -> bool:
    """Whether the file can contain as many pixels as it declares; else LibRaw may run for minutes.

    Lossless JPEG has at least a bit per pixel; even a blank zipped frame has an eighth.
    """
    pixels: int = raw.sizes.raw_width * raw.sizes.raw_height
    return pixels <= 64 * path.stat().st_size


def _unknown(path: Path) -> ReadError | UnsupportedError:
    """Why LibRaw does not read a file as a RAW photo."""
    start = first_bytes(path)
    version = ".".join(map(str, rawpy.libraw_version))
    picture = next((name for magic, name in _PICTURES.items() if start.startswith(magic)), None)
    if picture:
        return ReadError(f"this is a {picture} picture, not a RAW photo; give the RAW file")
    if path.suffix.lower() == ".gpr":
        return UnsupportedError(
            "GoPro GPR is not supported; convert it to DNG with Adobe DNG Converter"
        )
    if path.suffix.lower() in RAW_SUFFIXES:
        return ReadError(
            f"damaged, cut short, or of a camera that LibRaw {version} does not know;"
            f" {AGAIN}, or convert it to DNG"
        )
    return ReadError("not a RAW photo; give a file as the camera wrote it (ARW, NEF, …)")
