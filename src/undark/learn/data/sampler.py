"""Randomness for training: torch's own, and a Poisson law in half the time of `torch.poisson`.

Photon noise was two fifths of what it costs to make a training sample: `torch.poisson` draws one
number at a time, 40 ns each. Here few photons come from a table, many from a formula, both for a
whole mosaic at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

FEW = 10.0
"""Photons expected, up to which the table is asked."""
ROWS, COLUMNS = 1024, 32
"""Rates of the table and its counts: above 31 photons where 10 are expected comes once in 10⁸."""


class TorchSampler:
    """A `Sampler` for torch; see `undark.sensor.noise.Sampler`.

    Each of a batch's photos has a generator of its own: what it draws is the same in any batch.
    """

    def __init__(self, *seeds: int, device: torch.device | str = "cpu") -> None:
        """One seed for each photo. What is drawn is (photos, …)."""
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._device = torch.device(device)

    def poisson(self, rate: Tensor) -> Tensor:
        """Counts, float32, of the rate (0 or more) of each pixel."""
        few = _few(rate, self.uniform(tuple(rate.shape)))
        return torch.where(rate < FEW, few, _many(rate, self.normal(tuple(rate.shape))))

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        return self._drawn(shape, Tensor.normal_)

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        return self._drawn(shape, Tensor.uniform_)

    def _drawn(self, shape: tuple[int, ...], draw: Callable[..., Tensor]) -> Tensor:
        drawn = torch.empty(shape, device=self._device)
        for photo, generator in zip(drawn, self._generators, strict=True):
            draw(photo, generator=generator)
        return drawn

    def only(self, photos: slice) -> TorchSampler:
        """That of some photos; they share its generators."""
        some = TorchSampler(device=self._device)
        some._generators = self._generators[photos]
        return some


def _few(rate: Tensor, uniform: Tensor) -> Tensor:
    """Poisson's law at rates up to `FEW`, from uniform numbers in [0, 1).

    By Walker's alias method ("An efficient method for generating discrete random variables with
    general distributions", ACM TOMS 1977): a column is chosen, then it or its alias. The rate is
    rounded to that of a row: by less than 1/300 of the counts' standard deviation.
    """
    row = rate.clip(0, FEW).sqrt_().mul_((ROWS - 1) / math.sqrt(FEW)).round_()
    share = uniform * COLUMNS
    column = share.floor()
    share -= column
    place = row.mul_(COLUMNS).add_(column).int().flatten()
    entry = _aliases(rate.device).index_select(0, place).view_as(rate)
    alias = entry.floor()
    return torch.where(share < entry.sub_(alias), column, alias)


def _many(rate: Tensor, normal: Tensor) -> Tensor:
    """Poisson's law at rates from `FEW` on, from normal numbers.

    Giles, "Algorithm 955: approximation of the inverse Poisson cumulative distribution function"
    (ACM TOMS 2016), eq. 7: at the rate 10 one count in 2,000 is off by one, above fewer.
    """
    root, square = rate.clip(min=FEW).sqrt_(), normal * normal
    slope = root - (square / 72).add_(1 / 36).div_(root)
    return slope.mul_(normal).add_(square.div_(6)).add_(rate).add_(1 / 3).floor_().clip_(min=0)


@cache
def _aliases(device: torch.device) -> Tensor:
    """(ROWS · COLUMNS,) the alias of each column plus the share, below 1, that the column keeps."""
    rates = torch.linspace(0, math.sqrt(FEW), ROWS, dtype=torch.float64) ** 2
    counts = torch.arange(COLUMNS, dtype=torch.float64)
    logs = torch.xlogy(counts, rates[:, None]) - rates[:, None] - torch.lgamma(counts + 1)
    share = logs.exp() * COLUMNS
    share *= COLUMNS / share.sum(1, keepdim=True)
    return _alias_table(share).flatten().to(device, torch.float32)


def _alias_table(share: Tensor) -> Tensor:
    """Shares (rows, n) whose mean is 1 → alias + share kept (rows, n), all rows at once.

    Each turn the smallest column that is not settled is filled up by the largest (Robin Hood).
    """
    share, table = share.clone(), torch.zeros_like(share)
    rows, settled = torch.arange(len(share)), torch.zeros(share.shape, dtype=torch.bool)
    for _ in range(share.shape[1]):
        poor = share.masked_fill(settled, math.inf).argmin(1)
        rich = share.masked_fill(settled, -math.inf).argmax(1)
        kept = share[rows, poor].clip(0, 1 - 1e-5)  # with the alias one float32
        table[rows, poor] = rich + kept
        share[rows, rich] -= 1 - kept
        settled[rows, poor] = True
    return table
