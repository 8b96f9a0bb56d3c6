"""A folder of pairs, examined one after the other: the table and the contact sheet at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from undark.errors import PairError, PhotoError
from undark.pairs.examine import examine
from undark.pairs.find import Pair
from undark.pairs.sheet import Picture, Sheet, blank, strip
from undark.pairs.table import NAME, Row, check_place, write_rows


@dataclass(frozen=True)
class Checked:
    """What became of a pair."""

    row: Row
    problem: str | None = None
    """One line, where the two could not be compared."""


def check_pairs(pairs: Sequence[Pair], out: Path, align: bool = False) -> Iterator[Checked]:
    """Examine pairs; once the last is done, `pairs.csv` is in the folder `out`.

    A bad photo stops no other: its pair has a row that says so. Pages of the contact sheet are
    written as they fill. Raises `ExistsError`, before anything is done, where something else has
    the table's name, and `OutputError`.
    """
    check_place(out / NAME)
    sheet, rows = Sheet(out), list[Row]()
    for pair in pairs:
        checked, picture = _check(pair, align)
        sheet.add(picture)
        rows.append(checked.row)
        yield checked
    sheet.finish()
    write_rows(out / NAME, rows)


def _check(pair: Pair, align: bool) -> tuple[Checked, Picture]:
    row = Row(pair.dark, pair.bright)
    try:
        finding = examine(pair, align)
        return Checked(finding.row), strip(finding)
    except PairError as error:
        row, problem = replace(row, verdict=error.verdict), str(error)
    except PhotoError as error:
        problem = str(error)
        which = "bright" if problem.startswith(str(pair.bright)) else "dark"
        row = replace(row, verdict=f"{which} photo cannot be read")
    return Checked(row, problem), blank(row)
