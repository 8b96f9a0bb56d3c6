"""The commands that train. Only they need torch, and only once they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from undark.cli.extras import needed
from undark.cli.shared import with_options
from undark.cli.terminal import interruptible, path, tell
from undark.cli.training_progress import is_first_process, shown
from undark.engine.catalogue import find_model

if TYPE_CHECKING:
    from undark.learn.options import Outcome, Training
    from undark.learn.progress import Report

train_app = typer.Typer(help="Train a model of your own.", no_args_is_help=True)


class Network(StrEnum):
    """Names in `undark.learn.network.NETWORKS`."""

    UNET = "unet"
    RESIDUAL_UNET = "residual-unet"
    RESIDUAL = "residual"


class Aim(StrEnum):
    """Names in `undark.learn.aims.AIMS`."""

    RAW_LINEAR = "raw-linear"
    RAW_SRGB = "raw-srgb"
    RGB = "rgb"


class PhotoAim(StrEnum):
    """What else than RAW photos photographs are made into for training."""

    RGB = "rgb"


class Loss(StrEnum):
    """Losses of training on pairs."""

    L1 = "l1"
    LOG = "log"


class Cfa(StrEnum):
    """Sensors that training on photographs can simulate."""

    BAYER = "bayer"
    X_TRANS = "xtrans"


class Camera(StrEnum):
    """SID's cameras."""

    SONY = "sony"
    FUJI = "fuji"


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Dark and bright photos.")]
Val = Annotated[
    Path | None, typer.Option(parser=path, metavar="DIR", help="For validation; not trained on.")
]
AimChoice = Annotated[Aim, typer.Option(help="Input and output of the network.")]
LossChoice = Annotated[Loss, typer.Option(help="l1, or log: equal weight for all noise levels.")]
Cache = Annotated[
    Path | None,
    typer.Option(parser=path, metavar="DIR", help="For decoded photos. Default: the user's cache."),
]


@dataclass(frozen=True)
class Options:
    """The options that all three commands share, as typer declares them."""

    out: Annotated[Path, typer.Option(parser=path, metavar="DIR", help="Folder of the model.")]
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Training time.")] = None
    steps: Annotated[int | None, typer.Option(min=1, help="Or the number of steps.")] = None
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME|FILE", help="A model or weights to start from."),
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False
    network: Annotated[
        Network | None, typer.Option(help="Default: that of --from, else unet, as shipped.")
    ] = None
    crop: Annotated[int | None, typer.Option(min=16, help="Side of a crop in packed pixels.")] = (
        None
    )
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Samples per step.")] = None
    rate: Annotated[float | None, typer.Option(min=1e-7, help="Highest learning rate.")] = None
    config: Annotated[
        Path | None,
        typer.Option(parser=path, metavar="FILE", help="Settings that `undark tune` wrote."),
    ] = None
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Search for a learning rate first.")
    ] = False
    film: Annotated[
        bool, typer.Option("--film", help="Restore a validation photo after every epoch.")
    ] = False
    devices: Annotated[int, typer.Option(min=1, help="GPUs, or processes on the CPU.")] = 1
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1


@train_app.command("photos")
@with_options
def photos(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Photographs to train on.")],
    options: Options,
    val: Val = None,
    cfa: Annotated[
        Cfa | None, typer.Option(help="The sensor. Default: that of --from, else bayer.")
    ] = None,
    aim: Annotated[
        PhotoAim | None,
        typer.Option(help="rgb: for dark pictures, as cameras store them; without --cfa."),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="A larger model, for a smaller one to learn from."),
    ] = None,
) -> None:
    """Train on ordinary photographs, darkened. A killed run can be resumed."""
    if cfa and aim:
        raise typer.BadParameter("--aim rgb is for pictures, which have no CFA: leave --cfa out")
    training = _training(folder, options, val)
    from undark.learn.from_photos import train_photos
    from undark.learn.kind import BAYER, PICTURE, XTRANS

    kinds = {Cfa.BAYER: BAYER, Cfa.X_TRANS: XTRANS}
    kind = kinds[cfa] if cfa else PICTURE if aim else None
    if teacher:
        training = replace(training, teacher=find_model(teacher))
    _finish(training, lambda report: train_photos(training, kind, report))


@train_app.command("pairs")
@with_options
def pairs(
    folder: Folder,
    options: Options,
    val: Val = None,
    aim: AimChoice = Aim.RAW_LINEAR,
    loss: LossChoice = Loss.L1,
    cache: Cache = None,
) -> None:
    """Train on pairs of dark and bright photos (see `undark pairs`), or fine-tune with --from."""
    training = _training(folder, options, val)
    from undark.learn.from_pairs import train_pairs

    _finish(training, lambda report: train_pairs(training, aim, loss, cache, report))


@train_app.command("sid")
@with_options
def sid(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="SID, with Sony/ or Fuji/.")],
    camera: Annotated[Camera, typer.Option(help="Bayer or X-Trans.")],
    options: Options,
    aim: AimChoice = Aim.RAW_SRGB,
    loss: LossChoice = Loss.L1,
    cache: Cache = None,
) -> None:
    """Train on the data set of "Learning to See in the Dark", by its protocol."""
    training = _training(folder, options, None)
    from undark.learn.from_pairs import train_sid

    _finish(training, lambda report: train_sid(training, camera, aim, loss, cache, report))


def _training(folder: Path, options: Options, val: Path | None) -> Training:
    """Options that are not given come from the file of --config, else from `Training`."""
    with needed("training", "train"):
        from undark.learn.network import NETWORKS
        from undark.learn.options import Training
        from undark.learn.settings import read_settings
    wished = {
        "crop": options.crop,
        "batch": options.batch,
        "peak": options.rate,
        "network": NETWORKS[options.network] if options.network else None,
    }
    settings = read_settings(options.config) if options.config else {}
    settings |= {name: value for name, value in wished.items() if value is not None}
    training = Training(
        data=folder,
        out=options.out,
        val=val,
        minutes=options.minutes,
        steps=options.steps,
        start=find_model(options.start) if options.start else None,
        resume=options.resume,
        find_rate=options.find_rate,
        film=options.film,
        devices=options.devices,
        nodes=options.nodes,
        **settings,
    )
    training.check()  # before photos are read
    return training


def _finish(training: Training, run: Callable[[Report], Outcome]) -> None:
    """Run a training and print its result, in the first process only."""
    try:
        with shown() as report:
            outcome = run(report)
    except KeyboardInterrupt:
        _stopped(training)
        raise
    if not is_first_process():
        return
    _tell_outcome(outcome)
    print(outcome.model)
    if outcome.skipped:
        tell(f"{len(outcome.skipped)} photos could not be used and were left out")
        raise typer.Exit(1)


def _stopped(training: Training) -> None:
    """After Ctrl-C, print how to continue."""
    from undark.learn.checkpoints import LAST

    kept = (training.out / LAST).exists()
    resumes = "the same command with --resume continues from there"
    with interruptible(resumes if kept else "nothing was saved yet: start again"):
        raise KeyboardInterrupt


def _tell_outcome(outcome: Outcome) -> None:
    for name, score in outcome.scores.items():
        before = f" (before: {outcome.before[name]:.2f})" if name in outcome.before else ""
        tell(f"{name}: {score:.2f} dB{before}")
    gain = outcome.gain
    if gain is None:
        return
    spread = f" ± {gain.error:.2f}" if gain.error < float("inf") else ""
    advice = {
        "improved": "",
        "did not improve": ": keep using the model that it started from",
        "too close to tell": ": validate on more photos, or train longer",
    }
    tell(f"{gain.mean:+.2f}{spread} dB: {gain.verdict}{advice[gain.verdict]}")
