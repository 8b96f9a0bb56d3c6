"""The frames of a folder: which are dark, which are flats, of which camera, at which ISO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.errors import DataError, PhotoError, naming
from undark.files.folder import is_result, no_folder
from undark.files.raw import find_raws, read_uncalibrated
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.windows import robust_sigma

DARK_BELOW = 0.003
"""Mean of a dark frame, as a share of the span: 48 DN of 14 bits, more than black levels err."""
FLAT_ABOVE = 0.01
"""Mean of a flat's brightest position at least, as a share of the span."""
CLIPPED = 0.001
"""Share of a flat's pixels at white, at one position of the CFA, from which it is saturated."""
CELLS = (12, 16)
"""Rows and columns of cells, in which the dark shading is measured."""
MOST = 2048
"""Pixels a side of the middle of a frame, from which noise is measured."""
_HOT = 12.0
"""Sigma (by the median deviation) from which a pixel of a dark frame counts as hot."""
_AT_ONCE = 2


@dataclass(frozen=True, eq=False)
class Frame:
    """Statistics of a frame; its pixels are read again when they are needed."""

    path: Path
    shot: Shot
    iso: float
    dark: bool
    camera: tuple[str, str, tuple[int, int]]
    """Name, CFA, size: the same for all frames of a calibration."""
    span: float
    """DN from black to white."""
    black_source: str
    means: NDArray[np.float64]
    """(period, period) mean above the file's black level, DN; of dark frames without hot pixels."""
    cells: NDArray[np.float32]
    """(period, period, *CELLS) the same in each cell of the frame."""
    step: int
    """Quantisation step in DN: the greatest common divisor of the pixels' differences."""
    crushed: float
    """Share of pixels at DN 0: noise below black that the camera cut off."""


@dataclass(frozen=True)
class LeftOut:
    """A file that cannot be used."""

    path: Path
    reason: str
    """One line that names the file."""


@dataclass
class Survey:
    """The frames of one camera, sorted by name."""

    frames: list[Frame] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def of(self, iso: float, dark: bool) -> list[Frame]:
        """The dark frames, or the flats, at one ISO."""
        return [f for f in self.frames if f.iso == iso and f.dark == dark]

    @property
    def isos(self) -> list[float]:
        """All ISO settings, ascending."""
        return sorted({frame.iso for frame in self.frames})


def survey(folder: Path, progress: Callable[[int, int], None]) -> Survey:
    """Read all RAW files below a folder once; `progress` gets the number done, and of all.

    Files that cannot be used are in `Survey.left_out`. Raises `DataError` for a folder without
    dark frames or without flats, and where frames are of more than one camera, filter or size.
    """
    if why := no_folder(folder):
        raise DataError(why)
    paths = [path for path in find_raws(folder) if not is_result(path)]
    found = Survey()
    for done, one in enumerate(_looked_at(paths), 1):
        if isinstance(one, Frame):
            found.frames.append(one)
        else:
            found.left_out.append(one)
        progress(done, len(paths))
    _check_one_camera(folder, found.frames)
    _check_both_kinds(folder, found)
    return found


def _looked_at(paths: Sequence[Path]) -> Iterator[Frame | LeftOut]:
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(_look, paths)


def _look(path: Path) -> Frame | LeftOut:
    try:
        mosaic = read_uncalibrated(path)
    except PhotoError as error:
        return LeftOut(path, naming(error, path))
    found = frame_of(path, mosaic)
    return LeftOut(path, f"{path}: {found}") if isinstance(found, str) else found


def frame_of(path: Path, mosaic: Mosaic) -> Frame | str:
    """What there is to know of a frame, or why it is of no use."""
    shot, span = mosaic.shot, mosaic.span
    if min(mosaic.shape) < 8 * mosaic.cfa.period * max(CELLS) // 4:
        return f"{mosaic.shape[1]} x {mosaic.shape[0]} pixels are too few to measure noise"
    if not shot.iso or shot.model is None:
        return "its EXIF names no camera or no ISO; give files as the camera wrote them"
    planes = positions(mosaic)
    brightest = max(float(plane[::4, ::4].mean()) for plane in planes.values())
    dark = brightest <= DARK_BELOW * span
    if not dark and (why := _no_flat(mosaic, brightest)):
        return why
    cells = np.array([_cells(plane, dark) for plane in planes.values()])
    period = mosaic.cfa.period
    levels = np.unique(mosaic.plane[::7])
    return Frame(
        path=path,
        shot=shot,
        iso=shot.iso,
        dark=dark,
        camera=(shot.camera, mosaic.cfa.name, mosaic.shape),
        span=span,
        black_source=mosaic.black_source,
        means=cells.mean(axis=(1, 2), dtype=np.float64).reshape(period, period),
        cells=cells.reshape(period, period, *CELLS).astype(np.float32),
        step=max(int(np.gcd.reduce(levels - levels[0])), 1),
        crushed=float(np.mean(mosaic.plane == 0)),
    )


def positions(mosaic: Mosaic) -> dict[tuple[int, int], NDArray[np.float32]]:
    """(h, w) DN above black for each position of the CFA's period, row by row."""
    signal, period = mosaic.signal(), mosaic.cfa.period
    places = product(range(period), range(period))
    return {(y, x): signal[y::period, x::period] for y, x in places}


def middle(mosaic: Mosaic) -> Mosaic:
    """At most `MOST` pixels a side, at the same phase of the CFA: enough for every statistic."""
    period = mosaic.cfa.period
    sides = [min(n, MOST) // period * period for n in mosaic.shape]
    corner = [(n - s) // 2 // period * period for n, s in zip(mosaic.shape, sides, strict=True)]
    return mosaic.crop(corner[0], corner[1], sides[0], sides[1])


def sigma_of(values: NDArray[np.float32], step: float = 1.0) -> float:
    """From the median deviation, half a step at least."""
    return max(float(robust_sigma(values - np.median(values))), step / 2)


def without_hot(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pixels beyond `_HOT` sigma of all replaced by the median."""
    sample = values[::2, ::2]
    middle = np.float32(np.median(sample))
    return np.where(abs(values - middle) > _HOT * sigma_of(sample), middle, values)


def _no_flat(mosaic: Mosaic, brightest: float) -> str | None:
    """Why a frame that is not dark is no flat either; None if it is one."""
    share = brightest / mosaic.span
    if share < FLAT_ABOVE:
        return (
            f"neither dark nor a flat (mean {100 * share:.2g} % of white); put the lens cap on, "
            "or expose flats to 10 to 70 %"
        )
    period = mosaic.cfa.period
    places = product(range(period), range(period))
    clipped = max(
        float(np.mean(mosaic.plane[y::period, x::period] >= mosaic.white - 1)) for y, x in places
    )
    if clipped > CLIPPED:
        return f"a saturated flat ({100 * clipped:.2g} % of a colour is at white); expose it less"
    return None


def _cells(plane: NDArray[np.float32], dark: bool) -> NDArray[np.float32]:
    """(rows, columns) means of the cells of one position."""
    kept = without_hot(plane) if dark else plane
    down, across = (np.arange(n) * size // n for n, size in zip(CELLS, kept.shape, strict=True))
    sums = np.add.reduceat(kept, down, axis=0, dtype=np.float64)
    sums = np.add.reduceat(sums, across, axis=1)
    heights, widths = np.diff([*down, kept.shape[0]]), np.diff([*across, kept.shape[1]])
    return np.asarray(sums / np.outer(heights, widths), np.float32)


def _check_one_camera(folder: Path, frames: Sequence[Frame]) -> None:
    counted = Counter(frame.camera for frame in frames)
    if len(counted) < 2:
        return
    first = {f.camera: f.path.name for f in reversed(frames)}
    named = "; ".join(
        f"{camera}, {cfa}, {size[1]} x {size[0]}: {count} ({first[camera, cfa, size]}, ...)"
        for (camera, cfa, size), count in counted.most_common()
    )
    raise DataError(f"{folder}: frames of more than one camera or size; keep one kind: {named}")


def _check_both_kinds(folder: Path, found: Survey) -> None:
    darks = sum(frame.dark for frame in found.frames)
    flats = len(found.frames) - darks
    if darks and flats:
        return
    others = f"; {len(found.left_out)} files could not be used" if found.left_out else ""
    first = f", the first: {found.left_out[0].reason}" if found.left_out else ""
    what = "no dark frames: add some with the lens cap on"
    if darks:
        what = "no flats: add some of an evenly lit surface"
    elif not flats:
        what = "no RAW dark frames or flats; docs/calibrate.md says how to take them"
    raise DataError(f"{folder}: {darks} dark frames and {flats} flats; {what}{others}{first}")
