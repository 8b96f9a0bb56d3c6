"""`undark.fastai`: pairs stay aligned, fastai's functions work, and docs/fastai.md runs."""

import itertools
import pickle
import re
import runpy
import time
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

pytest.importorskip("fastai", reason="fastai comes with undark[fastai]")

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import torch
from fastai.vision.all import (
    CategoryBlock,
    DataBlock,
    DihedralItem,
    Flip,
    FlipItem,
    ImageBlock,
    IndexSplitter,
    IntToFloatTensor,
    L1LossFlat,
    Learner,
    Normalize,
    PILImage,
    RandomCrop,
    Resize,
    TensorImage,
    TensorPoint,
    ToTensor,
    load_learner,
    nn,
    resnet18,
    unet_learner,
)

import undark
from undark.develop.colour import decode_rec709
from undark.develop.render import srgb_matrix
from undark.engine import tiling
from undark.errors import ExistsError, ReadError, TrainingError
from undark.fastai import (
    ConditionPair,
    RawCrop,
    RAWImage,
    RawImageBlock,
    TensorLinearImage,
    TensorRawImage,
    export_model,
    psnr,
    restore_photo,
    ssim,
)
from undark.fastai.frames import CachedFrames
from undark.files.dng import write_mosaic
from undark.files.raw import find_raws, render_with_libraw
from undark.learn.network import UNet, UNetConfig
from undark.restoring import bands
from undark.sensor.cfa import BAYER_ORDERS, RGGB, X_TRANS, mosaic, pack
from undark.sensor.conditioning import condition, scale
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.offsets import LineOffsets, MaskedLines
from undark.sensor.profiles.lookup import noise_of

PAGE = Path(__file__).parents[1] / "docs" / "fastai.md"
RENDERING = {"use_camera_wb": True, "no_auto_bright": True}
SMALL = UNetConfig(widths=(8, 12), encoder=(0, 1), decoder=(1,))

phases = st.sampled_from([*BAYER_ORDERS, *(X_TRANS.crop(y, x) for y in range(6) for x in range(6))])


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def exact_pair(cfa, size, seed):
    """A picture of random colours and its mosaic; black 0, white 65535."""
    rgb = np.random.default_rng(seed).integers(0, 65536, (*size, 3)).astype(np.uint16)
    seen = Mosaic(
        plane=mosaic(np.moveaxis(rgb, -1, 0), cfa),
        cfa=cfa,
        black=np.zeros(cfa.pattern.shape, np.float32),
        white=65535.0,
        white_balance=np.ones(3, np.float32),
    )
    return RAWImage(seen), RAWImage(rgb)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_mosaic):
    """Four pairs, 64×96: coarse squares of light, 50 times as bright in the bright photos."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "dark").mkdir()
    (folder / "bright").mkdir()
    for number in range(4):
        random = np.random.default_rng(number)
        light = np.repeat(np.repeat(random.uniform(10, 100, (8, 12)), 8, 0), 8, 1)
        for name, gain, seconds in (("dark", 1, 0.1), ("bright", 50, 5.0)):
            plane = (512 + random.poisson(light * gain)).astype(np.uint16)
            photo = make_mosaic(plane=plane)
            photo = photo.replace(shot=replace(photo.shot, exposure_time=seconds))
            write_mosaic(folder / name / f"{number}.dng", photo)
    return folder


def dark_photos(folder):
    return find_raws(folder / "dark")


def bright_of(path):
    return path.parents[1] / "bright" / path.name


def first_digit(path):
    return str(int(path.stem) % 2)


def loaders(folder, blocks, *item_tfms, **options):
    fields = {"get_items": dark_photos, "get_y": bright_of, "splitter": IndexSplitter([3])}
    block = DataBlock(blocks=blocks, item_tfms=list(item_tfms), **(fields | options))
    return block.dataloaders(folder, path=folder, bs=2, num_workers=0)


# ---- pairs


@settings(deadline=None)
@given(phases, st.integers(0, 7), st.integers(0, 99), st.tuples(*[st.integers(24, 33)] * 2))
def test_a_turned_and_cropped_pair_is_aligned_to_the_pixel(cfa, k, seed, size):
    """Flips keep the phase, and the crop's packed cells are those of the target's pixels."""
    turned = [image.dihedral(k) for image in exact_pair(cfa, size, seed)]
    planes, target = (image.tensor() for image in RawCrop((12, 18))(tuple(turned), split_idx=0))
    assert target.shape == (3, 12, 18)
    assert planes.shape == (cfa.cell**2, 12 // cfa.cell, 18 // cfa.cell)
    canonical = RGGB if cfa.period == 2 else X_TRANS
    assert np.array_equal(planes, pack(mosaic(np.asarray(target), canonical), canonical))


@settings(deadline=None)
@given(st.integers(0, 99), st.booleans())
def test_a_crop_is_a_part_of_the_photo_never_resized(seed, training):
    _, picture = exact_pair(RGGB, (20, 30), seed)
    cropped = RawCrop((7, 11))(picture, split_idx=int(not training))
    windows = np.lib.stride_tricks.sliding_window_view(picture.content, (7, 11), axis=(0, 1))
    assert (windows == np.moveaxis(cropped.content, -1, 0)).all(axis=(2, 3, 4)).sum() == 1


@pytest.mark.parametrize("transform", [FlipItem(p=1), DihedralItem()])
def test_fastais_flips_do_the_same_to_both(transform):
    for seed in range(8):
        pair = exact_pair(RGGB, (24, 30), seed)
        seen, picture = transform(pair, split_idx=0)
        expected = mosaic(np.moveaxis(picture.content, -1, 0), seen.cfa)
        assert np.array_equal(seen.content.plane, expected)
        assert transform(pair, split_idx=1) == pair  # validation photos are left as they are


def test_pictures_turn_as_fastais_tensors_do():
    _, picture = exact_pair(RGGB, (6, 9), 0)
    for k in range(8):
        tensor = TensorImage(picture.tensor()).dihedral(k)
        assert torch.equal(TensorImage(picture.dihedral(k).tensor()), tensor)


def test_training_crops_anywhere_validation_in_the_middle():
    images = exact_pair(BAYER_ORDERS[2], (40, 50), 0)
    crop, boxes = RawCrop(16), set()
    for _ in range(200):
        crop(images, split_idx=0)
        boxes.add(crop.box)
    assert len(boxes) > 100
    assert {box[0] % 2 for box in boxes} == {1}  # GRBG reads RGGB from an odd column on
    crop(images, split_idx=1)
    left, top, right, bottom = crop.box
    assert abs(left + right - 50) <= 2
    assert abs(top + bottom - 40) <= 2


def test_a_jpeg_beside_a_raw_is_cropped_alike():
    _, picture = exact_pair(RGGB, (30, 40), 0)
    eight_bits = PILImage.create((picture.content >> 8).astype(np.uint8))
    raw, pillow = RawCrop(8)((picture, eight_bits), split_idx=0)
    assert np.array_equal(raw.content >> 8, np.asarray(pillow))


def test_crops_that_cannot_be(folder):
    pair = exact_pair(RGGB, (20, 30), 0)
    small = RAWImage.create(dark_photos(folder)[0], packed=True)
    with pytest.raises(TrainingError, match=r"96×64 pixels, too small for a crop of 128×128; "):
        RawCrop(128)((small,))
    with pytest.raises(TrainingError, match=r"30×20 pixels, .* 29×20: not a pair"):
        RawCrop(8)((pair[0], pair[1].crop((0, 0, 29, 20))))
    with pytest.raises(TrainingError, match="different colour filter arrays"):
        RawCrop(8)((pair[0], exact_pair(BAYER_ORDERS[2], (20, 30), 0)[0]))
    with pytest.raises(ValueError, match=r"a crop of 7 pixels; give a multiple .* 2"):
        RawCrop(7)(pair)
    with pytest.raises(TypeError, match="give it as item_tfms"):
        RawCrop(8)(pair[1].tensor())


def test_what_would_break_a_pair_is_refused():
    pair = exact_pair(RGGB, (20, 30), 0)
    for transform in (Resize(8), RandomCrop(8)):
        with pytest.raises(TypeError, match="use RawCrop"):
            transform(pair, split_idx=0)
    planes = pair[0].tensor()
    for turn in (
        planes.flip_lr,
        lambda: planes.dihedral(2),
        lambda: Flip(p=1)(planes[None], split_idx=0),
    ):
        with pytest.raises(TypeError, match="give FlipItem or DihedralItem as item_tfms"):
            turn()
    assert Flip(p=1)(pair[1].tensor()[None], split_idx=0).shape == (1, 3, 20, 30)
    point = TensorPoint.create([[1, 1]])
    with pytest.raises(TypeError, match="does not crop points"):
        RawCrop(8)((pair[1], point))


# ---- RAWImage and its tensors


def test_a_rendering_keeps_its_sixteen_bits(folder):
    path = dark_photos(folder)[0]
    image = RAWImage.create(path, bright=8.0, **RENDERING)
    expected = render_with_libraw(path, output_bps=16, user_flip=0, bright=8.0, **RENDERING)
    tensor = ToTensor()(image)
    assert type(tensor) is TensorRawImage
    assert tensor.dtype == torch.float32
    assert np.array_equal(np.rint(np.moveaxis(np.asarray(tensor) * 65535, 0, -1)), expected)
    assert len(np.unique(expected)) > 256
    eight = RAWImage.create(str(path), output_bps=8).tensor()
    assert 0 <= eight.min() < eight.max() <= 1


def test_packed_planes_keep_what_is_below_black(tmp_path, make_mosaic):
    plane = np.random.default_rng(0).normal(515, 10, (64, 96)).astype(np.uint16)
    photo = make_mosaic(plane=plane, cfa=BAYER_ORDERS[3])
    write_mosaic(tmp_path / "x.dng", photo)
    tensor = RAWImage.create(tmp_path / "x.dng", packed=True).tensor()
    assert np.array_equal(tensor, pack(photo.signal(), photo.cfa) / np.float32(photo.span))
    assert tensor.min() < 0


@pytest.mark.parametrize(("packed", "name"), [(True, "RGGB mosaic"), (False, "uint16 picture")])
def test_the_interface_of_a_pillow_image(folder, packed, name):
    image = RAWImage.create(dark_photos(folder)[0], packed=packed)
    assert (image.size, image.shape) == ((96, 64), (64, 96))
    assert repr(image) == f"RAWImage {name} size=96x64"
    assert np.asarray(image).shape[:2] == (64, 96)
    assert np.asarray(image).dtype == np.uint16
    assert RAWImage.create(image).size == image.size
    again = pickle.loads(pickle.dumps(image))
    assert np.array_equal(np.asarray(again), np.asarray(image))
    assert image._repr_png_().startswith(b"\x89PNG")
    touches = (image.copy, lambda: image.convert("L"), lambda: image.save("x.png"))
    for touch in (*touches, lambda: image.resize((9, 9))):
        with pytest.raises(TypeError, match="Pillow supports neither 16-bit RGB nor mosaics"):
            touch()


def test_arrays_and_tensors_are_taken_as_they_are():
    picture = np.random.default_rng(0).random((8, 9, 3), np.float32)
    tensor = RAWImage.create(picture).tensor()
    assert np.array_equal(tensor, np.moveaxis(picture, -1, 0))
    assert torch.equal(RAWImage.create(tensor).tensor(), tensor)


def test_bad_options_and_files_are_errors_at_once(tmp_path):
    with pytest.raises(TypeError, match=r"no_auto_brigt: .* perhaps no_auto_bright"):
        RawImageBlock(no_auto_brigt=True)
    with pytest.raises(TypeError, match="packed=True renders nothing: leave out use_camera_wb"):
        RawImageBlock(packed=True, use_camera_wb=True)
    for packed in (False, True):
        with pytest.raises(ReadError, match="there is no such file"):
            RAWImage.create(tmp_path / "x.dng", packed=packed)


@pytest.mark.parametrize("channels", [3, 4, 8, 9, 18])
@pytest.mark.parametrize("kind", [TensorRawImage, TensorLinearImage])
def test_every_kind_of_tensor_shows_itself(kind, channels):
    noise = np.random.default_rng(0).normal(0.01, 0.05, (channels, 12, 15)).astype(np.float32)
    shown = kind(torch.from_numpy(noise)).picture()
    assert shown.shape == (12, 15, 3)
    assert 0 <= shown.min() < shown.max() <= 1
    axis = kind(torch.from_numpy(noise)).show()
    assert np.array_equal(axis.images[0].get_array(), shown)


def test_packed_planes_show_their_colours():
    """A grey scene through filters of unequal strength shows grey; a red patch stays red."""
    light = (
        np.full((3, 40, 40), 0.01, np.float32) * np.array([0.4, 1, 0.6], np.float32)[:, None, None]
    )
    light[0, 10:20, 10:20] *= 8
    shown = TensorRawImage(torch.from_numpy(pack(mosaic(light, RGGB), RGGB))).picture()
    assert np.ptp(shown[0, 0]) < 0.25
    assert shown[7, 7, 0] > shown[7, 7, 1] + 0.2


def test_black_planes_show_black():
    assert TensorRawImage(torch.zeros(4, 6, 6)).picture().max() == 0


@pytest.mark.parametrize("channels", [3, 4, 9])
def test_normalize_there_and_back(channels):
    batch = TensorRawImage(torch.randn(5, channels, 8, 8) * 0.2 + 0.4)
    normalize = Normalize.from_stats([0.4] * channels, [0.2] * channels, cuda=False)
    encoded = normalize(batch)
    assert type(encoded) is TensorRawImage
    assert float(encoded.std()) == pytest.approx(1, abs=0.1)
    assert torch.allclose(normalize.decode(encoded), batch, atol=1e-6)


def test_normalize_leaves_other_numbers_of_channels():
    planes, target = (
        TensorRawImage(torch.rand(2, 4, 6, 6)),
        TensorRawImage(torch.rand(2, 3, 12, 12)),
    )
    normalize = Normalize.from_stats([0.4] * 4, [0.2] * 4, cuda=False)
    for change in (normalize, normalize.decode):
        assert torch.equal(change((planes, target))[1], target)


def test_floats_are_not_divided_again():
    batch = TensorRawImage(torch.rand(2, 3, 6, 6))
    for change in (IntToFloatTensor(), IntToFloatTensor().decode):
        assert torch.equal(change(batch), batch)


# ---- metrics


@pytest.mark.parametrize("data_range", [1, 255])
def test_metrics_are_scikit_images(data_range):
    targs = torch.rand(3, 4, 20, 24) * data_range
    pred = targs + 0.1 * data_range * torch.randn_like(targs)
    pictures = (np.moveaxis(np.asarray(batch, np.float64), 1, -1) for batch in (pred, targs))
    pairs = list(zip(*pictures, strict=True))
    theirs = [peak_signal_noise_ratio(t, p, data_range=data_range) for p, t in pairs]
    assert float(psnr(pred, targs, data_range)) == pytest.approx(np.mean(theirs), abs=1e-4)
    theirs = [structural_similarity(t, p, data_range=data_range, channel_axis=2) for p, t in pairs]
    assert float(ssim(pred, targs, data_range=data_range)) == pytest.approx(
        np.mean(theirs), abs=1e-5
    )
    with pytest.raises(ValueError, match="cannot be compared"):
        psnr(pred[:, :3], targs)


def test_metrics_of_a_learner_invert_normalize(folder):
    """With or without Normalize, an identity network has the PSNR of its input."""
    scores = []
    for batch_tfms in ([], [Normalize.from_stats([0.1] * 3, [0.02] * 3, cuda=False)]):
        blocks = (RawImageBlock(bright=50.0, **RENDERING), RawImageBlock(**RENDERING))
        dls = loaders(folder, blocks, RawCrop(32), batch_tfms=batch_tfms)
        identity = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.dirac_(identity.weight)
        learn = Learner(dls, identity, loss_func=L1LossFlat(), metrics=[psnr, ssim])
        scores.append([float(score) for score in learn.validate()[1:]])
    pred, targs = (
        RAWImage.create(p, bright=b, **RENDERING)
        for p, b in ((dark_photos(folder)[3], 50.0), (bright_of(dark_photos(folder)[3]), 1.0))
    )
    pred, targs = (RawCrop(32)(x, split_idx=1).tensor()[None] for x in (pred, targs))
    assert scores[0] == pytest.approx([float(psnr(pred, targs)), float(ssim(pred, targs))])
    assert scores[1] == pytest.approx(scores[0], rel=1e-3)


# ---- in fastai


def test_in_place_of_an_image_block(folder):
    blocks = (ImageBlock(RAWImage), CategoryBlock)
    dls = loaders(folder, blocks, RawCrop(32), get_y=first_digit)
    dls.show_batch()
    images, labels = dls.one_batch()
    assert images.shape == (2, 3, 32, 32)
    assert images.max() <= 1
    assert labels.shape == (2,)


def test_a_raw_photo_and_a_picture_of_eight_bits(folder, tmp_path):
    for path in dark_photos(folder):
        picture = render_with_libraw(bright_of(path), user_flip=0)
        Image.fromarray(picture).save(tmp_path / f"{path.stem}.png")
    blocks = (RawImageBlock(packed=True), ImageBlock)
    dls = loaders(folder, blocks, RawCrop(32), get_y=lambda path: tmp_path / f"{path.stem}.png")
    planes, target = dls.one_batch()
    assert planes.shape == (2, 4, 16, 16)
    assert target.shape == (2, 3, 32, 32)
    assert 0 <= target.min() < target.max() <= 1


def axes():
    return [axis for axis in plt.gcf().axes if axis.images]


@pytest.mark.parametrize("target", [{"packed": True}, RENDERING], ids=["linear", "rendered"])
def test_batches_and_results_show_themselves(folder, target):
    blocks = (RawImageBlock(packed=True), RawImageBlock(**target))
    condition_too = [ConditionPair()] if "packed" in target else []
    dls = loaders(folder, blocks, RawCrop(32), *condition_too)
    dls.show_batch()
    assert len(axes()) == 4  # two pairs
    sides = [axis.images[0].get_array().shape[0] for axis in axes()]
    assert sides == [16, 32, 16, 32]
    network = nn.Sequential(nn.Conv2d(8 if condition_too else 4, 12, 1), nn.PixelShuffle(2))
    Learner(dls, network, loss_func=L1LossFlat()).show_results()
    assert len(axes()) == 3  # input, target, prediction of the one that validates
    assert axes()[2].images[0].get_array().shape == (32, 32, 3)


def test_fastais_unet_with_a_resnet(folder):
    blocks = (RawImageBlock(bright=50.0, **RENDERING), RawImageBlock(**RENDERING))
    dls = loaders(folder, blocks, DihedralItem(), RawCrop(32), batch_tfms=Normalize())
    learn = unet_learner(
        dls, resnet18, n_out=3, pretrained=False, loss_func=L1LossFlat(), metrics=[psnr, ssim]
    )
    learn.fit_one_cycle(1, 1e-3)
    photo = dark_photos(folder)[0]
    expected = learn.predict(photo)[0]
    learn.export("learner.pkl")
    restored = load_learner(folder / "learner.pkl").predict(photo)[0]
    assert type(restored) is TensorRawImage
    assert restored.shape == (3, 32, 32)
    assert torch.allclose(restored, expected, atol=1e-5)


def test_fastais_unet_on_packed_planes(folder):
    blocks = (RawImageBlock(packed=True), RawImageBlock(**RENDERING))
    dls = loaders(folder, blocks, DihedralItem(), RawCrop(48), batch_tfms=Normalize())
    learn = unet_learner(
        dls, resnet18, n_in=4, n_out=12, pretrained=False, loss_func=L1LossFlat(), metrics=psnr
    )
    learn.model.append(nn.PixelShuffle(2))
    learn.fit_one_cycle(1, 1e-3)
    planes, target = dls.valid.one_batch()
    assert learn.model(planes).shape == target.shape == (1, 3, 48, 48)


# ---- undark's own network


def conditioned(folder, **options):
    blocks = (RawImageBlock(packed=True), RawImageBlock(packed=True))
    return loaders(folder, blocks, RawCrop(32), ConditionPair(**options))


def test_the_input_is_that_of_restoring(folder):
    photo = undark.read(dark_photos(folder)[3])
    signal = photo.signal()
    factor = scale(photo.cfa, photo.white_balance, photo.span, 50.0, signal)
    expected = condition(signal, photo.cfa, noise_of(photo)[0], factor)
    inputs, target = conditioned(folder, amplification=50.0).valid.one_batch()
    assert type(inputs) is type(target) is TensorLinearImage
    assert np.array_equal(inputs[0], expected[:, 8:24, 16:32])
    assert target.shape == (1, 3, 32, 32)
    light = pack(mosaic(np.asarray(target[0]), RGGB), RGGB)
    bright = undark.read(bright_of(dark_photos(folder)[3]))
    gains = bright.white_balance[[0, 1, 1, 2], None, None]
    measured = pack(bright.signal(), RGGB)[:, 8:24, 16:32] * gains / bright.span
    assert light == pytest.approx(measured, rel=1e-4)
    assert np.asarray(inputs[0, :4]).mean() == pytest.approx(light.mean(), rel=0.05)


def test_the_amplification_is_that_of_the_exposures_or_as_given(folder):
    by_exposures = conditioned(folder).valid.one_batch()[0]
    given = conditioned(folder, amplification=50).valid.one_batch()[0]
    assert torch.allclose(by_exposures, given, rtol=1e-4)
    ours, twice = (conditioned(folder, amplification=a).valid.one_batch()[0] for a in (40, 80))
    assert torch.allclose(2 * ours, twice, rtol=1e-5)


def test_pairs_that_cannot_be_conditioned(folder, make_mosaic):
    dark, bright = RAWImage(make_mosaic()), RAWImage(make_mosaic(seed=1))
    unknown = make_mosaic(shot=Shot())
    with pytest.raises(TrainingError, match=r"exposure .* not known; give ConditionPair"):
        ConditionPair()((dark, RAWImage(unknown)))
    path = dark_photos(folder)[0]
    swapped = tuple(RAWImage.create(p, packed=True) for p in (bright_of(path), path))
    with pytest.raises(TrainingError, match=r"0\.dng: exposed more than"):
        ConditionPair()(swapped)
    with pytest.raises(TypeError, match="use RawImageBlock\\(packed=True\\) for both"):
        ConditionPair()((dark, exact_pair(RGGB, (64, 96), 0)[1]))
    assert ConditionPair()((dark, bright))[0].shape == (8, 32, 48)


def test_x_trans_pairs():
    dark, _ = exact_pair(X_TRANS.crop(2, 1), (48, 48), 0)
    cropped = RawCrop(24)((dark, dark))
    inputs, target = ConditionPair(amplification=1.0)(cropped)
    assert inputs.shape == (18, 8, 8)
    assert target.shape == (3, 24, 24)
    network = UNet(UNetConfig(cell=3, widths=(8, 12), encoder=(0, 0), decoder=(0,)))
    assert network(inputs[None]).shape == (1, 3, 24, 24)


def test_undarks_network_learns_in_a_learner_and_restores(folder, tmp_path):
    torch.manual_seed(0)
    dls = conditioned(folder)
    learn = Learner(dls, UNet(SMALL), loss_func=L1LossFlat(), metrics=[psnr, ssim]).to_fp16()
    before = learn.validate()[0]
    learn.lr_find(num_it=10)
    learn.fit_one_cycle(40, 5e-3)
    assert learn.validate()[0] < 0.93 * before
    path = export_model(learn, tmp_path / "model")
    scores = undark.load_model(str(path)).card.scores
    assert scores["psnr"] == pytest.approx(float(learn.validate()[1]), abs=1e-3)
    with pytest.raises(ExistsError, match="has a model already"):
        export_model(learn, tmp_path / "model")
    restores_alike(learn.model, path, dark_photos(folder)[3])


def restores_alike(network, model, photo):
    """The exported model restores a full frame as the network does."""
    result = undark.restore(undark.read(photo), exposure=50.0, model=str(model))
    (inputs,) = ConditionPair(amplification=50.0)((RAWImage.create(photo, packed=True),))
    with torch.no_grad():
        light = np.asarray(network.eval()(inputs[None])[0])
    assert np.moveaxis(result.linear, -1, 0) == pytest.approx(light, abs=2e-3)


@pytest.mark.parametrize("target", [{"packed": True}, RENDERING], ids=["packed", "rendered"])
def test_with_a_cache_a_second_epoch_decodes_nothing(folder, tmp_path, monkeypatch, target):
    blocks = [
        (RawImageBlock(packed=True, cache=c), RawImageBlock(cache=c, **target))
        for c in (False, tmp_path / "cache")
    ]
    plain, cached = (loaders(folder, b, RawCrop(32)) for b in blocks)
    for ours, expected in zip(cached.valid, plain.valid, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))
    list(cached.train)
    for name in ("frames.read_uncalibrated", "image.read_mosaic"):
        monkeypatch.setattr(f"undark.fastai.{name}", None)
    for name in ("frames.render_with_libraw", "image.render_with_libraw"):
        monkeypatch.setattr(f"undark.fastai.{name}", None)
    assert len(list(cached.train)) == 1
    pickle.loads(pickle.dumps(blocks[1][0].type_tfms))


def test_a_cached_mosaic_is_the_one_of_the_file(tmp_path, make_mosaic):
    path = tmp_path / "x.dng"
    write_mosaic(path, make_mosaic(cfa=BAYER_ORDERS[2]).replace(orientation=6))
    for _ in range(2):  # decoded, then from the disk
        kept = CachedFrames(tmp_path / "cache").mosaic(path)
        expected = undark.read(path)
        for field in fields(Mosaic):
            ours, theirs = getattr(kept, field.name), getattr(expected, field.name)
            assert (
                np.array_equal(ours, theirs) if isinstance(theirs, np.ndarray) else ours == theirs
            )
    with pytest.raises(ReadError, match="there is no such file"):
        CachedFrames(tmp_path / "cache").mosaic(tmp_path / "none.dng")


def test_a_mosaic_with_a_masked_border_is_cached(tmp_path, make_mosaic, monkeypatch):
    path = tmp_path / "x.dng"
    path.write_bytes(b"decoded once")
    lines = LineOffsets(np.ones((64, 1), np.float32), np.zeros((1, 96), np.float32))
    decoded = iter([make_mosaic(masked=MaskedLines(lines, 0.5, np.inf))])
    monkeypatch.setattr("undark.fastai.frames.read_uncalibrated", lambda path: next(decoded))
    for _ in range(2):
        kept = CachedFrames(tmp_path / "cache").mosaic(path)
        assert np.array_equal(kept.masked.means.rows, lines.rows)
        assert (kept.masked.row_error, kept.masked.column_error) == (0.5, np.inf)


def test_a_learner_restores_a_full_frame(folder):
    """As its network does without tiles."""
    learn = Learner(conditioned(folder), UNet(SMALL), loss_func=L1LossFlat())
    photo = dark_photos(folder)[3]
    result = restore_photo(learn, photo, exposure=50.0)
    (inputs,) = ConditionPair(amplification=50.0)((RAWImage.create(photo, packed=True),))
    with torch.no_grad():
        light = np.asarray(learn.model.eval()(inputs[None])[0])
    assert np.moveaxis(result.linear, -1, 0) == pytest.approx(light, abs=1e-5)
    assert result.picture().shape == (64, 96, 3)


def test_a_learner_on_packed_planes_restores_a_full_frame(folder):
    """A network that copies planes gives their picture, with `Normalize` applied and inverted."""
    normalize = Normalize.from_stats([0.1] * 4, [0.05] * 4, cuda=False)
    blocks = (RawImageBlock(packed=True), RawImageBlock(**RENDERING))
    dls = loaders(folder, blocks, RawCrop(32), batch_tfms=[normalize])
    convolution = nn.Conv2d(4, 12, 1)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.bias.fill_(0.25)
        convolution.weight[0, 0] = 1  # top left red: the normalised red plane
    learn = Learner(dls, nn.Sequential(convolution, nn.PixelShuffle(2)), loss_func=L1LossFlat())
    photo = undark.read(dark_photos(folder)[3])
    result = restore_photo(learn, photo)
    matrix = srgb_matrix(photo.camera_from_xyz)
    red = pack(photo.signal(), photo.cfa)[0] / photo.span
    shown = decode_rec709(((red - 0.1) / 0.05 + 0.25).clip(0, 1))
    linear_srgb = result.linear @ matrix.T
    assert linear_srgb[::2, ::2, 0] == pytest.approx(shown, abs=1e-4)
    assert linear_srgb[1::2, ::2] == pytest.approx(float(decode_rec709(np.float32(0.25))), abs=1e-4)
    with pytest.raises(TrainingError, match="omit exposure"):
        restore_photo(learn, photo, exposure=2.0)


def test_a_learner_with_another_input_restores_no_photo(folder):
    learn = Learner(conditioned(folder), nn.Conv2d(3, 3, 1), loss_func=L1LossFlat())
    with pytest.raises(TrainingError, match="takes 3 channels, a Bayer photo has 4"):
        restore_photo(learn, dark_photos(folder)[0])


class Recorded(nn.Module):
    """A network with batch normalisation that keeps its modes; every second call takes longer."""

    def __init__(self):
        super().__init__()
        self.norm, self.convolution = nn.BatchNorm2d(8), nn.Conv2d(8, 12, 1)
        self.calls, self.modes = itertools.count(), []

    def forward(self, batch):
        time.sleep(0.1 + 0.2 * (next(self.calls) % 2))
        self.modes.append(self.norm.training)
        return nn.functional.pixel_shuffle(self.convolution(self.norm(batch)), 2)


def test_tiles_at_once_do_not_run_in_training_mode(folder, make_mosaic, monkeypatch):
    """Nor is the learner left in another mode: the frozen layer stays so, the others train."""
    monkeypatch.setattr(bands, "tiles_at_once", lambda: 2)
    monkeypatch.setattr(tiling, "AREA", 32 * 320)
    learn = Learner(conditioned(folder), Recorded(), loss_func=L1LossFlat())
    learn.model.train()
    learn.model.convolution.eval()
    before = learn.model.norm.running_mean.clone()
    restore_photo(learn, make_mosaic(shape=(64, 1024)), exposure=50.0)
    assert len(learn.model.modes) >= 4
    assert not any(learn.model.modes)
    assert torch.equal(learn.model.norm.running_mean, before)
    assert learn.model.training
    assert learn.model.norm.training
    assert not learn.model.convolution.training


def test_predicting_a_dark_photo_alone(folder):
    learn = Learner(conditioned(folder), UNet(SMALL), loss_func=L1LossFlat())
    light = learn.predict(dark_photos(folder)[0])[0]
    assert type(light) is TensorLinearImage
    assert light.shape == (3, 32, 32)


def test_only_undarks_networks_become_undark_models(tmp_path):
    with pytest.raises(TrainingError, match=r"Conv2d is not one of undark's .* Learner\.export"):
        export_model(SimpleNamespace(model=nn.Conv2d(3, 3, 1)), tmp_path)


# ---- the page


def test_the_page_runs_as_written(tmp_path, monkeypatch, capsys):
    """As a program, in this process: fastai takes long to import."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    (tmp_path / "page.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    runpy.run_path("page.py", run_name="__main__")
    assert "dB demosaiced" in capsys.readouterr().out
    assert (tmp_path / "restored.jpg").stat().st_size > 10_000
    assert undark.load_model(str(tmp_path / "model" / "model.onnx")).card.cfa == "Bayer"
