"""Defects of real dark frames beyond the noise model: stripes, wrong black levels, clipping.

A network that was not trained with them preserves them as image content. Each photo of a batch has
its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from undark.learn.data.sampler import TorchSampler
from undark.sensor.arrays import like
from undark.sensor.noise import NoiseModel

BAND_KNOTS = 12
"""Support points over the height of a frame between which horizontal bands are interpolated."""


@dataclass(frozen=True)
class Defects:
    """The defects of one photo. The sizes of stripes are standard deviations in sigma at black."""

    hot: float = 0.0
    """Fraction of hot pixels."""
    pattern: float = 0.0
    """Correlated noise, in read noises; always counted in the predicted noise."""
    rows: float = 0.0
    """Independent offsets of rows."""
    columns: float = 0.0
    """Independent offsets of columns."""
    bands: float = 0.0
    """Row offsets that vary slowly over the height."""
    comb: float = 0.0
    """Periodic offsets of rows or columns."""
    comb_period: int = 8
    """In pixels, 2 or more."""
    comb_rows: bool = True
    """Whether the comb runs along the height; else along the width."""
    counted: bool = False
    """Whether the predicted noise contains rows, columns, bands and comb."""
    black: tuple[float, ...] = ()
    """Error of the black level in DN at each position of the CFA's period, row by row."""
    crush: float | None = None
    """Clip the mosaic here, in sigma at black (0 or negative); None: no clipping."""
    step: float = 1.0
    """Quantisation step in DN; above 1 for 8- and 10-bit data."""
    below_black: bool = False
    """Whether negative light lowers the mosaic's mean below black; the target stays 0."""
    gain_error: float = 1.0
    """Factor by which the photon part of the predicted sigma is wrong."""
    read_error: float = 1.0
    """Factor by which the signal-independent part of the predicted sigma is wrong."""

    @property
    def stripes(self) -> float:
        """Standard deviation of rows, columns, bands and comb together, in sigma at black."""
        return math.sqrt(self.rows**2 + self.columns**2 + self.bands**2 + self.comb**2)


def spoil(
    noisy: Tensor,
    defects: Sequence[Defects],
    noise: NoiseModel,
    span: float,
    sampler: TorchSampler,
    period: int,
) -> Tensor:
    """Put defects into noisy mosaics (N, H, W) in DN above black, in place; returns them.

    `noise` has parameters (N, 1, 1), `period` is the CFA's. White is not clipped.
    """
    black = noise.sigma(noise.read * 0)
    for number, one in enumerate(defects):
        at = slice(number, number + 1)
        _spoil_one(noisy[at], one, noise.read[at], black[at], span, sampler.only(at), period)
    return noisy


def _spoil_one(
    plane: Tensor,
    defects: Defects,
    read: Tensor,
    black: Tensor,
    span: float,
    sampler: TorchSampler,
    period: int,
) -> None:
    """`spoil` one photo (1, H, W); `read` and `black` are its noises in DN, (1, 1, 1)."""
    if defects.pattern:
        plane += defects.pattern * read * _pattern(plane, sampler)
    if defects.stripes:
        plane += black * _stripes(plane, defects, sampler)
    if any(defects.black):
        for position, error in enumerate(defects.black):
            plane[:, position // period :: period, position % period :: period] += error
    if defects.hot:
        _light_hot_pixels(plane, defects.hot, span, sampler)
    if defects.step > 1:
        plane.div_(defects.step).round_().mul_(defects.step)
    if defects.crush is not None:
        torch.maximum(plane, defects.crush * black, out=plane)


def predicted_noise(noise: NoiseModel, defects: Sequence[Defects]) -> NoiseModel:
    """The noise maps' parameters for N photos with these defects; not always the true noise."""
    if all(d == Defects() for d in defects):
        return noise

    def column(values: list[float]) -> Tensor:
        return like(np.array(values), noise.read)[:, None, None]

    stripes = column([d.stripes if d.counted else 0.0 for d in defects])
    pattern = column([d.pattern for d in defects])
    steps = column([d.step for d in defects])
    wrong = column([d.read_error for d in defects])
    read = noise.read**2 * (1 + pattern**2) + (steps**2 - 1) / 12
    read = read + (stripes * noise.sigma(noise.read * 0)) ** 2
    return replace(
        noise,
        gain=noise.gain * column([d.gain_error**2 for d in defects]),
        read=wrong * read.sqrt(),
        row=wrong * noise.row,
        bias=wrong * noise.bias,
    )


def _stripes(plane: Tensor, defects: Defects, sampler: TorchSampler) -> Tensor:
    """(1, H, W) offsets of rows and columns in sigma at black."""
    height, width = plane.shape[-2:]
    rows = torch.zeros(1, height, 1, device=plane.device)
    columns = torch.zeros(1, 1, width, device=plane.device)
    if defects.rows:
        rows = rows + defects.rows * sampler.normal((1, height, 1))
    if defects.bands:
        rows = rows + defects.bands * _bands(height, sampler)
    if defects.columns:
        columns = columns + defects.columns * sampler.normal((1, 1, width))
    if defects.comb:
        teeth = defects.comb * sampler.normal((1, defects.comb_period))
        size = height if defects.comb_rows else width
        comb = teeth.repeat(1, -(-size // defects.comb_period))[:, :size]
        if defects.comb_rows:
            rows = rows + comb[:, :, None]
        else:
            columns = columns + comb[:, None]
    return rows + columns


def _bands(height: int, sampler: TorchSampler) -> Tensor:
    """(1, height, 1) offsets of standard deviation about 1, interpolated between knots."""
    knots = sampler.normal((1, BAND_KNOTS))[:, None]
    smooth = torch.nn.functional.interpolate(knots, size=height, mode="linear", align_corners=True)
    return 1.2 * smooth.transpose(1, 2)


def _pattern(plane: Tensor, sampler: TorchSampler) -> Tensor:
    """(N, H, W) correlated noise of unit variance: correlation along rows, plus column offsets."""
    fine = sampler.normal(tuple(plane.shape))
    correlated = torch.cat([fine[..., :2], 0.7 * fine[..., :-2] + 0.51**0.5 * fine[..., 2:]], -1)
    columns = sampler.normal((len(plane), 1, plane.shape[-1]))
    return (correlated + 0.5 * columns) / 1.25**0.5


def _light_hot_pixels(plane: Tensor, share: float, span: float, sampler: TorchSampler) -> None:
    """Light a share of the pixels of (1, H, W) as the sensor itself does: faint to white."""
    count = int(share * plane.numel())
    at = (sampler.uniform((1, count))[0] * plane.numel()).long()
    plane.view(-1)[at] += span * sampler.uniform((1, count))[0] ** 4
