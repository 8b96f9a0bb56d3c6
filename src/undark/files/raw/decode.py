"""RAW files to mosaics. The only import of rawpy (LibRaw)."""

from __future__ import annotations

import difflib
import inspect
import io
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rawpy
from numpy.typing import NDArray

from undark.develop.colour import srgb_from_camera
from undark.errors import ReadError, UnsupportedError
from undark.files.exif_read import Tags, has_no_orientation, read_tags, shot_from_tags
from undark.files.folder import find_files
from undark.files.raw.black import Frame, masked_black
from undark.files.raw.dng_facts import DngFacts, read_facts
from undark.files.raw.white_balance import choose_white_balance
from undark.sensor.cfa import CFA, GREEN
from undark.sensor.mosaic import Mosaic, Shot

_SUFFIXES = """
    .3fr .arw .bay .cap .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .k25 .kdc .mdc .mef .mos .mrw
    .nef .nrw .orf .pef .ptx .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f
"""
RAW_SUFFIXES = frozenset(_SUFFIXES.split())
"""Suffixes of RAW photos, lower case, with their dot."""

LIBRAW_SPACES = rawpy.ColorSpace
"""What `render_with_libraw` takes as `output_color`."""
_SUPPORTED = "undark restores Bayer and X-Trans mosaics of square pixels"
_AGAIN = "copy it from the camera's card again"
# LibRaw's flip (as in dcraw) → EXIF orientation
_ORIENTATIONS = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}
_PICTURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
}
_DAMAGE = re.compile(rb"[^\n]*: (?:Unexpected end of file|data corrupted at[^\n]*)\n")


def find_raws(folder: Path) -> list[Path]:
    """All RAW photos in a folder and its folders, sorted; hidden files and folders are left out."""
    return find_files(folder, RAW_SUFFIXES)


def read_mosaic(path: Path) -> Mosaic:
    """Read a RAW photo of a Bayer or X-Trans sensor.

    Raises `ReadError` for a file that is missing, empty, damaged, cut short or not a RAW photo,
    `UnsupportedError` for a RAW photo of another kind.
    """
    path = Path(path)
    start = _check_file(path)
    with _opened(path, start) as raw:
        cfa = _cfa(raw, path)
        facts = read_facts(path)
        with path.open("rb") as file:
            tags = read_tags(file)
        shot = _shot(raw, tags, start)
        try:
            mosaic = _mosaic(raw, cfa, facts or DngFacts(), shot)
        except ValueError as error:
            raise ReadError(f"{path}: {error}; {_AGAIN}") from error
    return mosaic.replace(orientation=1) if has_no_orientation(tags) else mosaic


def render_with_libraw(path: Path, **options: Any) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """LibRaw's own rendering of a RAW photo: (H, W, 3), of 8 bits, or 16 with `output_bps=16`.

    `options` are those of rawpy's `postprocess`; see `check_rendering`. LibRaw turns the picture
    upright unless `user_flip=0`. Raises as `read_mosaic` does, though any sensor will do.
    """
    check_rendering(**options)
    path = Path(path)
    with _opened(path, _check_file(path)) as raw:
        try:
            picture: NDArray[np.uint8] | NDArray[np.uint16] = raw.postprocess(**options)
        except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
            said = error.args[0] if error.args else "no reason given"
            why = said.decode("ascii", "replace") if isinstance(said, bytes) else said
            raise UnsupportedError(
                f"{path}: LibRaw cannot render it with these options ({why}); choose another "
                "demosaic_algorithm, or use the mosaic"
            ) from error
    return picture


def check_rendering(**options: Any) -> None:
    """Raises `TypeError` for an option that rawpy's `postprocess` does not have, `ValueError` for
    a value that it does not take."""
    known = list(inspect.signature(rawpy.Params).parameters)
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0)[0]
            raise TypeError(f"{name}: LibRaw's postprocess has no such option; perhaps {near}")
    try:
        rawpy.Params(**options)
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        said = ", ".join(f"{name}={value!r}" for name, value in options.items())
        why = f" ({error})" if str(error) else ""
        raise ValueError(f"{said}: values that LibRaw's postprocess does not take{why}") from error


def _check_file(path: Path) -> bytes:
    """The first bytes of the file."""
    try:
        return _first_bytes(path)
    except OSError as error:  # such as a name longer than any file's
        raise ReadError(f"{path}: cannot be read ({error.strerror}); check the name") from error


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ReadError(f"{path}: a folder without RAW photos; give RAW files or their folder")
    if path.exists() and not path.is_file():
        raise ReadError(f"{path}: not a regular file; give a RAW file")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except FileNotFoundError as error:
        raise ReadError(f"{path}: there is no such file; check the name") from error
    except OSError as error:
        why = error.strerror or error
        raise ReadError(f"{path}: cannot be read ({why}); check its permissions") from error
    if not start:
        raise ReadError(f"{path}: the file is empty; {_AGAIN}")
    return start


@contextmanager
def _opened(path: Path, start: bytes) -> Iterator[rawpy.RawPy]:
    """LibRaw with the file unpacked, or one of our errors."""
    with rawpy.RawPy() as raw:
        try:
            with _damage_seen() as damage:
                _open(raw, path)
                if not _holds_its_frame(path, raw):
                    raise ReadError(f"{path}: the file is damaged or cut short; {_AGAIN}")
                raw.unpack()
        except rawpy.LibRawFileUnsupportedError as error:
            raise _unknown(path, start) from error
        except rawpy.LibRawError as error:
            raise ReadError(f"{path}: the file is damaged or cut short; {_AGAIN}") from error
        if damage:  # LibRaw goes on with whatever it has decoded
            raise ReadError(f"{path}: the file is damaged or cut short; {_AGAIN}")
        yield raw


def _open(raw: rawpy.RawPy, path: Path) -> None:
    """By name, or by content where the name is not text that LibRaw can be given."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            raw.open_buffer(file)
    else:
        raw.open_file(str(path))


def _holds_its_frame(path: Path, raw: rawpy.RawPy) -> bool:
    """Whether the file can hold as many pixels as it claims: LibRaw may decode for minutes.

    Lossless JPEG has a bit a pixel at least; even a blank frame that was zipped has an eighth.
    """
    pixels: int = raw.sizes.raw_width * raw.sizes.raw_height
    return pixels <= 64 * path.stat().st_size


_stderr_lock = threading.Lock()


@contextmanager
def _damage_seen() -> Iterator[list[bytes]]:
    """Keep LibRaw's words about damaged data off the terminal, and collect them.

    LibRaw prints them to the process's stderr, and for some formats goes on with zeros: these
    words are then the only sign. What else is printed meanwhile comes out when the block ends.
    """
    damage: list[bytes] = []
    with _stderr_lock, tempfile.TemporaryFile() as caught:
        try:
            saved = os.dup(2)
        except OSError:  # a process without stderr: nothing to keep quiet
            yield damage
            return
        try:
            _flush_stderr()
            os.dup2(caught.fileno(), 2)
            yield damage
        finally:
            _flush_stderr()
            os.dup2(saved, 2)
            os.close(saved)
            caught.seek(0)
            said = caught.read()
            damage += _DAMAGE.findall(said)
            os.write(2, _DAMAGE.sub(b"", said))


def _flush_stderr() -> None:
    if sys.stderr is not None and not sys.stderr.closed:
        sys.stderr.flush()


def _unknown(path: Path, start: bytes) -> ReadError | UnsupportedError:
    """Why LibRaw does not take a file for a RAW photo."""
    picture = next((name for magic, name in _PICTURES.items() if start.startswith(magic)), None)
    if picture:
        return ReadError(f"{path}: this is a {picture} picture, not a RAW photo; give the RAW file")
    if path.suffix.lower() == ".gpr":
        return UnsupportedError(
            f"{path}: GoPro GPR is not supported; convert it to DNG with Adobe DNG Converter"
        )
    if path.suffix.lower() in RAW_SUFFIXES:
        return ReadError(
            f"{path}: damaged, cut short, or of a camera that LibRaw {_libraw()} does not know;"
            f" {_AGAIN}, or convert it to DNG"
        )
    return ReadError(f"{path}: not a RAW photo; give a file as the camera wrote it (ARW, NEF, …)")


def _libraw() -> str:
    return ".".join(map(str, rawpy.libraw_version))


def _cfa(raw: rawpy.RawPy, path: Path) -> CFA:
    """The filter pattern as seen from the corner of the visible frame."""
    why = _unsupported(raw)
    if why:
        raise UnsupportedError(f"{path}: {why}; {_SUPPORTED}")
    pattern = np.asarray(raw.raw_pattern)
    try:
        # LibRaw calls the second green of a Bayer pattern 3
        return CFA(tuple(tuple(GREEN if c == 3 else int(c) for c in row) for row in pattern))
    except ValueError as error:
        raise UnsupportedError(f"{path}: an unusual colour filter; {_SUPPORTED}") from error


def _unsupported(raw: rawpy.RawPy) -> str | None:
    """What it is that undark has no way to deal with; None if nothing."""
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
    """Raises `ValueError` where the levels make no sense."""
    plane = np.array(raw.raw_image_visible, order="C")  # a copy: LibRaw frees its own
    black, black_source = _black(raw, cfa, facts)
    mosaic = Mosaic(
        plane=plane,
        cfa=cfa,
        black=black,
        white=_white(raw, black),
        white_balance=np.ones(3, np.float32),
        camera_from_xyz=_matrix(raw, facts),
        orientation=_ORIENTATIONS.get(raw.sizes.flip, 1),
        default_crop=_crop(raw, facts),
        noise_profile=facts.noise_profile,
        shot=shot,
        black_source=black_source,
    )
    given = raw.camera_whitebalance if facts.neutral is None else 1 / facts.neutral
    gains, source = choose_white_balance(mosaic, given, raw.daylight_whitebalance)
    return mosaic.replace(white_balance=gains, white_balance_source=source)


def _black(raw: rawpy.RawPy, cfa: CFA, facts: DngFacts) -> tuple[NDArray[np.float32], str]:
    """The black level at each position of the CFA's period, and where it comes from."""
    tag = _tiled(facts.black, cfa.period)
    if tag is None:
        tag = _tagged_black(raw)
    sizes, image = raw.sizes, raw.raw_image
    frame = Frame(sizes.top_margin, sizes.left_margin, sizes.height, sizes.width)
    masked = masked_black(image, frame, tag, float(raw.white_level))
    return (tag, "tag") if masked is None else (masked, "masked border")


def _tiled(black: NDArray[np.float32] | None, period: int) -> NDArray[np.float32] | None:
    """A repeat pattern brought to the CFA's period; None where they do not fit."""
    if black is None or any(period % n for n in black.shape):
        return None
    rows, columns = black.shape
    return np.tile(black, (period // rows, period // columns))


def _tagged_black(raw: rawpy.RawPy) -> NDArray[np.float32]:
    """LibRaw's level of each colour, the two greens told apart."""
    levels = np.array(raw.black_level_per_channel, np.float32)
    by_position: NDArray[np.float32] = levels[np.asarray(raw.raw_pattern)]
    return by_position


def _white(raw: rawpy.RawPy, black: NDArray[np.float32]) -> float:
    """LibRaw's white level; the brightest pixel where that makes no sense."""
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
    """Whether develop can use the matrix: white stays white and nothing collapses."""
    try:
        srgb_from_camera(matrix)
    except ValueError:
        return False
    return True


def _crop(raw: rawpy.RawPy, facts: DngFacts) -> tuple[int, int, int, int] | None:
    """The crop that the file asks for, if it lies within the visible frame and is not all of it."""
    sizes = raw.sizes
    crop = facts.default_crop
    if crop is None:
        top = sizes.crop_top_margin - sizes.top_margin
        left = sizes.crop_left_margin - sizes.left_margin
        crop = (top, left, sizes.crop_height, sizes.crop_width)
    top, left, height, width = crop
    inside = top >= 0 and left >= 0 and top + height <= sizes.height and left + width <= sizes.width
    whole = (height, width) == (sizes.height, sizes.width)
    return crop if inside and not whole and height > 0 and width > 0 else None


def _shot(raw: rawpy.RawPy, tags: Tags, start: bytes) -> Shot:
    """From EXIF; what is missing from LibRaw, which also reads formats that are not TIFF."""
    shot = shot_from_tags(tags)
    if shot.make is None and shot.model is None:
        shot = _fill(shot, _shot_of_thumbnail(raw))
    return _fill(shot, _shot_of_libraw(raw, is_crw=start[6:14] == b"HEAPCCDR"))


def _fill(shot: Shot, other: Shot) -> Shot:
    """The first shot with its gaps filled from the other."""
    gaps = {name: value for name, value in vars(other).items() if getattr(shot, name) is None}
    return replace(shot, **gaps)


def _shot_of_thumbnail(raw: rawpy.RawPy) -> Shot:
    """Camera, lens and place from the preview's EXIF; LibRaw writes one where there is none."""
    try:
        with _damage_seen():
            thumbnail = raw.extract_thumb()
    except (rawpy.LibRawError, rawpy.NotSupportedError):
        return Shot()
    if thumbnail.format != rawpy.ThumbFormat.JPEG:
        return Shot()
    found = shot_from_tags(read_tags(io.BytesIO(bytes(thumbnail.data))))
    # LibRaw's own EXIF writes 1 s where it knows nothing: exposure and date come from its fields
    return Shot(make=found.make, model=found.model, lens=found.lens, gps=found.gps)


def _shot_of_libraw(raw: rawpy.RawPy, is_crw: bool) -> Shot:
    """LibRaw's fields; it says 1.0 s, f/1.0, 0 and 1970 for what it does not know."""
    other = raw.other
    return Shot(
        lens=raw.lens.model.strip("\0 ") or None,
        exposure_time=_known(other.shutter_speed, 1.0),
        aperture=_known(other.aperture, 1.0),
        iso=_known(other.iso_speed, 0.0),
        focal_length=_known(other.focal_length, 0.0),
        taken=_taken(other.timestamp, is_crw),
    )


def _known(value: float, unknown: float) -> float | None:
    """A single precision number as it was meant: 0.0037, not 0.003700000001117587."""
    return float(f"{value:.6g}") if value != unknown and 0 < value < float("inf") else None


def _taken(timestamp: datetime, is_crw: bool) -> datetime | None:
    """The camera's clock. LibRaw reads it as local time, but a CRW's as UTC."""
    if timestamp.timestamp() <= 86400:
        return None
    return timestamp.astimezone(UTC).replace(tzinfo=None) if is_crw else timestamp
