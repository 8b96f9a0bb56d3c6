import pytest

from undark.engine import model as engine
from undark.engine.catalogue import find_model, shipped_models
from undark.engine.model import Model, load_model, read_card
from undark.errors import DeviceError, ModelError


@pytest.mark.parametrize("path", list(shipped_models().values()), ids=list(shipped_models()))
def test_what_ships_describes_itself(path):
    card = read_card(path)
    assert card.cfa in ("Bayer", "X-Trans", "none")
    assert card.licence == "Apache-2.0"
    assert card.training["packed_pixels"] > 1e8
    assert card.training["data"]
    assert all(20 < score < 60 for score in card.scores.values())


def test_the_default_model_ships():
    assert engine.DEFAULT_MODEL in shipped_models()
    assert load_model().card.cfa == "Bayer"


def test_unknown_model_names_those_that_ship():
    with pytest.raises(ModelError, match=r"nonesuch: no such model.*bayer"):
        find_model("nonesuch")


def test_a_file_that_is_no_model(tmp_path):
    path = tmp_path / "not.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"not\.onnx: not a model"):
        Model(path)


def test_an_onnx_file_that_is_not_ours(tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx comes with undark[train]")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    value = helper.make_tensor_value_info("input", kind, [1])
    output = helper.make_tensor_value_info("output", kind, [1])
    node = helper.make_node("Identity", ["input"], ["output"])
    made = helper.make_model(
        helper.make_graph([node], "foreign", [value], [output]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    path = tmp_path / "foreign.onnx"
    onnx.save(made, path)
    with pytest.raises(ModelError, match="not an undark model"):
        Model(path)


def test_devices_that_are_not_there():
    with pytest.raises(DeviceError, match="choose one of: auto, cpu"):
        load_model(device="gpu9")
    missing = "directml"  # not in the plain onnxruntime of any platform we test on
    with pytest.raises(DeviceError, match=r"not installed.* pip install onnxruntime-directml"):
        load_model(device=missing)
