"""Random colours and highlights of photographs, on the device, in batches of mixed sources."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")

from undark.learn.data.draws import draw_exposures  # noqa: E402
from undark.learn.data.exposing import PhotoCrops, join_photo_crops  # noqa: E402
from undark.learn.data.looks import Look, decode, draw_look  # noqa: E402
from undark.learn.kind import BAYER  # noqa: E402
from undark.sensor.arrays import like  # noqa: E402


def random_light(seed=0, side=8):
    return torch.from_numpy(np.random.default_rng(seed).random((3, side, side), np.float32))


def test_decoding_is_the_srgb_curve():
    """IEC 61966-2-1 by hand, at every one of the 256 levels."""
    coded = np.arange(256) / 255
    expected = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    found = decode(torch.arange(256, dtype=torch.uint8).view(1, 16, 16))
    assert found.shape == (1, 16, 16)
    assert np.allclose(found.numpy().ravel(), expected, atol=1e-6)


def test_no_look_changes_nothing():
    light = random_light()
    assert Look().light(light) is light


def test_grey_has_no_colour_and_grey_stays_at_any_saturation():
    light = random_light()
    grey = Look(saturation=0.0).light(light)
    assert torch.allclose(grey, light.mean(0, keepdim=True).expand(3, -1, -1))
    assert torch.allclose(Look(saturation=2.0).light(grey), grey, atol=1e-6)


def test_saturated_light_is_never_negative():
    light = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    assert Look(saturation=2.0).light(light).flatten().tolist() == pytest.approx([5 / 3, 0, 0])


def test_channels_are_exchanged_as_said():
    light = random_light()
    assert torch.equal(Look(order=(2, 0, 1)).light(light), light[[2, 0, 1]])


def test_only_what_is_near_white_gets_brighter():
    light = torch.tensor([0.5, 0.8, 0.9, 1.0]).expand(3, 1, 4)
    found = Look(highlights=4.0).light(light)[0, 0].tolist()
    assert found == pytest.approx([0.5, 0.8, 0.9 * 2.5, 4.0])


def test_looks_come_in_their_shares():
    random = np.random.default_rng(0)
    looks = [draw_look(random, coded=True) for _ in range(2000)]
    changed = np.mean([one.saturation != 1 for one in looks])
    brighter = np.mean([one.highlights != 1 for one in looks])
    exchanged = np.mean([one.order != (0, 1, 2) for one in looks])
    assert changed == pytest.approx(0.4, abs=0.04)
    assert brighter == pytest.approx(0.25, abs=0.04)
    assert exchanged == pytest.approx(0.15 * 5 / 6, abs=0.03)
    assert max(one.highlights for one in looks) <= 16
    assert all(0.7 < one.saturation <= 2 for one in looks)


def sample(seed, coded):
    light = random_light(seed, 16)
    eight_bits = (light * 255).to(torch.uint8)[None]
    exposures = draw_exposures(1, np.random.default_rng(seed))
    none = eight_bits[:0], light[None][:0]
    crops = (eight_bits, none[1]) if coded else (none[0], light[None])
    look = Look(coded, saturation=1 + seed / 10)
    return PhotoCrops(*crops, (look,), exposures, (None,), (seed,), BAYER)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_each_crop_of_a_mixed_batch_keeps_its_look_and_its_source(count):
    samples = [sample(seed, coded) for seed, coded in enumerate([True, False, False, True, True])]
    joined = join_photo_crops(samples)
    expected = torch.cat([one.light() for one in samples])
    assert torch.equal(joined.light(), expected)
    parts = joined.parts(count)
    assert torch.equal(torch.cat([part.light() for part in parts]), expected)
    assert [seed for part in parts for seed in part.seeds] == [0, 1, 2, 3, 4]


def test_a_change_of_colourfulness_keeps_the_mean_of_the_channels():
    light = 0.4 + 0.2 * random_light()
    changed = Look(saturation=1.5).light(light)
    assert torch.allclose(changed.mean(0), light.mean(0), atol=1e-6)
    assert changed.var(0).mean() > 2 * light.var(0).mean()


@pytest.mark.parametrize("other", [np.ones(2, np.float32), torch.ones(2)])
def test_like_takes_type_and_library_of_the_other(other):
    found = like(np.arange(3.0), other)
    assert type(found) is type(other)
    assert found.dtype == other.dtype
    assert found.tolist() == [0, 1, 2]
