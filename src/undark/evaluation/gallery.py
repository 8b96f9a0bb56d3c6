"""The photos with the lowest and the highest scores, as JPEGs for the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undark.develop.drawing import most_detail, resized
from undark.evaluation.evaluate import BRIGHT, Judged, Score
from undark.evaluation.protocols import SRGB
from undark.files.picture import plain_jpeg

EXTREMES = 3
"""Number of photos kept at each end."""
MAX_SIDE = 1080
"""Longer side of a reduced frame in pixels."""
DETAIL = (360, 540)
"""Height and width of the region that is shown at full size."""
_QUALITY = 82


@dataclass(frozen=True)
class Views:
    """The pictures of a photo, all of one size."""

    height: int
    width: int
    jpegs: dict[str, bytes]
    """By the names of `Judged.pictures`."""


@dataclass(frozen=True)
class Entry:
    """A photo in the report."""

    score: Score
    """The network's, in sRGB."""
    frames: Views
    """The full frame, reduced."""
    details: Views
    """The region with most detail in the bright photo, at full size."""


class Gallery:
    """Keeps the photos with the lowest and the highest PSNR of the network in sRGB."""

    def __init__(self, network: str) -> None:
        self._network, self._kept = network, list[Entry]()

    def add(self, judged: Judged) -> None:
        """Keep a photo if its score is among the lowest or the highest so far."""
        wanted = (self._network, SRGB)
        score = next(s for s in judged.scores if (s.method, s.protocol) == wanted)
        if self._is_between_extremes(score):
            return
        height, width = _fitted(judged.pictures[BRIGHT].shape[:2])
        detail = most_detail(judged.pictures[BRIGHT], DETAIL)
        frames = _views({n: resized(p, height, width) for n, p in judged.pictures.items()})
        details = _views({n: p[detail] for n, p in judged.pictures.items()})
        self._kept.append(Entry(score, frames, details))
        self._kept.sort(key=lambda entry: entry.score.psnr)
        del self._kept[EXTREMES:-EXTREMES]

    def _is_between_extremes(self, score: Score) -> bool:
        full = len(self._kept) == 2 * EXTREMES
        middle = self._kept[EXTREMES - 1 : EXTREMES + 1]
        return full and middle[0].score.psnr <= score.psnr <= middle[1].score.psnr

    @property
    def worst(self) -> list[Entry]:
        """From the lowest score up; with few photos, the lower half of them."""
        return self._kept[: len(self._kept) // 2]

    @property
    def best(self) -> list[Entry]:
        """From the highest score down."""
        return self._kept[len(self._kept) // 2 :][::-1]


def _fitted(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1.0, MAX_SIDE / max(shape))
    height, width = (max(1, round(n * scale)) for n in shape)
    return height, width


def _views(pictures: dict[str, NDArray[np.uint8]]) -> Views:
    height, width = pictures[BRIGHT].shape[:2]
    return Views(height, width, {n: plain_jpeg(p, _QUALITY) for n, p in pictures.items()})
