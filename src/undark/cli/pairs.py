"""The command that examines pairs: `undark pairs`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from undark.cli.terminal import interruptible, path, printable, progress_bars, tell
from undark.pairs.find import Pair, find_named, find_pairs
from undark.pairs.table import COLUMNS, GOOD, Row

if TYPE_CHECKING:
    from undark.pairs.check import Checked


def pairs(
    folder: Annotated[
        Path, typer.Argument(parser=path, metavar="DIR", help="Dark and bright photos.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            parser=path,
            metavar="DIR",
            help="Folder of the table and the sheet. Default: the photos' folder.",
        ),
    ] = None,
    align: Annotated[
        bool, typer.Option("--align", help="Write the shifts to the table; training corrects them.")
    ] = False,
    dark: Annotated[
        str | None,
        typer.Option(metavar="NAME|GLOB", help="Folder of the dark photos below DIR, or a glob."),
    ] = None,
    bright: Annotated[
        str | None, typer.Option(metavar="NAME|GLOB", help="The same of the bright photos.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Find dark/bright pairs of RAW files or JPEGs, and say which are good.

    By names as in SID, by sub-folders (dark/ and bright/, short/ and long/, ...) or by EXIF;
    --dark and --bright name other folders.
    Writes pairs.csv and a contact sheet, pairs-undark.jpg. docs/pairs.md has the measurements.
    """
    if (dark is None) != (bright is None):
        raise typer.BadParameter("give both --dark and --bright, or neither")
    from undark.pairs.check import kinds_of  # draws: too slow to import for other commands

    found = find_named(folder, dark, bright) if dark and bright else find_pairs(folder)
    with interruptible("the table is as it was before"):
        checked = list(_check_all(found.pairs, out or folder, align))
    for photo in found.unpaired:
        tell(f"{photo}: no partner found; see docs/pairs.md for how pairs are named")
    if as_json:
        print(json.dumps([_row_json(c.row) for c in checked], indent=1))
    elif checked:
        _print_table([c.row for c in checked], folder)
    bad = sum(c.problem is not None for c in checked)
    good = sum(c.row.verdict == GOOD for c in checked)
    mixed = kinds_of(checked)
    if mixed:
        tell(mixed)
    aligned = 0 if align else sum(c.good_if_aligned for c in checked)
    hint = f" (--align makes it {aligned})" if aligned > good else ""
    tell(f"{good} of {len(checked)} pairs are good{hint}" + _except_for(bad, len(found.unpaired)))
    if bad or found.unpaired:
        raise typer.Exit(1)


def _except_for(bad: int, alone: int) -> str:
    parts = [f"{bad} could not be compared"] * bool(bad)
    parts += [f"{alone} photo{'s have' if alone > 1 else ' has'} no partner"] * bool(alone)
    return "".join(f"; {part}" for part in parts)


def _check_all(found: list[Pair], out: Path, align: bool) -> Iterator[Checked]:
    """Yield each pair when it is done, with a progress bar; problems are printed at once."""
    from undark.pairs.check import check_pairs  # draws: too slow to import for other commands

    with progress_bars() as bars:
        task = bars.add_task("pairs", total=len(found))
        for checked in check_pairs(found, out, align) if found else ():
            if checked.problem:
                tell(checked.problem)
            bars.advance(task)
            yield checked


def _row_json(row: Row) -> dict[str, Any]:
    """A row for JSON, which has no NaN."""
    values = {name: getattr(row, name) for name in COLUMNS}
    return {
        name: str(v) if isinstance(v, Path) else None if v != v else v for name, v in values.items()
    }


def _print_table(rows: list[Row], folder: Path) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("dark", "bright"):
        table.add_column(name, overflow="fold")
    for name in ("×", "dx", "dy", "±"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    for row in rows:
        names = [printable(os.path.relpath(path, folder)) for path in (row.dark, row.bright)]
        numbers = (f"{row.amplification:.4g}", f"{row.dx:+.2f}", f"{row.dy:+.2f}")
        cells = [*names, *numbers, f"{row.shift_error:.2f}", row.verdict]
        table.add_row(*(Text("–" if cell in ("nan", "+nan") else cell) for cell in cells))
    console = Console(highlight=False)
    console.width = console.width if console.is_terminal else 160
    console.print(table)
