"""The command that shows what undark does: `undark demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from undark.cli.terminal import printable


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where the files go.")
    ] = Path("demo"),
    iso: Annotated[int, typer.Option(min=50, max=25600)] = 1600,
    amplification: Annotated[float, typer.Option(min=1, max=300)] = 200,
    overwrite: Annotated[bool, typer.Option("--overwrite")] = False,
) -> None:
    """Simulate a dark RAW photo of a scene, restore it, and compare."""
    from undark.demo import run_demo

    for line in run_demo(output, iso, amplification, overwrite):
        print(printable(line))
