"""What pairs are learnt for, the loss that fits it, and the score it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from undark.develop.colour import encode_rec709, encode_srgb
from undark.engine.card import PICTURE_TASK, SRGB_TASK, TASK
from undark.learn.data.batches import Batch

SATURATED = 0.999
"""Share of the saturation from which target light is only a lower bound."""


@dataclass(frozen=True)
class Aim:
    """What pairs are learnt for: the model's task, and the curve that errors are seen through."""

    task: str
    curve: Callable[[Tensor], Tensor]


AIMS = {
    "raw-linear": Aim(TASK, lambda light: light),
    "raw-srgb": Aim(SRGB_TASK, encode_rec709),  # LibRaw's own, and so SID's
    "rgb": Aim(PICTURE_TASK, encode_srgb),
}


def l1_loss(aim: Aim, network: torch.nn.Module, batch: Batch) -> Tensor:
    """The step on pairs: batch → mean absolute error (a scalar), seen through the aim's curve."""
    output, target = (_seen(aim, light) for light in (network(batch.inputs), batch.target))
    known = batch.target < SATURATED * batch.saturation[:, None, None, None]
    error = torch.where(known, output - target, (output - target).clip(max=0))
    return error.abs().mean()


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """(N,) PSNR in dB of clipped linear light (N, 3, H, W), white 1."""
    error = (output.clip(0, 1) - target.clip(0, 1)) ** 2
    return -10 * torch.log10(error.mean((1, 2, 3)))


def _seen(aim: Aim, light: Tensor) -> Tensor:
    """Light through the curve, going on straight outside [0, 1], where curves clip."""
    inside = light.clip(0, 1)
    return aim.curve(inside) + (light - inside)


def aim_psnr(aim: Aim, output: Tensor, target: Tensor) -> Tensor:
    """(N,) PSNR in dB of what is seen through the aim's curve, clipped to [0, 1]."""
    return psnr(aim.curve(output.clip(0, 1)), aim.curve(target.clip(0, 1)))
