"""The user's folder of cameras: profiles that `undark calibrate` wrote, a file a camera."""

from __future__ import annotations

import os
import re
import warnings
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from platformdirs import user_data_path

from undark.errors import ReadError
from undark.files.output import atomic_output
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.profiles.calibration import Calibration

ENVIRONMENT = "UNDARK_CAMERAS"
"""Names another folder of cameras."""


class CalibrationWarning(UserWarning):
    """A profile in the user's folder cannot be used: the photo's noise is taken from elsewhere."""


def cameras_folder() -> Path:
    """The system's place for a user's data: ~/.local/share/undark/cameras on Linux."""
    chosen = os.environ.get(ENVIRONMENT)
    return Path(chosen) if chosen else user_data_path("undark", appauthor=False) / "cameras"


def calibration_path(shot: Shot) -> Path:
    """Where the profile of a shot's camera is, or would be."""
    name = re.sub(r"[^a-z0-9]+", "-", shot.camera.lower()).strip("-")
    return cameras_folder() / f"{name or 'camera'}.json"


def read_calibration(path: Path) -> Calibration:
    """Raises `ReadError` for a file that is not a camera's profile."""
    try:
        return Calibration.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        why = f"this camera profile cannot be read ({error.strerror})"
    except ValueError:
        why = "this camera profile is damaged"
    raise ReadError(f"{path}: {why}; delete it, or make it again with undark calibrate --overwrite")


def write_calibration(path: Path, calibration: Calibration, overwrite: bool) -> None:
    """Atomically. Raises `ExistsError`, `OutputError`."""
    with atomic_output(path, overwrite) as temporary:
        temporary.write_text(calibration.to_json() + "\n", encoding="utf-8")


def calibrated(mosaic: Mosaic) -> Mosaic:
    """A photo with the user's own calibration of its camera; unchanged where there is none.

    Warns (`CalibrationWarning`) of a profile that is damaged or for another sensor.
    """
    shot = mosaic.shot
    if shot.iso is None or (shot.make is None and shot.model is None):
        return mosaic
    path = calibration_path(shot)
    try:
        found = _known(path, *_state(path))
    except FileNotFoundError:
        return mosaic
    except (ReadError, OSError) as error:
        _warn(str(error) if isinstance(error, ReadError) else f"{path}: {error.strerror}")
        return mosaic
    why = found.mismatch(mosaic)
    if why:
        _warn(f"{path}: a profile for another sensor: {why}")
        return mosaic
    return found.applied(mosaic)


def user_calibrations() -> tuple[Calibration, ...]:
    """All profiles in the user's folder, by name; warns (`CalibrationWarning`) of damaged ones."""
    found = []
    for path in _profiles():
        try:
            found.append(_known(path, *_state(path)))
        except (ReadError, OSError) as error:
            _warn(str(error))
    return tuple(found)


def calibrations_state() -> str:
    """Changes whenever a profile in the user's folder changes; empty without any."""
    states = []
    for path in _profiles():
        with suppress(OSError):
            states.append(f"{path.name}:{_state(path)}")
    return " ".join(states)


def _profiles() -> list[Path]:
    try:
        return sorted(p for p in cameras_folder().glob("*.json") if not p.name.startswith("."))
    except OSError:
        return []


def _state(path: Path) -> tuple[int, int]:
    """Raises `OSError`."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=64)
def _known(path: Path, changed: int, size: int) -> Calibration:
    """A profile, parsed once until its file changes."""
    return read_calibration(path)


def _warn(line: str) -> None:
    """One line; Python shows a warning of the same text once."""
    warnings.warn(f"{line} (ignored, the noise is taken from elsewhere)", CalibrationWarning, 3)
