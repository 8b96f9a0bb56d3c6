"""Sheets of pictures side by side, with titles: for the demo and for contact sheets."""

from __future__ import annotations

from typing import Any

import numpy as np
import OpenImageIO as oiio
from numpy.typing import NDArray

Colour = tuple[float, float, float]
WHITE: Colour = (1.0, 1.0, 1.0)


def titled(
    pictures: list[NDArray[np.uint8]], titles: list[str], height: int = 40
) -> NDArray[np.uint8]:
    """Pictures (H, W, 3) of one size in a row, each with its title on a bar above."""
    return np.concatenate(
        [
            np.concatenate([title_bar(title, picture.shape[1], height), picture])
            for picture, title in zip(pictures, titles, strict=True)
        ],
        axis=1,
    )


def title_bar(text: str, width: int, height: int = 40, colour: Colour = WHITE) -> NDArray[np.uint8]:
    """(height, width, 3): text on a nearly black bar."""
    buffer = oiio.ImageBuf(oiio.ImageSpec(width, height, 3, oiio.UINT8))
    oiio.ImageBufAlgo.fill(buffer, (0.07, 0.07, 0.07))
    size, left, below = round(0.55 * height), round(0.3 * height), round(0.675 * height)
    oiio.ImageBufAlgo.render_text(buffer, left, below, text, size, "DroidSans", colour)
    return _pixels(buffer)


def resized(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(H, W, 3) → (height, width, 3)."""
    buffer = oiio.ImageBuf(np.ascontiguousarray(picture))
    return _pixels(oiio.ImageBufAlgo.resize(buffer, roi=oiio.ROI(0, width, 0, height)))


def fitted(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(H, W, 3) → (height, width, 3): as large as fits, in the middle of black."""
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = [max(1, round(n * scale)) for n in picture.shape[:2]]
    out = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    out[top : top + size[0], left : left + size[1]] = resized(picture, size[0], size[1])
    return out


def most_detail(picture: NDArray[np.uint8], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the piece with the steepest tones, on a grid of half pieces.

    Of `size`, or less where the picture is smaller.
    """
    tones = picture.mean(axis=-1, dtype=np.float32)
    steps = np.minimum(np.abs(np.diff(tones, axis=1, append=0)), 32)  # a lamp's rim is one edge
    tops, lefts = (
        range(0, max(length - side, 0) + 1, max(side // 2, 1))
        for length, side in zip(tones.shape, size, strict=True)
    )
    places = [
        (slice(top, top + size[0]), slice(left, left + size[1])) for top in tops for left in lefts
    ]
    return max(places, key=lambda place: float(steps[place].sum()))


def _pixels(buffer: Any) -> NDArray[np.uint8]:
    return np.asarray(buffer.get_pixels(oiio.UINT8), np.uint8)
