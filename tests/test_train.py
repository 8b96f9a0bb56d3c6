"""Training: the loss falls, a run can be resumed, its model restores photos."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")
from safetensors.torch import save_file  # noqa: E402
from tensorboard.backend.event_processing.event_accumulator import (  # noqa: E402
    EventAccumulator,
)

from undark.cli import train as cli_train  # noqa: E402
from undark.engine.model import Model, read_card  # noqa: E402
from undark.errors import TrainingError  # noqa: E402
from undark.files.picture import read_picture  # noqa: E402
from undark.learn import checkpoints  # noqa: E402
from undark.learn.aims import AIMS, psnr  # noqa: E402
from undark.learn.data.batches import make_batch  # noqa: E402
from undark.learn.data.defects import Defects  # noqa: E402
from undark.learn.data.draws import draw_exposures  # noqa: E402
from undark.learn.data.exposing import expose  # noqa: E402
from undark.learn.data.photos import PhotoFiles, PhotoSamples  # noqa: E402
from undark.learn.data.sampler import TorchSampler  # noqa: E402
from undark.learn.export import config_of, load_weights, start_from  # noqa: E402
from undark.learn.from_photos import photo_plan, split, train_photos, val_batch  # noqa: E402
from undark.learn.kind import BAYER, KINDS  # noqa: E402
from undark.learn.loss import photo_loss  # noqa: E402
from undark.learn.muon import Muon  # noqa: E402
from undark.learn.network import NETWORKS, UNet, UNetConfig  # noqa: E402
from undark.learn.options import Training  # noqa: E402
from undark.learn.task import learning_rate  # noqa: E402

TWO = range(2)
SMALL = UNetConfig(widths=(8, 12, 16), encoder=(0, 1, 1), decoder=(1, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three small photographs: smooth colours with edges."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        random = np.random.default_rng(seed)
        coarse = random.uniform(20, 235, (12, 16, 3))
        photo = np.repeat(np.repeat(coarse, 16, 0), 16, 1).astype(np.uint8)
        Image.fromarray(photo).save(folder / f"{seed}.png")
    return folder


def samples(folder, crop=32, kind=BAYER):
    return PhotoSamples(PhotoFiles(sorted(folder.iterdir())), crop, kind=kind)


@pytest.fixture
def source(folder):
    return samples(folder)


def settings(folder, out, **changes):
    fields = {"steps": 6, "crop": 32, "batch": 2, "network": SMALL} | changes
    return Training(folder, out, **fields)


def test_a_batch_is_a_function_of_seed_and_step(source):
    a, b = make_batch(source, 7, TWO), make_batch(source, 7, TWO)
    assert torch.equal(a.inputs, b.inputs)
    assert torch.equal(a.target, b.target)
    assert not torch.equal(a.inputs, make_batch(source, 8, TWO).inputs)
    by_another_process = make_batch(source, 7, range(1, 2))
    assert torch.equal(a.inputs[1:], by_another_process.inputs)
    assert a.inputs.shape == (2, 8, 32, 32)
    assert a.target.shape == (2, 3, 64, 64)


def test_the_target_is_what_the_input_shows(source):
    """Averaged over many batches, packed input less packed target is noise of mean nearly 0."""
    differences = []
    for number in range(20):
        batch = make_batch(source, number, TWO)
        green = batch.target[:, 1, ::2, 1::2]
        differences.append((batch.inputs[:, 1] - green).mean() / batch.inputs[:, 5].mean())
    assert abs(float(torch.stack(differences).mean())) < 0.1


def test_exposures_cover_the_range():
    drawn = draw_exposures(3000, np.random.default_rng(0))
    assert 1 <= drawn.amplification.min() < 1.1
    assert 290 < drawn.amplification.max() <= 300
    assert np.allclose(drawn.camera.sum(axis=2), 1, atol=1e-5)  # grey stays grey
    gain = drawn.noise.gain.ravel()
    assert gain.min() < 0.1
    assert gain.max() > 20


def test_a_pattern_is_as_strong_as_predicted():
    """In the dark, the noise over its map is 1, with a pattern and without."""
    exposures = draw_exposures(1, np.random.default_rng(5))
    dark = torch.zeros(1, 3, 400, 400)
    for pattern in (0.0, 1.5):
        batch = expose(dark, exposures, TorchSampler(1), BAYER, [Defects(pattern=pattern)])
        light, predicted = batch.inputs[0, 1], batch.inputs[0, 5]
        assert float(light.std() / predicted.mean()) == pytest.approx(1, abs=0.15)  # else 1.8


def test_a_pattern_correlates_neighbours():
    dark = torch.zeros(1, 3, 400, 400)
    exposures = draw_exposures(1, np.random.default_rng(5))
    light = (
        expose(dark, exposures, TorchSampler(1), BAYER, [Defects(pattern=1.5)]).inputs[0, 1].numpy()
    )
    beside, below = (
        np.corrcoef(light[:-1, :-1].ravel(), other.ravel())[0, 1]
        for other in (light[:-1, 1:], light[1:, :-1])
    )
    assert beside > 0.15  # as neighbours of a row
    assert below > 0.05  # as columns


def test_hot_pixels_are_few_and_bright():
    exposures = draw_exposures(1, np.random.default_rng(5))
    dark = torch.zeros(1, 3, 400, 400)
    frames = [
        expose(dark, exposures, TorchSampler(1), BAYER, [Defects(hot=hot)]).inputs
        for hot in (2e-4, 0.0)
    ]
    changed = (frames[0] != frames[1])[:, :4]
    assert 0 < changed.sum() <= 2e-4 * 400 * 400
    assert (frames[0] >= frames[1])[:, :4].all()


def test_the_loss_falls(source):
    torch.manual_seed(0)
    network = UNet(SMALL)
    optimiser = Muon(network.parameters(), 3e-3)

    def loss(numbers):
        with torch.no_grad():
            return float(
                np.mean([photo_loss(network, make_batch(source, n, TWO)).item() for n in numbers])
            )

    watched = range(1000, 1024)
    before = loss(watched)
    for number in range(240):
        optimiser.zero_grad()
        photo_loss(network, make_batch(source, number, TWO)).backward()
        optimiser.step()
    assert loss(watched) < before - 0.05  # nepers


def test_train_leaves_a_model_that_runs(folder, tmp_path):
    out = tmp_path / "out"
    path = train_photos(settings(folder, out)).model
    assert {p.name for p in out.iterdir()} >= {"model.onnx", "model.safetensors", "training.json"}
    card = read_card(path)
    assert (card.cfa, card.channels, card.multiple) == ("Bayer", 8, 4)
    record = json.loads((out / "training.json").read_text())
    assert record["steps"] == 6
    assert record["packed_pixels"] == 6 * 2 * 32**2
    assert set(card.scores) == {"psnr/x10", "psnr/x100", "psnr/x250", "psnr/x300"}
    network = UNet(SMALL).eval()
    network.load_state_dict(load_weights(out / "model.safetensors"))
    x = np.random.default_rng(0).random((1, 8, 24, 32), np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    assert np.allclose(Model(path)(x), expected, atol=2e-3)  # weights are kept in fp16


@pytest.mark.usefixtures("without_onnx")
def test_a_run_goes_on_where_it_stopped(folder, tmp_path):
    """6 steps, then 6 more, give the same weights as 12 at once (constant learning rate)."""
    uninterrupted, parts = tmp_path / "uninterrupted", tmp_path / "parts"
    constant = {"decay": 1e-9}
    train_photos(settings(folder, uninterrupted, steps=12, **constant))
    train_photos(settings(folder, parts, steps=6, **constant))
    with pytest.raises(TrainingError, match="--resume"):
        train_photos(settings(folder, parts, steps=12, **constant))
    train_photos(settings(folder, parts, steps=12, resume=True, **constant))
    a, b = (load_weights(d / "model.safetensors") for d in (uninterrupted, parts))
    assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)


@pytest.mark.usefixtures("without_onnx")
def test_a_checkpoint_follows_the_log_of_its_step(folder, tmp_path, monkeypatch):
    """A run that is killed right after a checkpoint has logged all steps before it."""
    logged = {}
    save = checkpoints.AtomicStates.save_checkpoint

    def look(self, checkpoint, path, **options):
        events = EventAccumulator(str(Path(path).parent / "log")).Reload()
        scalars = events.Scalars("loss") if "loss" in events.Tags()["scalars"] else []
        logged[checkpoint["global_step"]] = [event.step for event in scalars]
        save(self, checkpoint, path, **options)

    monkeypatch.setattr(checkpoints.AtomicStates, "save_checkpoint", look)
    monkeypatch.setattr(checkpoints, "EVERY", timedelta(0))
    train_photos(settings(folder, tmp_path / "out", steps=20))
    assert logged[10] == [9]
    assert logged[20] == [9, 19]


@pytest.mark.usefixtures("without_onnx")
def test_going_on_from_weights(folder, tmp_path):
    train_photos(settings(folder, tmp_path / "first"))
    weights = tmp_path / "first" / "model.safetensors"
    train_photos(settings(folder, tmp_path / "second", steps=1, peak=0.0, start=weights))
    a, b = load_weights(weights), load_weights(tmp_path / "second" / "model.safetensors")
    assert all(torch.allclose(a[k], b[k]) for k in a)


@pytest.mark.usefixtures("without_onnx")
def test_the_record_counts_all_runs(folder, tmp_path):
    train_photos(settings(folder, tmp_path / "first"))
    more = {"start": tmp_path / "first" / "model.safetensors", "peak": 1e-4}
    train_photos(settings(folder, tmp_path / "second", steps=1, **more))
    train_photos(settings(folder, tmp_path / "second", steps=2, resume=True, **more))
    record = json.loads((tmp_path / "second" / "training.json").read_text())
    assert record["steps"] == 6 + 2
    assert record["packed_pixels"] == (6 + 2) * 2 * 32**2


def test_weights_are_read_back_of_either_file(folder, tmp_path):
    train_photos(settings(folder, tmp_path / "out", steps=1))
    kept = [tmp_path / "out" / name for name in ("model.safetensors", "model.onnx")]
    exact, rounded = map(load_weights, kept)
    torch.testing.assert_close(rounded, exact, rtol=0, atol=1e-3)
    assert [config_of(path) for path in kept] == [SMALL, SMALL]


@pytest.mark.usefixtures("without_onnx")
def test_a_network_may_have_grown_blocks(folder, tmp_path):
    train_photos(settings(folder, tmp_path / "first"))
    weights = tmp_path / "first" / "model.safetensors"
    more = UNetConfig(widths=(8, 12, 16), encoder=(1, 2, 1), decoder=(2, 1))
    small, grown = UNet(SMALL), UNet(more)
    for network in (small, grown):
        start_from(network, weights)
    x = torch.rand(1, 8, 16, 16)
    with torch.no_grad():
        assert torch.equal(small(x), grown(x))


@pytest.mark.usefixtures("without_onnx")
def test_without_memory_batches_are_halved(folder, tmp_path, monkeypatch, caplog):
    def loss(network, batch):
        if len(batch.inputs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return photo_loss(network, batch)

    monkeypatch.setattr("undark.learn.from_photos.photo_loss", loss)
    train_photos(settings(folder, tmp_path / "out", batch=4, steps=2))
    assert "out of memory: continuing with 2 samples a step" in caplog.text
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["settings"]["batch"] == 2


@pytest.mark.usefixtures("without_onnx")
def test_going_on_with_another_network_is_refused(folder, tmp_path):
    train_photos(settings(folder, tmp_path / "out", steps=1))
    with pytest.raises(TrainingError, match="another network"):
        train_photos(settings(folder, tmp_path / "out", steps=2, resume=True, network=UNetConfig()))


@pytest.mark.usefixtures("without_onnx")
def test_a_film_of_the_epochs(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("undark.learn.film.MIN_STEPS", 2)
    train_photos(settings(folder, tmp_path / "out", film=True))
    frames = sorted((tmp_path / "out" / "film").iterdir())
    assert [f.name for f in frames] == [f"{n:04d}.png" for n in range(1, 4)]
    with Image.open(tmp_path / "out" / "epochs.gif") as film:
        assert film.n_frames == 3
        assert film.size == read_picture(frames[0]).shape[1::-1]


@pytest.mark.usefixtures("without_onnx")
def test_a_learning_rate_is_found(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    out = tmp_path / "out"
    train_photos(settings(folder, out, steps=1, find_rate=True))
    assert "learning rate: " in caplog.text
    record = json.loads((out / "training.json").read_text())
    assert 1e-5 < record["settings"]["peak"] < 0.1
    assert record["steps"] == 1


def test_validation_photos_are_not_trained_on(folder, tmp_path):
    train, held = split(settings(folder, tmp_path))
    assert held
    assert not set(train) & set(held)
    assert split(settings(folder, tmp_path, val=folder))[0] == sorted(folder.iterdir())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_tiny_validation_photos_are_found_before_training(folder, tmp_path, kind, caplog):
    """The network takes none of 3 rows by 5 columns; the others are judged by."""
    val = tmp_path / "val"
    val.mkdir()
    Image.fromarray(np.full((3, 5, 3), 99, np.uint8)).save(val / "tiny.png")
    training = settings(folder, tmp_path, val=val, network=None).for_kind(kind)
    with pytest.raises(
        TrainingError, match=rf"to judge by .* is {8 * kind.cell * kind.fold} pixels wide and"
    ):
        photo_plan(training, {})
    (val / "0.png").write_bytes((folder / "0.png").read_bytes())
    plan = photo_plan(training, {})
    assert {len(batches) for batches in plan.validation.values()} == {1}
    assert "3 to learn from, 1 to judge by" in plan.split
    assert "1 of 2 photographs to judge by are not" in caplog.text


def test_tiny_photos_that_are_held_back_are_found_before_training(folder, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for path in folder.iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    _, held = split(settings(data, tmp_path))
    for path in held:
        Image.fromarray(np.full((3, 5, 3), 99, np.uint8)).save(path)
    with pytest.raises(TrainingError, match=r"to judge by .* is 16 pixels wide and high"):
        train_photos(settings(data, tmp_path / "out"))
    assert not (tmp_path / "out" / "model.onnx").exists()


@pytest.mark.usefixtures("without_onnx")
def test_a_photograph_that_cannot_be_read_is_left_out(folder, tmp_path, caplog):
    data = tmp_path / "data"
    data.mkdir()
    for path in folder.iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    damaged = data / "1.png"
    damaged.write_bytes(damaged.read_bytes()[:100])
    outcome = train_photos(settings(data, tmp_path / "out", steps=1))
    assert list(outcome.skipped) == [damaged]
    assert caplog.text.count(f"{damaged}:") == 1
    assert json.loads((tmp_path / "out/training.json").read_text())["photographs"] == ["2.png"]
    for path in data.iterdir():
        path.write_bytes(b"")
    with pytest.raises(TrainingError, match="none of the photographs can be read"):
        train_photos(settings(data, tmp_path / "none"))


def test_what_cannot_be_trained_is_said(folder, tmp_path):
    with pytest.raises(TrainingError, match="no photographs"):
        train_photos(settings(tmp_path, tmp_path / "out"))
    with pytest.raises(TrainingError, match="give larger ones"):
        train_photos(settings(folder, tmp_path / "out", crop=400))
    with pytest.raises(TrainingError, match="--minutes or --steps"):
        train_photos(settings(folder, tmp_path / "out", minutes=1.0))
    with pytest.raises(TrainingError, match="multiples of 4; give 16"):
        train_photos(settings(folder, tmp_path / "out", crop=18))
    with pytest.raises(TrainingError, match="too few samples for 3 processes"):
        train_photos(settings(folder, tmp_path / "out", batch=2, devices=3))
    with pytest.raises(TrainingError, match="diverged"):
        train_photos(settings(folder, tmp_path / "nan", peak=float("inf")))
    assert not (tmp_path / "nan" / "model.onnx").exists()
    with pytest.raises(TrainingError, match="no weights"):
        train_photos(settings(folder, tmp_path / "out", start=tmp_path / "none.safetensors"))


@pytest.mark.usefixtures("without_onnx")
def test_weights_of_another_network_are_refused(folder, tmp_path):
    train_photos(settings(folder, tmp_path / "first", steps=1))
    weights = tmp_path / "first" / "model.safetensors"
    with pytest.raises(TrainingError, match="another network"):
        train_photos(settings(folder, tmp_path / "b", start=weights, network=UNetConfig()))


def test_validation_is_the_same_at_every_call(folder):
    photo = read_picture(sorted(folder.iterdir())[0])
    a, b = (val_batch(photo, 1600, 100) for _ in range(2))
    assert torch.equal(a.inputs, b.inputs)
    assert float(psnr(a.target, a.target + 0.1)[0]) > 19


def test_learning_rate_rises_stays_and_falls():
    assert learning_rate(0.0, 0, 1.0, 0.4) == pytest.approx(0.01)
    assert learning_rate(0.5, 5000, 1.0, 0.4) == 1
    assert learning_rate(0.8, 5000, 1.0, 0.4) == pytest.approx(0.5)
    assert learning_rate(1.0, 5000, 1.0, 0.4) == 0


def test_the_command_line_offers_what_there_is():
    assert set(cli_train.Network) == set(NETWORKS)
    assert set(cli_train.Aim) == set(AIMS)


def test_a_network_for_another_sensor_keeps_the_trunk(tmp_path):
    """Only the layers whose shape depends on the mosaic are initialised again."""
    torch.manual_seed(1)
    bayer, xtrans = UNet(SMALL), UNet(replace(SMALL, cell=3))
    path = tmp_path / "bayer.safetensors"
    save_file(bayer.state_dict(), path)
    before = {name: w.clone() for name, w in xtrans.state_dict().items()}
    start_from(xtrans, path)
    ends = ("head", "tail", "demosaic")
    for name, weights in xtrans.state_dict().items():
        expected = before if name.startswith(ends) else bayer.state_dict()
        assert torch.equal(weights, expected[name]), name


def test_a_network_of_other_widths_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file(UNet(replace(SMALL, widths=(4, 12))).state_dict(), path)
    with pytest.raises(TrainingError, match="same widths"):
        start_from(UNet(SMALL), path)
