"""The command that describes a photo, or the devices of this machine: `undark info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from undark.cli.terminal import path, printable, tell
from undark.engine.card import read_card
from undark.engine.catalogue import DEFAULT_MODEL, find_model
from undark.engine.devices import INSTALL
from undark.engine.trial import PHOTO, Trial, survey
from undark.errors import PhotoError
from undark.restoring.describe import describe

MEGAPIXELS = PHOTO[0] * PHOTO[1] / 1e6
"""Of the photo whose time is shown."""


def info(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(parser=path, metavar="PHOTO", help="RAW, JPEG, PNG, TIFF."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    device: Annotated[
        bool,
        typer.Option(
            "--device",
            help="Instead of photos: which devices and engines are here, how fast each runs the "
            "network, and the line that installs the others. Takes some seconds.",
        ),
    ] = False,
) -> None:
    """Describe a photo: camera, exposure, black, noise, proposed amplification and why."""
    if device == bool(photos):
        raise typer.BadParameter("give photos, or --device")
    if device:
        _describe_devices(as_json)
        return
    reports = []
    for photo in photos or []:
        report = _report(photo)
        reports.append(report)
        if "error" in report:
            tell(report["error"])
        elif not as_json:
            for key, value in report.items():
                print(printable(f"{'' if key == 'file' else f'  {key:<16} '}{value}"))
    if as_json:
        print(json.dumps(reports, indent=1))
    if any("error" in report for report in reports):
        raise typer.Exit(1)


def _report(photo: Path) -> dict[str, str]:
    """What `undark.restoring.describe.describe` says of a photo, or the error."""
    try:
        return {"file": str(photo)} | describe(photo)
    except PhotoError as error:
        return {"file": str(photo), "error": str(error)}


Row = dict[str, str | float | bool | None]


def _describe_devices(as_json: bool) -> None:
    model = find_model(DEFAULT_MODEL)
    card = read_card(model)
    done, best = survey(model, card)
    rows = [_row(trial, auto=trial.engine == best) for trial in done]
    rows += [{"device": d, "install": line} for d, line in INSTALL.items() if not _has(rows, d)]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    print(f"The network {card.name} alone, on a photo of {MEGAPIXELS:.0f} megapixels:")
    for row in rows:
        print(printable(_line(row)))


def _has(rows: list[Row], device: str) -> bool:
    return any(row["device"] == device for row in rows)


def _row(trial: Trial, auto: bool) -> Row:
    row: Row = {
        "device": trial.engine.device,
        "engine": trial.engine.runtime,
        "precision": trial.engine.precision,
        "auto": auto,
    }
    if trial.problem or trial.seconds is None:
        return row | {"problem": trial.problem}
    rate = MEGAPIXELS / trial.seconds
    return row | {"seconds": round(trial.seconds, 2), "megapixels_per_second": round(rate, 2)}


def _line(row: Row) -> str:
    begin = f"  {row['device']:<9} "
    if "install" in row:
        return f"{begin}not here; to install: {row['install']}"
    begin += f"{row['engine']:<13} {row['precision']:<9} "
    if "problem" in row:
        return f"{begin}cannot be used: {row['problem']}"
    auto = "  (auto)" if row["auto"] else ""
    return f"{begin}{row['seconds']:6.2f} s  {row['megapixels_per_second']:6.2f} Mpx/s{auto}"
