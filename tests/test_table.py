"""pairs.csv: writing, reading, and errors."""

import math
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undark.errors import ExistsError, OutputError, ReadError
from undark.pairs.table import COLUMNS, PREVIOUS, Row, read_rows, write_rows

HEAD = "dark,bright,amplification,dx,dy,verdict"


def row(folder, name="a.ARW", **values):
    return Row(folder / "dark" / name, folder / "bright" / name, **values)


def same(one, other):
    for field in fields(Row):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, float):
            assert a == pytest.approx(b, rel=1e-4, nan_ok=True)
        else:
            assert a == b


def test_the_first_columns_are_those_promised():
    assert ",".join(COLUMNS[:6]) == HEAD


def test_rows_come_back(tmp_path):
    rows = [
        row(tmp_path, amplification=200.0, dx=1.25, dy=-0.5, verdict="shifted 1.3 px", moved=0.01),
        row(tmp_path, "b.ARW", align_dx=3.0),
    ]
    write_rows(tmp_path / "pairs.csv", rows)
    for one, other in zip(rows, read_rows(tmp_path / "pairs.csv"), strict=True):
        same(one, other)


def test_paths_are_relative_to_the_table(tmp_path):
    write_rows(tmp_path / "out" / "pairs.csv", [row(tmp_path)])
    text = (tmp_path / "out" / "pairs.csv").read_text()
    assert "../dark/a.ARW,../bright/a.ARW," in text
    (back,) = read_rows(tmp_path / "out" / "pairs.csv")
    assert back.dark.resolve() == (tmp_path / "dark/a.ARW").resolve()


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20))
def test_any_name_comes_back(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("names")
    if name in (".", ".."):
        name = "x"
    write_rows(folder / "pairs.csv", [row(folder, name)])
    assert read_rows(folder / "pairs.csv")[0].dark.name == name


def test_a_name_that_is_no_text_comes_back(tmp_path):
    write_rows(tmp_path / "pairs.csv", [row(tmp_path, "bad\udcff.ARW")])
    assert read_rows(tmp_path / "pairs.csv")[0].dark.name == "bad\udcff.ARW"


def test_an_empty_field_shifts_nothing(tmp_path):
    (tmp_path / "pairs.csv").write_text(f"{HEAD},align_dx,align_dy\na.ARW,b.ARW,100,,,good,,\n")
    (back,) = read_rows(tmp_path / "pairs.csv")
    assert (back.align_dx, back.align_dy) == (0, 0)


def test_the_first_six_columns_are_enough(tmp_path):
    (tmp_path / "pairs.csv").write_text(f"{HEAD}\na.ARW,b.ARW,100,,,good\n")
    (back,) = read_rows(tmp_path / "pairs.csv")
    assert (back.dark, back.amplification, back.align_dx) == (tmp_path / "a.ARW", 100, 0)
    assert math.isnan(back.dx)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column dark, bright"),
        (HEAD.replace(",", ";") + "\n", "save it with commas"),
        ("dark,bright\na,b\n", "no column amplification"),
        (f"{HEAD}\na,b,100,1,2\n", "line 2: not as many fields"),
        (f"{HEAD}\na,b,100,1,2,good,more\n", "line 2: not as many fields"),
        (f"{HEAD}\na,b,100,one,2,good\n", "line 2: dx is not a number: one"),
        (f"{HEAD}\n,b,100,1,2,good\n", "line 2: dark, bright or verdict is empty"),
        (f'{HEAD}\n"a,b,100,1,2,good\n', "line"),
    ],
)
def test_a_damaged_table_is_one_line(tmp_path, text, says):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(ReadError, match=says) as caught:
        read_rows(tmp_path / "pairs.csv")
    assert str(tmp_path / "pairs.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_table(tmp_path):
    with pytest.raises(ReadError, match="no such file"):
        read_rows(tmp_path / "pairs.csv")


def test_a_table_that_was_changed_is_kept(tmp_path):
    path = tmp_path / "pairs.csv"
    write_rows(path, [row(tmp_path)])
    write_rows(path, [row(tmp_path)])
    assert not (tmp_path / PREVIOUS).exists()
    by_hand = path.read_text().replace("good", "a cat")
    path.write_text(by_hand)
    write_rows(path, [row(tmp_path)])
    assert (tmp_path / PREVIOUS).read_text() == by_hand
    assert read_rows(path)[0].verdict == "good"


def test_what_is_no_table_of_ours_is_not_replaced(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("my own\n")
    with pytest.raises(ExistsError, match=r"pairs\.csv: exists already"):
        write_rows(path, [row(tmp_path)])
    assert path.read_text() == "my own\n"


def test_a_full_disk_is_one_line_and_leaves_the_older_table(tmp_path, monkeypatch):
    path = tmp_path / "pairs.csv"
    write_rows(path, [row(tmp_path)])
    before = path.read_bytes()

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_rows(path, [row(tmp_path, verdict="shifted 2.0 px")])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["pairs.csv"]
