"""RAW files: decoding, metadata, black level, and LibRaw's own rendering."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from undark.files.raw.metadata import Header
    from undark.files.raw.pool import end_idle
    from undark.files.raw.preview import Preview
    from undark.files.raw.reading import (
        find_raws,
        read_header,
        read_mosaic,
        read_preview,
        read_uncalibrated,
        render_with_libraw,
    )
    from undark.files.raw.rendering import LIBRAW_SPACES, check_rendering
    from undark.files.raw.suffixes import RAW_SUFFIXES

# name → its module; looked up when first used, so that `pool` can start a child at once
_WHERE = {
    "LIBRAW_SPACES": "rendering",
    "RAW_SUFFIXES": "suffixes",
    "Header": "metadata",
    "Preview": "preview",
    "check_rendering": "rendering",
    "end_idle": "pool",
    "find_raws": "reading",
    "read_header": "reading",
    "read_mosaic": "reading",
    "read_preview": "reading",
    "read_uncalibrated": "reading",
    "render_with_libraw": "reading",
}

__all__ = [
    "LIBRAW_SPACES",
    "RAW_SUFFIXES",
    "Header",
    "Preview",
    "check_rendering",
    "end_idle",
    "find_raws",
    "read_header",
    "read_mosaic",
    "read_preview",
    "read_uncalibrated",
    "render_with_libraw",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    return value
