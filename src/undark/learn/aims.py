"""The aims of training on pairs: the model's task, with its loss and its validation score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from undark.develop.colour import encode_rec709, encode_srgb
from undark.engine.card import PICTURE_TASK, SRGB_TASK, TASK
from undark.learn.data.batches import Batch

SATURATED = 0.999
"""Fraction of the saturation above which target light is only a lower bound."""


@dataclass(frozen=True)
class Aim:
    """The model's task, and the tone curve after which errors are computed."""

    task: str
    curve: Callable[[Tensor], Tensor]


AIMS = {
    "raw-linear": Aim(TASK, lambda light: light),
    "raw-srgb": Aim(SRGB_TASK, encode_rec709),  # LibRaw's curve, as in SID
    "rgb": Aim(PICTURE_TASK, encode_srgb),
}


def l1_loss(aim: Aim, network: torch.nn.Module, batch: Batch) -> Tensor:
    """Mean absolute error of a batch (a scalar) after the aim's curve."""
    output, target = (_encoded(aim, light) for light in (network(batch.inputs), batch.target))
    known = batch.target < SATURATED * batch.saturation[:, None, None, None]
    error = torch.where(known, output - target, (output - target).clip(max=0))
    return error.abs().mean()


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """(N,) PSNR in dB of clipped linear light (N, 3, H, W), white 1."""
    error = (output.clip(0, 1) - target.clip(0, 1)) ** 2
    return -10 * torch.log10(error.mean((1, 2, 3)))


def _encoded(aim: Aim, light: Tensor) -> Tensor:
    """Light after the curve, extended linearly outside [0, 1], where curves clip."""
    inside = light.clip(0, 1)
    return aim.curve(inside) + (light - inside)


def aim_psnr(aim: Aim, output: Tensor, target: Tensor) -> Tensor:
    """(N,) PSNR in dB after the aim's curve, clipped to [0, 1]."""
    return psnr(aim.curve(output.clip(0, 1)), aim.curve(target.clip(0, 1)))
