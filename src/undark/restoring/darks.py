"""The dark frames of a batch: read once, averaged by camera and setting, chosen for each photo."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path

from undark.errors import DarkFrameError, PhotoError
from undark.files.picture import is_picture
from undark.files.raw import read_mosaic
from undark.restoring.plan import Job
from undark.sensor.dark import DarkFrame, DarkSum, is_lit
from undark.sensor.mosaic import Mosaic


class Darks:
    """Means of dark frames.

    Raises `DarkFrameError` for a file that cannot be read or is not dark.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        sums: dict[Hashable, DarkSum] = {}
        for path in dict.fromkeys(paths):
            frame = _read(path)
            sums.setdefault(_setting(frame), DarkSum()).add(frame)
        self._means = [total.mean() for total in sums.values()]

    def __bool__(self) -> bool:
        return bool(self._means)

    def of(self, photo: Mosaic) -> DarkFrame | None:
        """The mean that fits a photo; of several, the one that adds the least noise."""
        fitting = [mean for mean in self._means if mean.misfit(photo) is None]
        return min(fitting, key=lambda mean: mean.noise(photo.shot), default=None)

    def check(self, jobs: Sequence[Job]) -> None:
        """Raises `DarkFrameError` where photos can be read and none has a dark frame that fits.

        Photos are read until one has; those that cannot be read are reported when their turn comes.
        """
        why = None
        for job in jobs if self else ():
            if is_picture(job.source):
                why = why or f"{job.source.name} is a finished picture, not a RAW photo"
                continue
            try:
                photo = read_mosaic(job.source)
            except PhotoError:
                continue
            if self.of(photo) is not None:
                return
            why = why or f"for {job.source.name} it is {self._means[0].misfit(photo)}"
        if why:
            raise DarkFrameError(
                f"{self._paths[0]}: no dark frame fits any photo: {why}; "
                "give dark frames of the photos' camera, size and ISO, or leave --dark-frame out"
            )


def _setting(frame: Mosaic) -> Hashable:
    """What frames that are averaged have in common."""
    shot = frame.shot
    return shot.camera.lower(), frame.shape, frame.cfa, shot.iso, shot.exposure_time


def _read(path: Path) -> Mosaic:
    try:
        frame = read_mosaic(path)
    except PhotoError as error:
        raise DarkFrameError(str(error)) from error
    if is_lit(frame):
        raise DarkFrameError(
            f"{path}: is no dark frame, it has light in it; take it with the lens covered"
        )
    return frame
