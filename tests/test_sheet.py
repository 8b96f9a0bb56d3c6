"""The contact sheet's pages."""

import numpy as np
import pytest

from pair_photos import inner, moved, scene, shoot, write_pair
from undark.files.picture import read_picture
from undark.pairs import sheet
from undark.pairs.examine import examine
from undark.pairs.find import Pair
from undark.pairs.sheet import HEIGHT, TITLE, WIDTH, Sheet, blank, strip
from undark.pairs.table import Row


@pytest.fixture
def strips(tmp_path):
    return [blank(Row(tmp_path / f"{n}.ARW", tmp_path / "b.ARW")) for n in range(3)]


def test_a_strip_shows_both_photos_and_what_moved(tmp_path):
    light = scene(seed=2)
    other = moved(light, 4, 0)
    other[116:216, 216:336] = (0.05, 0.6, 0.1)
    paths = write_pair(tmp_path, shoot(inner(light), 100), shoot(inner(other)))
    picture = strip(examine(Pair(*paths)))
    assert picture.shape == (TITLE + HEIGHT, 3 * WIDTH, 3)
    dark, bright, overlay = np.split(picture[TITLE:].astype(float), 3, axis=1)
    assert np.corrcoef(dark.ravel(), bright.ravel())[0, 1] > 0.7
    assert (bright[..., 0] - bright[..., 1:].max(axis=-1) > 60).mean() > 0.01  # red
    assert overlay.std() > 10


def test_the_overlay_shows_what_training_sees(tmp_path):
    """The red and the cyan edges agree only if the shift is corrected."""
    light = scene(seed=2)
    dark, bright = shoot(inner(light), 5), shoot(inner(moved(light, 9, -7)))
    paths = write_pair(tmp_path, dark, bright)
    apart = []
    for align in (False, True):
        overlay = strip(examine(Pair(*paths), align))[TITLE:, 2 * WIDTH :].astype(float)
        apart.append(np.abs(overlay[..., 0] - overlay[..., 1]).mean())
    assert apart[1] < 0.5 * apart[0]


def test_an_upright_photo_stays_upright(tmp_path):
    light = scene(seed=2)
    photos = [shoot(inner(light), r).replace(orientation=6) for r in (100, 1)]
    picture = strip(examine(Pair(*write_pair(tmp_path, *photos))))
    left = picture[TITLE:, :WIDTH].max(axis=(0, 2))
    assert left[: WIDTH // 4].max() == 0  # higher than wide: black beside it


def test_pages_are_written_as_they_fill(tmp_path, strips, monkeypatch):
    monkeypatch.setattr(sheet, "ROWS", 1)
    pages = Sheet(tmp_path)
    for picture in strips:
        pages.add(picture)
    assert [p.name for p in tmp_path.iterdir()] == ["pairs-undark.jpg"]
    pages.finish()
    assert [p.name for p in pages.pages] == ["pairs-undark.jpg", "pairs-2-undark.jpg"]
    shape = read_picture(pages.pages[0]).shape
    assert shape == (TITLE + HEIGHT, 2 * 3 * WIDTH, 3)


def test_a_shorter_run_leaves_no_pages_of_a_longer_one(tmp_path, strips, monkeypatch):
    monkeypatch.setattr(sheet, "ROWS", 1)
    for count in (3, 1):
        pages = Sheet(tmp_path)
        for picture in strips[:count]:
            pages.add(picture)
        pages.finish()
    assert [p.name for p in tmp_path.iterdir()] == ["pairs-undark.jpg"]


@pytest.mark.parametrize("name", ["ünï 日", "a\nb", "bad\udcff", "°×"])
def test_any_name_has_a_title(tmp_path, name):
    title = blank(Row(tmp_path / name, tmp_path / "b", verdict="rotated +0.30°"))[:TITLE]
    assert title.max() > 128
