"""What a training step makes small: on photographs made dark, and on pairs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from undark.develop.colour import encode_srgb
from undark.learn.data.batches import Batch

# What the sensor measured comes first: where noise is mild, the colours it did not measure err more
# than those it did, and would dominate. Dark photographs keep most of their detail near black,
# where sRGB's curve is steep: the linear terms keep the light, the picture's term the appearance.
LIGHT_WEIGHT = 0.5
PICTURE_WEIGHT = 0.5
LOW_FREQUENCY_WEIGHT = 0.2
BLOCKS = (8, 16)
"""Sides of the blocks, in pixels, whose mean light has a term of its own."""
DARK = 0.02
"""Linear light (white 1) below which the error of a block's mean weighs the same at any level."""
NOISE_WEIGHT = 0.25
FLOOR = 1e-7
"""Mean squared error below which a photo is as good as perfect (70 dB)."""

Loss = Callable[[torch.nn.Module, Batch], Tensor]
"""One training step: network and batch → a scalar."""


def photo_loss(network: torch.nn.Module, batch: Batch) -> Tensor:
    """The step on photographs made dark: batch → loss (a scalar).

    `log_loss`, with `LOW_FREQUENCY_WEIGHT` the error of the mean light of blocks, and with
    `NOISE_WEIGHT` what exceeds the noise of the pixel.
    """
    output = network(batch.inputs)
    light, target = _compress(output), _compress(batch.target)
    return (
        _log_loss(output, light, target, batch)
        + LOW_FREQUENCY_WEIGHT * _low_frequency_error(light, target)
        + NOISE_WEIGHT * _excess_error(light, target, batch)
    )


def log_loss(network: torch.nn.Module, batch: Batch) -> Tensor:
    """The step on photographs or pairs: batch → loss (a scalar).

    Of each photo the logarithm of its error, so that a decibel counts the same at any noise: plain
    MSE is dominated by the noisiest samples and smooths away detail that mild noise would have
    left. The error is that of what the sensor measures (linear, highlights compressed), with
    `LIGHT_WEIGHT` that of all three colours, and with `PICTURE_WEIGHT` that of the sRGB picture.
    (NAFNet's PSNR loss, Chen et al. 2022.)
    """
    output = network(batch.inputs)
    return _log_loss(output, _compress(output), _compress(batch.target), batch)


def _log_loss(output: Tensor, light: Tensor, target: Tensor, batch: Batch) -> Tensor:
    """`log_loss` of an output; `light` and `target` have compressed highlights."""
    measured = _log_error(batch.kind.measured(light), batch.kind.measured(target))
    picture = _log_error(_picture(output, batch.srgb), _picture(batch.target, batch.srgb))
    return measured + LIGHT_WEIGHT * _log_error(light, target) + PICTURE_WEIGHT * picture


def _excess_error(light: Tensor, target: Tensor, batch: Batch) -> Tensor:
    """Mean over pixels and colours of ½ ln(1 + (error/sigma)²), sigma that of the pixel's noise.

    The RMSE of a photo is dominated by its brightest colour, beside which a weak colour may be off
    by many times its own noise. Errors well below the noise, and single edges, hardly count here.
    """
    kind = batch.kind
    sigma = kind.colour_means(batch.inputs[:, kind.planes :])
    sigma = sigma.repeat_interleave(kind.cell, 2).repeat_interleave(kind.cell, 3)
    return 0.5 * torch.log1p(((light - target) / sigma) ** 2).mean()


def _low_frequency_error(light: Tensor, target: Tensor) -> Tensor:
    """Mean over photos and `BLOCKS` of ln RMSE of block means, as a share of their brightness.

    A share, so that dark areas count: in plain linear light bright blocks dominate the sum, and
    the sRGB picture clips what is below black. Blocks that do not fit are left out.
    """
    errors = []
    for side in BLOCKS:
        if min(light.shape[-2:]) < side:
            continue
        mean, wanted = avg_pool2d(light, side), avg_pool2d(target, side)
        weight = 1 / (wanted.mean(1, keepdim=True).clip(0) + DARK)
        errors.append(_log_error(weight * mean, weight * wanted))
    return torch.stack(errors).mean() if errors else light.sum() * 0


def _log_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean over photos of ln RMSE."""
    squares = ((output - target) ** 2).flatten(1).mean(1)
    return 0.5 * torch.log(squares + FLOOR).mean()


def _compress(light: Tensor) -> Tensor:
    """Linear to white, logarithmic above: a light source at 10 weighs no more than it shows."""
    return torch.where(light < 1, light, 1 + torch.log(light.clip(1)))


def _picture(light: Tensor, srgb: Tensor) -> Tensor:
    """Light (N, 3, H, W) and matrices (N, 3, 3) to linear sRGB → sRGB's curve in [0, 1]."""
    with torch.autocast(light.device.type, enabled=False):  # bfloat16 has as many bits as a JPEG
        return encode_srgb(torch.einsum("nij,njhw->nihw", srgb, light))
