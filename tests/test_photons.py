"""Restored light against the measured light: found, corrected, bounded; how sure it is."""

import json
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest

import undark
from frames import kept_to_photons
from undark.demo import photograph
from undark.engine.backends import NO_MARGINS
from undark.engine.catalogue import find_model
from undark.engine.tiling import cut
from undark.errors import ModelError, UnsupportedError
from undark.files.dng import write_mosaic
from undark.restoring import jobs
from undark.restoring.bound import SURE, _Colour, bound
from undark.restoring.comparison import Comparison
from undark.restoring.confidence import SCALE_KEY, SUFFIX, Law, law_of
from undark.restoring.photons import LIMIT
from undark.restoring.raw import restore
from undark.sensor.cfa import BAYER_ORDERS, RGGB, X_TRANS, mosaic, pack
from undark.sensor.conditioning import HIGHLIGHT_CEILING
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.noise import NoiseModel, NumPySampler

NOISE = NoiseModel(1.5, 6.0, row=1.0, bias=0.05)
BALANCE = np.array([2.0, 1.0, 1.6], np.float32)
AMPLIFICATION = 100.0
BLACK, WHITE = 512, 16383
TO_LIGHT = BALANCE * np.float32(AMPLIFICATION / (WHITE - BLACK))


def scene(height=320, width=400, seed=0):
    """(H, W, 3) DN above black: flat patches between darkness and 60 electrons."""
    random = np.random.default_rng(seed)
    patches = random.uniform(0, 90, (height // 40, width // 40, 3))
    return np.repeat(np.repeat(patches, 40, 0), 40, 1)


def shoot(signal, cfa=RGGB, seed=1, noise=NOISE):
    noisy = noise.add(mosaic(np.moveaxis(signal, -1, 0), cfa), NumPySampler(seed), cfa.period)
    plane = np.clip(noisy + BLACK, 0, WHITE).astype(np.uint16)
    black = np.full(cfa.pattern.shape, BLACK, np.float32)
    return Mosaic(plane, cfa, black, float(WHITE), BALANCE)


def as_light(signal):
    return (signal * TO_LIGHT).astype(np.float32)


def block_means(plane, measured, cfa):
    """{(block row, block column, group): mean difference, pixels}, written as loops."""
    found = {}
    period = cfa.period
    for top in range(0, plane.shape[0], 16):
        for left in range(0, plane.shape[1], 16):
            apart = {}
            for y in range(top, min(top + 16, plane.shape[0])):
                for x in range(left, min(left + 16, plane.shape[1])):
                    at = (y % period, x % period)
                    group = at if period == 2 else cfa.rows[at[0]][at[1]]
                    apart.setdefault(group, []).append(measured[y, x] - plane[y, x])
            found[top // 16, left // 16] = apart
    return found


@pytest.mark.parametrize("cfa", [BAYER_ORDERS[2], X_TRANS], ids=lambda c: c.name)
def test_means_are_those_of_a_plain_loop(cfa):
    signal = scene(80, 120)[:75, :101]
    dark = shoot(signal, cfa)
    compared = Comparison(as_light(signal), dark, NOISE, AMPLIFICATION)
    apart = compared.measured - compared.restored
    loops = block_means(mosaic(np.moveaxis(signal, -1, 0), cfa), dark.signal(), cfa)
    assert apart.shape[:2] == (5, 7)
    for (down, across), groups in loops.items():
        wanted = [np.mean(groups[g]) for g in sorted(groups)]
        assert apart[down, across] == pytest.approx(wanted, abs=2e-3)
        assert compared.count[down, across].tolist() == [len(groups[g]) for g in sorted(groups)]


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda c: c.name)
def test_the_truth_deviates_by_one_standard_error(cfa):
    """Many noisy frames of one truth, rows and black level wandering anew in each."""
    noise = NoiseModel(1.5, 4.0, row=3.0, bias=1.0)
    signal = scene(160, 160)
    deviations = [
        Comparison(as_light(signal), shoot(signal, cfa, seed, noise), noise, AMPLIFICATION)
        for seed in range(60)
    ]
    spread = np.sqrt(np.mean([d.deviations() ** 2 for d in deviations]))
    assert spread == pytest.approx(1, abs=0.08)
    if cfa == X_TRANS:  # each colour is in all rows and in many positions: they share less
        return
    without_rows = NoiseModel(1.5, np.sqrt(4.0**2 + 3.0**2 + 1.0**2))
    naive = Comparison(as_light(signal), shoot(signal, cfa, 0, noise), without_rows, AMPLIFICATION)
    assert naive.standard_errors().mean() < 0.7 * deviations[0].standard_errors().mean()


def test_a_right_frame_stays_as_it_is():
    signal = scene()
    light = as_light(signal)
    before = light.copy()
    found = kept_to_photons(light, shoot(signal), NOISE, AMPLIFICATION)
    assert (found.beyond, found.corrected, found.blocks) == (0, 0, 20 * 25)
    assert found.largest == found.remaining < LIMIT
    assert np.array_equal(light, before)


def wrong(name, light):
    """Light that a network made wrong, in a way that has a name."""
    light = light.copy()
    if name == "a coloured bar":
        light[100:140, :, 0] += 285 * 6 * TO_LIGHT[0]
    elif name == "a colour that is lost":
        light[80:200, 100:220, 2] = 0
    elif name == "one green raised and one lowered":
        light[64:96:2, 65:97:2, 1] += 40 * TO_LIGHT[1]
        light[65:97:2, 64:96:2, 1] -= 40 * TO_LIGHT[1]
    elif name == "all of it":
        light *= 0.5
    return light


NAMES = [
    "a coloured bar",
    "a colour that is lost",
    "one green raised and one lowered",
    "all of it",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda c: c.name)
def test_what_is_wrong_is_found_and_corrected(name, cfa):
    signal = scene() + 5
    dark, truth = shoot(signal, cfa), as_light(signal)
    light = wrong(name, truth)
    found = kept_to_photons(light, dark, NOISE, AMPLIFICATION)
    if not (cfa == X_TRANS and "green" in name):  # whose colours are averaged as one
        assert found.beyond > 0
        assert found.corrected >= found.beyond
        assert np.abs(light - truth).mean() < 0.35 * np.abs(wrong(name, truth) - truth).mean()
    assert np.isfinite(light).all()
    assert found.remaining < LIMIT
    # by another way: none of the loop's means is beyond, with the truth's variance
    plane = mosaic(np.moveaxis(light / TO_LIGHT, -1, 0), cfa)
    level = mosaic(np.moveaxis(signal, -1, 0), cfa).max()
    for groups in block_means(plane, dark.signal(), cfa).values():
        for apart in groups.values():
            variance = (NOISE.gain * level + 6.0**2 + 1 / 12) / len(apart) + 1 / 8 + 0.05**2
            assert abs(np.mean(apart)) < 6 * np.sqrt(variance)


def test_only_the_neighbourhood_changes():
    signal = scene()
    truth = as_light(signal)
    light = wrong("a coloured bar", truth)
    kept_to_photons(light, shoot(signal), NOISE, AMPLIFICATION)
    assert np.array_equal(light[:48], truth[:48])
    assert np.array_equal(light[192:], truth[192:])


def test_a_dark_pixel_beside_a_lamp_moves_little():
    """A lamp that a network made 10 % too weak, by 190 sigma of the dark beside it.

    Its blocks lack 75 DN a pixel, 12 sigma: the dark takes less than half of that.
    """
    signal = np.full((96, 96, 3), 3.0)
    signal[44:52, 44:52] = 12_000
    dark, truth = shoot(signal), as_light(signal)
    light = truth.copy()
    light[44:52, 44:52] *= 0.9
    found = kept_to_photons(light, dark, NOISE, AMPLIFICATION)
    assert found.beyond > 0
    lamp = (slice(44, 52), slice(44, 52))
    assert light[lamp].sum() == pytest.approx(truth[lamp].sum(), rel=0.05)
    moved = np.abs(light - truth)[:40] / TO_LIGHT
    assert moved.max() < 75 / 2


def test_saturated_and_hot_pixels_are_left_out():
    signal = scene()
    signal[:100, :100] = 40_000  # saturated: the restored light is brighter than what was counted
    signal[200:240, 200:240] = WHITE - BLACK - 20
    dark = shoot(signal)
    plane = dark.plane.copy()
    random = np.random.default_rng(0)
    hot = random.integers(120, 320, 150), random.integers(120, 400, 150)
    plane[hot] = 5000
    light = as_light(signal)
    before = light.copy()
    found = kept_to_photons(light, dark.replace(plane=plane), NOISE, AMPLIFICATION)
    assert found.beyond <= 3  # hot pixels side by side
    assert np.array_equal(light[:96, :96], before[:96, :96])


def test_a_star_is_light_and_no_hot_pixel():
    """A network that ate a star of 60 sigma, 1.5 pixels wide at half maximum."""
    signal = np.full((96, 96, 3), 3.0)
    down, across = np.mgrid[:96, :96]
    truth = signal.copy()
    truth += 400 * np.exp(-((down - 40) ** 2 + (across - 41) ** 2) / (2 * 0.64**2))[..., None]
    light = as_light(signal)
    found = kept_to_photons(light, shoot(truth), NOISE, AMPLIFICATION)
    assert found.beyond > 0
    assert light[32:48, 32:48].sum() > 1.2 * as_light(signal)[32:48, 32:48].sum()


def test_black_that_the_file_has_clipped_gives_no_cast():
    """Values below black were raised to it: their mean says nothing of the dark."""
    signal = np.full((160, 160, 3), 1.0)
    dark = shoot(signal)
    clipped = dark.replace(plane=np.maximum(dark.plane, BLACK))
    light = as_light(signal)
    before = light.copy()
    assert kept_to_photons(light, clipped, NOISE, AMPLIFICATION).corrected == 0
    assert np.array_equal(light, before)


@pytest.mark.parametrize("value", [0, BLACK, WHITE, 65535])
def test_frames_of_one_value_stay_finite(value):
    dark = shoot(scene(64, 64)).replace(plane=np.full((50, 70), value, np.uint16))
    light = np.full((50, 70, 3), 0.1, np.float32)
    found = kept_to_photons(light, dark, NOISE, AMPLIFICATION)
    assert np.isfinite(light).all()
    assert np.isfinite([found.largest, found.remaining]).all()


def test_the_bound_holds_a_network_and_lets_stars_through():
    random = np.random.default_rng(0)
    inputs = np.ones((1, 8, 24, 24), np.float32)
    inputs[:, :4] = random.normal(0, 1, (1, 4, 24, 24)) + 20
    inputs[0, 1, 12, 12] += 50  # a star, one pixel
    wild = random.normal(0, 300, (1, 3, 48, 48)).astype(np.float32) + 20
    held = bound(wild.copy(), inputs, NO_MARGINS, RGGB.colours)
    assert np.abs(held - 20)[:, [0, 2]].max() < 6
    assert np.abs(held - 20)[0, 1, :20].max() < 6
    star = np.full((1, 3, 48, 48), 20, np.float32)
    star[0, 1, 24, 25] = 66
    assert bound(star.copy(), inputs, NO_MARGINS, RGGB.colours)[0, 1, 24, 25] == 66


def test_the_bound_of_an_inner_part_is_that_of_the_whole():
    random = np.random.default_rng(0)
    inputs = np.ones((1, 8, 24, 30), np.float32)
    inputs[:, :4] = random.gamma(2, 10, (1, 4, 24, 30))
    wild = random.normal(0, 300, (1, 3, 48, 60)).astype(np.float32)
    whole, margins = bound(wild.copy(), inputs, NO_MARGINS, RGGB.colours), (1, 0, 8, 3)
    inner = bound(cut(wild, margins, 2).copy(), inputs, margins, RGGB.colours)
    assert inner.shape == (1, 3, 30, 54)
    # at the top one row of margin is less than the limits reach
    assert np.array_equal(inner[..., 2:, :], cut(whole, margins, 2)[..., 2:, :])


def test_the_bound_lets_nothing_below_black_but_the_means():
    """Single dark pixels (a heavy tail of read noise) and a bright edge do not allow it."""
    random = np.random.default_rng(0)
    inputs = np.ones((1, 8, 24, 24), np.float32)
    inputs[:, :4] = random.normal(0, 1, (1, 4, 24, 24))
    inputs[0, :4, 12, 6] = -10
    inputs[0, :4, :, 16:] += 900
    held = bound(np.full((1, 3, 48, 48), -1000, np.float32), inputs, NO_MARGINS, RGGB.colours)
    assert held[..., :32].min() > -7
    assert held[..., 40:].min() > 800


def test_light_above_the_ceiling_is_the_measured_one_whatever_the_network_gives():
    """It is cut there, so without noise, and what is above is added to the network's output."""
    inputs = np.full((1, 8, 24, 24), HIGHLIGHT_CEILING, np.float32)
    inputs[:, 4:] = 0.1
    inputs[:, :4, :, 12:] = np.random.default_rng(0).normal(2, 0.1, (4, 24, 12))
    wild = np.random.default_rng(1).normal(3, 2, (1, 3, 48, 48)).astype(np.float32)
    held = bound(wild, inputs, NO_MARGINS, RGGB.colours)
    assert (held[..., :20] == HIGHLIGHT_CEILING).all()
    assert np.abs(held[..., 30:] - 2).max() < 0.6


@pytest.fixture(scope="module")
def dark():
    light = np.random.default_rng(3).uniform(0.02, 0.8, (6, 8, 3)).repeat(40, 0).repeat(40, 1)
    return photograph(light.astype(np.float32), 1600, 100)


def test_cyan_beside_grey_has_no_bar(dark):
    """A case that the network alone is known to break on (benchmarks/adversarial.py)."""
    level = np.array([[30.0, 30, 30], [3, 300, 300]]) * 6.4
    signal = np.broadcast_to(level.repeat(80, 0), (160, 160, 3))
    noise = NoiseModel(1.5, 6.3, row=1.0, bias=0.04)
    found = restore(shoot(signal, noise=noise), exposure=AMPLIFICATION, noise=noise)
    error = (found.linear / TO_LIGHT - signal) / np.sqrt(1.5 * signal + 6.4**2)
    away = np.abs(np.arange(160) - 79.5) > 8
    assert np.abs(error[:, away]).max() < 6.5
    assert found.agreement.remaining < LIMIT


@pytest.mark.parametrize(
    ("first", "second", "exposure"),
    [
        ((9.0, 365, 0.5), (25.5, -0.6, 985), 14.0),
        ((8.4, 2.4, 370), (5.9, 615, 24.9), 19.0),
    ],
)
def test_light_that_leaks_over_an_edge_is_given_back_there(first, second, exposure):
    """Random halves of benchmarks/adversarial.py: the rest of the block was made too dark for it.

    The edge is at column 96, where a block begins. Light below black may stay or become 0.
    """
    noise = NoiseModel(0.38, 2.06, row=0.36, bias=0.02, step=1.0)
    level = np.array([first, second]) * 2.13
    signal = np.broadcast_to(level.repeat(96, 0), (160, 192, 3))
    found = restore(shoot(signal, noise=noise), exposure=exposure, noise=noise)
    restored = found.linear / (TO_LIGHT * (exposure / AMPLIFICATION))
    error = (restored - restored.clip(signal, signal.clip(0))) / noise.sigma(signal.clip(0))
    away = np.abs(np.arange(192) - 95.5) > 8
    assert np.abs(error[:, away]).max() < 6
    assert found.agreement.remaining < LIMIT


def test_an_x_trans_bound_reaches_no_farther_than_eight_pixels():
    """Checkers of benchmarks/adversarial.py: 71 sigma in the flat light beside them."""
    noise = NoiseModel(1.53, 6.3, row=0.99, bias=0.04, step=1.0)
    at = np.arange(192) // 14
    board = np.where(at < 7, (at[:, None] + at) % 2, 2)
    signal = 6.4 * np.array([[259, 943, 6.0], [890, 0.45, 9.8], [1.9, 47.5, 2.7]])[board]
    found = restore(shoot(signal, X_TRANS, noise=noise), exposure=6.0, noise=noise)
    restored = found.linear / (TO_LIGHT * (6.0 / AMPLIFICATION))
    error = (restored - signal) / noise.sigma(signal)
    assert np.abs(error[:, 98 + 8 :]).max() < 6


def test_confidence_covers_the_truth(dark):
    """The demo's scene, which the law was not fitted on; half strength has the noise's share."""
    from undark.demo import _camera_light, load_scene

    scene_light = load_scene()[300:620, 400:800]
    truth = _camera_light(scene_light)
    found = restore(photograph(scene_light, 1600, 100), exposure=100)
    for made in (found, found.blend(0.5)):
        sure = made.confidence
        assert sure.shape == truth.shape[:2]
        assert sure.dtype == np.float32
        inside = np.abs(made.linear - truth) <= sure[..., None]
        assert 0.8 < inside[truth < 1].mean() < 0.98
    assert found.blend(0).confidence.mean() > found.confidence.mean()
    assert found.blend(0).agreement == found.agreement


def test_confidence_is_homogeneous_and_wider_in_noise(dark):
    """Twice the amplification has twice the width; more noise is less sure."""
    once, twice = (restore(dark, exposure=e).confidence for e in (50, 100))
    assert np.median(twice / once) == pytest.approx(2, rel=0.02)
    noisy = restore(dark, exposure=50, noise=NoiseModel(6.0, 12.0)).confidence
    assert noisy.mean() > 1.1 * once.mean()


def test_the_law_of_a_model(tmp_path):
    shipped = law_of(find_model("bayer"))
    assert law_of(tmp_path / "mine.onnx") == shipped
    (tmp_path / f"mine{SUFFIX}").write_text("{}")
    with pytest.raises(ModelError, match=r"mine\.confidence\.json"):
        law_of(tmp_path / "mine.onnx")
    law = {"coefficients": [1.0], "levels": [0], "offsets": [0], "least": 0.1, "most": 1}
    with pytest.raises(ValueError, match="coefficients"):
        Law.from_json(json.dumps(law))


def test_finished_colours_have_no_confidence(dark):
    from dataclasses import replace

    with pytest.raises(UnsupportedError, match="finished colours"):
        _ = replace(restore(dark, exposure=10), law=None).confidence


def read_map(path):
    """Levels, and scale from the text chunk."""
    content = path.read_bytes()
    at = content.index(b"tEXt" + SCALE_KEY.encode() + b"\0") + 4 + len(SCALE_KEY) + 1
    return imagecodecs.png_decode(content), float(content[at : content.index(b"tEXt", at) - 8])


@pytest.mark.parametrize("orientation", [1, 6, 3])
def test_the_map_is_upright_and_has_its_scale(dark, tmp_path, orientation):
    found = restore(dark.replace(orientation=orientation), exposure=100)
    levels, scale = read_map(found.save_confidence(tmp_path / "a-confidence.png"))
    assert levels.dtype == np.uint16
    assert levels.shape == found.picture().shape[:2]
    turned = {1: 0, 6: -1, 3: 2}[orientation]
    assert levels * scale == pytest.approx(np.rot90(found.confidence, turned), abs=scale)
    with pytest.raises(undark.UndarkError, match="a-confidence"):
        found.save_confidence(tmp_path / "a-confidence.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a-confidence.png"]


def dng(path, dark):
    write_mosaic(path, dark.crop(0, 0, 64, 96).replace(shot=Shot(iso=1600.0)))
    return path


def test_the_command_line_says_what_was_corrected(dark, tmp_path, run, monkeypatch):
    photo = dng(tmp_path / "a.dng", dark)
    status, out, err = run("restore", photo, "--confidence", "--json", "--exposure", "5")
    (done,) = json.loads(out)
    assert status == 0, err
    assert done["confidence"] == str(tmp_path / "a-confidence.png")
    assert done["agreement"]["blocks"] == 24
    assert done["agreement"]["remaining"] < LIMIT
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a-confidence.png",
        "a-undark.jpg",
        "a.dng",
    ]
    original = jobs.restore_into

    def corrected(*args):
        return replace(original(*args), beyond=5, corrected=17)

    monkeypatch.setattr(jobs, "restore_into", corrected)
    _, _, err = run("restore", photo, "--overwrite")
    assert "17 of 24 blocks were corrected towards the measured light" in err


def test_a_map_is_made_later_and_never_replaced_unasked(dark, tmp_path, run):
    photo = dng(tmp_path / "a.dng", dark)
    made = tmp_path / "a-confidence.png"
    assert run("restore", photo)[0] == 0
    picture = (tmp_path / "a-undark.jpg").read_bytes()
    status, _, err = run("restore", photo, "--confidence")
    assert status == 0
    assert f"{photo} -> {made} " in err  # and not the picture, which stays as it is
    assert made.exists()
    assert (tmp_path / "a-undark.jpg").read_bytes() == picture
    assert "restored already" in run("restore", photo, "--confidence")[2]
    made.write_bytes(b"mine")
    status, _, err = run("restore", photo, "--confidence")
    assert (status, made.read_bytes()) == (1, b"mine")
    assert "a-confidence.png" in err
    assert run("restore", photo, "--confidence", "--overwrite")[0] == 0
    assert made.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda c: c.name)
@pytest.mark.parametrize(("apart", "strength"), [(5, 20), (5, 80), (7, 80)])
def test_lines_finer_than_a_packed_pixel_pass_the_bound(cfa, apart, strength):
    """Of one pixel, in all colours: the pixels of a colour miss most of them."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96]
    line = 100 + strength * ((x + 2 * y) % apart < 1)
    true = np.stack([share * line for share in (1, 0.8, 0.6)]).astype(np.float32)
    seen = pack((mosaic(true, cfa) + random.standard_normal(line.shape)).astype(np.float32), cfa)
    inputs = np.concatenate([seen, np.ones_like(seen)])[None]
    held = bound(true[None].copy(), inputs, NO_MARGINS, cfa.colours)
    assert np.sqrt(np.square(held - true).mean()) < 0.15


def test_hot_pixels_of_a_dark_colour_allow_nothing_in_the_others():
    random = np.random.default_rng(0)
    inputs = np.ones((1, 8, 24, 24), np.float32)
    inputs[:, :4] += random.normal(0, 1, (1, 4, 24, 24))
    inputs[0, 0] += 300  # red; green and blue are dark
    inputs[0, 3, 12, 12] += 60
    wild = np.full((1, 3, 48, 48), 5000, np.float32)
    assert bound(wild, inputs, NO_MARGINS, RGGB.colours)[0, 0].max() < 301 + 6


def test_detail_at_the_frames_edge_is_judged_by_the_pixels_that_are_there():
    """Against sums over windows of the frame, pixel by pixel; noise at a border is no detail."""
    random = np.random.default_rng(5)
    light = random.normal(3, 1, (2, 9, 7)).astype(np.float32)
    sigma = np.full_like(light, 0.3)
    colour = _Colour(light, sigma, light.mean(0), sigma.mean(0))
    for y, x in np.ndindex(9, 7):
        part = light[:, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
        noise = (1 + SURE * np.sqrt(2 / part.size)) * 0.09
        plain = part.mean(0)  # the mean of the colour's planes
        expected = max((part**2).mean() - plain.mean() ** 2 - noise, 0) ** 0.5
        assert colour.detail()[y, x] == pytest.approx(expected, abs=1e-3)
    pixels, none = np.zeros((1, 9, 7), np.float32), np.zeros((9, 7), np.float32)
    pixels[0, -1, :2] = 4, -4  # sigmas, in a corner
    assert not _Colour(pixels, np.ones_like(pixels), none, none + 1).detail().any()
