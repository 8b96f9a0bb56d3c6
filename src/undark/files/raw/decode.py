"""A RAW file to a mosaic, with LibRaw. Runs in a RAW worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rawpy
from numpy.typing import NDArray

from undark.develop.colour import srgb_from_camera
from undark.errors import ReadError, UnsupportedError
from undark.files.exif_read import has_no_orientation, read_tags
from undark.files.raw.advice import AGAIN
from undark.files.raw.black import Frame, masked_border
from undark.files.raw.dng_facts import DngFacts, read_facts
from undark.files.raw.libraw import first_bytes, opened
from undark.files.raw.metadata import read_shot
from undark.files.raw.preview import ORIENTATIONS
from undark.files.raw.white_balance import choose_white_balance
from undark.sensor.cfa import CFA, GREEN
from undark.sensor.mosaic import MASKED_BORDER, Mosaic, Shot
from undark.sensor.offsets import MaskedLines

_SUPPORTED = "undark restores Bayer and X-Trans mosaics of square pixels"


def decode(path: Path) -> Mosaic:
    """The mosaic of a file; see `reading.read_mosaic`. Errors do not name the file."""
    with opened(path) as raw:
        cfa = _cfa(raw)
        facts = read_facts(path)
        with path.open("rb") as file:
            tags = read_tags(file)
        shot = read_shot(raw, tags, first_bytes(path))
        try:
            mosaic = _mosaic(raw, cfa, facts or DngFacts(), shot)
        except ValueError as error:
            raise ReadError(f"{error}; {AGAIN}") from error
    return mosaic.replace(orientation=1) if has_no_orientation(tags) else mosaic


def _cfa(raw: rawpy.RawPy) -> CFA:
    """The filter pattern as seen from the corner of the visible frame."""
    why = _unsupported(raw)
    if why:
        raise UnsupportedError(f"{why}; {_SUPPORTED}")
    pattern = np.asarray(raw.raw_pattern)
    try:
        # LibRaw calls the second green of a Bayer pattern 3
        return CFA(tuple(tuple(GREEN if c == 3 else int(c) for c in row) for row in pattern))
    except ValueError as error:
        raise UnsupportedError(f"an unusual colour filter; {_SUPPORTED}") from error


def _unsupported(raw: rawpy.RawPy) -> str | None:
    """Why undark does not support the file; None if it does."""
    if raw.raw_type != rawpy.RawType.Flat:
        return "no mosaic of whole numbers (linear DNG, Foveon, reduced or floating-point RAW)"
    try:
        pattern = raw.raw_pattern
    except NotImplementedError:
        return "an unknown colour filter"
    if pattern is None or pattern.shape == (1, 1):
        return "the sensor is monochrome"
    if raw.color_desc != b"RGBG":
        return f"the sensor's colours are {raw.color_desc.decode('ascii', 'replace')}"
    aspect = float(raw.sizes.pixel_aspect)
    return f"the pixels are not square ({aspect:.2f} to 1)" if abs(aspect - 1) > 0.02 else None


def _mosaic(raw: rawpy.RawPy, cfa: CFA, facts: DngFacts, shot: Shot) -> Mosaic:
    """Raises `ValueError` for implausible levels."""
    plane = np.array(raw.raw_image_visible, order="C")  # a copy: LibRaw frees its own
    black, black_source, masked = _black(raw, cfa, facts)
    mosaic = Mosaic(
        plane=plane,
        cfa=cfa,
        black=black,
        white=_white(raw, black),
        white_balance=np.ones(3, np.float32),
        camera_from_xyz=_matrix(raw, facts),
        orientation=ORIENTATIONS.get(raw.sizes.flip, 1),
        default_crop=_crop(raw, facts),
        noise_profile=facts.noise_profile,
        shot=shot,
        black_source=black_source,
        masked=masked,
    )
    given = raw.camera_whitebalance if facts.neutral is None else 1 / facts.neutral
    gains, source = choose_white_balance(mosaic, given, raw.daylight_whitebalance)
    return mosaic.replace(white_balance=gains, white_balance_source=source)


def _black(
    raw: rawpy.RawPy, cfa: CFA, facts: DngFacts
) -> tuple[NDArray[np.float32], str, MaskedLines | None]:
    """The black level at each position of the CFA's period, where it comes from, and the lines of
    the masked border."""
    tag = _tiled(facts.black, cfa.period)
    if tag is None:
        tag = _tagged_black(raw)
    sizes, image = raw.sizes, raw.raw_image
    frame = Frame(sizes.top_margin, sizes.left_margin, sizes.height, sizes.width)
    border = masked_border(image, frame, tag, float(raw.white_level))
    if border is None:
        return tag, "tag", None
    return border.black, MASKED_BORDER, border.lines


def _tiled(black: NDArray[np.float32] | None, period: int) -> NDArray[np.float32] | None:
    """A repeat pattern brought to the CFA's period; None where they do not fit."""
    if black is None or any(period % n for n in black.shape):
        return None
    rows, columns = black.shape
    return np.tile(black, (period // rows, period // columns))


def _tagged_black(raw: rawpy.RawPy) -> NDArray[np.float32]:
    """LibRaw's level of each colour, with separate values for the two greens."""
    levels = np.array(raw.black_level_per_channel, np.float32)
    by_position: NDArray[np.float32] = levels[np.asarray(raw.raw_pattern)]
    return by_position


def _white(raw: rawpy.RawPy, black: NDArray[np.float32]) -> float:
    """LibRaw's white level; the brightest pixel if that is implausible."""
    darkest = float(black.max()) + 1
    for white in (float(raw.white_level), float(raw.raw_image_visible.max())):
        if white > darkest:
            return white
    raise ValueError("its black level is not below its white level")


def _matrix(raw: rawpy.RawPy, facts: DngFacts) -> NDArray[np.float32] | None:
    """(3, 3) XYZ (D65) → camera RGB: the DNG's own, else LibRaw's for this camera.

    A DNG's own comes first: its pixels may have been through a program since the camera.
    """
    if facts.camera_from_xyz is not None and _turns_round(facts.camera_from_xyz):
        return facts.camera_from_xyz
    table = np.array(raw.rgb_xyz_matrix[:3], np.float32)
    return table if _turns_round(table) else None


def _turns_round(matrix: NDArray[np.float32]) -> bool:
    """Whether develop can use the matrix: white is mapped to white, and it can be inverted."""
    try:
        srgb_from_camera(matrix)
    except ValueError:
        return False
    return True


def _crop(raw: rawpy.RawPy, facts: DngFacts) -> tuple[int, int, int, int] | None:
    """The file's default crop, if it is within the visible frame and smaller."""
    sizes = raw.sizes
    crop = facts.default_crop
    if crop is None:
        top = sizes.crop_top_margin - sizes.top_margin
        left = sizes.crop_left_margin - sizes.left_margin
        crop = (top, left, sizes.crop_height, sizes.crop_width)
    top, left, height, width = crop
    inside = top >= 0 and left >= 0 and top + height <= sizes.height and left + width <= sizes.width
    is_full = (height, width) == (sizes.height, sizes.width)
    return crop if inside and not is_full and height > 0 and width > 0 else None
