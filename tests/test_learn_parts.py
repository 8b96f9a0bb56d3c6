"""Small parts of learning, each against a value worked out by hand or another program's reading."""

import hashlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")

from undark.cli.training_progress import _left  # noqa: E402
from undark.engine.recovery import is_out_of_memory  # noqa: E402
from undark.errors import TrainingError  # noqa: E402
from undark.learn.data import radiance  # noqa: E402
from undark.learn.data.draws import draw_defects, draw_exposures  # noqa: E402
from undark.learn.film import write_gif  # noqa: E402
from undark.learn.from_pairs import FEW, split_pairs  # noqa: E402
from undark.learn.machine import choose_device  # noqa: E402
from undark.learn.network import UNetConfig  # noqa: E402
from undark.learn.options import Training  # noqa: E402
from undark.learn.progress import Event, minutes_left  # noqa: E402
from undark.learn.rate import STEPS, _stride, steepest  # noqa: E402
from undark.learn.record import start_of  # noqa: E402
from undark.pairs.table import Row  # noqa: E402


def test_a_radiance_map_is_cut_at_its_horizon_and_scaled_to_its_median(tmp_path):
    height = 100
    rows = 1.0 + np.arange(height)
    light = np.repeat(rows[:, None, None], 40, 1) * np.array([0.5, 1, 1.5])
    (tmp_path / "a.hdr").write_bytes(imagecodecs.rgbe_encode(light.astype(np.float32)))
    found = radiance.read_radiance(tmp_path / "a.hdr")
    assert found.shape == (58, 40, 3)  # rows 22 to 79
    assert np.median(found.mean(axis=2)) == pytest.approx(0.12, rel=0.01)
    assert found[-1, 0, 1] / found[0, 0, 1] == pytest.approx(80 / 23, rel=0.02)
    assert found[0, 0, 2] / found[0, 0, 0] == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("x"), False),
    ],
)
def test_errors_that_a_smaller_batch_cures(error, expected):
    assert is_out_of_memory(error) is expected


def test_a_device_by_name(monkeypatch):
    assert choose_device("meta").type == "meta"
    for there, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device("auto").type == kind


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("run/model.safetensors", "run/model.safetensors"),
        ("run/model.onnx", "run/model.onnx"),
        ("weights/bayer.onnx", "bayer.onnx"),
    ],
)
def test_weights_to_start_from_are_named_without_their_place(tmp_path, file, name):
    path = tmp_path / file
    path.parent.mkdir()
    path.write_bytes(b"weights")
    assert start_of(path) == {"name": name, "sha256": hashlib.sha256(b"weights").hexdigest()}


@pytest.mark.parametrize(
    ("fraction", "seconds", "said"),
    [(0.25, 60, ", 3 min left"), (0.9, 180, ", 20 s left"), (1.1, 60, ", 0 s left"), (0.0, 9, "")],
)
def test_the_time_left_is_said_in_minutes_or_seconds(fraction, seconds, said):
    left = minutes_left(fraction, 0.0, seconds)
    assert _left(Event("training", fraction, 1, 0.0, {}, left)) == said


def test_how_fast_the_rates_rise():
    assert _stride(1.0, None) == 1 / STEPS  # no limit
    assert _stride(0.001, 60) == 1 / STEPS  # time for more: no more than that
    assert _stride(2.0, 60) == pytest.approx(1 / 30)
    assert _stride(100.0, 60) == 1  # not one step: ends after the first


def test_the_rate_where_the_loss_falls_fastest():
    rates = np.geomspace(1e-5, 0.1, 100)
    falls = 60
    losses = 1 / (1 + np.exp((np.arange(100) - falls) / 4))
    found = steepest(rates.tolist(), losses.tolist())
    # the running average comes later by keep / (1 - keep) = 4 steps
    assert found is not None
    assert rates[falls + 1] <= found <= rates[falls + 6]
    assert steepest(rates.tolist(), np.linspace(0, 1, 100).tolist()) is None
    assert steepest([1e-5, 1e-4], [1.0, 0.5]) is None


def test_a_film_repeats_and_rests_on_its_last_frame(tmp_path):
    levels = np.broadcast_to(np.arange(20, 212, 8)[None, :, None], (16, 24, 3))
    frames = [np.roll(levels, shift, 1).astype(np.uint8) for shift in (0, 8, 16)]
    write_gif(tmp_path / "a.gif", frames)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 3
        assert film.info["loop"] == 0  # for ever
        durations = []
        for number in range(3):
            film.seek(number)
            durations.append(film.info["duration"])
        last = np.asarray(film.convert("RGB")).astype(int)
        assert np.abs(last - frames[-1]).max() <= 4
    assert durations == pytest.approx([125, 125, 2000], abs=10)  # GIF counts in 10 ms


@pytest.mark.parametrize(("crop", "instead"), [(101, 96), (100, 96), (5, 8)])
def test_a_crop_that_does_not_fit_the_network(crop, instead):
    training = Training(Path(), Path(), steps=1, crop=crop, network=UNetConfig())
    with pytest.raises(TrainingError, match=f"--crop {crop}: .* multiples of 8; give {instead}$"):
        training.check()
    Training(Path(), Path(), steps=1, crop=instead).check()


def test_a_sample_for_each_process_is_enough():
    two = {"devices": 2, "nodes": 2, "steps": 1}
    Training(Path(), Path(), batch=4, **two).check()
    with pytest.raises(TrainingError, match="too few samples for 4 processes"):
        Training(Path(), Path(), batch=3, **two).check()


def test_sigma_at_black_is_that_of_noise_without_light():
    """In amplified, balanced light: the standard deviation in DN times what multiplies DN."""
    exposures = draw_exposures(8, np.random.default_rng(0))
    noise = exposures.noise
    dark = torch.zeros(8, 1, 1)
    dn = noise.sigma(dark).flatten().numpy()
    for n in range(8):
        factor = exposures.white_balance[n] * exposures.amplification[n] / exposures.span
        assert exposures.sigma_at_black[n] == pytest.approx(factor * dn[n], rel=1e-5)
    assert (dn > 0).all()


def test_three_in_ten_sigmas_are_wrong_and_a_third_of_these_in_shape():
    drawn = [draw_defects(np.random.default_rng(n), 4.0) for n in range(4000)]
    wrong = [d for d in drawn if (d.gain_error, d.read_error) != (1, 1)]
    assert len(wrong) / len(drawn) == pytest.approx(0.3, abs=0.03)
    shaped = [d for d in wrong if d.gain_error != d.read_error]
    assert len(shaped) / len(wrong) == pytest.approx(0.33, abs=0.06)
    level = np.log([d.read_error for d in wrong if d.gain_error == d.read_error])
    assert (level.mean(), level.std()) == pytest.approx((0, 0.3), abs=0.04)
    ratios = np.log([d.gain_error / d.read_error for d in shaped])
    assert ratios.std() == pytest.approx(0.3 * 2**0.5, abs=0.06)


def rows(folder, count):
    return [Row(folder / f"{n}d.dng", folder / f"{n}b.dng", 100.0) for n in range(count)]


def test_from_how_many_pairs_on_some_are_held_back(tmp_path):
    training = Training(tmp_path, tmp_path / "out", steps=1)
    few = split_pairs(training, rows(tmp_path, FEW - 1), None)
    assert len(few.learnt) == len(few.held) == FEW - 1
    enough = split_pairs(training, rows(tmp_path, FEW), None)
    assert 1 <= len(enough.held) < FEW / 4
    assert len(enough.learnt) + len(enough.held) == FEW


def test_a_run_to_be_resumed_holds_back_what_it_did(tmp_path):
    training = Training(tmp_path, tmp_path / "out", steps=1)
    for count in (FEW - 1, FEW):
        again = split_pairs(training, rows(tmp_path, count), ["3d.dng"])
        assert [row.dark.name for row in again.held] == ["3d.dng"]
        assert len(again.learnt) == count - 1
    kept = split_pairs(training, rows(tmp_path, FEW), [])  # it judged by parts of all
    assert len(kept.learnt) == len(kept.held) == FEW
