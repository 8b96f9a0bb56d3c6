"""The command that restores: `undark restore`."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from undark.cli.extras import needed
from undark.cli.options import Bits, RestoreOptions, kind_of_result
from undark.cli.shared import with_options
from undark.cli.terminal import interruptible, not_empty, path, printable, progress_bars, tell
from undark.engine.allocator import return_memory
from undark.files.suffixes import PICTURE_SUFFIXES
from undark.restoring.jobs import (
    Event,
    Failed,
    Options,
    Outcome,
    Plan,
    Progress,
    Restored,
    Skipped,
    Started,
    plan,
    run,
    suffixes_for,
)


class Kind(StrEnum):
    """File format of a result."""

    JPEG = "jpeg"
    PNG = "png"
    TIFF = "tiff"
    DNG = "dng"


@with_options
def restore_command(
    *,
    photos: Annotated[
        list[Path],
        typer.Argument(
            parser=path,
            metavar="PHOTO|FOLDER",
            help="RAW files, dark pictures (JPEG, PNG, TIFF), or folders of them. Pictures of a "
            "folder that are not dark, or have a RAW file beside them, are left alone.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            parser=not_empty,
            metavar="FILE|FOLDER",
            help="A folder's name may end in a slash. Default: beside the photo.",
        ),
    ] = None,
    to: Annotated[
        Kind | None, typer.Option(help="Default: as the -o FILE's suffix says, else jpeg.")
    ] = None,
    options: RestoreOptions,
    dark_frame: Annotated[
        list[Path] | None,
        typer.Option(
            parser=path,
            metavar="FILE",
            help="A RAW file taken with the lens covered, to subtract; repeat it for several: "
            "their mean is taken.",
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            parser=not_empty,
            metavar="auto|ADDRESS",
            help="Restore on the machines of a Ray cluster (docs/cluster.md); auto: the one that "
            "runs here, else one of this machine alone.",
        ),
    ] = None,
    confidence: Annotated[
        bool,
        typer.Option("--confidence", help="Write NAME-confidence.png too: how sure each pixel is."),
    ] = False,
) -> None:
    """Restore dark RAW photos, and dark pictures as far as they can be.

    Results go beside the photos, or to -o, as NAME-undark.jpg. Photos whose result is there
    already are skipped, so the same command continues an interrupted run.
    """
    wished = replace(options.for_jobs(), confidence=confidence, dark_frames=tuple(dark_frame or ()))
    return_memory()
    suffixes = suffixes_for(options.model)
    kind = _kind(to, output, options.bits, of_pictures=suffixes == frozenset(PICTURE_SUFFIXES))
    if kind == Kind.DNG and options.contrast:
        raise typer.BadParameter(
            "--contrast does not apply to a DNG, which holds linear light: leave it out"
        )
    if kind == Kind.DNG:  # pictures in a folder cannot become one
        suffixes -= frozenset(PICTURE_SUFFIXES)
    batch = plan(photos, output, kind, suffixes)
    outcomes: list[Outcome] = []
    try:
        with interruptible("finished photos are kept, the same command continues from there"):
            for outcome in _restore_all(batch, wished, cluster):
                outcomes.append(outcome)
    finally:
        if options.as_json:  # also after an interruption: finished photos are reported
            print(json.dumps([_as_json(outcome) for outcome in outcomes], indent=1))
    failed = sum(isinstance(outcome, Failed) for outcome in outcomes)
    if failed and len(outcomes) > 1:
        tell(f"{failed} of {len(outcomes)} photos could not be restored")
    if failed:
        raise typer.Exit(1)


def _kind(to: Kind | None, output: str | None, bits: Bits, of_pictures: bool) -> str:
    """See `kind_of_result`; pictures cannot become a DNG."""
    kind = kind_of_result(to, output, bits)
    if kind == Kind.DNG and of_pictures:
        raise typer.BadParameter("a DNG is made of a RAW photo; choose --to jpeg, png or tiff")
    return kind


def _events(batch: Plan, options: Options, cluster: str | None) -> Generator[Event, None, None]:
    if cluster is None:
        return run(batch, options)
    with needed("--cluster", "cluster"):
        from undark.restoring.cluster import run_on_cluster
    return run_on_cluster(batch, options, cluster)


def _restore_all(batch: Plan, options: Options, cluster: str | None) -> Iterator[Outcome]:
    """Yield the outcome of each photo when it is done.

    With a bar for the batch, and one for the photo where there is one at a time.
    """
    count, alone = len(batch.jobs), cluster is None
    with progress_bars() as bars, closing(_events(batch, options, cluster)) as events:
        all_photos = bars.add_task("all photos", total=count, visible=count > 1 or not alone)
        one_photo = bars.add_task("", total=100, visible=alone)
        for event in events:
            match event:
                case Started():
                    bars.reset(one_photo, total=100, description=printable(event.source.name))
                case Progress():
                    bars.update(one_photo, completed=round(100 * event.share))
                case _:
                    tell(_line(event))
                    bars.advance(all_photos)
                    yield event


Said = dict[str, str | float | dict[str, float] | None]


def _as_json(outcome: Outcome) -> Said:
    said: Said = {
        "source": str(outcome.source),
        "output": None if outcome.target is None else str(outcome.target),
        "status": type(outcome).__name__.lower(),
    }
    if not isinstance(outcome, Restored):
        return said | {"reason": outcome.reason}
    said["seconds"] = round(outcome.seconds, 2)
    said["amplification"] = float(f"{outcome.amplification:.4g}")
    said["exposure"] = outcome.exposure
    raw = {"noise": outcome.noise, "mended": outcome.mended, "dark_frames": outcome.dark_frames}
    said |= {name: value for name, value in raw.items() if value is not None}
    if outcome.agreement:
        said["agreement"] = {k: round(v, 2) for k, v in asdict(outcome.agreement).items()}
    if outcome.confidence:
        said["confidence"] = str(outcome.confidence)
    return said


def _line(outcome: Outcome) -> str:
    match outcome:
        case Restored(source, target, seconds, amplification):
            corrected = outcome.agreement and outcome.agreement.corrected
            said = f"; {outcome.agreement}" if corrected else ""
            dark = "; no dark frame fits" if outcome.dark_frames == 0 else ""
            written = outcome.confidence if outcome.had_result else target
            return f"{source} -> {written} (x{amplification:.4g}, {seconds:.2f} s{dark}){said}"
        case Skipped(_, target, reason):
            return f"{target}: {reason}"
        case Failed():
            return outcome.reason
