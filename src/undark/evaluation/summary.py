"""Means over photos, by method and amplification."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from undark.evaluation.evaluate import Score


class Mean(NamedTuple):
    """Mean scores of a method over photos."""

    psnr: float
    ssim: float
    photos: int


ALL = None
"""Key of the mean over all amplifications."""
Means = dict[str, dict[float | None, Mean]]
"""Method → amplification → mean; the key `ALL` is last."""


def group(amplification: float) -> float:
    """Rounded to two digits: nominal exposure times are not more exact."""
    return float(f"{amplification:.2g}")


def means(scores: Iterable[Score], protocol: str) -> Means:
    """The means of a protocol; methods in order of appearance, amplifications ascending."""
    found: dict[str, dict[float | None, list[Score]]] = defaultdict(lambda: defaultdict(list))
    chosen = [score for score in scores if score.protocol == protocol]
    for score in sorted(chosen, key=lambda score: score.amplification):
        found[score.method][group(score.amplification)].append(score)
    methods = dict.fromkeys(score.method for score in chosen)
    return {
        m: {r: _mean(s) for r, s in found[m].items()}
        | {ALL: _mean([s for part in found[m].values() for s in part])}
        for m in methods
    }


def _mean(scores: list[Score]) -> Mean:
    psnr, ssim = (float(np.mean([getattr(s, name) for s in scores])) for name in ("psnr", "ssim"))
    return Mean(psnr, ssim, len(scores))
