"""Training on pairs: input and target are aligned; splits, errors, fine-tuning."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")

from dataclasses import replace  # noqa: E402

from pair_photos import expose, frame_of, sid_folder  # noqa: E402
from undark.engine.model import read_card  # noqa: E402
from undark.errors import DataError, TrainingError  # noqa: E402
from undark.files.cache import FrameCache  # noqa: E402
from undark.files.dng import write_mosaic  # noqa: E402
from undark.files.picture import open_picture, write_picture  # noqa: E402
from undark.learn.aims import AIMS, l1_loss  # noqa: E402
from undark.learn.data.batches import Batch, make_batch  # noqa: E402
from undark.learn.data.pair_frames import PairFrames  # noqa: E402
from undark.learn.data.pairs import (  # noqa: E402
    PairSamples,
    held_crops,
    random_crop,
    try_crop,
)
from undark.learn.from_pairs import train_pairs, train_sid  # noqa: E402
from undark.learn.kind import BAYER  # noqa: E402
from undark.learn.muon import Muon  # noqa: E402
from undark.learn.network import UNet, UNetConfig  # noqa: E402
from undark.learn.options import Training  # noqa: E402
from undark.pairs.choose import PairsWarning, good_rows  # noqa: E402
from undark.pairs.sid import sid_rows  # noqa: E402
from undark.pairs.table import Row, write_rows  # noqa: E402
from undark.restoring.picture import restore_picture  # noqa: E402
from undark.sensor.cfa import BAYER_ORDERS, RGGB, X_TRANS, mosaic, pack  # noqa: E402
from undark.sensor.mosaic import Shot  # noqa: E402


def sample(*asked):
    return random_crop(*asked).prepare()


SMALL = UNetConfig(widths=(8, 12), encoder=(0, 1), decoder=(1,))
ALL_CFAS = [*BAYER_ORDERS, X_TRANS]
RATIO = 100


def scene(seed=0, shape=(240, 312), shift=(0.0, 0.0)):
    """(3, H, W): smooth light, known everywhere; `shift` (x, y) moves it right and down."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices(shape, np.float32)
    columns, rows = columns - shift[0], rows - shift[1]
    light = np.full((3, *shape), 0.35, np.float32)
    for channel in light:
        for _ in range(4):
            fx, fy, phase = (
                random.uniform(-0.15, 0.15),
                random.uniform(-0.15, 0.15),
                random.random(),
            )
            channel += 0.06 * np.sin(fx * columns + fy * rows + 6 * phase).astype(np.float32)
    return light


def write_pair(folder, cfa=RGGB, seed=0, shift=(0.0, 0.0), noise=1.0, names=("dark", "bright")):
    paths, shape = [folder / f"{seed}_{name}.dng" for name in names], frame_of(cfa)
    write_mosaic(paths[0], expose(scene(seed, shape), 10 / RATIO, cfa, noise, seed))
    write_mosaic(paths[1], expose(scene(seed, shape, shift), 10, cfa))
    return Row(*paths, amplification=RATIO)


@pytest.fixture
def frames(tmp_path):
    return PairFrames(FrameCache(tmp_path / "cache"), AIMS["raw-linear"])


def settings(folder, out, **changes):
    fields = {"steps": 4, "crop": 32, "batch": 2, "network": SMALL} | changes
    return Training(folder, out, **fields)


def seen(batch, cfa):
    """The planes of the input, and the target's pixels at the same positions."""
    canonical = RGGB if cfa.period == 2 else X_TRANS
    planes = batch.inputs[0, : cfa.cell**2].numpy()
    return planes, pack(mosaic(batch.target[0].numpy(), canonical), canonical)


@pytest.mark.parametrize("cfa", ALL_CFAS, ids=lambda cfa: cfa.name)
def test_input_and_target_show_the_same_place(tmp_path, frames, cfa):
    row = write_pair(tmp_path, cfa, noise=0.0)
    for seed in range(12):  # all eight flips
        batch = sample(frames, row, 32, (0.0, 1.0), np.random.default_rng(seed))
        assert batch.inputs.shape == (1, 2 * cfa.cell**2, 32, 32)
        planes, target = seen(batch, cfa)
        # the dark photo has steps of 1 DN, amplified: 100 / 15871, twice that in red
        assert np.abs(planes - target)[:, 2:-2, 2:-2].max() < 0.015
        assert np.std(target) > 0.02


@pytest.mark.parametrize("shift", [(4.0, -2.0), (3.3, 1.6), (-0.5, -5.25)])
def test_a_shifted_bright_photo_is_aligned(tmp_path, frames, shift):
    row = write_pair(tmp_path, shift=shift, noise=0.0)
    aligned = replace(row, align_dx=shift[0], align_dy=shift[1])
    errors = []
    for pair in (row, aligned):
        parts = [sample(frames, pair, 32, (0.0, 1.0), np.random.default_rng(s)) for s in range(8)]
        errors.append(np.mean([np.abs(np.subtract(*seen(part, RGGB))).mean() for part in parts]))
    assert errors[1] < 0.006
    assert errors[1] < 0.5 * errors[0]


def test_crops_are_recoloured_but_not_where_the_target_has_its_own_colours(tmp_path):
    row = write_pair(tmp_path)

    def tints(aim):
        frames = PairFrames(FrameCache(tmp_path / "cache"), AIMS[aim])
        samples = [sample(frames, row, 96, (0.0, 1.0), np.random.default_rng(s)) for s in range(6)]
        means = np.array([part.target.mean((0, 2, 3)).numpy() for part in samples])
        return np.std(np.log(means[:, 0] / means[:, 1]))

    assert tints("raw-linear") > 5 * tints("raw-srgb")


def test_a_step_is_always_the_same_batch(tmp_path, frames):
    source = PairSamples([write_pair(tmp_path, seed=s) for s in range(2)], frames, 32, seed=0)
    a, b = make_batch(source, 5, range(2)), make_batch(source, 5, range(2))
    assert torch.equal(a.inputs, b.inputs)
    assert torch.equal(a.target[1:], make_batch(source, 5, range(1, 2)).target)
    assert not torch.equal(a.inputs, make_batch(source, 6, range(2)).inputs)


def test_a_saturated_target_is_a_lower_bound():
    target = torch.full((1, 3, 4, 4), 0.5)
    target[..., :2] = 1.0
    batch = Batch(target, target, torch.eye(3)[None], torch.ones(1), BAYER)
    aim = AIMS["raw-linear"]

    def loss(left, right):
        made = torch.cat([torch.full((1, 3, 4, 2), left), torch.full((1, 3, 4, 2), right)], 3)
        return float(l1_loss(aim, lambda _: made, batch))

    assert loss(4.0, 0.5) == 0
    assert loss(0.8, 0.5) == pytest.approx(0.1)
    assert loss(1.0, 0.7) == pytest.approx(0.1)


@pytest.mark.parametrize("aim", ["raw-linear", "raw-srgb"])
def test_the_loss_falls(tmp_path, aim):
    torch.manual_seed(0)
    frames = PairFrames(FrameCache(tmp_path / "cache"), AIMS[aim])
    rows = [write_pair(tmp_path, seed=s, noise=8.0) for s in range(2)]
    source, network = PairSamples(rows, frames, 32, seed=0), UNet(SMALL)
    step = partial(l1_loss, AIMS[aim], network)
    optimiser = Muon(network.parameters(), 3e-3)
    watched = make_batch(source, 10_000, range(8))
    before = step(watched).item()
    for number in range(60):
        optimiser.zero_grad()
        step(make_batch(source, number, range(2))).backward()
        optimiser.step()
    assert step(watched).item() < 0.6 * before


def test_pairs_that_are_not_good_are_left_out(tmp_path):
    rows = [write_pair(tmp_path, seed=s) for s in range(3)]
    rows[1] = replace(rows[1], verdict="moved")
    write_rows(tmp_path / "pairs.csv", rows)
    with pytest.warns(PairsWarning, match="1 of 3 pairs are not good: left out"):
        assert [row.dark for row in good_rows(tmp_path)] == [rows[0].dark, rows[2].dark]
    write_rows(tmp_path / "pairs.csv", rows[1:2])
    with pytest.raises(DataError, match="no good pairs"), pytest.warns(PairsWarning):
        good_rows(tmp_path)


def test_pairs_not_checked_yet(tmp_path):
    expected = write_pair(tmp_path)
    with pytest.warns(PairsWarning, match="not checked"):
        (row,) = good_rows(tmp_path)
    assert (row.dark, row.bright) == (expected.dark, expected.bright)
    assert row.amplification == pytest.approx(RATIO, rel=0.01)


def test_fine_tuning_says_what_it_gained(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for seed in range(2):
        write_pair(data, seed=seed, noise=8.0)
    cache = tmp_path / "cache"
    first = train_pairs(settings(data, tmp_path / "a", steps=2), cache=cache)
    assert first.before == {}
    assert first.gain is None
    more = settings(data, tmp_path / "b", steps=60, start=first.model, network=None, peak=3e-3)
    second = train_pairs(more, cache=cache)
    assert second.before == pytest.approx(first.scores, abs=0.05)  # weights in 16 bits
    assert second.gain.mean > 0.4
    assert second.gain.verdict == "improved"
    assert read_card(second.model).cfa == "Bayer"


@pytest.mark.usefixtures("without_onnx")
def test_a_damaged_photo_is_left_out_and_counted(tmp_path, caplog):
    data = tmp_path / "data"
    data.mkdir()
    rows = [write_pair(data, seed=seed) for seed in range(7)]
    content = rows[3].dark.read_bytes()
    rows[3].dark.write_bytes(content[: len(content) // 2])
    write_rows(data / "pairs.csv", rows)
    outcome = train_pairs(settings(data, tmp_path / "out", steps=12), cache=tmp_path / "cache")
    assert list(outcome.skipped) == [rows[3].dark]
    assert caplog.text.count(f"{rows[3].dark}:") == 1
    assert "left out" in caplog.text


@pytest.mark.usefixtures("without_onnx")
def test_unusable_photos_do_not_stop_training(tmp_path, caplog):
    data = tmp_path / "data"
    data.mkdir()
    rows = [write_pair(data, seed=seed) for seed in range(7)]
    gone, unknown, damaged, other = rows[1], rows[2], rows[3], write_pair(data, X_TRANS, 8)
    gone.dark.unlink()
    rows[2] = replace(unknown, amplification=-1.0)
    write_rows(data / "pairs.csv", [*rows, other])
    more = settings(data, tmp_path / "out", steps=16)
    outcome = train_pairs(more, cache=tmp_path / "cache")
    assert set(outcome.skipped) == {gone.dark, unknown.dark, other.dark}
    err = caplog.text
    assert f"{gone.dark}: there is no such file" in err
    assert f"{unknown.dark}: its exposure relative to {unknown.bright.name} is not known" in err
    assert f"{other.dark}: X-Trans, but most pairs are Bayer" in err

    (data / "pairs.csv").unlink()
    damaged.dark.write_bytes(damaged.dark.read_bytes()[:20000])  # EXIF is gone with the rest
    other.dark.unlink()
    outcome = train_pairs(replace(more, out=tmp_path / "more"), cache=tmp_path / "cache")
    assert "damaged" in outcome.skipped[damaged.dark]


@pytest.mark.usefixtures("without_onnx")
def test_photos_of_another_kind_than_the_aim_are_said(tmp_path):
    for name in ("raw", "pictures"):
        (tmp_path / name).mkdir()
    write_pair(tmp_path / "raw")
    write_pictures(tmp_path / "pictures", 0)
    with pytest.raises(TrainingError, match="leave out --aim rgb"):
        train_pairs(settings(tmp_path / "raw", tmp_path / "out"), "rgb", cache=tmp_path / "cache")
    train_pairs(settings(tmp_path / "raw", tmp_path / "run"), cache=tmp_path / "cache")
    more = settings(tmp_path / "raw", tmp_path / "run", steps=5, resume=True)
    with pytest.raises(TrainingError, match="a run for another --aim"):
        train_pairs(more, "raw-srgb", cache=tmp_path / "cache")
    with pytest.raises(TrainingError, match="add --aim rgb"):
        train_pairs(settings(tmp_path / "pictures", tmp_path / "out"), cache=tmp_path / "cache")


def test_photos_of_another_size_are_left_out(tmp_path, frames):
    row = write_pair(tmp_path)
    write_mosaic(row.bright, expose(scene(shape=(200, 200)), 10, RGGB))
    assert try_crop(frames, row, 32, (0.0, 1.0), np.random.default_rng(0)) is None
    assert "200×200 pixels, but its dark photo" in frames.skipped[row.bright]
    with pytest.raises(TrainingError, match="none of the pairs can be used"):
        PairSamples([row], frames, 32, seed=0).sample(0, 0)


@pytest.mark.usefixtures("without_onnx")
def test_photos_without_a_partner_are_counted(tmp_path, caplog):
    sid_folder(tmp_path, "Sony", RGGB)
    (tmp_path / "Sony/long/00002_00_10s.dng").unlink()
    outcome = train_sid(settings(tmp_path, tmp_path / "out"), "sony", cache=tmp_path / "cache")
    assert [path.name for path in outcome.skipped] == ["00002_00_0.1s.dng"]
    assert "00002_00_0.1s.dng: without a partner" in caplog.text
    outcome = train_pairs(settings(tmp_path, tmp_path / "out2"), cache=tmp_path / "cache")
    assert [path.name for path in outcome.skipped] == ["00002_00_0.1s.dng"]


def test_splits_of_sid(tmp_path):
    splits = sid_rows(sid_folder(tmp_path, "Sony", RGGB), "sony")
    names = {name: [row.dark.stem for row in rows] for name, rows in splits.items()}
    assert names == {
        "train": ["00001_00_0.04s", "00001_00_0.1s", "00002_00_0.1s"],
        "validation": ["20001_00_0.1s"],
        "test": ["10003_00_0.033s", "10003_00_0.1s", "10034_00_0.1s"],
    }
    assert [round(row.amplification) for row in splits["test"]] == [300, 100, 100]
    assert [row.verdict for row in splits["test"]] == ["good", "good", "misaligned (known)"]
    assert sid_rows(tmp_path / "Sony", "sony") == splits
    with pytest.raises(DataError, match="SID's Sony photos; give --camera sony"):
        sid_rows(tmp_path, "fuji")
    with pytest.raises(DataError, match="Fuji/short and Fuji/long"):
        sid_rows(tmp_path / "none", "fuji")
    for path in (tmp_path / "Sony").rglob("2*"):
        path.unlink()
    with pytest.raises(TrainingError, match="no pair of the validation split"):
        train_sid(settings(tmp_path, tmp_path / "out"), "sony", cache=tmp_path / "cache")


@pytest.mark.parametrize(("camera", "cfa"), [("sony", RGGB), ("fuji", X_TRANS)])
def test_sid_from_files_to_a_model(tmp_path, camera, cfa):
    sid_folder(tmp_path / "sid", camera.title(), cfa)
    out = tmp_path / "out"
    outcome = train_sid(settings(tmp_path / "sid", out), camera, cache=tmp_path / "cache")
    card = read_card(outcome.model)
    assert (card.cfa, card.task) == (
        "Bayer" if cfa.period == 2 else "X-Trans",
        "mosaic to linear sRGB",
    )
    record = json.loads((out / "training.json").read_text())
    assert record["pairs"] == ["00001_00_0.04s.dng", "00001_00_0.1s.dng", "00002_00_0.1s.dng"]


def write_pictures(folder, seed, dtype=np.uint8):
    """A dark and a bright PNG."""
    light = np.moveaxis(scene(seed), 0, -1)
    for name, gain in (("dark", 0.02), ("bright", 1.0)):
        levels = np.iinfo(dtype).max * (light * gain) ** (1 / 2.2)
        write_picture(
            folder / f"{seed}_{name}.png", levels.astype(dtype), Shot(exposure_time=10 * gain)
        )
    return Row(folder / f"{seed}_dark.png", folder / f"{seed}_bright.png", amplification=50)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_picture_is_learnt_from_as_it_is_restored(tmp_path, dtype):
    frames = PairFrames(FrameCache(tmp_path / "cache"), AIMS["rgb"])
    row = write_pictures(tmp_path, 0, dtype)
    batch = held_crops(frames, row, 64, (0.0, 1.0))[0].prepare()
    seen = []

    def network(inputs):
        seen.append(inputs)
        return inputs[:, :3]

    network.card = SimpleNamespace(task=AIMS["rgb"].task, multiple=8, halo=8, fold=1, rim=0, cell=1)
    restore_picture(open_picture(row.dark), model=network, exposure=row.amplification)
    top, left = ((n - 64 + 1) // 2 for n in (240, 312))
    assert np.array_equal(seen[0][..., top : top + 64, left : left + 64], batch.inputs)


def test_pictures_of_pictures(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for seed in range(2):
        write_pictures(data, seed)
    out = tmp_path / "out"
    outcome = train_pairs(settings(data, out), "rgb", cache=tmp_path / "cache")
    card = read_card(outcome.model)
    assert (card.cfa, card.channels, card.task) == ("none", 6, "picture to picture")
