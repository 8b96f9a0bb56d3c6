"""A folder of pairs from the command line: table, sheet, exit status, one line a fault."""

import json
import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pair_photos import NOON, inner, moved, scene, shoot, write_pair
from undark.files.dng import write_mosaic
from undark.pairs.check import Checked, check_pairs, kinds_of
from undark.pairs.find import find_pairs
from undark.pairs.table import Row, read_rows

SHIFTS = {"a": (0.0, 0.0), "b": (2.4, -3.7), "c": (-5.5, 1.2), "d": (0.3, 4.9)}


@pytest.fixture(scope="module")
def photos():
    """By name, a dark and a bright mosaic with a known shift, crops of 800 pixels."""
    made = {}
    for seed, (name, shift) in enumerate(SHIFTS.items()):
        light = scene(632, 832, seed)
        dark = shoot(inner(light), (100, 200, 250, 300)[seed], seed)
        made[name] = dark, shoot(inner(moved(light, *shift)), seed=seed + 100)
    return made


@pytest.fixture
def folder(photos, tmp_path):
    for name, (dark, bright) in photos.items():
        write_pair(tmp_path, dark, bright, f"dark/{name}.dng", f"bright/{name}.dng")
    return tmp_path


def names(folder):
    return sorted(p.name for p in folder.iterdir() if p.is_file())


def test_known_shifts_are_found(run, folder):
    status, out, err = run("pairs", folder)
    assert status == 0
    assert names(folder) == ["pairs-undark.jpg", "pairs.csv"]
    for row in read_rows(folder / "pairs.csv"):
        dx, dy = SHIFTS[row.dark.stem]
        assert math.hypot(row.dx - dx, row.dy - dy) < 0.3
        assert (row.verdict == "good") == (row.dark.stem == "a")
        assert row.dark.exists()
    assert "shifted 4.4 px" in out
    assert "1 of 4 pairs are good (--align makes it 4)" in err


def test_align_out_and_json(run, folder, tmp_path):
    out = tmp_path / "check"
    status, text, _ = run("pairs", folder, "--align", "--out", out, "--json")
    assert (status, names(out), names(folder)) == (0, ["pairs-undark.jpg", "pairs.csv"], [])
    rows = {Path(r["dark"]).stem: r for r in json.loads(text)}
    assert {r["verdict"] for r in rows.values()} == {"good"}
    assert rows["b"]["align_dx"] == pytest.approx(2.4, abs=0.3)
    (aligned,) = [r for r in read_rows(out / "pairs.csv") if r.dark.stem == "c"]
    assert aligned.align_dx == pytest.approx(-5.5, abs=0.3)
    assert aligned.bright.resolve() == (folder / "bright/c.dng").resolve()


def test_what_is_wrong_is_named_skipped_and_counted(run, folder, photos):
    (folder / "dark/a.dng").write_bytes((folder / "dark/a.dng").read_bytes()[:3000])
    (folder / "bright/b.dng").unlink()
    dark, bright = photos["c"]
    write_pair(folder, bright, dark, "dark/c.dng", "bright/c.dng")
    write_pair(folder, dark, bright.replace(plane=bright.plane[:400]), "dark/e.dng", "bright/e.dng")
    status, out, err = run("pairs", folder, "--json")
    assert status == 1
    verdicts = {Path(r["dark"]).stem: r["verdict"] for r in json.loads(out)}
    assert verdicts.pop("d").startswith("shifted")
    assert verdicts == {
        "a": "dark photo cannot be read",
        "c": "dark and bright swapped",
        "e": "sizes differ",
    }
    lines = err.strip().splitlines()
    assert len(lines) == 5
    for name, what in (("a.dng", "damaged"), ("c.dng", "swap"), ("e.dng", "pixels")):
        assert sum(name in line and what in line for line in lines) == 1
    assert any("dark/b.dng: no partner" in line for line in lines)
    assert lines[-1] == (
        "0 of 4 pairs are good (--align makes it 1); 3 could not be compared; "
        "1 photo has no partner"
    )
    assert len(read_rows(folder / "pairs.csv")) == 4


def test_pairs_by_exif(run, photos, tmp_path):
    for number, photo in enumerate(photos["b"] + photos["d"]):
        taken = NOON + timedelta(seconds=20 * (number % 2) + 3600 * (number // 2))
        timed = photo.replace(shot=replace(photo.shot, taken=taken))
        write_mosaic(tmp_path / f"IMG_{number}.dng", timed)
    assert run("pairs", tmp_path)[0] == 0
    rows = read_rows(tmp_path / "pairs.csv")
    assert [(r.dark.stem, r.bright.stem) for r in rows] == [("IMG_0", "IMG_1"), ("IMG_2", "IMG_3")]
    assert rows[0].dx == pytest.approx(2.4, abs=0.3)


def test_a_folder_without_pairs(run, folder):
    status, _, err = run("pairs", folder / "dark")
    assert status == 1
    assert "0 of 0 pairs are good; 4 photos have no partner" in err
    assert names(folder / "dark") == ["a.dng", "b.dng", "c.dng", "d.dng"]
    status, _, err = run("pairs", folder / "nonesuch")
    assert (status, err.count("\n")) == (1, 1)


def test_another_table_stops_the_run_before_anything_is_done(run, folder):
    (folder / "pairs.csv").write_text("my own\n")
    status, _, err = run("pairs", folder)
    assert status == 1
    assert "pairs.csv: exists already" in err
    assert names(folder) == ["pairs.csv"]


def test_a_file_where_the_folder_is_meant_stops_at_once(run, folder):
    status, _, err = run("pairs", folder, "--out", folder / "dark/a.dng")
    assert status == 2
    assert "a.dng" in err
    assert err.count("\n") == 1


def test_a_full_disk_stops_with_a_line(run, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("undark.files.output._flush", full)
    status, _, err = run("pairs", folder)
    assert status == 2
    assert "the disk is full" in err
    assert names(folder) == []


def test_an_interrupted_run_leaves_no_table(folder):
    running = check_pairs(find_pairs(folder).pairs, folder)
    next(running)
    with pytest.raises(KeyboardInterrupt):
        running.throw(KeyboardInterrupt)
    assert names(folder) == []


def test_folders_of_ones_own_names(run, photos, tmp_path):
    for name in "ab":
        write_pair(tmp_path, *photos[name], f"night/{name}.dng", f"day/{name}.dng")
    status, _, err = run("pairs", tmp_path, "--dark", "night", "--bright", "day", "--align")
    assert status == 0
    assert "2 of 2 pairs are good" in err
    assert "makes it" not in err
    rows = read_rows(tmp_path / "pairs.csv")
    assert [(r.dark.parent.name, r.bright.parent.name) for r in rows] == [("night", "day")] * 2
    status, _, err = run("pairs", tmp_path, "--dark", "night")
    assert status == 2
    assert "give both --dark and --bright" in err


def test_a_mixed_folder_names_the_majority_and_the_others(tmp_path):
    row = Row(tmp_path / "d", tmp_path / "b")
    bayer, x_trans = (Checked(row, kind=kind) for kind in ("Bayer", "X-Trans"))
    line = kinds_of([x_trans, bayer, bayer, bayer, Checked(row, "damaged")])
    assert line == "mixed sensors: 3 Bayer, 1 X-Trans pairs; training takes Bayer, not 1 X-Trans"
    assert kinds_of([bayer, bayer]) is None
