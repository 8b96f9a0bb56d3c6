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
"""Photos kept of each."""
WIDEST = 1080
"""Longer side of a reduced frame in pixels."""
PIECE = (360, 540)
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
class Exhibit:
    """A photo in the report."""

    score: Score
    """The network's, in sRGB."""
    frames: Views
    pieces: Views
    """The region with most detail in the bright photo, at full size."""


class Gallery:
    """Keeps the worst and the best photos by the network's PSNR in sRGB."""

    def __init__(self, network: str) -> None:
        self._network, self._kept = network, list[Exhibit]()

    def add(self, judged: Judged) -> None:
        """Keep a photo if it is among them."""
        wanted = (self._network, SRGB)
        score = next(s for s in judged.scores if (s.method, s.protocol) == wanted)
        if self._has_no_place_for(score):
            return
        height, width = _fitted(judged.pictures[BRIGHT].shape[:2])
        piece = most_detail(judged.pictures[BRIGHT], PIECE)
        frames = _views({n: resized(p, height, width) for n, p in judged.pictures.items()})
        pieces = _views({n: p[piece] for n, p in judged.pictures.items()})
        self._kept.append(Exhibit(score, frames, pieces))
        self._kept.sort(key=lambda exhibit: exhibit.score.psnr)
        del self._kept[EXTREMES:-EXTREMES]

    def _has_no_place_for(self, score: Score) -> bool:
        full = len(self._kept) == 2 * EXTREMES
        middle = self._kept[EXTREMES - 1 : EXTREMES + 1]
        return full and middle[0].score.psnr <= score.psnr <= middle[1].score.psnr

    @property
    def worst(self) -> list[Exhibit]:
        """The worst first; of few photos the lower half."""
        return self._kept[: len(self._kept) // 2]

    @property
    def best(self) -> list[Exhibit]:
        """The best first."""
        return self._kept[len(self._kept) // 2 :][::-1]


def _fitted(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1.0, WIDEST / max(shape))
    height, width = (max(1, round(n * scale)) for n in shape)
    return height, width


def _views(pictures: dict[str, NDArray[np.uint8]]) -> Views:
    height, width = pictures[BRIGHT].shape[:2]
    return Views(height, width, {n: plain_jpeg(p, _QUALITY) for n, p in pictures.items()})
