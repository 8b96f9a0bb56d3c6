"""The command that measures a camera: `undark calibrate`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undark.cli.terminal import interruptible, path, printable, progress_bars, tell

if TYPE_CHECKING:
    from undark.calibrate.run import Report


def calibrate_command(
    folder: Annotated[
        Path,
        typer.Argument(parser=path, metavar="DIR", help="Dark frames and flats of one camera."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", parser=path, metavar="DIR", help="Folder of the plots. Default: DIR."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the camera's profile.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Measure a camera's noise and black level from dark frames and flats.

    RAW or DNG, of several ISOs, in any order: they are told apart by content. The profile goes
    into your folder of cameras, where restore, info and train find it. docs/calibrate.md says how
    to take the frames.
    """
    with interruptible("nothing was written"):
        report = _run(folder, out, overwrite)
    for file in report.left_out:
        tell(f"{file.reason} (left out)")
    if as_json:
        print(json.dumps(_as_json(report), indent=1))
    else:
        _print(report)
    tell(f"{report.profile}: written; plots: {report.plots}")
    if report.left_out:
        tell(f"{len(report.left_out)} files could not be used")
        raise typer.Exit(1)


def _run(folder: Path, out: Path | None, overwrite: bool) -> Report:
    from undark.calibrate.run import calibrate  # draws: too slow to import for other commands

    with progress_bars() as bars:
        task = bars.add_task("", total=None)

        def show(what: str, done: int, of: int) -> None:
            bars.update(task, description=what, completed=done, total=of)

        return calibrate(folder, out, overwrite, show)


def _print(report: Report) -> None:
    from undark.calibrate.verdict import law_lines, line_of

    found = report.calibration
    print(printable(f"{found.make} {found.model}, {found.cfa}, {found.span:g} DN"))
    for one in report.measured:
        print(printable(f"  {line_of(one)}"))
    for title, lines in (
        ("law", law_lines(found.laws)),
        ("sure", report.verdict.sure),
        ("missing", report.verdict.missing or ("nothing",)),
    ):
        for line in lines:
            print(printable(f"  {title:<8} {line}"))


def _as_json(report: Report) -> dict[str, Any]:
    settings = [asdict(one.setting) | {"shading": None} for one in report.measured]
    for values, one in zip(settings, report.measured, strict=True):
        values.pop("shading")
        values["shaded"] = one.setting.shading is not None
    found = report.calibration
    return {
        "camera": f"{found.make} {found.model}".strip(),
        "cfa": found.cfa,
        "profile": str(report.profile),
        "plots": str(report.plots),
        "settings": settings,
        "laws": [asdict(law) for law in found.laws],
        "sure": report.verdict.sure,
        "missing": report.verdict.missing,
        "left_out": [{"file": str(f.path), "reason": f.reason} for f in report.left_out],
    }
