"""RAW files: decoding, metadata, black level, and LibRaw's own rendering."""

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
