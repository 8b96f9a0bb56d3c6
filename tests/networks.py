"""Small networks of random weights, of each kind, and their files."""

import torch

from undark.engine.card import PICTURE_TASK, TASK
from undark.learn.export import make_card, to_onnx
from undark.learn.network import UNetConfig, init_network

CONFIGS = {
    "Bayer": UNetConfig(widths=(6, 8, 10), encoder=(1, 1, 1), decoder=(1, 1)),
    "X-Trans, two blocks": UNetConfig(cell=3, widths=(6, 8), encoder=(0, 1), decoder=(2,)),
    "picture": UNetConfig(cell=1, fold=2, widths=(6, 8, 10), encoder=(1, 1, 1), decoder=(0, 1)),
}
ONE_SCALE = UNetConfig(widths=(6,), encoder=(1,), decoder=())
_EXPORTED = {}
"""Configuration and weights → content of the file."""


def random_network(config):
    """Its weights are those that a file holds, of 16 bits."""
    network = init_network(config, 0)
    random = torch.Generator().manual_seed(1)  # of all: the exporter joins tensors that are equal
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=random)
            weight.copy_(weight.half())
    return network


def exported(tmp_path, network):
    """Its file; networks of the same weights are exported once."""
    weights = b"".join(weight.numpy().tobytes() for weight in network.state_dict().values())
    if (key := (network.config, weights)) not in _EXPORTED:
        task = PICTURE_TASK if network.config.cell == 1 else TASK
        record = {"task": task, "validation": {}, "data": "none"}
        record["network"] = network.config.as_dict()
        _EXPORTED[key] = to_onnx(network, make_card(network, record, "test"))
    path = tmp_path / "model.onnx"
    path.write_bytes(_EXPORTED[key])
    return path
