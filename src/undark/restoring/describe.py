"""Properties of a photo and the restoration proposed for it: the text of `undark info`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.develop.picture_noise import picture_noise
from undark.develop.white_balance import daylight_gains
from undark.files.picture import Picture, is_picture, open_picture
from undark.files.raw import read_mosaic
from undark.restoring.picture import WHITE
from undark.sensor.blind import Estimate
from undark.sensor.exposure import Exposure, exposure_value, propose_exposure, scene_lux
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.profiles.lookup import estimate_of

UNKNOWN = "unknown"
BAYER_POSITIONS = 4
"""Black-level errors that are listed; of the 36 of X-Trans the range is shown."""


def describe(path: Path) -> dict[str, str]:
    """Label → text, in the order to show. Raises `PhotoError`."""
    if is_picture(path):
        return _of_picture(open_picture(path))
    mosaic = read_mosaic(path)
    return camera_facts(mosaic.shot) | sensor_facts(mosaic) | _proposal(mosaic)


def _of_picture(picture: Picture) -> dict[str, str]:
    exposure = propose_exposure(picture.mosaic, WHITE)
    level, difference = picture_noise(picture.levels, exposure.amplification)
    noise = (
        f"{level:.3f} of white in the amplified picture, {difference:.3f} between its colours "
        "(flattest parts)"
    )
    facts = camera_facts(picture.shot) | picture_facts(picture) | {"noise": noise}
    return facts | _amplification(exposure)


def picture_facts(picture: Picture) -> dict[str, str]:
    """Label → text, of what the file of a finished picture says."""
    height, width = picture.levels.shape[:2]
    return {
        "size": f"{width} x {height}",
        "bits": f"{8 * picture.levels.itemsize} a channel",
        "orientation": str(picture.orientation),
    }


def camera_facts(shot: Shot) -> dict[str, str]:
    """Label → text, of how a photo was taken."""

    def known(value: float | None, text: str) -> str:
        return UNKNOWN if value is None else text.format(value)

    ev = exposure_value(shot)
    place = shot.gps and f"{shot.gps.latitude:.5f}, {shot.gps.longitude:.5f}"
    return {
        "camera": shot.camera,
        "lens": shot.lens or UNKNOWN,
        "exposure time": known(shot.exposure_time, "{:g} s"),
        "aperture": known(shot.aperture, "f/{:g}"),
        "ISO": known(shot.iso, "{:g}"),
        "focal length": known(shot.focal_length, "{:g} mm"),
        "taken": shot.taken.isoformat(" ") if shot.taken else UNKNOWN,
        "GPS": place or UNKNOWN,
        "exposure value": known(ev, "EV {:.1f} at ISO 100"),
    }


def sensor_facts(mosaic: Mosaic) -> dict[str, str]:
    """Label → text, of what the file says of the sensor."""
    height, width = mosaic.shape
    black = sorted({f"{level:g}" for level in mosaic.black.ravel().tolist()})
    daylight = daylight_gains(mosaic.camera_from_xyz)
    crop = mosaic.default_crop
    return {
        "size": f"{width} x {height}",
        "default crop": f"{crop[3]} x {crop[2]} at {crop[1]}, {crop[0]}" if crop else "all",
        "CFA": mosaic.cfa.name,
        "black level": f"{', '.join(black)} DN ({mosaic.black_source})",
        "white level": f"{mosaic.white:g} DN",
        "white balance": f"{_gains(mosaic.white_balance)} ({mosaic.white_balance_source})",
        "daylight": UNKNOWN if daylight is None else f"{_gains(daylight)} (colour matrix, D65)",
        "colour matrix": UNKNOWN if mosaic.camera_from_xyz is None else "known",
        "orientation": str(mosaic.orientation),
    }


def _gains(gains: NDArray[np.float32]) -> str:
    return ", ".join(f"{gain:.3f}" for gain in gains)


def noise_lines(found: Estimate) -> dict[str, str]:
    """What was estimated, from what, and how sure it is."""
    noise = found.noise
    errors = found.black_errors.ravel()
    black = ", ".join(f"{error:+.2f}" for error in errors.tolist())
    if errors.size > BAYER_POSITIONS:
        black = f"{errors.min():+.2f} to {errors.max():+.2f}"
    known = "as the file says" if found.black_source == "tag" else "measured"
    lines = [
        ("rows", found.rows, found.row_offsets is not None),
        ("columns", found.columns, found.column_offsets is not None),
    ]
    offsets = ", ".join(
        f"{name} {size:.3g} DN{' (subtracted)' if taken else ''}" for name, size, taken in lines
    )
    compared = "masked border, " if found.masked_lines else ""
    sigma = float(found.uncorrected.sigma(np.float64(found.level)))
    trust = f"sigma {sigma:.3g} DN at the median level {found.level:.3g} DN, {found.trust}"
    return {
        "noise": f"{noise.gain:.3g} DN per electron, read noise {noise.read:.3g} DN "
        f"({found.noise_source})",
        "offsets": f"{offsets} ({compared}distant parts of the frame compared)",
        "black error": f"{black} DN ({found.black_source})" if found.black_errors.any() else known,
        "steps": f"{found.step:.3g} DN (histogram)",
        "trust": "; ".join((trust, *found.doubts)),
    }


def _proposal(mosaic: Mosaic) -> dict[str, str]:
    found = estimate_of(mosaic)
    mosaic = found.correct(mosaic)
    exposure = propose_exposure(mosaic)
    lux = scene_lux(mosaic)
    scene = {"scene": UNKNOWN if lux is None else f"about {lux:.2g} lux"}
    return noise_lines(found) | _amplification(exposure) | scene


def _amplification(exposure: Exposure) -> dict[str, str]:
    return {
        "amplification": f"x{exposure.amplification:.3g} ({exposure.ev:+.1f} EV)",
        "because": exposure.reason,
    }
