import numpy as np
import pytest

pytest.importorskip("torch")

import onnx
import torch

from networks import CONFIGS, ONE_SCALE, exported, random_network
from undark.engine.backends.onnxruntime import OnnxRuntime
from undark.engine.catalogue import find_model, shipped_models
from undark.learn.export import load_weights
from undark.learn.upsampling import upsamplings


@pytest.mark.parametrize("config", [*CONFIGS.values(), ONE_SCALE], ids=[*CONFIGS, "one scale"])
def test_transposed_convolutions_are_the_network(tmp_path, config):
    """Held against torch's 1×1 convolution and pixel shuffle."""
    network = random_network(config)
    path = exported(tmp_path, network)
    assert len(upsamplings(onnx.load(path))) == len(config.decoder)
    side = 4 * config.multiple
    inputs = np.random.default_rng(0).random((1, config.channels, side, 2 * side), np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(OnnxRuntime(path).run(inputs), expected, rtol=1e-5, atol=5e-6)
    for name, weight in load_weights(path).items():  # the file has them in their old order
        np.testing.assert_array_equal(weight, network.state_dict()[name])


@pytest.mark.parametrize("name", [*shipped_models()])
def test_the_shipped_models_have_them(name):
    assert len(upsamplings(onnx.load(find_model(name)))) == 3


def test_an_exported_network_holds_no_stack_traces(tmp_path):
    path = exported(tmp_path, random_network(CONFIGS["Bayer"]))
    assert not any(node.metadata_props for node in onnx.load(path).graph.node)
    assert b"site-packages" not in path.read_bytes()
