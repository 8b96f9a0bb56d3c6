"""Examine the pairs of a folder; write the table and the contact sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from undark.errors import PairError, PhotoError
from undark.pairs.examine import examine
from undark.pairs.find import Pair
from undark.pairs.sheet import Pixels, Sheet, blank, strip
from undark.pairs.table import NAME, Row, check_place, write_rows


@dataclass(frozen=True)
class Checked:
    """The result for one pair."""

    row: Row
    problem: str | None = None
    """One line, where the photos could not be compared."""
    kind: str = ""
    """Sensor kind of the dark photo, "Bayer" or "X-Trans"; "" where it is unknown."""
    good_if_aligned: bool = False
    """Whether the pair is good with `align`."""


def kinds_of(checked: Sequence[Checked]) -> str | None:
    """A line that names each sensor kind of a mixed folder, the majority first; else None."""
    counts = Counter(c.kind for c in checked if c.kind).most_common()
    if len(counts) < 2:
        return None
    (kind, most), *others = counts
    rest = ", ".join(f"{count} {other}" for other, count in others)
    return f"mixed sensors: {most} {kind}, {rest} pairs; training takes {kind}, not {rest}"


def check_pairs(pairs: Sequence[Pair], out: Path, align: bool = False) -> Iterator[Checked]:
    """Examine pairs; after the last one, write `pairs.csv` to the folder `out`.

    A damaged photo does not stop the run; it is named in the verdict of its pair. Each page of the
    contact sheet is written as soon as it is full. Raises `ExistsError`, before any work, if
    another file has the table's name, and `OutputError`.
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


def _check(pair: Pair, align: bool) -> tuple[Checked, Pixels]:
    row = Row(pair.dark, pair.bright)
    try:
        finding = examine(pair, align)
        kind = finding.photos[0].cfa.kind.name
        return Checked(finding.row, None, kind, finding.good_if_aligned), strip(finding)
    except PairError as error:
        row, problem = replace(row, verdict=error.verdict), str(error)
    except PhotoError as error:
        problem = str(error)
        which = "bright" if problem.startswith(str(pair.bright)) else "dark"
        row = replace(row, verdict=f"{which} photo cannot be read")
    return Checked(row, problem), blank(row)
