"""Options that several commands have, as typer declares them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from undark.develop.render import MAX_CONTRAST
from undark.develop.white_balance import AS_SHOT, parse_white_balance
from undark.engine import catalogue
from undark.restoring.jobs import Options, kind_of
from undark.sensor.exposure import ExposureWish, parse_exposure


class Bits(StrEnum):
    """Bits per channel."""

    EIGHT = "8"
    SIXTEEN = "16"


class Quality(StrEnum):
    """Which of the shipped models."""

    BEST = catalogue.BEST
    FAST = catalogue.FAST


def _wish(text: str) -> ExposureWish:
    try:
        return parse_exposure(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _checked_white_balance(text: str) -> str:
    try:
        parse_white_balance(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


DeviceChoice = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|...",
        help="What runs the model; auto: the fastest here. `undark info --device` lists all.",
    ),
]


@dataclass(frozen=True)
class RestoreOptions:
    """The options of commands that restore, as typer declares them."""

    bits: Annotated[Bits, typer.Option(help="Bits per channel of png and tiff.")] = Bits.EIGHT
    exposure: Annotated[
        ExposureWish,
        typer.Option(
            parser=_wish, metavar="auto|EV", help="Amplify by 2^EV; auto+1: one EV more than auto."
        ),
    ] = "auto"  # type: ignore[assignment]  # typer parses defaults too
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="Fraction of the noise to remove.")
    ] = 1.0
    white_balance: Annotated[
        str,
        typer.Option(
            callback=_checked_white_balance,
            metavar="as-shot|daylight|X,Y",
            help="X,Y: a point of the upright picture, in pixels, that is to be grey.",
        ),
    ] = AS_SHOT
    contrast: Annotated[
        float,
        typer.Option(
            min=-MAX_CONTRAST,
            max=MAX_CONTRAST,
            help="More (up to 1) or less (down to -1); not in a dng, which is linear light.",
        ),
    ] = 0.0
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="See `undark models`. Default: by the photo's sensor."
        ),
    ] = None
    quality: Annotated[
        Quality | None,
        typer.Option(
            help="best, the default, or fast: about half the time, more noise left. Of the shipped "
            "models, so not with --model."
        ),
    ] = None
    device: DeviceChoice = "auto"
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results.")] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False

    def for_jobs(self) -> Options:
        """As a batch takes them. Raises `BadParameter` where two exclude each other."""
        if self.model and self.quality:
            raise typer.BadParameter("--model and --quality exclude each other: give one of them")
        return Options(
            self.exposure,
            self.strength,
            self.model,
            self.quality or Quality.BEST,
            self.device,
            int(self.bits),
            self.overwrite,
            white_balance=parse_white_balance(self.white_balance),
            contrast=self.contrast,
        )


def kind_of_result(to: str | None, output: str | None, bits: Bits) -> str:
    """The kind of file to write: as asked, or as the output's suffix says; both must agree."""
    named = kind_of(output)
    if to and named and to != named:
        raise typer.BadParameter(f"{output} is no name for a {to} file")
    kind = str(to or named or "jpeg")
    if kind == "jpeg" and bits == Bits.SIXTEEN:
        raise typer.BadParameter("a JPEG has 8 bits; add --to png or --to tiff for 16")
    return kind
