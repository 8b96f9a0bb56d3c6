"""RAW files: decoding, metadata, black level, and LibRaw's own rendering."""

from undark.files.raw.decode import (
    LIBRAW_SPACES,
    RAW_SUFFIXES,
    check_rendering,
    find_raws,
    read_mosaic,
    render_with_libraw,
)

__all__ = [
    "LIBRAW_SPACES",
    "RAW_SUFFIXES",
    "check_rendering",
    "find_raws",
    "read_mosaic",
    "render_with_libraw",
]
