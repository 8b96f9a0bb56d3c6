"""Photos that are shown with other settings: what is shown is what an export writes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from time import sleep

import numpy as np
import pytest

import undark
from conftest import SHOT
from picture_models import Same
from undark.develop.colour import decode_srgb, encode_srgb
from undark.files.dng import write_mosaic
from undark.files.picture import open_picture, write_picture
from undark.restoring import live as live_module
from undark.restoring.darks import Darks
from undark.restoring.jobs import Job, Loaded, Options, Plan, Restored, run
from undark.restoring.live import LivePicture, LiveRaw, View, _halved, open_live
from undark.restoring.raw import prepare
from undark.sensor.cfa import CFA, RGGB
from undark.sensor.exposure import parse_exposure
from undark.sensor.merged import MergedNoise
from undark.sensor.noise import NoiseModel

OPTIONS = Options(device="cpu")


@pytest.fixture(scope="module")
def loaded():
    return Loaded(OPTIONS, Darks(()))


def scene(cfa, shape, seed=3):
    """A dark mosaic with edges, a gradient and a light source far above white."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    level = 20 + 120 * (x / shape[1]) * (((x // 24) + (y // 24)) % 2 + 0.3)
    level[(y - shape[0] // 3) ** 2 + (x - shape[1] // 2) ** 2 < 150] = 9000
    return (512 + rng.poisson(level)).astype(np.uint16)


@pytest.fixture(scope="module", params=["RGGB 1", "GBRG 6", "X-Trans 8"])
def photo(request, tmp_path_factory, make_mosaic, loaded):
    """A DNG and its live photo, restored once."""
    name, orientation = request.param.split()
    cfa = CFA.from_name(name)
    shape = (1050, 702) if name == "RGGB" else (210, 330)
    mosaic = make_mosaic(cfa=cfa, shape=shape, orientation=int(orientation))
    path = tmp_path_factory.mktemp("live") / "a.dng"
    write_mosaic(path, mosaic.replace(plane=scene(cfa, shape)))
    live = open_live(path, OPTIONS, loaded)
    live.prepare()
    live.restore(lambda share: None)
    return path, live


def wish(ev):
    return parse_exposure(f"auto{ev:+}")


SETTINGS = {
    "proposed": {},
    "brighter": {"exposure": wish(1.5), "contrast": 0.4},
    "darker, weak": {"exposure": wish(-2), "strength": 0.4},
    "daylight": {"white_balance": "daylight", "strength": 0.8},
    "gains": {"white_balance": (2.5, 1.0, 1.2), "contrast": -0.5, "exposure": wish(0.7)},
    "unrestored": {"strength": 0.0},
}


def exported(path, options, target, loaded):
    (*_, outcome) = run(Plan((Job(path, target),)), options, loaded)
    assert isinstance(outcome, Restored), outcome
    return open_picture(target).levels


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_shown_is_what_is_exported(photo, loaded, tmp_path, name):
    path, live = photo
    options = replace(OPTIONS, **SETTINGS[name])
    shown = live.show(View(0, 0, *live.size), options, restored=True)
    written = exported(path, options, tmp_path / "a.png", loaded)
    assert (shown.left, shown.top, shown.width, shown.height) == (0, 0, *live.size)
    difference = np.abs(shown.picture.astype(int) - written)
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.95  # halves round
    assert written.std() > 5


def test_parts_are_parts_of_the_whole(photo):
    _, live = photo
    options = replace(OPTIONS, strength=0.5, exposure=wish(1))
    for restored in (False, True):
        whole = live.show(View(0, 0, *live.size), options, restored=restored).picture
        for left, top, width, height in [(0, 0, 50, 40), (37, 51, 90, 33), (101, 93, 2000, 2000)]:
            part = live.show(View(left, top, width, height), options, restored=restored)
            box = whole[top : top + height, left : left + width]
            assert (part.left, part.top) == (left, top)
            assert np.array_equal(part.picture, box)


def test_smaller_sizes_are_means_of_the_light(photo):
    """Compared with the full size shown, its light averaged."""
    _, live = photo
    dim = replace(OPTIONS, exposure=wish(-2))  # below the shoulder: the light can be had back
    whole = live.show(View(0, 0, *live.size), dim, restored=True).picture
    small = live.show(View(0, 0, *live.size, level=1), dim, restored=True)
    if max(live.size) <= 512:
        assert small.picture.shape == whole.shape
        return
    height, width = small.picture.shape[:2]
    light = decode_srgb(whole / 255).reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
    difference = np.abs(small.picture - encode_srgb(light) * 255)
    # rounding to levels before the mean, and colours out of sRGB
    assert np.quantile(difference, 0.99) < 2


def test_a_level_of_an_odd_size_says_where_it_is(photo, make_mosaic, loaded, tmp_path):
    """Upright by a turn, the last row that a level repeats comes first."""
    path = tmp_path / "a.dng"
    mosaic = make_mosaic(shape=(602, 801), orientation=3)
    write_mosaic(path, mosaic)
    live = open_live(path, OPTIONS, loaded)
    live.prepare()
    shown = live.show(View(0, 0, 801, 602, level=1), OPTIONS, restored=True)
    assert (shown.left, shown.top, shown.width, shown.height) == (-1, 0, 802, 602)
    assert shown.picture.shape == (301, 401, 3)
    part = live.show(View(100, 100, 50, 60, level=1), OPTIONS, restored=True)
    assert part.left <= 100 < 150 <= part.left + part.width <= 154
    at = (part.top - shown.top) // 2, (part.left - shown.left) // 2
    box = shown.picture[
        at[0] : at[0] + part.picture.shape[0], at[1] : at[1] + part.picture.shape[1]
    ]
    assert np.array_equal(part.picture, box)


def test_a_grey_point_gives_gains_that_make_it_grey(photo):
    _, live = photo
    width, height = live.size
    point = (width * 3 // 4, height * 3 // 4)
    gains = live.gains(point)
    assert gains[1] == 1
    shown = live.show(
        View(point[0] - 5, point[1] - 5, 11, 11),
        replace(OPTIONS, white_balance=gains),
        restored=True,
    )
    light = decode_srgb(shown.picture / 255).mean(axis=(0, 1))
    assert light == pytest.approx(light.mean(), rel=0.03)


def test_the_overlay_shows_where_the_law_says(photo):
    _, live = photo
    view = View(0, 0, *live.size)
    if not live.has_confidence:
        pytest.skip("a model of finished colours")
    plain = live.show(view, OPTIONS, restored=True).picture.astype(int)
    laid = live.show(view, OPTIONS, restored=True, confidence=True).picture.astype(int)
    assert (laid != plain).mean() > 0.2
    weaker = live.show(view, replace(OPTIONS, strength=0.3), restored=True, confidence=True)
    without = live.show(view, replace(OPTIONS, strength=0.3), restored=True)
    more = np.abs(weaker.picture.astype(int) - without.picture).mean()
    assert more > np.abs(laid - plain).mean()  # noise that is left is uncertain, too


@pytest.fixture(scope="module")
def burst(make_mosaic):
    """A merge with more noise below and at the right, live and restored by `undark.restore`."""
    y, x = np.mgrid[:600, :400]
    share = (0.1 + 0.5 * (y >= 320) + 0.3 * (x >= 152)).astype(np.float16)
    noise = MergedNoise.of(NoiseModel(1.0, 3.0), share, 8)
    mosaic = make_mosaic(shape=share.shape).replace(plane=scene(RGGB, share.shape), merged=noise)
    live = LiveRaw(prepare(mosaic, quality="fast"), {})
    live.prepare()
    live.restore(lambda share: None)
    return live, undark.restore(mosaic, quality="fast")


@pytest.mark.parametrize("strength", [1, 0.5])
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("view", [(0, 0, 400, 600), (100, 250, 100, 200)])
def test_the_overlay_of_a_burst_has_its_confidence(burst, monkeypatch, view, level, strength):
    live, restored = burst
    shown = []
    monkeypatch.setattr(live, "_overlaid", lambda picture, *given: shown.append(given) or picture)
    options = replace(OPTIONS, strength=strength)
    live.show(View(*view, level), options, restored=True, confidence=True)
    [(_, widths, _)] = shown
    left, top, width, height = view
    box = restored.blend(strength).confidence[top : top + height, left : left + width]
    step = 1 << level
    expected = box.reshape(height // step, step, width // step, step).mean(axis=(1, 3))
    # rounded to 16 bits; at half the size means are mixed, not the pixels
    assert np.abs(widths / expected - 1).max() < (0.03 if level and strength < 1 else 0.001)


def test_confidence_is_computed_once_and_counts_as_memory(burst, monkeypatch):
    live, _ = burst
    live._kept_widths.clear()
    without = live.nbytes - sum(crop.nbytes for crop in live._crops.values())
    computed, half_widths = [], live_module.half_widths

    def slow(*given):
        computed.append(1)
        sleep(0.05)
        return half_widths(*given)

    monkeypatch.setattr(live_module, "half_widths", slow)
    show = partial(live.show, View(0, 0, 400, 600), restored=True, confidence=True)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(show, [OPTIONS, OPTIONS, OPTIONS, replace(OPTIONS, strength=0.5)]))
    assert len(computed) == 3  # parts of 256 of 600 rows
    plane = 2 * (600 * 400 + 300 * 200)
    with_crops = without + sum(crop.nbytes for crop in live._crops.values())
    assert live.nbytes == with_crops + 2 * plane


def test_before_it_is_restored_the_amplified_photo_is_shown(photo, loaded):
    path, live = photo
    early = open_live(path, OPTIONS, loaded)
    early.prepare()
    assert not early.is_restored
    view = View(10, 10, 80, 60)
    before = live.show(view, replace(OPTIONS, strength=0), restored=True).picture
    for restored in (False, True):
        assert np.array_equal(early.show(view, OPTIONS, restored=restored).picture, before)
    live._crops.clear()
    live._kept_widths.clear()
    early._crops.clear()
    assert early.nbytes == pytest.approx(live.nbytes, rel=0.02)  # counted before it is there


def test_restoring_ends_where_progress_raises(photo, loaded):
    early = open_live(photo[0], OPTIONS, loaded)
    early.prepare()

    def stop(share):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        early.restore(stop)
    assert not early.is_restored


def test_levels_halve_down_to_a_size():
    light = np.random.default_rng(0).random((1300, 700, 3)).astype(np.float32)
    levels = _halved((1300, 700), lambda rows: light[rows])
    assert [level.shape for level in levels] == [(650, 350, 3), (325, 175, 3)]
    for step, level in zip((2, 4), levels, strict=True):
        h, w = level.shape[:2]
        mean = light.reshape(h, step, w, step, 3).mean(axis=(1, 3))
        assert np.abs(level - mean).max() < 1e-3


class TestPictures:
    @pytest.fixture
    def picture(self, tmp_path):
        levels = np.random.default_rng(1).integers(0, 40, (90, 140, 3), np.uint8)
        write_picture(tmp_path / "a.png", levels, SHOT)
        return open_picture(tmp_path / "a.png")

    def test_they_are_shown_as_they_are_restored(self, picture):
        from undark.restoring.picture import restore_picture

        live = LivePicture(picture, Same(), OPTIONS)
        live.prepare()
        live.restore(lambda share: None)
        for ev in (0, 1, -1.5):
            options = replace(OPTIONS, exposure=wish(ev), contrast=0.3)
            made = restore_picture(picture, model=Same(), exposure=wish(ev))
            shown = live.show(View(0, 0, 140, 90), options, restored=True).picture
            assert np.abs(shown.astype(int) - made.picture(contrast=0.3)).max() <= 1
        assert live.facts["camera"] == SHOT.camera

    def test_the_shipped_model_is_theirs(self, picture, loaded, tmp_path):
        live = open_live(tmp_path / "a.png", OPTIONS, loaded)
        live.prepare()
        assert live.show(View(0, 0, 9, 9), OPTIONS, restored=True).picture.shape == (9, 9, 3)
        live.restore(lambda share: None)
        assert loaded.models.for_photo(picture).card.task == "picture to picture"
