"""The command that restores: `undark restore`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from undark.cli.terminal import interruptible, path, printable, progress_bars, tell
from undark.engine.card import PICTURE_TASK
from undark.engine.catalogue import DEFAULT_MODEL
from undark.engine.model import Model, load_model
from undark.errors import PhotoError, naming
from undark.files.picture import PICTURE_SUFFIXES, is_picture, open_picture
from undark.files.raw import RAW_SUFFIXES, read_mosaic
from undark.restoring.jobs import DONE, KINDS, Job, plan, standing
from undark.restoring.picture import WHITE, RestoredPicture, restore_picture
from undark.restoring.raw import Restored, restore
from undark.sensor.exposure import ExposureWish, parse_exposure


class Kind(StrEnum):
    """What a result is written as."""

    JPEG = "jpeg"
    PNG = "png"
    TIFF = "tiff"
    DNG = "dng"


class Bits(StrEnum):
    """Bits a channel."""

    EIGHT = "8"
    SIXTEEN = "16"


def restore_command(
    photos: Annotated[
        list[Path],
        typer.Argument(
            parser=path,
            metavar="PHOTO|FOLDER...",
            help="RAW files, or folders of them; pictures, with a --model for pictures.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", parser=path, metavar="FILE|FOLDER", help="Default: beside the photo."
        ),
    ] = None,
    to: Annotated[
        Kind | None, typer.Option(help="Default: as the -o FILE's suffix says, else jpeg.")
    ] = None,
    bits: Annotated[Bits, typer.Option(help="Bits a channel, for png and tiff.")] = Bits.EIGHT,
    exposure: Annotated[
        ExposureWish,
        typer.Option(
            parser=_wish, metavar="auto|EV", help="Amplify by 2^EV; auto+1: one EV more than auto."
        ),
    ] = "auto",  # type: ignore[assignment]  # typer parses defaults too
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="How much of the noise to take away.")
    ] = 1.0,
    model: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="See `undark models`.")
    ] = DEFAULT_MODEL,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda|...", help="What runs the model.")
    ] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Restore dark RAW photos.

    Results go beside the photos, or to -o, as NAME-undark.jpg; photos whose result is there
    already are skipped, so an interrupted run is taken up again by the same command.
    """
    network = load_model(model, device)
    of_pictures = network.card.task == PICTURE_TASK
    kind = _kind(to, output, bits, of_pictures)
    jobs = plan(photos, output, kind, PICTURE_SUFFIXES if of_pictures else RAW_SUFFIXES)
    results: list[dict[str, Any]] = []
    try:
        with interruptible("finished photos are kept, the same command goes on from there"):
            for result in _restore_all(jobs, network, exposure, strength, int(bits), overwrite):
                results.append(result)
    finally:
        if as_json:  # also of a run that stopped: what was done is done
            print(json.dumps(results, indent=1))
    failed = sum(r["status"] == "failed" for r in results)
    if failed and len(results) > 1:
        tell(f"{failed} of {len(results)} photos could not be restored")
    if failed:
        raise typer.Exit(1)


def _kind(to: Kind | None, output: Path | None, bits: Bits, of_pictures: bool) -> str:
    """What to write: as asked, or as the output's suffix says; both must agree."""
    named = KINDS.get(output.suffix.lower()) if output and not output.is_dir() else None
    kind = to or named or Kind.JPEG
    if to and named and to != named:
        raise typer.BadParameter(f"{output} is no name for a {to} file")
    if kind == Kind.JPEG and bits == Bits.SIXTEEN:
        raise typer.BadParameter("a JPEG has 8 bits; add --to png or --to tiff for 16")
    if kind == Kind.DNG and of_pictures:
        raise typer.BadParameter("a DNG is made of a RAW photo; choose --to jpeg, png or tiff")
    return str(kind)


def _wish(text: str) -> ExposureWish:
    try:
        return parse_exposure(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _restore_all(
    jobs: list[Job], model: Model, exposure: ExposureWish, strength: float, bits: int, redo: bool
) -> Iterator[dict[str, Any]]:
    """What became of each photo, as it is done; a bar for the photo and one for the list."""
    with progress_bars() as bars:
        all_photos = bars.add_task("all photos", total=len(jobs), visible=len(jobs) > 1)
        one_photo = bars.add_task("", total=100)
        for job in jobs:
            bars.reset(one_photo, total=100, description=printable(job.source.name))

            def show(share: float) -> None:
                bars.update(one_photo, completed=round(100 * share))

            result = _restore_one(job, model, exposure, strength, bits, redo, show)
            tell(_line(result))
            bars.advance(all_photos)
            yield result


def _restore_one(
    job: Job,
    model: Model,
    exposure: ExposureWish,
    strength: float,
    bits: int,
    overwrite: bool,
    progress: Callable[[float], None],
) -> dict[str, Any]:
    """One photo; what is wrong with it is part of the result, what stops the run is raised."""
    began = time.perf_counter()
    outcome: dict[str, Any] = {"source": str(job.source), "output": str(job.target)}
    stands = None if overwrite else standing(job)
    if stands:
        status = "skipped" if stands == DONE else "failed"
        return outcome | {"status": status, "reason": stands}
    try:
        done = _restored(job.source, model, exposure, strength, progress)
        done.save(job.target, bits, overwrite)
    except PhotoError as error:
        return outcome | {"status": "failed", "reason": naming(error, job.source, job.target)}
    seconds = round(time.perf_counter() - began, 2)
    return outcome | {"status": "restored", "seconds": seconds} | _numbers(done)


def _restored(
    photo: Path,
    model: Model,
    exposure: ExposureWish,
    strength: float,
    progress: Callable[[float], None],
) -> Restored | RestoredPicture:
    """A RAW photo or a picture, each its own way. Raises `PhotoError`."""
    how: dict[str, Any] = {"strength": strength, "model": model, "progress": progress}
    if is_picture(photo) or model.card.task == PICTURE_TASK:
        picture = open_picture(photo)
        return restore_picture(picture, exposure=exposure.of(picture.mosaic, WHITE), **how)
    mosaic = read_mosaic(photo)
    return restore(mosaic, exposure=exposure.of(mosaic), **how)


def _numbers(done: Restored | RestoredPicture) -> dict[str, Any]:
    noise = {"noise": done.noise_source} if isinstance(done, Restored) else {}
    return {
        "amplification": float(f"{done.exposure.amplification:.4g}"),
        "exposure": done.exposure.reason,
    } | noise


def _line(result: dict[str, Any]) -> str:
    if result["status"] == "restored":
        amplification = f"x{result['amplification']:g}"
        return f"{result['source']} -> {result['output']} ({amplification}, {result['seconds']} s)"
    if result["status"] == "skipped":
        return f"{result['output']}: {result['reason']}"
    return str(result["reason"])
