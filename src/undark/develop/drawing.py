"""Sheets of pictures side by side, with titles: for the demo and for contact sheets."""

from __future__ import annotations

import unicodedata

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

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
    bar = Image.new("RGB", (width, height), (18, 18, 18))
    font = ImageFont.load_default(round(0.5 * height))
    fill = tuple(round(255 * c) for c in colour)
    place = (round(0.3 * height), round(0.675 * height))
    ImageDraw.Draw(bar).text(place, _ascii(text), fill, font, anchor="ls")
    return np.array(bar)


def _ascii(text: str) -> str:
    """The nearest ASCII, which is all that Pillow's own font has; "?" for other characters."""
    plain = text.replace("×", "x").replace("–", "-").replace("·", "-")
    folded = unicodedata.normalize("NFKD", plain)
    kept = "".join(c for c in folded if not unicodedata.combining(c))
    return kept.encode("ascii", "replace").decode("ascii")


def resized(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(H, W, 3) → (height, width, 3), antialiased (Lanczos)."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.array(image.resize((width, height), Image.Resampling.LANCZOS))


def fitted(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(H, W, 3) → (height, width, 3): scaled to fit, centred on black."""
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = [max(1, round(n * scale)) for n in picture.shape[:2]]
    out = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    out[top : top + size[0], left : left + size[1]] = resized(picture, size[0], size[1])
    return out


def most_detail(picture: NDArray[np.uint8], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the crop with the largest sum of gradients, on a grid of half crops.

    The crop has `size`, or is smaller where the picture is.
    """
    tones = picture.mean(axis=-1, dtype=np.float32)
    # clipped, so that the edges of light sources do not dominate
    steps = np.minimum(np.abs(np.diff(tones, axis=1, append=0)), 32)
    tops, lefts = (
        range(0, max(length - side, 0) + 1, max(side // 2, 1))
        for length, side in zip(tones.shape, size, strict=True)
    )
    places = [
        (slice(top, top + size[0]), slice(left, left + size[1])) for top in tops for left in lefts
    ]
    return max(places, key=lambda place: float(steps[place].sum()))
