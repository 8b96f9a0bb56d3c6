"""Finding pairs. Only EXIF is read, so the files contain nothing else."""

from datetime import timedelta
from pathlib import Path

import pytest

from pair_photos import NOON
from undark.errors import ReadError
from undark.files.exif_write import exif_block
from undark.pairs.find import Pair, find_named, find_pairs
from undark.sensor.mosaic import Shot


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def put(folder, *names, shot=None):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(exif_block(10, 10, shot or Shot()))


def shot(time, after=0.0, lens="FE 35mm", iso=400.0):
    """A shot of so many seconds, started so many seconds after noon."""
    taken = NOON + timedelta(seconds=after)
    return Shot("SONY", "ILCE-7SM2", lens, time, 4.0, iso, 35.0, taken)


def pairs(folder):
    return {
        (p.dark.relative_to(folder).as_posix(), p.bright.relative_to(folder).as_posix())
        for p in find_pairs(folder).pairs
    }


def alone(folder):
    return [p.relative_to(folder).as_posix() for p in find_pairs(folder).unpaired]


def test_sid_names_in_one_folder(folder):
    put(folder, "00001_00_0.1s.ARW", "00001_01_0.04s.ARW", "00001_00_10s.ARW", "00002_00_0.1s.ARW")
    assert pairs(folder) == {
        ("00001_00_0.1s.ARW", "00001_00_10s.ARW"),
        ("00001_01_0.04s.ARW", "00001_00_10s.ARW"),
    }
    assert alone(folder) == ["00002_00_0.1s.ARW"]


def test_sid_folders_of_two_cameras(folder):
    for camera, suffix in (("Sony", "ARW"), ("Fuji", "RAF")):
        put(
            folder, f"{camera}/short/00001_00_0.1s.{suffix}", f"{camera}/long/00001_00_10s.{suffix}"
        )
    assert pairs(folder) == {
        (f"{c}/short/00001_00_0.1s.{s}", f"{c}/long/00001_00_10s.{s}")
        for c, s in (("Sony", "ARW"), ("Fuji", "RAF"))
    }


def test_short_photos_are_no_pair_of_each_other(folder):
    put(folder, "short/00001_00_0.04s.ARW", "short/00001_00_0.1s.ARW")
    assert pairs(folder) == set()
    assert len(alone(folder)) == 2


@pytest.mark.parametrize(
    ("dark", "bright"),
    [
        ("dark/a.dng", "bright/a.dng"),
        ("Short/a.NEF", "LONG/a.NEF"),
        ("input/day 1/a.CR2", "target/day 1/a.CR2"),
        ("church/dark.ARW", "church/bright.ARW"),
        ("Long Beach/dark/x.ARW", "Long Beach/bright/x.ARW"),
        ("church/low/x.ARW", "church/high/x.ARW"),
        ("IMG_1_short.ARW", "IMG_1_long.ARW"),
        ("a_input.jpg", "a_gt.jpg"),
    ],
)
def test_words_for_dark_and_bright(folder, dark, bright):
    put(folder, dark, bright)
    assert pairs(folder) == {(dark, bright)}
    assert alone(folder) == []


def test_a_missing_partner_stays_alone_where_names_are_the_rule(folder):
    put(folder, "dark/a.dng", "bright/a.dng", shot=shot(0.1))
    put(folder, "dark/b.dng", shot=shot(0.1, 30))
    assert pairs(folder) == {("dark/a.dng", "bright/a.dng")}
    assert alone(folder) == ["dark/b.dng"]


def test_exif_pairs_photos_that_names_do_not(folder):
    for number, (time, after) in enumerate(
        [(10, 0), (0.1, 15), (0.05, 20), (0.1, 600), (30, 605), (1 / 30, 660), (1 / 3, 665)]
    ):
        put(folder, f"IMG_{number}.ARW", shot=shot(time, after))
    assert pairs(folder) == {
        ("IMG_1.ARW", "IMG_0.ARW"),
        ("IMG_2.ARW", "IMG_0.ARW"),
        ("IMG_3.ARW", "IMG_4.ARW"),
        ("IMG_5.ARW", "IMG_6.ARW"),
    }


def test_exif_counts_iso_and_keeps_lenses_apart(folder):
    put(folder, "a.ARW", shot=shot(1, 0, iso=100.0))
    put(folder, "b.ARW", shot=shot(1, 5, iso=3200.0))
    put(folder, "c.ARW", shot=shot(9, 10, lens="FE 85mm"))
    assert pairs(folder) == {("a.ARW", "b.ARW")}
    assert alone(folder) == ["c.ARW"]


def test_folders_with_words_but_other_names_go_by_exif(folder):
    put(folder, "s/dark/IMG_7.ARW", shot=shot(0.1, 0))
    put(folder, "s/bright/IMG_8.ARW", shot=shot(10, 5))
    assert pairs(folder) == {("s/dark/IMG_7.ARW", "s/bright/IMG_8.ARW")}


def test_one_folder_a_scene(folder):
    for scene in ("one", "two"):
        put(folder, f"{scene}/x.ARW", shot=shot(0.1, 0))
        put(folder, f"{scene}/y.ARW", shot=shot(0.2, 900))
        put(folder, f"{scene}/z.ARW", shot=shot(10, 1800))
    assert pairs(folder) == {(f"{s}/{d}.ARW", f"{s}/z.ARW") for s in ("one", "two") for d in "xy"}


def test_photos_with_nothing_in_common_are_unpaired(folder):
    put(folder, "a.ARW", "b.ARW")
    assert alone(folder) == ["a.ARW", "b.ARW"]


def test_undarks_own_results_and_jpegs_beside_raws_are_left_out(folder):
    put(folder, "dark/a.dng", "bright/a.dng", "dark/a-undark.dng", "dark/a.jpg", "pairs-undark.jpg")
    assert find_pairs(folder).pairs == [Pair(folder / "dark/a.dng", folder / "bright/a.dng")]
    assert alone(folder) == []


def test_no_folder_and_no_photos(folder):
    with pytest.raises(ReadError, match="no such folder"):
        find_pairs(folder / "nonesuch")
    with pytest.raises(ReadError, match="without photos"):
        find_pairs(folder)
    put(folder, "file.ARW")
    with pytest.raises(ReadError, match="a file, not a folder"):
        find_pairs(Path(folder / "file.ARW"))


@pytest.mark.parametrize(
    ("names", "dark", "bright"),
    [
        (("night/a.ARW", "day/A.DNG"), "night", "day"),
        (("x/night/1.ARW", "y/day/1.ARW"), "x/night/", "y/day"),
        (("church_n.ARW", "church_d.ARW"), "*_n.*", "*_d.*"),
        (("s1/n/a.ARW", "s1/d/a.ARW"), "*/n/*", "*/d/*"),
    ],
)
def test_names_of_ones_own(folder, names, dark, bright):
    put(folder, *names, "other/unused.ARW")
    found = find_named(folder, dark, bright)
    assert found.pairs == [Pair(*(folder / name for name in names))]
    assert found.unpaired == []  # what neither option names is not asked for


def test_own_folders_with_other_names_go_by_time(folder):
    put(folder, "night/IMG_1.ARW", shot=shot(0.1, 0))
    put(folder, "day/IMG_2.ARW", shot=shot(10, 5))
    put(folder, "night/IMG_3.ARW", shot=shot(0.1, 3600))
    put(folder, "day/IMG_4.ARW", shot=shot(10, 3610))
    put(folder, "night/IMG_5.ARW", shot=shot(0.1, 9000))
    found = find_named(folder, "night", "day")
    pairs = [(p.dark.stem, p.bright.stem) for p in found.pairs]
    assert pairs == [("IMG_1", "IMG_2"), ("IMG_3", "IMG_4")]
    assert [p.stem for p in found.unpaired] == ["IMG_5"]


def test_own_names_that_match_nothing_or_the_same(folder):
    put(folder, "night/a.ARW", "day/a.ARW")
    with pytest.raises(ReadError, match="no photos in nigth; check --dark and --bright"):
        find_named(folder, "nigth", "day")
    with pytest.raises(ReadError, match="is dark and bright"):
        find_named(folder, "*", "day")
