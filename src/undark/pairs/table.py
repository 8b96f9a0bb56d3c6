"""`pairs.csv`: the measurements and the verdict of each pair; training and evaluation read it."""

from __future__ import annotations

import csv
import errno
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from undark.errors import ExistsError, ReadError
from undark.files.output import write_atomically, writing

NAME = "pairs.csv"
PREVIOUS = "pairs-previous.csv"
"""Name of the backup of a table that is replaced by a different one: its verdicts may have been
edited by hand."""
GOOD = "good"
"""The verdict of a pair that training may use, with its `align_dx` and `align_dy`."""
_REMEDY = "write it again with `undark pairs`"


@dataclass(frozen=True)
class Row:
    """One pair. A value that was not measured is NaN: an empty field in the file."""

    dark: Path
    bright: Path
    amplification: float = math.nan
    """Exposure of the bright photo over that of the dark one."""
    dx: float = math.nan
    """Shift of the bright photo's content relative to the dark one's, to the right, in sensor
    pixels."""
    dy: float = math.nan
    """The same, down."""
    verdict: str = GOOD
    """`GOOD`, or the faults."""
    shift_error: float = math.nan
    """Standard error of the shift in its less certain direction, in sensor pixels."""
    rotation: float = math.nan
    """Rotation of the bright photo's content, clockwise, in degrees."""
    scale: float = math.nan
    """Size of the bright photo's content relative to the dark one's."""
    moved: float = math.nan
    """Fraction of the frame, 0 to 1, in which the photos show different content."""
    saturated: float = math.nan
    """Fraction of the bright photo's pixels that are saturated."""
    sharpness: float = math.nan
    """Fine detail of the dark photo over that of the bright one; 1: equally sharp."""
    flicker: float = math.nan
    """Brightness of the bright photo over that expected from the exposures, in EV."""
    align_dx: float = 0.0
    """Shift that training corrects: the bright photo is sampled this far to the right."""
    align_dy: float = 0.0
    """The same, down."""


COLUMNS = tuple(field.name for field in fields(Row))
_NUMBERS = COLUMNS[2:5] + COLUMNS[6:]
_EMPTY = {"align_dx": 0.0, "align_dy": 0.0}
"""Values of empty fields that are not NaN."""


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a table atomically; paths become relative to its folder.

    An older table with other content is kept as `PREVIOUS`. Raises `ExistsError` if another kind of
    file has the name, `OutputError` if writing fails.
    """
    check_place(path)
    text = _text(path.parent, rows)
    with writing(path):
        before = path.read_bytes() if path.exists() else None
    encoded = text.encode("utf-8", "surrogateescape")
    if before not in (None, encoded):
        write_atomically(path.with_name(PREVIOUS), before or b"")
    write_atomically(path, encoded)


def check_place(path: Path) -> None:
    """Create the folder of a table and check, before hours of work, that it can be written.

    Raises `ExistsError` if a file that is not a table of undark has the name, `OutputError`.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if not os.path.lexists(path):
            return
        start = path.read_bytes()[:200] if path.is_file() else b""
    if not start.decode("utf-8", "replace").startswith(",".join(COLUMNS[:6])):
        raise ExistsError(
            f"{path}: exists already and is not a table of undark; "
            "move it, or choose another folder with --out"
        )


def read_rows(path: Path) -> list[Row]:
    """Read a table; its paths are joined with its folder. Raises `ReadError` with the line."""
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except FileNotFoundError as error:
        raise ReadError(f"{path}: there is no such file; {_REMEDY}") from error
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="beyond", strict=True)
    try:
        if ";" in (reader.fieldnames or [""])[0]:
            raise ReadError(f"{path}: has semicolons between its fields; save it with commas")
        missing = [name for name in COLUMNS[:6] if name not in (reader.fieldnames or [])]
        if missing:
            raise ReadError(f"{path}: no column {', '.join(missing)}; {_REMEDY}")
        return [_row(path, reader.line_num, line) for line in reader]
    except csv.Error as error:
        raise ReadError(
            f"{path}: line {reader.line_num}: {error}; correct it, or {_REMEDY}"
        ) from error


def _row(path: Path, number: int, line: Mapping[str, Any]) -> Row:
    """One line of the file; missing columns get their defaults."""

    def wrong(what: str) -> ReadError:
        return ReadError(f"{path}: line {number}: {what}; correct it, or {_REMEDY}")

    if None in line.values() or "beyond" in line:
        raise wrong("not as many fields as there are columns")
    if not (line["dark"] and line["bright"] and line["verdict"]):
        raise wrong("dark, bright or verdict is empty")
    values: dict[str, Any] = {name: path.parent / line[name] for name in ("dark", "bright")}
    for name in _NUMBERS:
        if name in line:
            try:
                values[name] = float(line[name]) if line[name] else _EMPTY.get(name, math.nan)
            except ValueError:
                raise wrong(f"{name} is not a number: {line[name]}") from None
    verdict = line["verdict"].strip()
    return Row(**values, verdict=GOOD if verdict.lower() == GOOD else verdict)


def _text(folder: Path, rows: Sequence[Row]) -> str:
    values = [[_field(folder, getattr(row, name)) for name in COLUMNS] for row in rows]
    return "".join(map(csv_line, [COLUMNS, *values]))


def csv_line(values: Sequence[str]) -> str:
    """One line of CSV. With another line end, the writer would not quote a "\\r" in a name."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(values)
    return out.getvalue().removesuffix("\r\n") + "\n"


def _field(folder: Path, value: object) -> str:
    """A path relative to the table's folder, a number with five digits, or text unchanged."""
    if isinstance(value, Path):
        return Path(os.path.relpath(value, folder)).as_posix()
    if isinstance(value, float):
        return f"{value:.5g}" if math.isfinite(value) else ""
    return str(value)
