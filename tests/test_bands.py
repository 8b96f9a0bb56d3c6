"""Restoring from top to bottom gives what restoring at once gives, and holds little of it."""

import threading
import time

import numpy as np
import pytest

import undark
from frames import kept_to_photons
from undark.files.picture import open_picture
from undark.restoring.ahead import abreast, ahead
from undark.restoring.bands import AROUND, HEIGHT, corrected_bands
from undark.restoring.coarse import add_field, corrections
from undark.restoring.comparison import Comparison
from undark.restoring.photons import together
from undark.restoring.raw import prepare
from undark.restoring.saving import Target, restore_into
from undark.sensor.cfa import RGGB, X_TRANS
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel

NOISE = NoiseModel(gain=2.0, read=4.0)
AMPLIFICATION = 40.0


def shoot(size, cfa=RGGB, level=60.0, seed=0):
    """A grey photo with noise: light 60 DN above black."""
    random = np.random.default_rng(seed)
    counts = random.poisson(level / NOISE.gain, size) * NOISE.gain
    plane = np.rint(counts + random.normal(512, NOISE.read, size)).clip(0).astype(np.uint16)
    black = np.full(cfa.pattern.shape, 512, np.float32)
    return Mosaic(plane, cfa, black, 16383.0, np.array([2, 1, 1.5], np.float32))


def light_of(mosaic, level=60.0):
    """The light that such a photo should be restored to."""
    return np.ones((*mosaic.shape, 3), np.float32) * (
        mosaic.white_balance * np.float32(level * AMPLIFICATION / mosaic.span)
    )


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS])
@pytest.mark.parametrize(
    "height", [17, HEIGHT, HEIGHT + AROUND + 1, 3 * HEIGHT + 29, 9 * HEIGHT + 7]
)
def test_bands_are_corrected_as_the_whole_frame_is(cfa, height):
    """Also where something wrong crosses the border between two bands."""
    dark = shoot((height, 230), cfa)
    wrong = light_of(dark)
    wrong[HEIGHT - 40 : HEIGHT + 30, 50:120, 0] *= 1.6
    whole = wrong.copy()
    moved = corrections(Comparison(wrong, dark, NOISE, AMPLIFICATION).block_means())
    add_field(whole, np.concatenate([moved[:1], moved, moved[-1:]]))
    expected = kept_to_photons(whole, dark, NOISE, AMPLIFICATION)
    strips = iter(np.split(wrong, range(AROUND, height, AROUND)))
    bands = [
        (band.top, band.light.copy(), band.agreement)
        for band in corrected_bands(strips, dark, NOISE, AMPLIFICATION)
    ]
    made = np.concatenate([light for _, light, _ in bands])
    assert [top for top, _, _ in bands] == [*range(0, height, HEIGHT)]
    assert np.abs(made - whole).max() < 1e-3 * whole.max()
    found = together([agreement for _, _, agreement in bands])
    assert found.blocks == expected.blocks
    assert found.beyond == expected.beyond
    assert (found.beyond > 0) == (height >= HEIGHT)
    assert found.corrected == expected.corrected
    assert found.remaining <= 5


@pytest.mark.parametrize("strength", [1.0, 0.4])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_file_made_by_bands_is_that_of_the_whole_frame(tmp_path, strength, orientation):
    dark = shoot((HEIGHT + 100, 301)).replace(orientation=orientation)
    ready = prepare(dark, exposure=AMPLIFICATION, noise=NOISE)
    target = Target(tmp_path / "a.png", tmp_path / "a-confidence.png", bits=16)
    agreement = restore_into(target, ready, strength)
    whole = undark.restore(dark, exposure=AMPLIFICATION, noise=NOISE, strength=strength)
    whole.save(tmp_path / "b.png", bits=16)
    whole.save_confidence(tmp_path / "b-confidence.png")
    assert agreement == whole.agreement
    for name in ("{}.png", "{}-confidence.png"):
        made, expected = (open_picture(tmp_path / name.format(n)).levels.astype(int) for n in "ab")
        assert np.abs(made - expected).max() <= 1 + 2e-3 * expected.max()
        assert np.abs(made - expected).mean() < 1


def test_a_linear_dng_made_by_bands_has_the_light_of_the_whole_frame(tmp_path):
    rawpy = pytest.importorskip("rawpy")
    dark = shoot((HEIGHT + 100, 301))
    ready = prepare(dark, exposure=AMPLIFICATION, noise=NOISE)
    restore_into(Target(tmp_path / "a.dng"), ready)
    undark.restore(dark, exposure=AMPLIFICATION, noise=NOISE).save(tmp_path / "b.dng")
    pictures = []
    for name in ("a.dng", "b.dng"):
        with rawpy.imread(str(tmp_path / name)) as raw:
            pictures.append(raw.postprocess(no_auto_bright=True, output_bps=16).astype(int))
    assert pictures[0].shape == pictures[1].shape
    assert pictures[0].mean() == pytest.approx(pictures[1].mean(), rel=2e-3)
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.02 * pictures[0].mean()


def test_one_item_is_made_ahead():
    made = []

    def items():
        for n in range(4):
            made.append(n)
            yield n

    seen = ahead(items())
    assert next(seen) == 0
    time.sleep(0.2)
    assert made == [0, 1]
    assert [*seen] == [1, 2, 3]


def test_errors_reach_the_one_who_uses_the_items():
    def items():
        yield 1
        raise ValueError("broken")

    seen = ahead(items())
    assert next(seen) == 1
    with pytest.raises(ValueError, match="broken"):
        next(seen)


def test_items_made_abreast_keep_their_order_and_are_few():
    running, most, made = 0, 0, []
    lock = threading.Lock()

    def work(n):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01 * (3 - n % 3))  # the first of three takes longest
        with lock:
            running -= 1
            made.append(n)
        return n * n

    seen = abreast(work, iter(range(9)), 2)
    assert next(seen) == 0
    time.sleep(0.2)
    assert sorted(made) == [0, 1, 2]  # two more than are used
    assert [*seen] == [n * n for n in range(1, 9)]
    assert most == 2


def test_the_first_error_of_items_made_abreast_is_raised_and_no_other_item_begun():
    begun = []

    def work(n):
        begun.append(n)
        return 1 / (n - 3)

    with pytest.raises(ZeroDivisionError):
        list(abreast(work, iter(range(1000)), 2))
    assert len(begun) <= 6


@pytest.mark.parametrize("how", [ahead, lambda items: abreast(str, items, 2)])
def test_no_thread_is_left_when_the_caller_stops(how):
    before = set(threading.enumerate())
    seen = how(iter(range(1000)))
    next(seen)
    seen.close()
    assert set(threading.enumerate()) <= before
