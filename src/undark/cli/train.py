"""The commands that train. Only they need torch, and only once they run."""

from __future__ import annotations

import inspect
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from undark.cli.extras import needed
from undark.cli.terminal import interruptible, path, say, tell
from undark.engine.catalogue import find_model

if TYPE_CHECKING:
    from undark.learn.options import Outcome, Training
    from undark.learn.progress import Event, Report

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


class Loss(StrEnum):
    """What a step makes small."""

    L1 = "l1"
    LOG = "log"


class Cfa(StrEnum):
    """Sensors that photographs can be made dark for."""

    BAYER = "bayer"
    X_TRANS = "xtrans"


class Camera(StrEnum):
    """The two of SID."""

    SONY = "sony"
    FUJI = "fuji"


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Dark and bright photos.")]
Val = Annotated[
    Path | None, typer.Option(parser=path, metavar="DIR", help="To judge by; not trained on.")
]
AimChoice = Annotated[Aim, typer.Option(help="What goes in and what comes out.")]
LossChoice = Annotated[Loss, typer.Option(help="l1, or log: decibels count the same everywhere.")]
Cache = Annotated[
    Path | None,
    typer.Option(parser=path, metavar="DIR", help="For decoded photos. Default: the user's cache."),
]


@dataclass(frozen=True)
class Options:
    """The options that all three commands share, as typer declares them."""

    out: Annotated[Path, typer.Option(parser=path, metavar="DIR", help="Where the model goes.")]
    minutes: Annotated[float | None, typer.Option(min=0.01, help="How long to train.")] = None
    steps: Annotated[int | None, typer.Option(min=1, help="Or how many steps.")] = None
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME|FILE", help="A model or weights to begin with."),
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Take up a run that stopped.")] = False
    network: Annotated[
        Network | None, typer.Option(help="Default: that of --from, else unet, as shipped.")
    ] = None
    crop: Annotated[int | None, typer.Option(min=16, help="Side of a crop in packed pixels.")] = (
        None
    )
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Samples a step.")] = None
    rate: Annotated[float | None, typer.Option(min=1e-7, help="Highest learning rate.")] = None
    config: Annotated[
        Path | None,
        typer.Option(parser=path, metavar="FILE", help="Settings, as `undark tune` leaves them."),
    ] = None
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Look for a learning rate first.")
    ] = False
    film: Annotated[
        bool, typer.Option("--film", help="Draw a held-back photo after every epoch.")
    ] = False
    devices: Annotated[int, typer.Option(min=1, help="GPUs, or processes on the CPU.")] = 1
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes `Options` as `options` → one that typer gives every option to."""
    own = {n: p for n, p in inspect.signature(command).parameters.items() if n != "options"}
    hints = get_type_hints(command, include_extras=True) | get_type_hints(
        Options, include_extras=True
    )
    shared = {f.name: f.default for f in fields(Options)}

    def run(**given: Any) -> None:
        options = Options(**{name: given.pop(name) for name in shared})
        command(**given, options=options)

    defaults = {n: p.default for n, p in own.items()}
    missing, empty = fields(Options)[0].default, inspect.Parameter.empty
    names = [*list(own)[:1], *shared, *list(own)[1:]]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=empty if default is missing else default,
                annotation=hints[name],
            )
            for name in names
            for default in [shared[name] if name in shared else defaults[name]]
        ]
    )
    run.__annotations__ = {name: hints[name] for name in names}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


@train_app.command("photos")
@with_options
def photos(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Photographs to learn from.")],
    options: Options,
    val: Val = None,
    cfa: Annotated[
        Cfa | None, typer.Option(help="Sensor to learn for. Default: that of --from, else bayer.")
    ] = None,
) -> None:
    """Train on ordinary photographs, darkened; may be killed at any moment and resumed."""
    training = _training(folder, options, val)
    from undark.learn.from_photos import train_photos
    from undark.learn.kind import BAYER, XTRANS

    kinds = {Cfa.BAYER: BAYER, Cfa.X_TRANS: XTRANS}
    kind = kinds[cfa] if cfa else None
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
    """Train on pairs of dark and bright photos (see `undark pairs`), from nothing or --from."""
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
    """Train on the data set of "Learning to See in the Dark", by its own protocol."""
    training = _training(folder, options, None)
    from undark.learn.from_pairs import train_sid

    _finish(training, lambda report: train_sid(training, camera, aim, loss, cache, report))


def _training(folder: Path, options: Options, val: Path | None) -> Training:
    """What is not given is as the file of --config, else as `Training` has it."""
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
    return Training(
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


def _finish(training: Training, run: Callable[[Report], Outcome]) -> None:
    """Run, and say what came of it; only the first of several processes says anything."""
    try:
        with _shown() as report:
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
    """Answer Ctrl-C with how to go on."""
    from undark.learn.checkpoints import LAST

    kept = (training.out / LAST).exists()
    goes_on = "the same command with --resume goes on from there"
    with interruptible(goes_on if kept else "nothing was kept yet: begin again"):
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
        "did not improve": ": keep using what it began from",
        "too close to tell": ": judge by more photos, or train longer",
    }
    tell(f"{gain.mean:+.2f}{spread} dB: {gain.verdict}{advice[gain.verdict]}")


def is_first_process() -> bool:
    """Whether this is the first of the processes of a training; the others stay silent."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))


@contextmanager
def _shown() -> Iterator[Report]:
    """Print what training logs, and draw how far it is."""
    display, log = _Display(), logging.getLogger("undark")
    handler = _Lines()
    level, log.propagate = log.level, False
    log.addHandler(handler)
    log.setLevel(logging.INFO if is_first_process() else logging.CRITICAL)
    try:
        yield display.show
    finally:
        display.close()
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = True


class _Lines(logging.Handler):
    """Prints each message as a line."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(record.getMessage())


class _Display:
    """A bar with the time left; where there is no terminal, lines: often at first."""

    FIRST, MOST = 5.0, 60.0
    """Seconds until the first line, and between two at most; each pause is twice the last."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._row: TaskID | None = None
        self._next, self._pause = time.monotonic(), self.FIRST

    def show(self, event: Event) -> None:
        if not is_first_process():
            return
        if say.is_terminal:
            self._draw(event)
        elif time.monotonic() >= self._next:
            tell(f"{describe(event)}{_left(event)}")
            self._next = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, self.MOST)

    def _draw(self, event: Event) -> None:
        if self._bar is None or self._row is None:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=say)
            self._row = self._bar.add_task("training", total=1.0)
            self._bar.start()
        self._bar.update(self._row, completed=event.fraction, description=describe(event))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def describe(event: Event) -> str:
    """Activity, step, loss and scores in one line."""
    scores = [f"{name} {value:.2f} dB" for name, value in event.scores.items()]
    return ", ".join([f"{event.activity}: step {event.step}", f"loss {event.loss:.4f}", *scores])


def _left(event: Event) -> str:
    if event.minutes_left == float("inf"):
        return ""
    return f", {event.minutes_left:.0f} min left"
