"""Which pairs of a folder are fit to learn from and to judge by."""

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
    """The rows of `choose`."""
    return choose(folder)[0]


def choose(folder: Path) -> tuple[list[Row], list[Path]]:
    """The good pairs of its table, or where it has none, all pairs that are found in a folder.

    And photos without a partner, where no table has said so already. Warns (`PairsWarning`) of
    pairs that are left out or were never checked. Raises `DataError`, `ReadError`.
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
        raise DataError(f"{table}: no good pairs; mend what its verdicts say, or shoot others")
    return good


def exposure_unknown(row: Row) -> str | None:
    """What is wrong, in a line, where nobody knows how much darker the dark photo is."""
    if row.amplification > 1:
        return None
    return (
        f"{row.dark}: its exposure beside {row.bright.name} is not known; "
        "let `undark pairs` measure it first"
    )


def _unchecked(folder: Path) -> tuple[list[Row], list[Path]]:
    found = find_pairs(folder)
    if not found.pairs:
        raise DataError(f"{folder}: photos, but no pairs; docs/pairs.md says how pairs are named")
    warnings.warn(
        f"{folder}: pairs not checked; `undark pairs` finds those that are no good",
        PairsWarning,
        stacklevel=2,
    )
    return [Row(pair.dark, pair.bright, _ratio(pair)) for pair in found.pairs], found.alone


def _ratio(pair: Pair) -> float:
    """By names and EXIF; NaN where they do not tell."""
    ratio = pair_ratio(pair.dark, shot_of(pair.dark), pair.bright, shot_of(pair.bright))
    return math.nan if ratio is None else ratio
