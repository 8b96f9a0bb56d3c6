"""Suffixes of picture files. Light: the command line looks at them before anything is loaded."""

PICTURE_SUFFIXES = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".tif": "tiff", ".tiff": "tiff"}
"""Suffix → kind of the file."""
