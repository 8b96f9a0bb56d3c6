"""Models for other programs: the noise map, darktable's package, the documented way."""

import json
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from undark.demo import photograph
from undark.develop.metrics import psnr
from undark.engine.backends.onnxruntime import OnnxRuntime, ort
from undark.engine.card import CARD_KEY, PICTURE_TASK, SRGB_TASK, read_card
from undark.engine.catalogue import find_model
from undark.engine.metadata import read_metadata
from undark.engine.model import load_model
from undark.errors import ModelError, UnsupportedError
from undark.export import darktable
from undark.export.darktable import default_name, package, write_package
from undark.export.graph import Graph, model_of
from undark.export.noise_map import add_noise_map
from undark.export.plain import write_onnx
from undark.files.dng import write_mosaic
from undark.restoring.bands import run_network
from undark.sensor.cfa import RGGB, pack
from undark.sensor.conditioning import condition, scale
from undark.sensor.noise import NoiseModel, NumPySampler

FAST = find_model("bayer-fast")
SIDE = 256
NOISE = NoiseModel(gain=2.2, read=4.0)
SPAN = 15871
GAINS = np.float32([2.0, 1.0, 1.0, 1.6])[:, None, None]
DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def noise_map():
    graph = Graph()
    graph.name(add_noise_map(graph, graph.value("input"), SIDE), "sigma")
    shape = (1, 4, SIDE, SIDE)
    made = model_of(graph, {"input": shape}, {"sigma": shape}, "noise")
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda planes: session.run(None, {"input": planes[None].astype(np.float32)})[0][0]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "model_bayer.onnx"
    path.write_bytes(darktable.network(FAST, SIDE).SerializeToString())
    return OnnxRuntime(path)


def scene(texture=0.0):
    """(2·SIDE, 2·SIDE) DN: patches of different brightness on a gradient, with texture."""
    random = np.random.default_rng(5)
    side = 2 * SIDE
    patches = np.repeat(np.repeat(random.uniform(2, 60, (8, 8)), side // 8, 0), side // 8, 1)
    light = patches * np.linspace(0.6, 1.4, side)
    return (light * (1 + texture * random.standard_normal(light.shape))).clip(0, None)


def dark_planes(noise=NOISE, texture=0.0):
    """(4, SIDE, SIDE): packed planes in DN."""
    return pack(noise.add(scene(texture), NumPySampler(1)), RGGB)


@pytest.mark.parametrize("noise", [NOISE, NoiseModel(0.5, 1.0), NoiseModel(0.8, 12.0)])
@pytest.mark.parametrize("unit", [GAINS / SPAN, GAINS * 100])
def test_the_noise_is_found_in_any_unit(noise_map, noise, unit):
    planes = dark_planes(noise)
    mean = np.maximum(planes * unit, 0).mean()
    found = noise_map(planes * unit / mean) * mean / unit
    true = noise.sigma(planes)
    assert np.median(found / true, axis=(1, 2)) == pytest.approx(np.ones(4), abs=0.06)
    assert np.quantile(np.abs(np.log(found / true)), 0.95) < 0.15


def test_row_offsets_are_not_taken_for_noise_of_pixels(noise_map):
    planes = dark_planes()
    offsets = np.random.default_rng(2).normal(0, 30, (1, SIDE, 1))
    mean = np.maximum(planes, 0).mean()
    plain, striped = (noise_map(p / mean) * mean for p in (planes, planes + offsets))
    at_black = planes < 1
    assert np.median(striped[at_black]) == pytest.approx(np.median(plain[at_black]), rel=0.35)


def test_texture_in_half_of_the_frame_does_not_raise_the_noise(noise_map):
    planes = dark_planes(NoiseModel(0.5, 1.0))
    textured = dark_planes(NoiseModel(0.5, 1.0), texture=0.5)
    planes[:, :, SIDE // 2 :] = textured[:, :, SIDE // 2 :]
    mean = np.maximum(planes, 0).mean()
    found = noise_map(planes / mean) * mean
    true = NoiseModel(0.5, 1.0).sigma(planes)
    assert np.median(found / true) == pytest.approx(1, abs=0.1)


def test_a_black_frame_gives_numbers(noise_map, network):
    for planes in (np.zeros((4, SIDE, SIDE)), np.full((4, SIDE, SIDE), -0.001)):
        assert np.isfinite(noise_map(planes)).all()
        assert np.isfinite(network.run(planes[None].astype(np.float32))).all()


def test_the_graph_restores_nearly_as_well_as_with_the_true_noise(network):
    light = scene()
    planes = dark_planes()
    factor = GAINS / SPAN
    restored = network.run((planes * factor)[None].astype(np.float32))[0]
    ratio = SPAN / 90
    true_factor = scale(RGGB, np.float32([2, 1, 1.6]), SPAN, ratio, np.empty(0, np.float32))
    noisy = NOISE.add(light, NumPySampler(1)).astype(np.float32)
    inputs = condition(noisy, RGGB, NOISE, true_factor)[None].astype(np.float32)
    known = load_model("bayer-fast").__call__(inputs)[0] / ratio
    gains = np.float32([2, 1, 1.6])[:, None, None]
    scores = [
        psnr(own_colours(x / gains * SPAN / 90), own_colours(np.repeat(light[None] / 90, 3, 0)))
        for x in (restored, known)
    ]
    assert scores[0] > scores[1] - 0.1
    assert scores[0] > psnr(noisy / np.float32(90), light / 90) + 5


def own_colours(light):
    """(3, H, W) → (H, W): each pixel's own colour."""
    out = light[1].copy()
    out[::2, ::2], out[1::2, 1::2] = light[0, ::2, ::2], light[2, 1::2, 1::2]
    return out


def test_twice_the_light_is_twice_the_output(network):
    planes = (dark_planes() * GAINS / SPAN)[None].astype(np.float32)
    once, twice = network.run(planes), network.run(planes * 2)
    np.testing.assert_allclose(twice, 2 * once, atol=2e-4 * once.max())


def test_a_lamp_passes_by_the_network(network):
    planes = dark_planes() * GAINS / SPAN
    lamp = np.s_[:, 100:120, 100:120]
    planes[lamp] = GAINS
    light = network.run(planes[None].astype(np.float32))[0]
    inside = own_colours(light)[204:236, 204:236]
    assert inside[::2, ::2] == pytest.approx(2, rel=0.02)  # red
    assert inside[::2, 1::2] == pytest.approx(1, rel=0.02)
    assert inside[1::2, ::2] == pytest.approx(1, rel=0.02)
    assert inside[1::2, 1::2] == pytest.approx(1.6, rel=0.02)


REQUIRED = {"id", "name", "description", "task", "backend", "version"}
"""Fields of the manifest without which darktable's validator fails."""


def test_a_package_is_what_darktable_installs(tmp_path):
    path = write_package(FAST, tmp_path / "my-model.dtmodel", tile=64)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["my-model/config.json", "my-model/model_bayer.onnx"]
        config = json.loads(archive.read("my-model/config.json"))
        network = onnx.load_model_from_string(archive.read("my-model/model_bayer.onnx"))
    assert config.keys() >= REQUIRED
    assert all(isinstance(config[key], str) for key in REQUIRED)
    assert (config["id"], config["task"]) == ("my-model", "rawdenoise")
    assert config["attributes"]["model_bayer"]["input_kind"] == "bayer_v1"
    assert config["attributes"]["model_bayer"]["input_sizes"] == [64]
    assert config["model_card"]["license"] == "Apache-2.0"
    assert "Unsplash" in config["model_card"]["training_data"]
    onnx.checker.check_model(network, full_check=True)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in ends(network)}
    assert shapes == {"input": [1, 4, 64, 64], "output": [1, 3, 128, 128]}


def ends(network):
    return [*network.graph.input, *network.graph.output]


def test_the_same_model_gives_the_same_package():
    card = read_card(FAST)
    assert package(FAST, card, "a", 64) == package(FAST, card, "a", 64)


@pytest.mark.parametrize("name", ["a.onnx", "a b.dtmodel", "..dtmodel", "-a.dtmodel", "ä.dtmodel"])
def test_names_that_darktable_would_refuse(tmp_path, name):
    with pytest.raises(ValueError, match=r"identifier"):
        write_package(FAST, tmp_path / name)


def test_names_come_from_the_card():
    card = read_card(FAST)
    assert default_name(card) == "rawdenoise-undark-bayer-fast.dtmodel"
    assert default_name(replace(card, name="Mein Modell/2")) == (
        "rawdenoise-undark-mein-modell-2.dtmodel"
    )


@pytest.mark.parametrize(
    "change", [{"task": SRGB_TASK}, {"task": PICTURE_TASK}, {"cfa": "X-Trans"}]
)
def test_models_that_darktable_cannot_run_are_refused(change):
    with pytest.raises(UnsupportedError, match=r"darktable cannot run the model"):
        darktable.check_usable(replace(read_card(FAST), **change))


@pytest.mark.parametrize("tile", [100, 32, 0])
def test_tiles_that_do_not_fit_are_refused(tile):
    with pytest.raises(ValueError, match="multiple of 16"):
        darktable.network(FAST, tile)


def test_the_command_line(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("export", "bayer-fast", "--to", "onnx") == (0, "bayer-fast.onnx\n", "")
    assert (tmp_path / "bayer-fast.onnx").read_bytes() == FAST.read_bytes()
    status, _, said = run("export", "bayer-fast", "--to", "onnx")
    assert status == 1
    assert "bayer-fast.onnx: exists already" in said
    status, out, said = run("export", "bayer-fast", "--to", "darktable")
    assert (status, out) == (0, "rawdenoise-undark-bayer-fast.dtmodel\n"), said
    for arguments, why in (
        (("bayer", "--to", "onnx", "-o", "a.txt"), "end it in .onnx"),
        (("bayer", "--to", "darktable", "-o", "a.zip"), "identifier"),
        (("nonesuch", "--to", "onnx"), "no such model"),
    ):
        status, _, said = run("export", *arguments)
        assert status == 2
        assert why in " ".join(said.split())
    status, _, said = run("export", "xtrans", "--to", "darktable")
    assert status == 1
    assert "darktable cannot run the model" in said
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"bayer-fast.onnx", "rawdenoise-undark-bayer-fast.dtmodel"}


def test_without_onnx_the_extra_is_named(tmp_path, run, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("undark.export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.chdir(tmp_path)
    status, _, said = run("export", "bayer-fast", "--to", "darktable")
    assert status == 2
    assert "pip install 'undark[export]'" in said
    assert run("export", "bayer-fast", "--to", "onnx")[0] == 0


def documented():
    """The example of docs/export.md."""
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "export.md").read_text(), re.S)
    names = {}
    exec(compile(code, "docs/export.md", "exec"), names)  # the page's own code
    return names["restore"]


@pytest.mark.parametrize("order", ["RGGB", "GRBG", "GBRG", "BGGR"])
def test_the_documented_way_gives_what_undark_gives(tmp_path, order):
    """Exactly for RGGB; of other phases the page crops the border, which undark extends, so the
    network's coarse scales lie otherwise."""
    light = np.repeat(scene()[:100, :120, None] / 90, 3, 2).astype(np.float32)
    dark = photograph(light, 1600, 100)
    tops = {"RGGB": (0, 0), "GRBG": (0, 1), "GBRG": (1, 0), "BGGR": (1, 1)}[order]
    dark = dark.crop(*tops, 90, 110)
    assert dark.cfa.name == order
    write_mosaic(tmp_path / "a.dng", dark)
    noise = NoiseModel(2.0, 3.0, step=0)
    theirs = documented()(str(tmp_path / "a.dng"), str(FAST), 100, 2.0, 3.0)
    ours = run_network(load_model("bayer-fast"), dark, noise, 100, bounded=False)
    top, left = (-n % 2 for n in tops)
    same = ours[top:, left:][: theirs.shape[0], : theirs.shape[1]]
    differences = np.abs(theirs - same)
    assert theirs.shape[2] == 3
    assert differences.mean() < 0.01
    if order == "RGGB":
        assert differences[:80, :96].max() < 1e-4  # further on the padding differs


def test_an_exported_file_is_still_an_undark_model(tmp_path):
    out = write_onnx(FAST, tmp_path / "a.onnx")
    assert json.loads(read_metadata(out)[CARD_KEY])["name"] == "bayer-fast"
    (tmp_path / "no.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError):
        write_onnx(tmp_path / "no.onnx", tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()
