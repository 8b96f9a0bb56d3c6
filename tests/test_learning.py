"""The learning path: every kind of sensor, the split, the record, the predicted noise."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")

from pair_photos import expose as shoot  # noqa: E402
from pair_photos import frame_of  # noqa: E402
from undark.engine.model import read_card  # noqa: E402
from undark.errors import TrainingError  # noqa: E402
from undark.files.cache import FrameCache  # noqa: E402
from undark.files.dng import write_mosaic  # noqa: E402
from undark.learn import checkpoints  # noqa: E402
from undark.learn.aims import AIMS  # noqa: E402
from undark.learn.data.batches import Batch, StepSampler, make_batch  # noqa: E402
from undark.learn.data.draws import draw_exposures  # noqa: E402
from undark.learn.data.exposing import expose  # noqa: E402
from undark.learn.data.pair_frames import PairFrames, kind_of_rows  # noqa: E402
from undark.learn.data.pairs import held_crops  # noqa: E402
from undark.learn.data.photos import PhotoFiles, PhotoSamples  # noqa: E402
from undark.learn.data.sampler import TorchSampler  # noqa: E402
from undark.learn.data.split import held_back  # noqa: E402
from undark.learn.export import record_of  # noqa: E402
from undark.learn.film import shown  # noqa: E402
from undark.learn.from_pairs import PairLoss, pair_plan, split_pairs  # noqa: E402
from undark.learn.from_photos import train_photos  # noqa: E402
from undark.learn.kind import BAYER, KINDS, PICTURE, XTRANS  # noqa: E402
from undark.learn.loss import log_loss, photo_loss  # noqa: E402
from undark.learn.muon import Muon  # noqa: E402
from undark.learn.network import NETWORKS, UNet, UNetConfig  # noqa: E402
from undark.learn.options import Training  # noqa: E402
from undark.learn.progress import minutes_left  # noqa: E402
from undark.learn.task import Gain, gain_of  # noqa: E402
from undark.pairs.table import Row  # noqa: E402
from undark.sensor.cfa import RGGB, X_TRANS  # noqa: E402
from undark.sensor.conditioning import HIGHLIGHT_CEILING, condition, scale  # noqa: E402

SMALL = UNetConfig(widths=(8, 12), encoder=(0, 1), decoder=(1,))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        coarse = np.random.default_rng(seed).integers(20, 235, (12, 16, 3), np.uint8)
        Image.fromarray(coarse.repeat(16, 0).repeat(16, 1)).save(folder / f"{seed}.png")
    return folder


def settings(photos, out, **changes):
    return Training(
        photos, out, **({"steps": 2, "crop": 16, "batch": 2, "network": SMALL} | changes)
    )


def test_photographs_train_networks_for_x_trans(photos, tmp_path):
    samples = PhotoSamples(PhotoFiles(sorted(photos.iterdir())), 32, kind=XTRANS)
    network = UNet(replace(SMALL, cell=3))
    optimiser, watched = Muon(network.parameters(), 3e-3), make_batch(samples, 1000, range(8))
    assert watched.inputs.shape == (8, 18, 32, 32)
    assert watched.target.shape == (8, 3, 96, 96)
    before = photo_loss(network, watched).item()
    for step in range(40):
        optimiser.zero_grad()
        photo_loss(network, make_batch(samples, step, range(2))).backward()
        optimiser.step()
    assert photo_loss(network, watched).item() < before - 0.1
    outcome = train_photos(settings(photos, tmp_path / "out"), XTRANS)
    assert read_card(outcome.model).cfa == "X-Trans"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_log_loss_takes_every_kind(kind):
    """The mosaic term depends on the kind: errors of colours that no pixel measures weigh less."""
    target = torch.full((1, 3, 12, 12), 0.3)
    inputs = torch.full((1, kind.channels, 12 // kind.cell, 12 // kind.cell), 0.02)
    batch = Batch(inputs, target, torch.eye(3)[None], torch.ones(1), kind)
    if kind == PICTURE:
        assert log_loss(lambda _: target + 0.1, batch) > log_loss(lambda _: target, batch)
        return
    of = {BAYER: RGGB, XTRANS: X_TRANS}[kind]
    pattern = np.tile(of.pattern, (12 // of.period, 12 // of.period))
    measured = torch.stack([torch.from_numpy(pattern == colour) for colour in range(3)])[None]
    seen = log_loss(lambda _: target + 0.1 * measured, batch)
    unseen = log_loss(lambda _: target + 0.1 * ~measured, batch)
    assert seen > unseen + 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_film_shows_every_kind_in_its_colours(kind):
    inputs = torch.zeros(1, kind.channels, 4, 4)
    for plane, colour in enumerate(kind.colours):
        inputs[:, plane] = (0.1, 0.2, 0.3)[colour]
    target = torch.zeros(1, 3, 4 * kind.cell, 4 * kind.cell)
    batch = Batch(inputs, target, torch.eye(3)[None], torch.ones(1), kind)
    assert shown(batch).mean((0, 2, 3)).tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_networks_for_x_trans_take_whole_periods():
    """A residual network of one scale took any tile; X-Trans has a period of two packed pixels."""
    assert replace(NETWORKS["residual"], cell=3).multiple == 2
    assert NETWORKS["residual"].multiple == 1
    assert replace(NETWORKS["unet"], cell=3).multiple == 8


def test_sigma_of_a_light_source_is_that_which_restoring_predicts():
    """A source 100 times white: noise and sigma are those of the light; the input is clipped."""
    drawn = draw_exposures(1, np.random.default_rng(5))
    exposures = replace(
        drawn,
        amplification=np.full(1, 4.0, np.float32),
        white_balance=np.ones((1, 3), np.float32),
        camera=np.eye(3, dtype=np.float32)[None],
        tint=np.ones((1, 3), np.float32),
    )
    light = torch.full((1, 3, 64, 64), 100.0)
    batch = expose(light, exposures, TorchSampler(1), BAYER)
    clipped = torch.full((1, 64, 64), exposures.span)  # the values in the camera's file
    factor = scale(RGGB, exposures.white_balance, exposures.span, exposures.amplification, light)
    restored = condition(clipped, RGGB, exposures.noise, factor)
    sigma, predicted = batch.inputs[:, 4:].median(), restored[:, 4:].median()
    assert float(sigma) == pytest.approx(float(predicted), rel=0.05)  # it was 0.2 of it
    assert float(batch.target.max()) <= HIGHLIGHT_CEILING


def test_noise_below_the_sensors_white_is_that_of_the_light():
    drawn = draw_exposures(1, np.random.default_rng(5))
    exposures = replace(
        drawn,
        amplification=np.full(1, 20.0, np.float32),
        white_balance=np.ones((1, 3), np.float32),
        camera=np.eye(3, dtype=np.float32)[None],
        tint=np.ones((1, 3), np.float32),
    )
    sigmas = [
        float(
            expose(torch.full((1, 3, 64, 64), light), exposures, TorchSampler(1), BAYER)
            .inputs[:, 4:]
            .median()
        )
        for light in (4.0, 16.0)
    ]  # before, both were 4 times white
    assert sigmas[1] > 1.5 * sigmas[0]


def test_adding_a_photo_does_not_change_the_split_of_others(tmp_path):
    paths = [tmp_path / f"{n}.jpg" for n in range(600)]
    held = set(held_back(paths, tmp_path))
    assert len(held) == pytest.approx(50, abs=20)
    assert set(held_back(paths[1:], tmp_path)) == held - {paths[0]}
    assert len(held_back(paths[:1], tmp_path)) == 1


@pytest.mark.usefixtures("without_onnx")
def test_a_resumed_run_keeps_its_validation_photos(photos, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for path in photos.iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    out = tmp_path / "out"
    train_photos(settings(data, out))
    (held,) = json.loads((out / "training.json").read_text())["held_back"]
    for number in range(12):
        (data / f"more{number}.png").write_bytes((data / held).read_bytes())
    train_photos(settings(data, out, steps=3, resume=True))
    assert json.loads((out / "training.json").read_text())["held_back"] == [held]


def test_the_record_names_data_loss_and_start_weights(photos, tmp_path):
    first = train_photos(settings(photos, tmp_path / "first")).model
    train_photos(settings(photos, tmp_path / "second", steps=3, start=first))
    record = json.loads((tmp_path / "second/training.json").read_text())
    assert record["settings"]["loss"] == "photo"
    assert record["start"]["name"] == "first/model.onnx"
    assert len(record["start"]["sha256"]) == 64
    assert (record["own"]["steps"], record["inherited"]["steps"], record["steps"]) == (3, 2, 5)
    assert record["data_folder"] == str(photos)
    assert str(photos) not in read_card(tmp_path / "second/model.onnx").to_json()


@pytest.mark.usefixtures("without_onnx")
def test_packed_pixels_are_counted_after_batches_were_halved(photos, tmp_path, monkeypatch):
    calls = []

    def loss(network, batch):
        calls.append(len(batch.inputs))
        if calls.count(4) > 2:
            calls.clear()
            monkeypatch.setattr("undark.learn.from_photos.photo_loss", photo_loss)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return photo_loss(network, batch)

    monkeypatch.setattr(checkpoints, "EVERY", checkpoints.timedelta(seconds=1e-6))
    monkeypatch.setattr("undark.learn.from_photos.photo_loss", loss)
    train_photos(settings(photos, tmp_path / "out", batch=4, steps=6))
    record = json.loads((tmp_path / "out/training.json").read_text())
    assert record["packed_pixels"] == (2 * 4 + 4 * 2) * 16**2


@pytest.mark.parametrize("content", ["{", "[]", '"text"'])
def test_a_damaged_record_is_one_line(tmp_path, content):
    (tmp_path / "training.json").write_text(content)
    with pytest.raises(TrainingError, match=r"training.json: damaged"):
        record_of(tmp_path / "model.safetensors")


@pytest.mark.usefixtures("without_onnx")
def test_exceptions_of_other_threads_are_seen_while_training(photos, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)

    def report(event):
        if not seen:
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()

    train_photos(settings(photos, tmp_path / "out"), report=report)
    assert [hook.exc_type for hook in seen] == [ZeroDivisionError]


def test_shares_of_processes_are_one_step():
    shares = [next(iter(StepSampler(5, rank, 2, start=7))) for rank in range(2)]
    assert [s for share in shares for s in share] == [(7, number) for number in range(5)]


def test_photographs_need_not_fit_in_memory(photos):
    paths = sorted(photos.iterdir())
    one = 192 * 256 * 3
    small, large = PhotoFiles(paths, limit=one), PhotoFiles(paths)
    for files in (small, large):
        assert all(files.get(path) is not None for path in paths)
    assert small._taken <= one
    a, b = (make_batch(PhotoSamples(files, 32), 0, range(4)) for files in (small, large))
    assert torch.equal(a.inputs, b.inputs)


def test_the_verdict_depends_on_the_standard_error():
    assert gain_of({}, {"held": [30.0]}) is None
    assert gain_of({"held": [30.0]}, {"held": [31.0]}).verdict == "too close to tell"
    before = {"held": [30.0, 25.0, 35.0, 28.0]}
    assert gain_of(before, {"held": [30.1, 25.12, 35.09, 28.13]}).verdict == "improved"
    assert gain_of(before, {"held": [30.9, 24.5, 35.3, 27.6]}).verdict == "too close to tell"
    assert Gain(-1.0, 0.1).verdict == "did not improve"
    assert Gain(0.004, 0.001).verdict == "too close to tell"


def test_the_time_left_is_never_negative():
    assert minutes_left(1.2, 0.0, 60) == 0
    assert minutes_left(0.5, 0.0, 60) == pytest.approx(1)


def raw_pair(folder, number, cfa):
    paths = [folder / f"{number}_{name}.dng" for name in ("dark", "bright")]
    light = np.full((3, *frame_of(cfa)), 0.3, np.float32)
    for path, seconds in zip(paths, (0.1, 10), strict=True):
        write_mosaic(path, shoot(light, seconds, cfa))
    return Row(*paths, amplification=100)


def test_the_kind_of_most_pairs_decides(tmp_path, caplog):
    rows = [raw_pair(tmp_path, n, cfa) for n, cfa in enumerate([X_TRANS, RGGB, RGGB])]
    frames = PairFrames(FrameCache(tmp_path / "cache"), AIMS["raw-linear"])
    assert kind_of_rows(frames, rows) == BAYER
    assert list(frames.skipped) == [rows[0].dark]
    assert "X-Trans, but most pairs are Bayer" in caplog.text


def test_srgb_light_is_not_given_the_cameras_matrix(tmp_path):
    row = raw_pair(tmp_path, 0, RGGB)
    for aim, is_srgb in (("raw-srgb", True), ("raw-linear", False)):
        frames = PairFrames(FrameCache(tmp_path / "cache"), AIMS[aim])
        batch = held_crops(frames, row, 32, (0.0, 1.0))[0].prepare()
        assert bool((batch.srgb[0] == torch.eye(3)).all()) == is_srgb


def test_few_pairs_are_validated_on_parts_of_all(tmp_path):
    rows = [raw_pair(tmp_path, n, RGGB) for n in range(3)]
    training = settings(tmp_path, tmp_path / "out", crop=32)
    split = split_pairs(training, rows, None)
    frames = PairFrames(FrameCache(tmp_path / "cache"), AIMS["raw-linear"])
    plan, _ = pair_plan(training, frames, split, PairLoss())
    assert "3 pairs: 70 % of each to learn from" in plan.split
    assert len(plan.validation["held"]) >= 3
    many = [replace(rows[0], dark=tmp_path / f"{n}.dng") for n in range(60)]
    by_name = split_pairs(training, many, None)
    assert 1 <= len(by_name.held) < 12
    assert not {r.dark for r in by_name.held} & {r.dark for r in by_name.learnt}
