"""A folder of dark frames and flats to a camera's profile in the user's folder of cameras."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from undark.calibrate.laws import fit_laws
from undark.calibrate.measure import Measured, measure
from undark.calibrate.plots import draw_plots
from undark.calibrate.survey import LeftOut, Survey, survey
from undark.calibrate.verdict import Verdict, judge
from undark.errors import DataError, ExistsError
from undark.files.cameras import calibration_path, write_calibration
from undark.files.folder import MARK
from undark.files.output import atomic_output
from undark.files.picture import write_picture
from undark.sensor.mosaic import Shot
from undark.sensor.profiles.calibration import Calibration

PLOTS = f"calibration{MARK}.png"


@dataclass(frozen=True, eq=False)
class Report:
    """What a calibration has made."""

    calibration: Calibration
    profile: Path
    plots: Path
    measured: tuple[Measured, ...]
    """ISO ascending."""
    verdict: Verdict
    left_out: tuple[LeftOut, ...]


def calibrate(
    folder: Path,
    plots: Path | None = None,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Report:
    """Measure a camera from a folder of its dark frames and flats, and write its profile.

    Plots go to the folder `plots`, by default that of the frames, as `calibration-undark.png`.
    `progress` gets what is done, how much of it, and of how much. Raises `DataError` for frames
    that no profile can be made of, `ExistsError` where there is a profile and `overwrite` is not
    set, `ReadError`, `OutputError`.
    """
    found = survey(folder, lambda done, of: progress("reading", done, of))
    path = calibration_path(found.frames[0].shot)
    if os.path.lexists(path) and not overwrite:
        raise ExistsError(f"{path}: this camera has a profile already; --overwrite replaces it")
    measured = []
    for number, iso in enumerate(found.isos, 1):
        measured.append(measure(iso, found.of(iso, dark=True), found.of(iso, dark=False)))
        progress("measuring", number, len(found.isos))
    calibration = _calibration(folder, found, measured)
    sheet = (plots or folder) / PLOTS
    with atomic_output(sheet, overwrite=True) as temporary:
        write_picture(temporary, draw_plots(calibration, measured), Shot())
    write_calibration(path, calibration, overwrite)
    verdict = judge(calibration, measured)
    return Report(calibration, path, sheet, tuple(measured), verdict, tuple(found.left_out))


def _calibration(folder: Path, found: Survey, measured: Sequence[Measured]) -> Calibration:
    """Raises `DataError` where no gain could be measured."""
    settings = tuple(one.setting for one in measured)
    first = found.frames[0]
    try:
        laws = fit_laws(settings)
    except ValueError as error:
        raise DataError(f"{folder}: {error}; expose flats to 10 to 70 % of white") from error
    sources = Counter(frame.black_source for frame in found.frames if frame.dark)
    spans = Counter(round(frame.span) for frame in found.frames)
    return Calibration(
        make=first.shot.make or "",
        model=first.shot.model or "",
        cfa=first.camera[1],
        size=first.camera[2],
        span=float(spans.most_common(1)[0][0]),
        step=float(min(frame.step for frame in found.frames)),
        black_source=sources.most_common(1)[0][0],
        settings=settings,
        laws=laws,
    )
