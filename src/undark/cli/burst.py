"""The command that merges bursts: `undark burst`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from undark.cli.options import RestoreOptions, kind_of_result
from undark.cli.shared import with_options
from undark.cli.terminal import interruptible, not_empty, path, printable, progress_bars, tell
from undark.engine.allocator import return_memory
from undark.restoring.burst_jobs import (
    BurstFailed,
    BurstOutcome,
    BurstProgress,
    BurstRestored,
    BurstSkipped,
    BurstStarted,
    FrameAligned,
    run_bursts,
)
from undark.restoring.burst_plan import MANY, BurstPlan, FrameLeftOut, Group, plan_bursts
from undark.restoring.jobs import Options


class PictureKind(StrEnum):
    """File format of the restored picture."""

    JPEG = "jpeg"
    PNG = "png"
    TIFF = "tiff"


@with_options
def burst_command(
    *,
    photos: Annotated[
        list[Path],
        typer.Argument(
            parser=path,
            metavar="PHOTO...|FOLDER",
            help="RAW files of one scene, merged exactly as given; or folders, split into bursts.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            parser=not_empty,
            metavar="FILE|FOLDER",
            help="A folder's name may end in a slash. Default: beside the first frame.",
        ),
    ] = None,
    to: Annotated[
        PictureKind | None, typer.Option(help="Default: as the -o FILE's suffix says, else jpeg.")
    ] = None,
    options: RestoreOptions,
    yes: Annotated[
        bool,
        typer.Option("--yes", help=f"Merge groups of more than {MANY} frames without asking."),
    ] = False,
) -> None:
    """Merge hand-held RAW frames of one scene into one, and restore it.

    Writes NAME-undark-burst.dng, the merged mosaic, and NAME-undark-burst.jpg, the restored
    picture, beside the first frame or to -o. A folder is split at pauses of more than 2 s and where
    the camera's settings change.
    """
    wished = options.for_jobs()
    return_memory()
    plan = plan_bursts(photos, output, kind_of_result(to, output, options.bits))
    _tell_groups(plan)
    chosen = [group for group in plan.groups if _wanted(group, yes)]
    outcomes: list[BurstOutcome] = []
    try:
        with interruptible("finished bursts are kept, the same command continues from there"):
            for outcome in _run(chosen, wished):
                outcomes.append(outcome)
    finally:
        if options.as_json:
            print(json.dumps([_as_json(outcome) for outcome in outcomes], indent=1))
    failed = any(isinstance(outcome, BurstFailed) for outcome in outcomes)
    if failed or plan.unreadable or len(chosen) < len(plan.groups) or not plan.groups:
        raise typer.Exit(1)


def _tell_groups(plan: BurstPlan) -> None:
    for _, error in plan.unreadable:
        tell(str(error))
    for group in plan.groups:
        count = len(group.frames)
        tell(f"{_span(group)}: {count} frame{'s' * (count > 1)}")
    if plan.single:
        tell(f"{len(plan.single)} photos are not part of a burst; undark restore does them")
    if not plan.groups and not plan.unreadable:
        tell(
            "no bursts found: no two photos with the same settings within 2 s by their EXIF; "
            "files that are named, not their folder, are merged as they are"
        )


def _span(group: Group) -> str:
    first, last = group.frames[0], group.frames[-1]
    return str(first) if first == last else f"{first} to {last.name}"


def _wanted(group: Group, yes: bool) -> bool:
    """Whether to merge a group; asks where it has so many frames that it may be a time-lapse."""
    if yes or not group.is_doubtful:
        return True
    count = len(group.frames)
    if not sys.stdin.isatty():
        tell(f"{_span(group)}: {count} frames may be a time-lapse; --yes merges them")
        return False
    return typer.confirm(f"{_span(group)}: merge all {count} frames into one?", err=True)


def _run(groups: list[Group], options: Options) -> Iterator[BurstOutcome]:
    """Yield the outcome of each burst when it is done, with a bar for it."""
    with progress_bars() as bars, closing(run_bursts(groups, options)) as events:
        bar = bars.add_task("", total=100)
        for event in events:
            match event:
                case BurstStarted():
                    name = printable(event.group.frames[0].name)
                    bars.reset(bar, total=100, description=name)
                case BurstProgress():
                    bars.update(bar, completed=round(100 * event.share))
                case FrameLeftOut():
                    tell(f"{event.frame}: left out: {event.reason}")
                case FrameAligned():
                    pass
                case _:
                    tell(_line(event))
                    yield event


def _line(outcome: BurstOutcome) -> str:
    match outcome:
        case BurstRestored(group, frames, seconds, amplification):
            many = f"{frames} of {len(group.frames)} frames"
            done = f"{many}, x{amplification:.4g}, {seconds:.2f} s"
            return f"{_span(group)} -> {group.picture}, {group.dng.name} ({done})"
        case BurstSkipped(group, reason):
            return f"{group.picture}: {reason}"
        case BurstFailed():
            return outcome.reason


def _as_json(outcome: BurstOutcome) -> dict[str, object]:
    group = outcome.group
    said: dict[str, object] = {
        "frames": [str(frame) for frame in group.frames],
        "output": str(group.picture),
        "dng": str(group.dng),
        "status": type(outcome).__name__.removeprefix("Burst").lower(),
    }
    if not isinstance(outcome, BurstRestored):
        return said | {"reason": outcome.reason}
    said |= {"merged": outcome.frames, "seconds": round(outcome.seconds, 2)}
    amplification = float(f"{outcome.amplification:.4g}")
    return said | {"amplification": amplification, "exposure": outcome.exposure}
