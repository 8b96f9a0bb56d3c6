"""Functions of `benchmarks/quality.py`: its noise, its transform, LibRaw's AHD, its tables."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import classical_planes  # noqa: E402
import darkroom  # noqa: E402
import quality  # noqa: E402
from classical_planes import GRIDS, SensorNoise, Stabiliser, denoise_mosaic, missing  # noqa: E402
from darkroom import CELLS, Cell, ahd, darken, fidelity, packed, score, see, sensor_noise  # noqa: E402

NOISE = SensorNoise(gain=1.53, shape=-0.044, scale=3.23, row=0.99, bias=0.04)
"""The Sony A7S2 at ISO 1600, rounded."""

with_shared = pytest.mark.skipif(
    not (darkroom.SHARED / "noise").is_dir(), reason="no ../shared/noise beside the repository"
)


def light(height=96, width=128):
    """A smooth scene, (H, W, 3), in [0, 1]."""
    y, x = np.mgrid[:height, :width] / 64.0
    return 0.05 + 0.5 * np.stack([np.sin(2 * x), np.cos(y + x), np.sin(y * x)], -1) ** 2


def test_read_noise_has_the_deviation_it_says():
    quantiles = NOISE.read_noise((np.arange(200_000) + 0.5) / 200_000)
    assert quantiles.std() == pytest.approx(NOISE.read, rel=0.01)
    assert quantiles.mean() == pytest.approx(0, abs=0.01)


def test_noise_adds_up_to_what_is_known():
    frame = NOISE.add(np.full((1200, 1200), 20.0), np.random.default_rng(0))
    expected = np.sqrt(NOISE.sigma_at_black**2 + NOISE.gain * 20)
    assert frame.std() == pytest.approx(expected, rel=0.01)
    assert frame.mean() == pytest.approx(20, abs=0.15)
    assert np.array_equal(frame, np.rint(frame))
    rows = frame.mean(axis=1).std()
    assert rows == pytest.approx(np.hypot(NOISE.row, expected / np.sqrt(1200)), rel=0.1)


def test_black_level_is_off_by_position():
    noise = SensorNoise(gain=1e-3, shape=0.14, scale=1e-3, row=0, bias=50)
    frame = noise.add(np.zeros((40, 40)), np.random.default_rng(0))
    means = [frame[y::2, x::2].mean() for y in range(2) for x in range(2)]
    assert np.std(means) > 10
    assert frame[::2, ::2].std() < 1


@with_shared
@pytest.mark.parametrize("iso", darkroom.ISOS)
def test_noise_is_that_of_the_file(iso):
    file = darkroom.SHARED / "noise" / "sony_a7s2_by_iso.json"
    entry = json.loads(file.read_text())["iso"][str(iso)]
    noise = sensor_noise(iso)
    assert (noise.gain, noise.row, noise.bias) == (
        entry["K"],
        entry["row_std"],
        entry["bias_std"],
    )
    assert noise.shape == entry["tukey_lambda_shape"]
    # the file also has a Gaussian fit of the same pixels
    assert noise.read == pytest.approx(entry["gaussian_std"], rel=0.03)


@pytest.mark.parametrize("signal", [0.5, 3.0, 20.0, 50.0, 150.0])
def test_inverse_is_unbiased(signal):
    stabiliser = Stabiliser(NOISE, white=60)
    frame = NOISE.add(np.full((700, 700), signal), np.random.default_rng(1))
    stable = stabiliser.forward(frame)
    error = NOISE.row / np.sqrt(700) + 3 * frame.std() / 700
    assert stabiliser.inverse(np.array(stable.mean())) == pytest.approx(signal, abs=2 * error)
    assert stable.std() == pytest.approx(stabiliser.sigma, rel=0.06)


def test_inverse_agrees_with_the_closed_form():
    """Mäkitalo & Foi 2013, eq. 10: near where their approximation is good."""
    noise = SensorNoise(gain=1.0, shape=0.1349, scale=1.0, row=0, bias=0)
    stabiliser = Stabiliser(noise, white=100)
    stable = np.linspace(0.3, 1, 20)
    d = stable / stabiliser.sigma + stabiliser._low
    root = np.sqrt(1.5)
    closed = d**2 / 4 + root / 4 / d - 11 / 8 / d**2 + 5 / 8 * root / d**3 - 1 / 8
    np.testing.assert_allclose(
        stabiliser.inverse(stable), closed - noise.sigma_at_black**2, atol=0.05
    )


def test_inverse_undoes_what_is_expected_and_never_goes_below_black():
    stabiliser = Stabiliser(NOISE, white=60)
    seen = stabiliser._expectation(np.array([0.0, 7.0, 60.0]))
    stable = (seen - stabiliser._low) * stabiliser.sigma
    np.testing.assert_allclose(stabiliser.inverse(stable), [0, 7, 60], atol=0.02)
    assert stabiliser.inverse(np.array([-5.0]))[0] == 0


@pytest.mark.parametrize("method", ["wavelet", "nl-means"])
def test_denoisers_denoise(method):
    clean = see(light(256, 320)) * 50
    noisy = NOISE.add(clean, np.random.default_rng(0))
    settings = GRIDS[method][-1]
    saved = denoise_mosaic(noisy, NOISE, 50, method, settings)
    assert np.mean((saved - clean) ** 2) < 0.5 * np.mean((noisy - clean) ** 2)
    assert saved.mean() == pytest.approx(clean.mean(), rel=0.03)


def test_what_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setattr(classical_planes, "find_spec", lambda name: None if name == "bm3d" else 1)
    assert missing("bm3d") == "the package bm3d is not installed"
    assert quality.runnable(["noisy", "bm3d"]) == ["noisy"]
    assert "left out: bm3d" in capsys.readouterr().err


def test_ahd_gives_a_clean_mosaic_back():
    truth = light()
    developed = ahd(see(truth))
    assert developed.shape == truth.shape
    inside = (slice(8, -8), slice(8, -8))
    scale = developed[inside].mean(axis=(0, 1)) / truth[inside].mean(axis=(0, 1))
    np.testing.assert_allclose(scale, 1, atol=0.003)
    assert fidelity(see(truth), developed, truth)["srgb"] > 30


def test_ahd_scale_is_exact_and_highlights_pass():
    """A neutral ramp to half as much again as white: nothing to interpolate wrongly."""
    ramp = np.tile(np.linspace(0, 1.5, 128)[None, :, None], (32, 1, 3))
    error = np.abs(ahd(see(ramp)) - ramp)[8:-8, 8:-8]
    assert error.max() < 2e-4


def test_seeing_and_packing():
    white = np.ones((4, 6, 3))
    np.testing.assert_allclose(see(white)[:2, :2], [[1 / 2, 1], [1, 1 / 1.6]])
    planes = packed(see(3 * white))
    assert planes.shape == (2, 3, 4)
    assert planes.max() == 1


@with_shared
def test_frames_repeat_and_differ():
    scene, cell = light(), Cell(1600, 250)
    first, again = (darken(scene, cell, (0, 3)).signal for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, darken(scene, cell, (0, 4)).signal)
    assert not np.array_equal(first, darken(scene, Cell(1600, 300), (0, 3)).signal)


@with_shared
def test_scores_of_noisy_and_clean():
    truth = light()
    clean = score(see(truth) + 1e-6, truth + 1e-6, truth)
    assert clean["raw"] == (pytest.approx(120, abs=0.1), pytest.approx(1))
    frame = darken(truth, Cell(6400, 300), (0, 0))
    noisy = score(frame.signal / frame.cell.white, ahd(frame.signal / frame.cell.white), truth)
    assert 10 < noisy["raw"][0] < 25
    assert noisy["raw corrected"][0] > noisy["raw"][0]


@with_shared
def test_cache_is_used_and_knows_its_settings(tmp_path, monkeypatch):
    from skimage.io import imsave

    photo = tmp_path / "photo.png"
    imsave(photo, (light(32, 32) * 255).astype(np.uint8), check_contrast=False)
    task = quality.Task("noisy", {}, photo, 0, CELLS[0], 0, tmp_path / "cache")
    first = task.run()
    monkeypatch.setattr(quality, "darken", None)  # now only the cache can answer
    assert task.run() == first
    other = quality.Task("noisy", {"strength": 1}, photo, 0, CELLS[0], 0, tmp_path / "cache")
    assert other.file != task.file


def test_markdown_has_nine_cells_and_the_average():
    scores = {"raw": (30.0, 0.9), "raw corrected": (31.0, 0.91), "srgb": (25.0, 0.8)}
    table = {"noisy": dict.fromkeys(CELLS, scores), "undark": dict.fromkeys(CELLS, scores)}
    text = quality.markdown(table)
    assert text.count("30.00 / 0.900") == 20
    assert text.count("| average |") == 3
    assert "| ISO, amplification | noisy | undark |" in text
    assert json.loads(json.dumps(quality.as_json(table)))["undark"][str(CELLS[0])]["srgb"][0] == 25


def test_every_tuned_setting_is_there():
    if not quality.SETTINGS_FILE.exists():
        pytest.skip("not tuned yet")
    for method in GRIDS:
        for aim in quality.AIMS:
            for cell in CELLS:
                assert dict(quality.settings_of(method, aim, cell)) in map(dict, GRIDS[method])
