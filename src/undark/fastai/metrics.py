"""`psnr` and `ssim` as fastai metrics: those of `develop.metrics`, averaged over pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import numpy as np
import torch
from fastai.data.transforms import Normalize
from fastai.learner import AvgMetric
from fastai.torch_core import cast

from undark.develop import metrics
from undark.fastai.image import TensorRawImage


class PictureMetric(AvgMetric):
    """A metric of two pictures (H, W, C), averaged over batches of tensors (N, C, H, W).

    In a `Learner`, `Normalize` is inverted first.
    """

    def __init__(self, func: Callable[..., float]) -> None:
        super().__init__(func)
        update_wrapper(self, func)

    def __call__(
        self, pred: torch.Tensor, targs: torch.Tensor, data_range: float = 1
    ) -> torch.Tensor:
        """The mean over a batch (N, C, H, W); `data_range` is the value of white.

        Nothing is clipped. Raises `ValueError` if the shapes differ.
        """
        if pred.shape != targs.shape:
            raise ValueError(f"{tuple(pred.shape)} cannot be compared with {tuple(targs.shape)}")
        pairs = zip(_pictures(pred), _pictures(targs), strict=True)
        return torch.tensor(np.mean([self.func(a, b, data_range) for a, b in pairs]))

    def accumulate(self, learn: Any) -> None:
        (target,) = learn.yb
        self.total += self(*_denormalized(learn, learn.pred, target)) * len(target)
        self.count += len(target)


def _pictures(batch: torch.Tensor) -> Any:
    """(N, C, H, W) on any device → (N, H, W, C) for NumPy."""
    return np.moveaxis(np.asarray(batch.detach().cpu().float()), 1, -1)


def _denormalized(
    learn: Any, pred: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both with the `Normalize` of the `Learner`'s data inverted, if there is one."""
    pair = cast(pred, TensorRawImage), cast(target, TensorRawImage)  # a Learner drops the type
    for transform in getattr(getattr(learn.dls, "after_batch", None), "fs", []):
        if isinstance(transform, Normalize):
            pair = transform.decode(pair)
    return pair


psnr = PictureMetric(metrics.psnr)
"""`psnr(pred, targs, data_range=1)`: mean PSNR of the pictures of a batch in dB."""
ssim = PictureMetric(metrics.ssim)
"""`ssim(pred, targs, data_range=1)`: mean SSIM of the pictures of a batch, at most 1."""
