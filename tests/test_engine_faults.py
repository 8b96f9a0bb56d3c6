"""Models and arguments that are wrong: one line, before any work, and no unfilled memory."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import no_network
import undark
from undark.engine.card import PICTURE_TASK, SRGB_TASK, TASK, Card
from undark.errors import ModelError, UndarkError
from undark.sensor.cfa import X_TRANS

onnx = pytest.importorskip("onnx", reason="onnx comes with undark[train]")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT


def card(**changes):
    facts = {
        "name": "made up",
        "task": TASK,
        "cfa": "Bayer",
        "channels": 8,
        "multiple": 1,
        "halo": 0,
        "conditioning": "1",
        "licence": "MIT",
        "training": {},
        "scores": {},
    }
    return facts | changes


def write(path, facts, weights=None, cell=2, nodes=()):
    """A model that is one 1×1 convolution and a pixel shuffle, then `nodes` to "output"."""
    if weights is None:
        weights = np.full((3 * cell**2, facts["channels"], 1, 1), 0.1, np.float32)
    made = [helper.make_node("Conv", ["input", "w"], ["c"])]
    made += [helper.make_node("DepthToSpace", ["c"], ["y"], blocksize=cell, mode="CRD")]
    made += nodes or [helper.make_node("Identity", ["y"], ["output"])]
    values = [onnx.numpy_helper.from_array(weights, "w")]
    values.append(onnx.numpy_helper.from_array(np.float32(np.nan), "nan"))
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("input", FLOAT, [1, facts["channels"], None, None])],
        [helper.make_tensor_value_info("output", FLOAT, [None, None, None, None])],
        values,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    text = facts if isinstance(facts, str) else json.dumps(facts)
    helper.set_model_props(model, {"undark": text})
    onnx.save(model, path)
    return path


def test_a_changed_file_is_another_model(tmp_path, make_mosaic):
    """`restore(model=path)` gave the old weights for as long as the process lived."""
    path, dark = tmp_path / "model.onnx", make_mosaic()
    facts = card(task=SRGB_TASK)  # whose light is not corrected towards what was measured
    write(path, facts)
    first = undark.restore(dark, exposure=10, model=str(path)).linear
    write(path, facts, np.full((12, 8, 1, 1), 0.2, np.float32))
    os.utime(path, ns=(1, 1))
    second = undark.restore(dark, exposure=10, model=str(path)).linear
    assert second == pytest.approx(2 * first, rel=1e-5)


def test_the_same_file_is_loaded_once(tmp_path):
    from undark.engine.model import cached_model

    path = write(tmp_path / "model.onnx", card())
    assert cached_model(str(path)) is cached_model(str(path))


@pytest.mark.parametrize(
    ("nodes", "line"),
    [
        (
            [helper.make_node("Transpose", ["y"], ["output"], perm=[0, 1, 3, 2])],
            "card",
        ),
        (
            [helper.make_node("MaxPool", ["y"], ["output"], kernel_shape=[3, 3])],
            "card",
        ),
        ([helper.make_node("Add", ["y", "nan"], ["output"])], "no numbers"),
    ],
)
def test_outputs_that_cannot_be(tmp_path, make_mosaic, nodes, line):
    path = write(tmp_path / "model.onnx", card(), nodes=nodes)
    with pytest.raises(ModelError, match=rf"model\.onnx: .*{line}"):
        undark.restore(make_mosaic(shape=(64, 96)), exposure=10, model=str(path))


@pytest.mark.parametrize(
    "wrong",
    [
        {"multiple": 1_000_000, "halo": 1_000_000},
        {"halo": 100_000},
        {"multiple": True},
        {"channels": 18},
        {"cfa": "Foveon"},
        {"training": []},
        {"name": 3},
    ],
)
def test_cards_that_cannot_be(tmp_path, make_mosaic, wrong):
    path = write(tmp_path / "model.onnx", card(**wrong))
    with pytest.raises(ModelError, match=r"model\.onnx: not an undark model"):
        undark.restore(make_mosaic(), exposure=10, model=str(path))


def test_a_deeply_nested_card(tmp_path):
    path = write(tmp_path / "model.onnx", card())
    model = onnx.load(path)
    helper.set_model_props(model, {"undark": "[" * 100_000})
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"model\.onnx: not an undark model"):
        undark.load_model(str(path))


@pytest.mark.parametrize("size", [0, 1, 100, 400])
def test_a_model_that_is_cut_short(tmp_path, size):
    path = tmp_path / "cut.onnx"
    path.write_bytes(write(tmp_path / "model.onnx", card()).read_bytes()[:size])
    with pytest.raises(ModelError, match=r"cut\.onnx: not a"):
        undark.load_model(str(path))


def test_cards_print_no_escape_sequences(tmp_path, run_undark):
    text = "\x1b[31mred\x1b]0;title\x07"
    training = {"photos": text, text: 1}
    path = write(
        tmp_path / "model.onnx", card(name=text, licence=text, conditioning=text, training=training)
    )
    done = run_undark("models", str(path))
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout


@pytest.fixture
def run_undark(tmp_path):
    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "undark", *arguments],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_x_trans_tiles_begin_at_whole_periods(tmp_path, make_mosaic):
    """A network without scales has a multiple of 1, X-Trans's cells repeat after two."""
    random = np.random.default_rng(0)
    weights = random.normal(0, 1, (27, 18, 1, 1)).astype(np.float32)
    facts = card(task=SRGB_TASK, cfa="X-Trans", channels=18)
    path = write(tmp_path / "model.onnx", facts, weights, cell=3)
    dark = make_mosaic(X_TRANS, shape=(60, 78))
    light = [
        undark.restore(dark, exposure=10, model=str(path), tile=tile).linear for tile in (768, 5)
    ]
    assert light[0] == pytest.approx(light[1], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"exposure": 0},
        {"exposure": -2.0},
        {"exposure": float("nan")},
        {"exposure": float("inf")},
        {"strength": float("nan")},
        {"strength": 1.5},
        {"tile": 0},
        {"tile": -1},
    ],
)
def test_arguments_out_of_range(make_mosaic, wrong):
    def never(share):
        raise AssertionError("work was done")

    with pytest.raises(ValueError, match=r"exposure|amplification|strength|tile"):
        undark.restore(make_mosaic(), progress=never, **{"exposure": 10} | wrong)


@pytest.mark.parametrize("shape", [(0, 96), (64, 0), (0, 0)])
def test_an_empty_mosaic(make_mosaic, shape):
    empty = make_mosaic().replace(plane=np.zeros(shape, np.uint16))
    with pytest.raises(ValueError, match="empty"):
        undark.restore(empty)


@pytest.mark.parametrize("use", [undark.read, undark.open_picture, undark.load_model])
def test_a_nul_in_a_path(use):
    with pytest.raises((ValueError, UndarkError)):
        use("photo\0.dng")


def test_a_nul_in_the_path_of_a_result(make_mosaic, tmp_path):
    with pytest.raises((ValueError, UndarkError)):
        undark.restore(make_mosaic(), exposure=10).save(tmp_path / "a\0.jpg")


LOOK_UP = 11
"""Seconds within which ONNX Runtime 1.32 looks up a host if its telemetry is on (seen: 6 to 10)."""


def without_network(code, home):
    """Run Python code in a process that ends at the first socket that could leave the machine."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("XDG", "ORT_"))}
    home.mkdir()
    return subprocess.run(
        [sys.executable, "-c", f"import no_network; no_network.forbid()\n{code}"],
        env=environment | {"HOME": str(home), "PYTHONPATH": str(Path(no_network.__file__).parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(not no_network.SUPPORTED, reason="needs seccomp on x86-64 Linux")
def test_onnx_runtime_sends_nothing(tmp_path):
    """Nothing below the home, and no connection tried, by native code either."""
    home = tmp_path / "home"
    code = """
import os, time, undark
undark.load_model("bayer", "cpu")
time.sleep(SECONDS)
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
"""
    done = without_network(code.replace("SECONDS", str(LOOK_UP)), home)
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == []


@pytest.mark.skipif(not no_network.SUPPORTED, reason="needs seccomp on x86-64 Linux")
@pytest.mark.parametrize(
    "code",
    ["import socket; socket.socket()", "import socket; socket.getaddrinfo('example.org', 80)"],
)
def test_a_process_without_network_ends_at_a_connection(code, tmp_path):
    """That the test above can fail."""
    assert without_network(code, tmp_path / "home").returncode == -signal.SIGSYS


def test_onnx_runtime_imported_before_undark_is_said_once(tmp_path):
    code = "import onnxruntime, undark; undark.load_model('bayer'); undark.load_model('bayer')"
    environment = {n: v for n, v in os.environ.items() if not n.startswith("ORT_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("onnxruntime was imported before undark") == 1


def test_a_card_is_read_without_loading_the_model(tmp_path, monkeypatch):
    from undark.engine.card import read_card
    from undark.engine.devices import Engine

    def refused(*_):
        raise AssertionError("a session was started")

    monkeypatch.setattr(Engine, "open", refused)
    facts = card(task=PICTURE_TASK, cfa="none", channels=6)
    found = read_card(write(tmp_path / "model.onnx", facts, cell=1))
    assert found == Card(**facts)
    assert found.cell == 1


def test_metadata_is_what_onnx_itself_reads(tmp_path):
    from undark.engine.catalogue import shipped_models
    from undark.engine.metadata import read_metadata

    for path in shipped_models().values():
        expected = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        assert read_metadata(path) == expected


@pytest.mark.parametrize("length", [0, 1, 124, 128, 129, 256, 16384, 1 << 21])
def test_metadata_of_any_length(tmp_path, length):
    """Lengths are varints of 7 bits a byte; those of 128 and 16384 begin with bytes of no bits."""
    from undark.engine.metadata import read_metadata

    model = onnx.ModelProto(producer_name="x" * length, ir_version=1 << 40)
    model.metadata_props.add(key="before", value="y" * length)
    model.metadata_props.add(key="k" * length, value="after")
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    assert read_metadata(tmp_path / "a.onnx") == {"before": "y" * length, "k" * length: "after"}


def test_an_entry_of_metadata_beyond_16_mib_is_passed_over(tmp_path):
    from undark.engine.metadata import read_metadata

    model = onnx.ModelProto()
    model.metadata_props.add(key="huge", value="y" * (1 << 24))
    model.metadata_props.add(key="b", value="c")
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    assert read_metadata(tmp_path / "a.onnx") == {"b": "c"}


def test_ctrl_c_while_importing(tmp_path):
    """What is imported first raises KeyboardInterrupt, as Ctrl-C does."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run(
        [sys.executable, "-m", "undark", "models"],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 130
    assert done.stderr == ""
