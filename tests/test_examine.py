"""Verdicts on pairs with one thing wrong each, through real DNG files."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from pair_photos import inner, moved, scene, shoot, write_pair
from undark.develop.colour import encode_srgb
from undark.errors import PairError, ReadError
from undark.files.picture import write_picture
from undark.pairs.examine import examine
from undark.pairs.find import Pair
from undark.sensor.cfa import BAYER_ORDERS, X_TRANS, mosaic
from undark.sensor.mosaic import Shot

RATIO = 200


@pytest.fixture(scope="module")
def light():
    return scene(seed=5)


@pytest.fixture(scope="module")
def dark(light):
    return shoot(inner(light), RATIO)


def judge(folder, dark, bright, align=False):
    return examine(Pair(*write_pair(folder, dark, bright)), align)


def test_a_good_pair(tmp_path, light, dark):
    row = judge(tmp_path, dark, shoot(inner(light))).row
    assert row.verdict == "good"
    assert row.amplification == pytest.approx(RATIO)
    assert math.hypot(row.dx, row.dy) < 0.3
    assert row.sharpness == pytest.approx(1, abs=0.1)
    assert row.flicker == pytest.approx(0, abs=0.05)
    assert (row.moved, row.saturated, row.align_dx) == (0, 0, 0)


@pytest.mark.parametrize("shift", [(3.3, -1.6), (-0.8, 5.25), (6, 6), (0.5, 0.75)])
def test_a_shift_is_right_and_down_in_sensor_pixels(tmp_path, light, dark, shift):
    bright = shoot(inner(moved(light, *shift)))
    row = judge(tmp_path, dark, bright).row
    assert math.hypot(row.dx - shift[0], row.dy - shift[1]) < 0.3
    assert row.verdict.startswith("shifted")
    aligned = judge(tmp_path, dark, bright, align=True).row
    assert (aligned.verdict, aligned.align_dx, aligned.align_dy) == ("good", row.dx, row.dy)


def test_rotation(tmp_path, light, dark):
    row = judge(tmp_path, dark, shoot(inner(moved(light, degrees=0.3)))).row
    assert row.verdict.startswith("rotated +0.3")
    assert row.rotation == pytest.approx(0.3, abs=0.04)


def test_a_moved_object_and_where_it_is(tmp_path, light, dark):
    other = light.copy()
    other[116:196, 216:296] = (0.6, 0.1, 0.4)
    finding = judge(tmp_path, dark, shoot(inner(other)))
    assert finding.row.verdict.startswith("moved objects")
    rows, columns = np.nonzero(finding.changed)
    assert 16 * rows.mean() == pytest.approx(140, abs=24)  # without the margin
    assert 16 * columns.mean() == pytest.approx(240, abs=24)


@pytest.mark.parametrize("which", ["dark", "bright"])
def test_defocus(tmp_path, light, which):
    soft = ndimage.gaussian_filter(light, (3, 3, 0))
    photos = {"dark": shoot(inner(light), RATIO), "bright": shoot(inner(light))}
    photos[which] = shoot(inner(soft), RATIO if which == "dark" else 1)
    row = judge(tmp_path, photos["dark"], photos["bright"]).row
    assert row.verdict == f"{which} photo less sharp"


def test_saturation(tmp_path, light, dark):
    row = judge(tmp_path, dark, shoot(inner(light) * 2, time=20)).row
    assert row.verdict.startswith("bright photo saturated")
    assert 0.05 < row.saturated < 0.5
    assert row.flicker == pytest.approx(0, abs=0.05)


def test_a_saturated_photo_is_named(tmp_path, light, dark):
    row = judge(tmp_path, dark, shoot(inner(light) * 6, time=60)).row
    assert "bright photo saturated" in row.verdict


def test_flicker(tmp_path, light, dark):
    bright = shoot(inner(light))
    shorter = replace(bright.shot, exposure_time=10 * 2**-0.5)
    row = judge(tmp_path, dark, bright.replace(shot=shorter)).row
    assert row.verdict == "brightness off by +0.5 EV"
    assert row.flicker == pytest.approx(0.5, abs=0.06)


def test_light_changed_instead_of_exposure(tmp_path, light, dark):
    row = judge(tmp_path, dark, shoot(inner(light), time=10 / RATIO)).row
    assert row.amplification == pytest.approx(RATIO, rel=0.03)
    assert math.isnan(row.flicker)
    assert row.verdict == "good"


def test_another_scene(tmp_path, dark):
    row = judge(tmp_path, dark, shoot(inner(scene(seed=99)))).row
    assert row.verdict.startswith(("not the same scene", "shift uncertain"))


def test_nothing_to_see_is_uncertain(tmp_path):
    flat = np.full((256, 320, 3), 0.1, np.float32)
    row = judge(tmp_path, shoot(flat, 300), shoot(flat)).row
    assert row.verdict.startswith("shift uncertain")
    assert judge(tmp_path, shoot(flat, 300), shoot(flat), align=True).row.align_dx == 0


def test_swapped(tmp_path, light, dark):
    with pytest.raises(PairError, match="swap their names") as caught:
        judge(tmp_path, shoot(inner(light)), dark)
    assert caught.value.verdict == "dark and bright swapped"


def test_sizes_and_cfas_differ(tmp_path, light, dark):
    bright = shoot(inner(light))
    with pytest.raises(PairError, match="608 x 448 pixels, but its bright photo"):
        judge(tmp_path / "a", dark, bright.replace(plane=bright.plane[:400]))
    with pytest.raises(PairError, match=r"CFA RGGB, but its bright photo .* BGGR"):
        judge(tmp_path / "b", dark, bright.replace(cfa=BAYER_ORDERS[1]))
    small = [photo.replace(plane=photo.plane[:60, :60]) for photo in (dark, bright)]
    with pytest.raises(PairError, match="too few to compare"):
        judge(tmp_path / "c", *small)


def test_a_corrupt_photo(tmp_path, light, dark):
    paths = write_pair(tmp_path, dark, shoot(inner(light)))
    paths[1].write_bytes(paths[1].read_bytes()[:3000])
    with pytest.raises(ReadError, match=r"bright/a\.dng"):
        examine(Pair(*paths))


def test_x_trans(tmp_path, light):
    """LibRaw reads a DNG with a 6×6 pattern as X-Trans."""

    def x_trans(photo, light, ratio, seed):
        noise = np.random.default_rng(seed)
        signal = mosaic(np.moveaxis(light, -1, 0), X_TRANS) * (15000 / ratio)
        noisy = noise.poisson(signal) + noise.normal(0, 3, signal.shape)
        plane = np.clip(noisy + 512, 0, 16383).astype(np.uint16)
        return photo.replace(plane=plane, cfa=X_TRANS, black=np.full((6, 6), 512, np.float32))

    photos = shoot(inner(light), RATIO), shoot(inner(light))
    lights = inner(light), inner(moved(light, 2.5, -4.0))
    dark, bright = (
        x_trans(p, one, r, s) for p, one, r, s in zip(photos, lights, (100, 1), (1, 2), strict=True)
    )
    row = judge(tmp_path, dark, bright).row
    assert math.hypot(row.dx - 2.5, row.dy + 4.0) < 0.3


def test_jpegs(tmp_path, light):
    shot = Shot(make="SONY", exposure_time=1.0)
    for name, one, gain in (("dark", light, 0.1), ("bright", moved(light, -3.5, 2.0), 1.0)):
        picture = np.rint(255 * encode_srgb(inner(one) * gain)).astype(np.uint8)
        time = replace(shot, exposure_time=gain)
        write_picture(tmp_path / f"{name}.jpg", picture, time)
    row = examine(Pair(tmp_path / "dark.jpg", tmp_path / "bright.jpg")).row
    assert row.amplification == pytest.approx(10)
    assert math.hypot(row.dx + 3.5, row.dy - 2.0) < 0.3
    assert row.verdict == "shifted 4.0 px"
