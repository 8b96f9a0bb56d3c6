"""Photos whose restored light is still in memory: their results need no run of the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from undark.restoring.burst_plan import FrameLeftOut
from undark.restoring.options import Options
from undark.restoring.raw import Prepared


@dataclass(frozen=True, eq=False)
class Kept:
    """A RAW photo, or the merge of a burst, that was restored at the proposed exposure."""

    photo: Prepared
    """With `Prepared.earlier`, its restored light."""
    left_out: tuple[FrameLeftOut, ...] = ()
    """Frames of the burst that are not part of the merge."""


Keeper = Callable[[tuple[Path, ...], Options], Kept | None]
"""Gives what is kept of a photo's file, or a burst's frames, where a run with these options would
give the same light: the files have not changed, the model and its settings are the same."""


def nothing_kept(files: tuple[Path, ...], options: Options) -> Kept | None:
    """The `Keeper` of those that restore each photo once."""
    return None
