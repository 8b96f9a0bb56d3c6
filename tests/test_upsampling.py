import numpy as np
import pytest

pytest.importorskip("torch")

import onnx
import torch

from undark.engine.backends.onnxruntime import OnnxRuntime
from undark.engine.catalogue import find_model, shipped_models
from undark.learn.export import load_weights, make_card, to_onnx
from undark.learn.network import UNetConfig, init_network
from undark.learn.upsampling import upsamplings

CONFIGS = {
    "Bayer": UNetConfig(widths=(6, 8, 10), encoder=(1, 1, 1), decoder=(1, 1)),
    "X-Trans": UNetConfig(cell=3, widths=(6, 8), encoder=(0, 1), decoder=(2,)),
    "picture": UNetConfig(cell=1, fold=2, widths=(6, 8, 10), encoder=(1, 1, 1), decoder=(0, 1)),
    "one scale": UNetConfig(widths=(6,), encoder=(1,), decoder=()),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_transposed_convolutions_are_the_network(tmp_path, config):
    """Held against torch's 1×1 convolution and pixel shuffle."""
    network = init_network(config, 0)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
            weight.copy_(weight.half())  # as they are stored
    task = "picture to picture" if config.cell == 1 else "mosaic to linear RGB"
    record = {"task": task, "validation": {}}
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(network, make_card(network, record, "test")))
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
