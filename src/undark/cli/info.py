"""The command that describes a photo: `undark info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from undark.cli.terminal import path, printable, tell
from undark.errors import PhotoError
from undark.restoring.describe import describe


def info(
    photos: Annotated[list[Path], typer.Argument(parser=path, metavar="PHOTO", help="RAW files.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Describe a RAW photo: camera, exposure, black, noise, proposed amplification and why."""
    reports = []
    for photo in photos:
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
