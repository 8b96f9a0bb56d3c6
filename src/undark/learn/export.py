"""Write a trained network as ONNX and safetensors with a record, and read weights back."""

from __future__ import annotations

import copy
import json
import logging
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from undark.engine.card import CARD_KEY, Card
from undark.engine.model import read_card
from undark.errors import TrainingError
from undark.files.output import atomic_output
from undark.learn.cropping import crop_margins, rim_of
from undark.learn.network import Conv, UNet, UNetConfig
from undark.learn.upsampling import join_upsampling

MODEL, RECORD = "model.onnx", "training.json"
"""Names of the files of a trained network, beside model.safetensors."""
OPSET = 18
_WEIGHT = ".weight"
"""End of the names of kernels."""
_FP16 = ".fp16"
"""Suffix of the names of weights that are stored in 16 bits."""
SEAM = 1e-3
"""Linear light (white is 1) by which tiles may differ from the untiled result."""


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Weights of a `UNet` that `export` wrote, safetensors or ONNX. Raises `TrainingError`."""
    try:
        return _onnx_weights(path) if path.suffix == ".onnx" else load_file(path)
    except (OSError, SafetensorError, DecodeError) as error:
        raise TrainingError(f"{path}: no weights to start from here ({error})") from error


def _onnx_weights(path: Path) -> dict[str, torch.Tensor]:
    """The matrices of `Conv` from the kernels (out, in, k, k) of an exported model."""
    found = {}
    for tensor in onnx.load(path).graph.initializer:
        name, kernel = tensor.name.removesuffix(_FP16), numpy_helper.to_array(tensor)
        if name.endswith(_WEIGHT):
            matrix = kernel.transpose(0, 2, 3, 1).reshape(len(kernel), -1)
            found[name] = torch.from_numpy(matrix.astype(np.float32))
    return found


def config_of(path: Path) -> UNetConfig | None:
    """The configuration of weights, from the model's card or training.json in the same folder.

    Raises `TrainingError` for a damaged record.
    """
    known = record_of(path).get("network")
    try:
        return UNetConfig.from_dict(known) if known else None
    except (AttributeError, TypeError, ValueError) as error:
        raise TrainingError(_damaged(path.with_name(RECORD))) from error


def record_of(weights: Path) -> dict[str, Any]:
    """The record of weights' training, from the same folder or a model's card; {} if unknown.

    Raises `TrainingError` for a damaged record.
    """
    beside = weights.with_name(RECORD)
    if weights.suffix == ".onnx" and weights.exists():
        return read_card(weights).training
    if not beside.exists():
        return {}
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("not a record")
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(_damaged(beside)) from error
    return record


def _damaged(record: Path) -> str:
    return f"{record}: damaged; repair it, or remove it and give --network"


def start_from(network: UNet, path: Path) -> None:
    """Load the weights of another run. Raises `TrainingError` if they do not fit.

    Residual blocks that the weights lack stay the identity. From a network for another kind of
    input all layers but the `_ENDS` are loaded, whose shapes depend on the kind.
    """
    weights, may_lack = load_weights(path), ["encoder.", "decoder."]
    if _is_of_another_kind(network, weights):
        weights = {name: w for name, w in weights.items() if name not in _ENDS}
        may_lack += _ENDS
    try:
        fit = network.load_state_dict(weights, strict=False)
        lacking = [k for k in fit.missing_keys if not k.startswith(tuple(may_lack))]
        if lacking or fit.unexpected_keys:
            raise RuntimeError(f"{lacking} are missing, {fit.unexpected_keys} have no place")
    except RuntimeError as error:
        raise TrainingError(
            f"{path}: the weights of another network than the one to be trained; "
            "start without --from, or from weights of the same widths and blocks"
        ) from error


_ENDS = ("head.weight", "tail.weight", "demosaic.weight")


def _is_of_another_kind(network: UNet, weights: dict[str, torch.Tensor]) -> bool:
    linear = weights.get("demosaic.weight")
    return linear is not None and linear.shape != network.demosaic.weight.shape


def export(network: UNet, out: Path, record: dict[str, Any]) -> Path:
    """Write model.onnx, model.safetensors and training.json to `out`; returns the first's path.

    Each file is written atomically. Raises `OutputError`, for instance on a full disk. The model
    has the folder's name, because all model files are called model.onnx.
    """
    weights = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    card = make_card(network, record, out.resolve().name)
    contents = {
        "model.safetensors": save(weights),
        RECORD: (json.dumps(record, indent=1) + "\n").encode(),
        MODEL: to_onnx(network, card),
    }
    for name, content in contents.items():
        with atomic_output(out / name, overwrite=True) as temporary:
            temporary.write_bytes(content)
    return out / MODEL


_NOT_IN_CARDS = ("validation", "settings", "data_folder", "held_back")
"""Fields of the record that the card does not contain: scores are a field of the card, and paths
and file names of the user are private."""


_CONDITIONING = (
    "amplified, white-balanced planes; their standard deviations",
    "amplified light; that of level 1; noise of levels and of their differences",
)
"""Input of networks for mosaics and for pictures, in words for a card."""


def make_card(network: UNet, record: dict[str, Any], name: str) -> Card:
    """The model's description of itself, from its network and the record of its training."""
    config = network.config
    return Card(
        name=name,
        task=record["task"],
        cfa=config.kind.name,
        channels=config.channels,
        multiple=config.multiple,
        halo=measured_halo(network),
        conditioning=_CONDITIONING[config.kind.sensor is None],
        licence="Apache-2.0",
        training={k: v for k, v in record.items() if k not in _NOT_IN_CARDS},
        scores=record["validation"],
        fold=config.fold,
        rim=rim_of(config),
    )


def halo(config: UNetConfig) -> int:
    """Receptive field on each side in packed pixels, rounded up to the multiple."""
    head_and_tail = 2
    deepest = len(config.widths) - 1
    blocks = [
        config.encoder[i] + (config.decoder[i] if i < deepest else 0) for i in range(deepest + 1)
    ]
    reach = head_and_tail + sum(2 * n * 2**scale for scale, n in enumerate(blocks))
    reach += 2**deepest - 1  # strided convolutions: the far corner of the coarsest cell
    reach *= config.fold
    return -(-reach // config.multiple) * config.multiple


def measured_halo(network: UNet) -> int:
    """Margin of a tile in packed pixels with which no output changes by more than `SEAM`.

    At most `halo`; of the shipped networks two thirds to nine tenths of it. Measured on a very
    noisy input with increasing margins.
    """
    multiple, most, cell = network.config.multiple, halo(network.config), network.config.cell
    random = torch.Generator().manual_seed(0)
    shape = (1, network.config.channels, 2 * most, 4 * most)
    inputs = torch.rand(shape, generator=random) + 0.3 * torch.randn(shape, generator=random)
    inputs[:, network.config.planes :] = 0.3
    inputs = inputs.to(next(network.parameters()).device)
    with torch.no_grad():
        untiled = network(inputs)[..., 2 * most * cell :]
        for margin in range(multiple, most, multiple):
            part = network(inputs[..., 2 * most - margin :])[..., margin * cell :]
            if (part - untiled).abs().max() < SEAM:
                return margin
    return most


def commit() -> str:
    """The commit of this code, or "unknown" outside a checkout."""
    here = Path(__file__).parent
    asked = ["git", "-C", str(here), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def to_onnx(network: UNet, card: Card) -> bytes:
    """The network as ONNX, any height and width, weights in fp16, with its card."""
    plain = _with_plain_convolutions(network).cpu().float().eval()
    side = 8 * network.config.multiple
    model = _exported(plain, (1, card.channels, side, side))
    join_upsampling(model)
    _store_as_fp16(model)
    crop_margins(model, network.config)
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def graph_of(network: nn.Module, shape: tuple[int, ...]) -> bytes:
    """A network without a card as ONNX, any height and width, weights in fp16.

    `shape` (1, C, h, w) is that of an example of its input.
    """
    model = _exported(network.cpu().float().eval(), shape)
    _store_as_fp16(model)
    del model.graph.value_info[:]  # shapes in between, half as large as a small network
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _exported(network: nn.Module, shape: tuple[int, ...]) -> onnx.ModelProto:
    # a user can do nothing about the exporter's warnings
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (torch.zeros(shape),),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({2: "h", 3: "w"},),
        )
    assert program is not None
    model = program.model_proto  # made anew each time it is asked for
    _leave_out_traces(model)
    return model


class _PlainConv(nn.Conv2d):
    """A `Conv` as torch's `Conv2d`, so that its weight is a constant in the exported graph."""

    def __init__(self, conv: Conv) -> None:
        outs, k = conv.weight.shape[0], conv.size
        padding = k // 2 if conv.stride == 1 else 0
        super().__init__(conv.ins, outs, k, conv.stride, padding, bias=False)
        with torch.no_grad():
            self.weight.copy_(conv.weight.view(outs, k, k, conv.ins).permute(0, 3, 1, 2))


def _with_plain_convolutions(network: UNet) -> UNet:
    plain = copy.deepcopy(network)
    for module in list(plain.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Conv):
                setattr(module, name, _PlainConv(child))
    return plain


def _leave_out_traces(model: onnx.ModelProto) -> None:
    """Remove what torch's exporter notes of each node: stack traces, with this machine's paths."""
    graph = model.graph
    for noted in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del noted.metadata_props[:]


def _store_as_fp16(model: onnx.ModelProto) -> None:
    """Store each weight in 16 bits, with a cast to fp32 at load time; the arithmetic is fp32.

    Other constants, as those of sRGB's curve, stay as they are.
    """
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if not tensor.name.endswith(_WEIGHT):
            continue
        name = tensor.name
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, name + _FP16))
        casts.append(helper.make_node("Cast", [name + _FP16], [name], to=onnx.TensorProto.FLOAT))
    for node in reversed(casts):
        graph.node.insert(0, node)
