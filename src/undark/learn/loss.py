"""The losses of training on darkened photographs and on pairs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from undark.develop.colour import encode_srgb
from undark.learn.data.batches import Batch

# The mosaic term has the largest weight: at low noise the interpolated colours have larger errors
# than the measured ones and would dominate. Dark photographs have most detail near black, where
# sRGB's curve is steep: the linear terms preserve the light, the picture's term the appearance.
LIGHT_WEIGHT = 0.5
PICTURE_WEIGHT = 0.5
LOW_FREQUENCY_WEIGHT = 0.2
BLOCKS = (8, 16)
"""Sides in pixels of the blocks whose mean light is compared; each a multiple of the one before."""
DARK = 0.02
"""Linear light (white 1) below which the error of a block's mean is no longer relative."""
NOISE_WEIGHT = 0.25
FLOOR = 1e-7
"""Added to the mean squared error before the logarithm (70 dB)."""
PICTURE_FLOOR = 1e-4
"""The same of finished pictures (40 dB)."""

Loss = Callable[[torch.nn.Module, Batch], Tensor]
"""One training step: network and batch → a scalar."""


def photo_loss(network: torch.nn.Module, batch: Batch) -> Tensor:
    """The loss of a batch of darkened photographs (a scalar).

    `log_loss`, plus `LOW_FREQUENCY_WEIGHT` times the error of blocks' mean light, plus
    `NOISE_WEIGHT` times the error relative to the pixels' noise.
    """
    output = network(batch.inputs)
    light, target = _compress(output), _compress(batch.target)
    return (
        _log_loss(output, light, target, batch)
        + LOW_FREQUENCY_WEIGHT * _low_frequency_error(light, target)
        + NOISE_WEIGHT * _excess_error(light, target, batch)
    )


def picture_loss(network: torch.nn.Module, batch: Batch) -> Tensor:
    """The loss of a batch of dark pictures (a scalar): ln RMSE of the sRGB picture.

    With a larger floor than that of photographs: some pictures have no noise, and without it they
    would decide what is learnt.
    """
    output = network(batch.inputs)
    made, wanted = _picture(output, batch.srgb), _picture(batch.target, batch.srgb)
    return _log_error(made, wanted, PICTURE_FLOOR)


def log_loss(network: torch.nn.Module, batch: Batch) -> Tensor:
    """The loss of a batch of photographs or pairs (a scalar).

    The mean over photos of the logarithm of the error, so that a decibel has the same weight at
    every noise level: plain MSE is dominated by the noisiest samples, and then detail is smoothed
    away at low noise. The sum of ln RMSE of the mosaic (linear, highlights compressed),
    `LIGHT_WEIGHT` times that of all three colours, and `PICTURE_WEIGHT` times that of the sRGB
    picture. After NAFNet's PSNR loss (Chen et al. 2022).
    """
    output = network(batch.inputs)
    return _log_loss(output, _compress(output), _compress(batch.target), batch)


def _log_loss(output: Tensor, light: Tensor, target: Tensor, batch: Batch) -> Tensor:
    """`log_loss` of an output; `light` and `target` have compressed highlights."""
    measured = _log_error(batch.kind.measured(light), batch.kind.measured(target))
    picture = _log_error(_picture(output, batch.srgb), _picture(batch.target, batch.srgb))
    return measured + LIGHT_WEIGHT * _log_error(light, target) + PICTURE_WEIGHT * picture


def _excess_error(light: Tensor, target: Tensor, batch: Batch) -> Tensor:
    """Mean over pixels and colours of ½ ln(1 + (error/sigma)²), with sigma of the pixel's noise.

    A photo's RMSE is dominated by its brightest colour; a weak colour may then have errors of many
    times its noise. Errors well below the noise, and single edges, have little weight here.
    """
    kind = batch.kind
    sigma = kind.colour_means(batch.inputs[:, kind.planes :])
    sigma = sigma.repeat_interleave(kind.cell, 2).repeat_interleave(kind.cell, 3)
    return 0.5 * torch.log1p(((light - target) / sigma).square()).mean()


def _low_frequency_error(light: Tensor, target: Tensor) -> Tensor:
    """Mean over photos and `BLOCKS` of ln RMSE of block means, relative to their brightness.

    Relative, so that dark areas have weight: in linear light bright blocks dominate the sum, and
    the sRGB picture clips values below black. Incomplete blocks are left out.
    """
    errors, reached = [], 1
    mean, wanted = light, target
    for side in BLOCKS:
        if min(light.shape[-2:]) < side:
            continue
        # the mean of the smaller blocks' means: pooling full-size light again takes longer
        mean, wanted = (avg_pool2d(x, side // reached) for x in (mean, wanted))
        reached = side
        weight = 1 / (wanted.mean(1, keepdim=True).clip(0) + DARK)
        errors.append(_log_error(weight * mean, weight * wanted))
    return torch.stack(errors).mean() if errors else light.sum() * 0


def _log_error(output: Tensor, target: Tensor, floor: float = FLOOR) -> Tensor:
    """Mean over photos of ln RMSE."""
    squares = (output - target).square().flatten(1).mean(1)
    return 0.5 * torch.log(squares + floor).mean()


def _compress(light: Tensor) -> Tensor:
    """Linear up to white, logarithmic above, which limits the weight of light sources."""
    # of two operations that are not `where`, which takes four times as long on a CPU
    return light.clip(None, 1) + torch.log(light.clip(1))


def _picture(light: Tensor, srgb: Tensor) -> Tensor:
    """Light (N, 3, H, W) and matrices (N, 3, 3) to linear sRGB → sRGB's curve in [0, 1]."""
    with torch.autocast(light.device.type, enabled=False):  # bfloat16 has a precision of 8 bits
        return encode_srgb(torch.einsum("nij,njhw->nihw", srgb, light))
