"""Select the pairs of a folder that training and evaluation use."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

from undark.errors import DataError
from undark.files.exif_read import shot_of
from undark.pairs.find import Pair, find_pairs
from undark.pairs.photo import pair_ratio
from undark.pairs.table import GOOD, NAME, Row, read_rows


class PairsWarning(UserWarning):
    """Pairs of a folder that are left out, or that `undark pairs` has not checked."""


def good_rows(folder: Path) -> list[Row]:
    """The rows that `choose` returns."""
    return choose(folder)[0]


def choose(folder: Path) -> tuple[list[Row], list[Path]]:
    """Usable pairs, and photos without a partner.

    With a table (`pairs.csv`): its good pairs and no photos, because `undark pairs` has reported
    them. Without one: all pairs and unpaired photos that `find_pairs` finds. Warns (`PairsWarning`)
    about pairs that are left out or were not checked. Raises `DataError`, `ReadError`.
    """
    table = folder / NAME
    return (_checked(table), []) if table.exists() else _unchecked(folder)


def _checked(table: Path) -> list[Row]:
    rows = read_rows(table)
    good = [row for row in rows if row.verdict == GOOD]
    if len(good) < len(rows):
        warnings.warn(
            f"{table}: {len(rows) - len(good)} of {len(rows)} pairs are not good: left out",
            PairsWarning,
            stacklevel=2,
        )
    if not good:
        raise DataError(
            f"{table}: no good pairs; correct what its verdicts name, or take other photos"
        )
    return good


def exposure_unknown(row: Row) -> str | None:
    """An error message if the row has no amplification above 1, else None."""
    if row.amplification > 1:
        return None
    return (
        f"{row.dark}: its exposure relative to {row.bright.name} is not known; "
        "run `undark pairs` first, which measures it"
    )


def _unchecked(folder: Path) -> tuple[list[Row], list[Path]]:
    found = find_pairs(folder)
    if not found.pairs:
        raise DataError(f"{folder}: photos, but no pairs; docs/pairs.md says how pairs are named")
    warnings.warn(
        f"{folder}: pairs not checked; `undark pairs` finds unusable ones",
        PairsWarning,
        stacklevel=2,
    )
    return [Row(pair.dark, pair.bright, _ratio(pair)) for pair in found.pairs], found.unpaired


def _ratio(pair: Pair) -> float:
    """Amplification from names or EXIF; NaN if neither gives it."""
    ratio = pair_ratio(pair.dark, shot_of(pair.dark), pair.bright, shot_of(pair.bright))
    return math.nan if ratio is None else ratio
