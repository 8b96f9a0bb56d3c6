"""A photo kept in memory, restored and not, and shown with other settings without a new run.

The network runs once, at the proposed amplification and at strength 1. Exposure, white balance,
contrast and strength are arithmetic on its linear output, so a part of the picture is rendered in a
fraction of a second, pixel for pixel as `restoring.saving` writes it. Light is kept in 16-bit
floats, whose rounding changes no 8-bit level by more than one, also at a half, a quarter, … of the
size. Only a RAW photo's restored light at full size is kept in 32 bits, so that a result can be
written without a run of the network (`Live.kept`), until `Live.halve` rounds it too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from undark.develop.colour import encode_srgb, light_of
from undark.develop.render import Rendering
from undark.develop.white_balance import WhiteBalance, gains_for
from undark.engine.model import Model
from undark.errors import UnsupportedError
from undark.files.picture import Picture, is_picture, open_picture
from undark.files.raw import read_mosaic
from undark.restoring.bands import Progress
from undark.restoring.blend import amplify_and_demosaic, mixed_widths
from undark.restoring.burst_jobs import FrameReport, merge_files, named
from undark.restoring.burst_plan import FrameLeftOut
from undark.restoring.confidence import half_widths, noise_half_widths
from undark.restoring.describe import camera_facts, sensor_facts
from undark.restoring.jobs import Loaded, Options
from undark.restoring.kept import Kept
from undark.restoring.photons import Agreement
from undark.restoring.picture import WHITE, PictureRendering, picture_gains, restore_picture
from undark.restoring.raw import NO_CONFIDENCE, Earlier, Prepared, prepare, restored_light
from undark.sensor.exposure import Exposure, as_exposure
from undark.sensor.mosaic import Mosaic
from undark.sensor.orientation import part_on_sensor, upright, upright_part, upright_shape

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]

SMALLEST = 512
"""Pixels of the longer side from which the light is not kept at half the size."""
_ROWS = 256
"""Rows that are processed at a time, to bound memory: a multiple of every CFA's period and of 2."""
_AROUND = 6
"""Rows that the confidence of a row depends on, and more."""
_CACHED = 6
"""Crops of light in 32-bit floats that are kept, for the next settings of the same parts: of both
sides the part in sight and the whole frame, and what the histogram is made of."""
UNSURE = 24.0
"""Half width, in levels of 255, that the overlay of confidence shows in full."""
_OVERLAY = np.array([226, 64, 200], np.float32)
_OPACITY = 0.8


@dataclass(frozen=True)
class View:
    """A part of the upright picture, in its pixels, shown at 1/2^level of its size."""

    left: int
    top: int
    width: int
    height: int
    level: int = 0


@dataclass(frozen=True, eq=False)
class Shown:
    """A rendered part."""

    picture: NDArray[np.uint8]
    """(h, w, 3), upright."""
    left: int
    top: int
    width: int
    height: int
    """What it covers, in pixels of the upright picture: at least the view within the frame, and up
    to a pixel of its level more, also beyond the frame."""


class Live(ABC):
    """A photo that is shown; `restore` adds the restored light."""

    exposure: Exposure
    """The proposed one."""
    facts: dict[str, str]
    """Label → text."""
    _bytes_each = 2
    """Of the numbers that `_run` gives."""

    def __init__(self, shape: tuple[int, int], orientation: int) -> None:
        """`shape` is (H, W) in the file's pixel order."""
        self._shape, self._orientation = shape, orientation
        self._unrestored: list[Halves] = []
        """From level 1 on."""
        self._restored: list[Halves | Floats] | None = None
        self._crops: dict[tuple[int, ...], Floats] = {}
        """By (which, level, top, bottom, left, right), the most recently used last."""
        self._lock = Lock()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright picture."""
        height, width = upright_shape(self._shape, self._orientation)
        return width, height

    @property
    def is_restored(self) -> bool:
        return self._restored is not None

    @property
    def has_confidence(self) -> bool:
        return False

    @property
    def nbytes(self) -> int:
        """Bytes that are kept, or will be once the photo is restored; confidence once shown."""
        height, width = self._shape
        light: int = sum(level.nbytes for level in (*self._unrestored, *(self._restored or ())))
        half = sum(level.nbytes for level in self._unrestored)
        missing = 0 if self._restored else 3 * self._bytes_each * height * width + half
        return light + missing + sum(crop.nbytes for crop in list(self._crops.values()))

    @property
    def kept(self) -> Kept | None:
        """What a result can be written of; None where that is not the files' restored light."""
        return None

    @property
    def is_exact(self) -> bool:
        """Whether the restored light is kept in 32 bits."""
        return self._restored is not None and self._restored[0].dtype == np.float32

    def halve(self) -> None:
        """Keep the restored light in 16 bits, for others' sake: it can still be shown."""
        with self._lock:
            if self._restored is not None:
                self._restored = [self._restored[0].astype(np.float16), *self._restored[1:]]

    def prepare(self) -> None:
        """Compute what shows the unrestored photo at all sizes."""
        self._unrestored = _halved(self._shape, self._unrestored_light)

    def restore(self, progress: Progress) -> None:
        """Run the network. What `progress` raises ends it. Raises `ModelError`."""
        full = self._run(progress)
        levels = [full, *_halved(self._shape, lambda rows: full[rows].astype(np.float32))]
        with self._lock:
            self._restored = levels

    def show(
        self, view: View, options: Options, *, restored: bool, confidence: bool = False
    ) -> Shown:
        """Render a part with some options, of which the exposure is relative to the proposed one.

        `restored` is as `options.strength` says, else the amplified photo; `confidence` lays the
        uncertainty over it. Raises `UnsupportedError` where it is not known, or the white balance.
        """
        level = min(max(view.level, 0), self._levels - 1)
        rows, columns = self._on_sensor(view, 1 << level)
        strength = options.strength if restored and self._restored is not None else 0.0
        light = self._light(level, rows, columns, strength)
        rendering = self._rendering(light.shape[:2], options)
        rendering.add(0, light * np.float32(2.0**options.exposure.ev))
        picture = rendering.picture.astype(np.uint8, copy=False)
        if confidence and strength > 0:
            widths = self._widths(level, rows, columns, strength)
            picture = self._overlaid(picture, light, widths, 2.0**options.exposure.ev)
        return Shown(picture, *self._upright(rows, columns, 1 << level))

    def gains(self, asked: WhiteBalance) -> tuple[float, float, float] | None:
        """The gains of a white balance, by the restored light where it is known; None: as shot.

        Raises `UnsupportedError`, `ValueError` as `develop.white_balance.gains_for`.
        """

        def light_at(rows: slice, columns: slice) -> Floats:
            return self._light(0, rows, columns, 1.0 if self.is_restored else 0.0)

        gains = self._gains(asked, light_at)
        return None if gains is None else (float(gains[0]), float(gains[1]), float(gains[2]))

    def _gains_of(self, options: Options) -> Floats | None:
        gains = self.gains(options.white_balance)
        return None if gains is None else np.array(gains, np.float32)

    @property
    def _levels(self) -> int:
        return 1 + len(self._unrestored)

    def _light(self, level: int, rows: slice, columns: slice, strength: float) -> Floats:
        """(h, w, 3) linear light of a part of a level, at the proposed exposure."""
        restored, unrestored = self._restored, None
        if strength < 1 or restored is None:
            unrestored = self._cached(0, level, rows, columns)
        if strength == 0 or restored is None:
            assert unrestored is not None
            return unrestored
        light = self._cached(1, level, rows, columns)
        if unrestored is None:
            return light
        mixed: Floats = unrestored + np.float32(strength) * (light - unrestored)
        return mixed

    def _cached(self, which: int, level: int, rows: slice, columns: slice) -> Floats:
        """Unrestored (0) or restored (1) light, kept for the next settings."""
        found = self._part_of_crop(which, level, rows, columns)
        if found is not None:
            return found
        levels = self._restored if which else [None, *self._unrestored]
        assert levels is not None
        kept = levels[level]
        if kept is None:
            found = self._unrestored_part(rows, columns)
        else:
            found = kept[rows, columns].astype(np.float32)
        with self._lock:
            self._crops[which, level, rows.start, rows.stop, columns.start, columns.stop] = found
            while len(self._crops) > _CACHED:
                del self._crops[next(iter(self._crops))]
        return found

    def _part_of_crop(self, which: int, level: int, rows: slice, columns: slice) -> Floats | None:
        """A part of a crop that is kept and holds it; the crop counts as the last used."""
        with self._lock:
            for key in [key for key in self._crops if key[:2] == (which, level)]:
                _, _, top, bottom, left, right = key
                if top <= rows.start <= rows.stop <= bottom and (
                    left <= columns.start <= columns.stop <= right
                ):
                    self._crops[key] = crop = self._crops.pop(key)
                    crop = crop[rows.start - top : rows.stop - top]
                    return crop[:, columns.start - left : columns.stop - left]
        return None

    def _on_sensor(self, view: View, step: int) -> tuple[slice, slice]:
        """Rows and columns of a level, `step` pixels each, that hold a view; at least one each."""
        width, height = self.size
        part = (_span(view.top, view.height, height), _span(view.left, view.width, width))
        rows, columns = (
            slice(side.start // step, -(-side.stop // step))
            for side in part_on_sensor(part, self._shape, self._orientation)
        )
        return rows, columns

    def _upright(self, rows: slice, columns: slice, step: int) -> tuple[int, int, int, int]:
        """The inverse: (left, top, width, height) in pixels of the upright picture."""
        rows, columns = (slice(side.start * step, side.stop * step) for side in (rows, columns))
        down, across = upright_part((rows, columns), self._shape, self._orientation)
        return across.start, down.start, across.stop - across.start, down.stop - down.start

    def _overlaid(
        self, picture: NDArray[np.uint8], light: Floats, widths: Floats, factor: float
    ) -> NDArray[np.uint8]:
        """The picture, coloured where it is unsure; `factor` is from `light` to what is shown."""
        peak = light.max(axis=-1)
        least, most = (encode_srgb((peak + w) * np.float32(factor)) for w in (-widths, widths))
        share = np.clip((most - least) * (255 / 2 / UNSURE), 0, 1) * np.float32(_OPACITY)
        mixed = picture + upright(share, self._orientation)[..., None] * (_OVERLAY - picture)
        return np.asarray(np.rint(mixed), np.uint8)

    @abstractmethod
    def _unrestored_light(self, rows: slice) -> Floats:
        """(h, W, 3) amplified light of some rows, which begin at a multiple of `_ROWS`."""

    @abstractmethod
    def _unrestored_part(self, rows: slice, columns: slice) -> Floats:
        """(h, w, 3) amplified light of a part."""

    @abstractmethod
    def _run(self, progress: Progress) -> Halves | Floats:
        """(H, W, 3) restored light."""

    @abstractmethod
    def _gains(
        self, asked: WhiteBalance, light_at: Callable[[slice, slice], Floats]
    ) -> Floats | None: ...

    @abstractmethod
    def _rendering(
        self, shape: tuple[int, ...], options: Options
    ) -> Rendering | PictureRendering: ...

    def _widths(self, level: int, rows: slice, columns: slice, strength: float) -> Floats:
        """(h, w) half widths of a part at a strength, in the unit of light."""
        raise UnsupportedError(NO_CONFIDENCE)


class LiveRaw(Live):
    """A RAW photo."""

    _bytes_each = 4

    def __init__(
        self,
        ready: Prepared,
        facts: dict[str, str],
        files: _Files | None = None,
        left_out: Sequence[FrameLeftOut] = (),
    ) -> None:
        """`files` are those it was made of, `left_out` the frames of a burst that are not in it."""
        super().__init__(ready.mosaic.shape, ready.mosaic.orientation)
        self._ready, self.exposure, self.facts = ready, ready.exposure, facts
        self._files, self._left_out = files, tuple(left_out)
        self._agreement: Agreement | None = None
        self._kept_widths: dict[bool, list[Halves]] = {}
        """Of the restored photo and of the unrestored one, at all sizes, once they were shown."""
        self._computing = Lock()
        """Held for seconds: `halve` and other views are not to wait for it."""

    @property
    def kept(self) -> Kept | None:
        restored = self._restored
        if not restored or restored[0].dtype != np.float32:
            return None
        if self._files is None or self._files.have_changed:
            return None
        light = np.asarray(restored[0], np.float32)  # for the type: no copy
        earlier = Earlier(light, self.exposure.amplification, self._agreement)
        return Kept(replace(self._ready, earlier=earlier), self._left_out)

    @property
    def nbytes(self) -> int:
        mosaic, widths = self._ready.mosaic, list(self._kept_widths.values())
        merged = mosaic.merged.share.nbytes if mosaic.merged else 0
        confidence = sum(level.nbytes for levels in widths for level in levels)
        return super().nbytes + mosaic.plane.nbytes + merged + confidence

    @property
    def has_confidence(self) -> bool:
        return self._ready.law is not None

    def _unrestored_light(self, rows: slice) -> Floats:
        mosaic, amplification = self._ready.mosaic, self.exposure.amplification
        return amplify_and_demosaic(mosaic, amplification, (rows.start, rows.stop))

    def _unrestored_part(self, rows: slice, columns: slice) -> Floats:
        mosaic, period = self._ready.mosaic, self._ready.mosaic.cfa.period
        # demosaicing looks a pixel around, and repeats a period at the border of what it is given
        (top, bottom), (left, right) = (
            (max(s.start // period - 1, 0) * period, min((s.stop // period + 2) * period, n))
            for s, n in zip((rows, columns), mosaic.shape, strict=True)
        )
        part = mosaic.crop(top, left, bottom - top, right - left)
        inside = (rows.start - top, rows.stop - top)
        light = amplify_and_demosaic(part, self.exposure.amplification, inside)
        left = columns.start - left
        return light[:, left : left + columns.stop - columns.start]

    def _run(self, progress: Progress) -> Floats:
        light, self._agreement = restored_light(self._ready.model, self._ready, progress)
        return light

    def _gains(
        self, asked: WhiteBalance, light_at: Callable[[slice, slice], Floats]
    ) -> Floats | None:
        return gains_for(asked, self._ready.mosaic, self.exposure.amplification, light_at)

    def _rendering(self, shape: tuple[int, ...], options: Options) -> Rendering:
        amplification = self.exposure.amplification * 2.0**options.exposure.ev
        how = (amplification, 8, self._gains_of(options), options.contrast)
        return Rendering(shape, self._ready.mosaic, *how)

    def _widths(self, level: int, rows: slice, columns: slice, strength: float) -> Floats:
        widths = self._all_widths(restored=True)[level][rows, columns].astype(np.float32)
        if strength == 1:
            return widths
        noisy = self._all_widths(restored=False)[level][rows, columns].astype(np.float32)
        return mixed_widths(widths, noisy, strength)

    def _all_widths(self, *, restored: bool) -> list[Halves]:
        """Half widths at strength 1, or those of the noise at strength 0, at all sizes."""
        law = self._ready.law
        if law is None:
            raise UnsupportedError(NO_CONFIDENCE)
        with self._computing:
            if restored not in self._kept_widths:
                work = partial(half_widths, law) if restored else noise_half_widths
                self._kept_widths[restored] = self._computed(work)
            return self._kept_widths[restored]

    def _computed(self, work: Callable[..., Floats]) -> list[Halves]:
        """Half widths of all rows, and their means; `work` is `noise_half_widths` or alike."""
        ready, (height, width), restored = self._ready, self._shape, self._restored
        assert restored is not None
        full = np.empty(self._shape, np.float16)
        for top in range(0, height, _ROWS):
            end = min(top + _ROWS, height)
            begin, last = max(top - _AROUND, 0), min(end + _AROUND, height)
            mosaic = ready.mosaic.crop(begin, 0, last - begin, width)  # with its rows' noise
            light = restored[0][begin:last].astype(np.float32)
            widths = work(light, mosaic, ready.noise, self.exposure.amplification)
            full[top:end] = widths[top - begin : end - begin]
        return [full, *_halved(self._shape, partial(_rows, full))]


class LivePicture(Live):
    """A finished picture: JPEG, PNG or TIFF."""

    def __init__(self, picture: Picture, model: Model, options: Options) -> None:
        super().__init__((picture.levels.shape[0], picture.levels.shape[1]), picture.orientation)
        self._picture, self._model = picture, model
        self.exposure = as_exposure(options.exposure, picture.mosaic, WHITE)
        self.facts = camera_facts(picture.shot) | {"size": "{} x {}".format(*self.size)}

    @property
    def nbytes(self) -> int:
        return super().nbytes + self._picture.levels.nbytes

    def _unrestored_light(self, rows: slice) -> Floats:
        return self._unrestored_part(rows, slice(None))

    def _unrestored_part(self, rows: slice, columns: slice) -> Floats:
        levels = self._picture.levels[rows, columns]
        return light_of(levels) * np.float32(self.exposure.amplification)

    def _run(self, progress: Progress) -> Halves:
        made = restore_picture(
            self._picture, model=self._model, exposure=self.exposure, progress=progress
        )
        return made.linear.astype(np.float16)

    def _gains(
        self, asked: WhiteBalance, light_at: Callable[[slice, slice], Floats]
    ) -> Floats | None:
        return picture_gains(asked, self._picture, self.exposure.amplification, light_at)

    def _rendering(self, shape: tuple[int, ...], options: Options) -> PictureRendering:
        amplification = self.exposure.amplification * 2.0**options.exposure.ev
        how = (amplification, 8, self._gains_of(options), options.contrast)
        return PictureRendering(shape, self._orientation, *how)


class _Files:
    """Files, each with its size and time of change when this is made: before they are read."""

    def __init__(self, *paths: Path) -> None:
        self._paths, self._states = paths, [_state(path) for path in paths]

    @property
    def have_changed(self) -> bool:
        """Whether one is another file now; true where one could not be looked at."""
        return None in self._states or self._states != [_state(path) for path in self._paths]


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def open_live(source: Path, options: Options, loaded: Loaded) -> Live:
    """Read a photo, to be shown; options are those of the run of the network.

    Raises `PhotoError` where it cannot be read, `ModelError`, `DeviceError`.
    """
    if is_picture(source):
        picture = open_picture(source)
        return LivePicture(picture, loaded.models.for_photo(picture), options)
    files = _Files(source)
    ready, facts = _prepared(read_mosaic(source), options, loaded)
    return LiveRaw(ready, facts | {"hot pixels": f"{ready.mended} mended"}, files)


def open_live_burst(
    frames: Sequence[Path],
    options: Options,
    loaded: Loaded,
    progress: Progress = lambda share: None,
) -> Live:
    """Merge the frames of a burst, to be shown as one photo, which unrestored is the merge.

    The facts name the frames that were left out. What `progress` raises ends it. Raises as
    `open_live` does, and `PhotoError` where no two frames can be merged.
    """
    left_out: list[FrameLeftOut] = []

    def report(frame: FrameReport) -> None:
        if isinstance(frame, FrameLeftOut):
            left_out.append(frame)

    files = _Files(*frames)
    ready, facts = _prepared(merge_files(frames, loaded.models, report, progress), options, loaded)
    merged = {"frames": f"{len(frames) - len(left_out)} of {len(frames)} merged"}
    if left_out:
        merged["left out"] = named(left_out)
    return LiveRaw(ready, merged | facts, files, left_out)


def _prepared(mosaic: Mosaic, options: Options, loaded: Loaded) -> tuple[Prepared, dict[str, str]]:
    ready = prepare(mosaic, exposure=options.exposure, model=loaded.models.for_photo(mosaic))
    facts = camera_facts(mosaic.shot) | sensor_facts(mosaic) | {"noise": ready.noise_source}
    return ready, facts


def _halved(shape: tuple[int, int], light: Callable[[slice], Floats]) -> list[Halves]:
    """Light at a half, a quarter, … of the size, down to `SMALLEST`: means of 2×2 pixels.

    `light` gives rows of the full frame, `_ROWS` at a time.
    """
    levels: list[Halves] = []
    while max(shape) > SMALLEST:
        half = (-(-shape[0] // 2), -(-shape[1] // 2))
        level: Halves | None = None
        for top in range(0, shape[0], _ROWS):
            part = _half(light(slice(top, min(top + _ROWS, shape[0]))))
            if level is None:
                level = np.empty((half[0], *part.shape[1:]), np.float16)
            level[top // 2 : top // 2 + len(part)] = part
        assert level is not None
        levels.append(level)
        shape, light = half, partial(_rows, level)
    return levels


def _rows(level: Halves, rows: slice) -> Floats:
    return level[rows].astype(np.float32)


def _half(light: Floats) -> Floats:
    """(h, w, …) → means of 2×2 pixels; an odd last row or column is repeated."""
    odd = [(0, n % 2) for n in light.shape[:2]]
    if any(after for _, after in odd):
        light = np.pad(light, [*odd, *[(0, 0)] * (light.ndim - 2)], mode="edge")
    total: Floats = light[0::2, 0::2] + light[0::2, 1::2]
    total += light[1::2, 0::2]
    total += light[1::2, 1::2]
    total *= np.float32(0.25)
    return total


def _span(start: int, size: int, limit: int) -> slice:
    """First and one past the last pixel of a side, within the frame, at least one."""
    first = min(max(start, 0), limit - 1)
    return slice(first, min(max(start + size, first + 1), limit))
