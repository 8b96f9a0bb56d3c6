"""Training samples: range of the light, defects, predicted noise, reproducibility."""

from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")

from undark.errors import TrainingError  # noqa: E402
from undark.learn.data import photos, radiance  # noqa: E402
from undark.learn.data.batches import Batch, make_batch  # noqa: E402
from undark.learn.data.defects import Defects  # noqa: E402
from undark.learn.data.draws import draw_defects, draw_exposures  # noqa: E402
from undark.learn.data.exposing import expose  # noqa: E402
from undark.learn.data.photos import PhotoFiles, PhotoSamples, find_pictures  # noqa: E402
from undark.learn.data.sampler import TorchSampler  # noqa: E402
from undark.learn.data.scenes import draw_scene, saturate  # noqa: E402
from undark.learn.kind import BAYER  # noqa: E402
from undark.learn.loss import log_loss, photo_loss  # noqa: E402

SIGMA = np.array([0.2, 0.1, 0.15], np.float32)
DARK = torch.zeros(1, 3, 200, 200)


def drawn(count=2000):
    return [draw_defects(np.random.default_rng(n), 4.0) for n in range(count)]


def planes(defects, light=DARK):
    """(4, h, w) light of a mosaic and (4, h, w) predicted noise."""
    exposures = draw_exposures(1, np.random.default_rng(5))
    inputs = expose(light, exposures, TorchSampler(1), BAYER, [defects]).inputs[0]
    return inputs[:4], inputs[4:], exposures


def test_frequency_of_each_defect():
    defects = drawn()
    shares = {
        "rows": (0.14, [d.rows for d in defects]),
        "columns": (0.1, [d.columns for d in defects]),
        "bands": (0.1, [d.bands for d in defects]),
        "comb": (0.08, [d.comb for d in defects]),
        "black": (0.3, [any(d.black) for d in defects]),
        "crush": (0.14, [d.crush is not None for d in defects]),
        "read_error": (0.3, [d.read_error != 1 for d in defects]),
        "step": (0.04, [d.step > 1 for d in defects]),
    }
    for name, (share, values) in shares.items():
        assert np.mean([bool(v) for v in values]) == pytest.approx(share, abs=0.03), name


def test_the_black_levels_error_is_limited():
    errors = np.abs([d.black for d in drawn() if d.black])
    assert 5 < errors.max() <= 2.5 * 4


def test_strength_of_stripes():
    clean, _, _ = planes(Defects())
    for name in ("rows", "columns", "bands", "comb"):
        light, predicted, _ = planes(Defects(**{name: 1.0}))
        added = (light - clean).std() / predicted.mean()
        assert 0.3 < float(added) < 2, name


def test_counted_stripes_are_part_of_the_predicted_noise():
    _, without, _ = planes(Defects(rows=1.0))
    _, predicted, _ = planes(Defects(rows=1.0, counted=True))
    assert float(predicted[0].mean() / without[0].mean()) == pytest.approx(2**0.5, abs=0.1)


def test_crushed_blacks_stop_where_they_are_clipped():
    light, _, exposures = planes(Defects(crush=-0.5))
    assert float(light[1].min()) == pytest.approx(-0.5 * exposures.sigma_at_black[0, 1], rel=1e-3)


def test_few_bits_leave_few_values():
    assert len(planes(Defects(step=64.0))[0][1].unique()) < len(planes(Defects())[0][1].unique())


def test_the_predicted_noise_can_be_wrong_in_read_noise_only():
    _, right, _ = planes(Defects())
    _, wrong, _ = planes(Defects(read_error=2.0))
    darkest = (wrong[1] / right[1]).max()
    assert 1.5 < float(darkest) <= 2.001


def test_negative_light_lowers_the_mosaic_and_not_the_target():
    exposures = replace(
        draw_exposures(1, np.random.default_rng(5)),
        camera=np.eye(3, dtype=np.float32)[None],
        tint=np.ones((1, 3), np.float32),
    )
    light = DARK - 2 * torch.from_numpy(exposures.sigma_at_black)[0, :, None, None]
    batch = expose(light, exposures, TorchSampler(1), BAYER, [Defects(below_black=True)])
    assert float(batch.inputs[0, 1].mean()) == pytest.approx(float(light[0, 1, 0, 0]), rel=0.2)
    assert not batch.target.any()


def test_scenes_reach_from_below_black_to_the_ceiling():
    scenes = [draw_scene(np.random.default_rng(n), 64, SIGMA, 4.0) for n in range(200)]
    assert all(s.shape == (3, 64, 64) and s.dtype == np.float32 for s in scenes)
    assert all(np.isfinite(s).all() and (s >= -3.001 * SIGMA[:, None, None]).all() for s in scenes)
    assert any((s < 0).any() for s in scenes)
    assert any((s > 3).any() for s in scenes)
    flat = [len(np.unique(s[1])) <= 8 for s in scenes]
    assert np.mean(flat) > 0.7  # the others are stars


def test_saturated_areas_are_above_white():
    light = np.full((3, 64, 64), 0.01, np.float32)
    saturate(np.random.default_rng(1), light)
    assert light.max() > 1


def test_cameras_keep_grey_and_can_be_inverted():
    cameras = draw_exposures(500, np.random.default_rng(0)).camera
    assert np.allclose(cameras.sum(axis=2), 1, atol=1e-4)
    assert max(np.linalg.cond(c) for c in cameras) < 100


def test_radiance_maps_are_read_as_linear_light(tmp_path):
    light = np.full((256, 512, 3), 0.5, np.float32)
    light[100:104, 100:104] = 400
    (tmp_path / "a.hdr").write_bytes(imagecodecs.rgbe_encode(light, header=True))
    paths = find_pictures(tmp_path)
    photo = PhotoFiles(paths).get(paths[0])
    assert photo.dtype == np.float32
    assert np.median(photo) == pytest.approx(radiance.MEDIAN, rel=0.02)
    assert photo.max() > 50
    batch = make_batch(PhotoSamples(PhotoFiles(paths), crop=32), 0, range(4))
    assert torch.isfinite(batch.inputs).all()


def test_a_damaged_radiance_map_is_left_out(tmp_path):
    (tmp_path / "a.hdr").write_bytes(b"#?RADIANCE\nnothing")
    with pytest.raises(TrainingError, match="none of the photographs can be read"):
        PhotoFiles(find_pictures(tmp_path))


def test_samples_are_finite_and_reproducible(monkeypatch, tmp_path):
    monkeypatch.setattr(photos, "SCENES", 0.5)
    random = np.random.default_rng(0)
    path = tmp_path / "a.png"
    Image.fromarray(random.integers(0, 256, (80, 80, 3), np.uint8)).save(path)
    source = PhotoSamples(PhotoFiles([path]), crop=32)
    first, again = (make_batch(source, 3, range(40)) for _ in range(2))
    assert torch.equal(first.inputs, again.inputs)
    assert torch.isfinite(first.inputs).all()
    assert torch.isfinite(first.srgb).all()


def test_the_loss_penalises_a_tint_of_dark_areas():
    """A uniform offset has a larger loss than noise of the same size."""
    target = torch.full((1, 3, 32, 32), 0.01)
    noise = 0.005 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    batch = Batch(
        torch.ones(1, 8, 16, 16), target, torch.eye(3)[None], torch.tensor([torch.inf]), BAYER
    )
    offset, noisy = (
        float(photo_loss(lambda _, out=out: out, batch)) for out in (target + 0.005, target + noise)
    )
    assert offset > noisy + 0.3


def test_the_loss_penalises_an_error_of_many_sigma_in_a_weak_channel():
    """The error is small beside the bright green channel, but 10 sigma of red's noise."""
    target = torch.full((1, 3, 32, 32), 0.5)
    target[:, 0] = 0.001
    inputs = torch.full((1, 8, 16, 16), 0.02)
    inputs[:, 4] = 0.0005  # red has little noise
    batch = Batch(inputs, target, torch.eye(3)[None], torch.tensor([torch.inf]), BAYER)
    noise = 0.02 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    noise[:, 0] = 0
    off = torch.zeros(3)[:, None, None] + noise
    off[:, 0] += 0.005  # 10 sigma
    losses = [
        float(fn(lambda _, out=out: out, batch))
        for fn in (photo_loss, log_loss)
        for out in (target + noise, target + off)
    ]
    assert losses[1] - losses[0] > losses[3] - losses[2] + 0.3
