"""Random numbers for training: torch's, and Poisson deviates in half the time of `torch.poisson`.

Photon noise took two fifths of the time of a training sample, because `torch.poisson` draws one
number at a time, 40 ns each. Here small rates use a table, large ones a formula, both vectorised.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

FEW = 10.0
"""Largest rate for which the table is used."""
ROWS, COLUMNS = 1024, 32
"""Numbers of rates and counts in the table: at rate 10, a count above 31 has a probability of 1e-8.
"""


class TorchSampler:
    """A `Sampler` for torch; see `undark.sensor.noise.Sampler`.

    Each photo of a batch has its own generator, so its numbers do not depend on the batch.
    """

    def __init__(self, *seeds: int, device: torch.device | str = "cpu") -> None:
        """One seed for each photo; results have the shape (photos, …)."""
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
        """A sampler for some of the photos, with the same generators."""
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

    In each iteration the largest column fills up the smallest one that is not settled.
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
