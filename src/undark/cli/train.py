"""The commands that train. Only they need torch, and only once they run."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undark.cli.extras import needed
from undark.cli.terminal import interruptible, path, tell
from undark.engine.catalogue import find_model

if TYPE_CHECKING:
    from undark.learn.train import Outcome, Training

train_app = typer.Typer(help="Train a model of your own.", no_args_is_help=True)


class Network(StrEnum):
    """Names in `undark.learn.network.NETWORKS`."""

    UNET = "unet"
    RESIDUAL_UNET = "residual-unet"
    RESIDUAL = "residual"


class Aim(StrEnum):
    """Names in `undark.learn.pairs.AIMS`."""

    RAW_LINEAR = "raw-linear"
    RAW_SRGB = "raw-srgb"
    RGB = "rgb"


class Loss(StrEnum):
    """What a step makes small."""

    L1 = "l1"
    LOG = "log"


class Camera(StrEnum):
    """The two of SID."""

    SONY = "sony"
    FUJI = "fuji"


Out = Annotated[Path, typer.Option(parser=path, metavar="DIR", help="Where the model goes.")]
Val = Annotated[
    Path | None, typer.Option(parser=path, metavar="DIR", help="To judge by; not trained on.")
]
Minutes = Annotated[float | None, typer.Option(min=0.01, help="How long to train.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Or how many steps.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="NAME|FILE", help="A model or weights to begin with."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Take up a run that stopped.")]
NetworkChoice = Annotated[
    Network | None, typer.Option(help="Default: that of --from, else unet, as shipped.")
]
Crop = Annotated[int | None, typer.Option(min=16, help="Side of a crop in packed pixels.")]
BatchSize = Annotated[int | None, typer.Option("--batch", min=1, help="Samples a step.")]
Rate = Annotated[float | None, typer.Option(min=1e-7, help="Highest learning rate.")]
Config = Annotated[
    Path | None,
    typer.Option(parser=path, metavar="FILE", help="Settings, as `undark tune` leaves them."),
]
FindRate = Annotated[bool, typer.Option("--find-rate", help="Look for a learning rate first.")]
Film = Annotated[bool, typer.Option("--film", help="Draw a held-back photo after every epoch.")]
Devices = Annotated[int, typer.Option(min=1, help="GPUs, or processes on the CPU.")]
Nodes = Annotated[int, typer.Option(min=1, help="Machines.")]
AimChoice = Annotated[Aim, typer.Option(help="What goes in and what comes out.")]
LossChoice = Annotated[Loss, typer.Option(help="l1, or log: decibels count the same everywhere.")]
Cache = Annotated[
    Path | None,
    typer.Option(parser=path, metavar="DIR", help="For decoded photos. Default: the user's cache."),
]


@train_app.command("photos")
def photos(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Photographs to learn from.")],
    out: Out,
    val: Val = None,
    minutes: Minutes = None,
    steps: Steps = None,
    start: From = None,
    resume: Resume = False,
    network: NetworkChoice = None,
    crop: Crop = None,
    batch: BatchSize = None,
    rate: Rate = None,
    config: Config = None,
    find_rate: FindRate = False,
    film: Film = False,
    devices: Devices = 1,
    nodes: Nodes = 1,
) -> None:
    """Train on ordinary photographs, darkened; may be killed at any moment and resumed."""
    training = _training(locals())
    from undark.learn.from_photos import train_photos

    _finish(training, lambda: train_photos(training))


@train_app.command("pairs")
def pairs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Dark and bright photos.")],
    out: Out,
    val: Val = None,
    minutes: Minutes = None,
    steps: Steps = None,
    start: From = None,
    resume: Resume = False,
    aim: AimChoice = Aim.RAW_LINEAR,
    loss: LossChoice = Loss.L1,
    network: NetworkChoice = None,
    crop: Crop = None,
    batch: BatchSize = None,
    rate: Rate = None,
    config: Config = None,
    find_rate: FindRate = False,
    film: Film = False,
    devices: Devices = 1,
    nodes: Nodes = 1,
    cache: Cache = None,
) -> None:
    """Train on pairs of dark and bright photos (see `undark pairs`), from nothing or --from."""
    training = _training(locals())
    from undark.learn.from_pairs import train_pairs

    _finish(training, lambda: train_pairs(training, aim, loss, cache))


@train_app.command("sid")
def sid(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="SID, with Sony/ or Fuji/.")],
    camera: Annotated[Camera, typer.Option(help="Bayer or X-Trans.")],
    out: Out,
    minutes: Minutes = None,
    steps: Steps = None,
    start: From = None,
    resume: Resume = False,
    aim: AimChoice = Aim.RAW_SRGB,
    loss: LossChoice = Loss.L1,
    network: NetworkChoice = None,
    crop: Crop = None,
    batch: BatchSize = None,
    rate: Rate = None,
    config: Config = None,
    find_rate: FindRate = False,
    film: Film = False,
    devices: Devices = 1,
    nodes: Nodes = 1,
    cache: Cache = None,
) -> None:
    """Train on the data set of "Learning to See in the Dark", by its own protocol."""
    training = _training(locals())
    from undark.learn.from_pairs import train_sid

    _finish(training, lambda: train_sid(training, camera, aim, loss, cache))


def _training(asked: dict[str, Any]) -> Training:
    """The settings that all three share; what is not given is as `Training` has it."""
    with needed("training", "train"):
        from undark.learn.network import NETWORKS
        from undark.learn.settings import read_settings
        from undark.learn.train import Training
    start = find_model(asked["start"]) if asked["start"] else None
    settings = read_settings(asked["config"]) if asked["config"] else {}
    wished = {
        "crop": asked["crop"],
        "batch": asked["batch"],
        "peak": asked["rate"],
        "network": NETWORKS[asked["network"]] if asked["network"] else None,
    }
    same = ("out", "minutes", "steps", "resume", "devices", "nodes", "find_rate", "film")
    return Training(
        data=asked["folder"],
        val=asked.get("val"),
        start=start,
        **{name: asked[name] for name in same},
        **settings | {name: value for name, value in wished.items() if value is not None},
    )


def _finish(training: Training, run: Callable[[], Outcome]) -> None:
    """Run, and say what came of it."""
    from undark.learn.checkpoints import LAST

    try:
        outcome = run()
    except KeyboardInterrupt:
        kept = (training.out / LAST).exists()
        goes_on = "the same command with --resume goes on from there"
        with interruptible(goes_on if kept else "nothing was kept yet: begin again"):
            raise
    for name, score in outcome.scores.items():
        before = f" (before: {outcome.before[name]:.2f})" if name in outcome.before else ""
        tell(f"{name}: {score:.2f} dB{before}")
    if outcome.gain is not None and outcome.gain <= 0:
        tell("it did not improve on what it began from: keep using that")
    print(outcome.model)
    if outcome.skipped:
        tell(f"{len(outcome.skipped)} photos could not be used and were left out")
        raise typer.Exit(1)
