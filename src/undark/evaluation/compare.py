"""`undark compare`: one photo restored by every method, on a contact sheet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from undark.develop.classical import TONES
from undark.develop.drawing import fitted, most_detail, title_bar
from undark.develop.render import render
from undark.engine.model import Model
from undark.evaluation.methods import AMPLIFIED, DENOISED, NAMES, renditions
from undark.restoring.blend import amplify_and_demosaic
from undark.sensor.exposure import propose_exposure
from undark.sensor.mosaic import Mosaic

Pixels = NDArray[np.uint8]
"""(H, W, 3), sRGB."""

WIDTH, HEIGHT, TITLE = 480, 320, 32
"""Size of a detail on the sheet in pixels, and height of the title."""
MAX_FRAME_HEIGHT = 640
"""Largest height of the reduced frame, which is between title and detail."""
GAP = 4
AS_SHOT = "as shot"
STEPS = len(NAMES) + 2
"""Number of pictures on a sheet."""


def sheet(
    dark: Mosaic, network: Model, progress: Callable[[float], None] = lambda share: None
) -> Pixels:
    """(H, W, 3): each method's picture with its title, and the region of most detail at full size.

    The amplification is the default of `undark restore`; `progress` is called with the fraction
    done. Raises `UnsupportedError`, `ModelError`.
    """
    amplification = propose_exposure(dark).amplification
    first = iter(renditions(network, dark, amplification))
    name, light = next(first)
    restored = _rendered(light, dark, amplification)
    detail = most_detail(restored, (HEIGHT, WIDTH))
    cells = {name: _cell(name, restored, detail)}
    cells[AS_SHOT] = _cell(AS_SHOT, _rendered(amplify_and_demosaic(dark, 1), dark, 1), detail)
    for name, light in first:
        progress(len(cells) / STEPS)
        title = f"{name} ×{amplification:.3g}" if name == AMPLIFIED else name
        cells[name] = _cell(title, _rendered(light, dark, amplification), detail)
    return np.concatenate(
        [np.concatenate([cells[n] for n in row], axis=1) for row in _rows(network.card.name)]
    )


def _rows(network: str) -> list[list[str]]:
    """As shot, amplified, denoised, restored; then the tone methods, without and with denoising."""
    tones = [name for name in TONES if name != AMPLIFIED]
    return [
        [AS_SHOT, AMPLIFIED, AMPLIFIED + DENOISED, network],
        tones,
        [name + DENOISED for name in tones],
    ]


def _rendered(light: NDArray[np.float32], dark: Mosaic, amplification: float) -> Pixels:
    return np.asarray(render(light, dark, amplification), np.uint8)


def _cell(title: str, picture: Pixels, detail: tuple[slice, slice]) -> Pixels:
    """Title, reduced frame and detail, one below the other."""
    height = min(round(WIDTH * picture.shape[0] / picture.shape[1]), MAX_FRAME_HEIGHT)
    parts = [fitted(picture, height, WIDTH), _padded(picture[detail])]
    cell = np.concatenate([title_bar(title, WIDTH, TITLE), *parts])
    return np.pad(cell, ((0, GAP), (0, GAP), (0, 0)))


def _padded(picture: Pixels) -> Pixels:
    """Centred on black if it is smaller than `HEIGHT` × `WIDTH`."""
    out = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    height, width = picture.shape[:2]
    top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
    out[top : top + height, left : left + width] = picture
    return out
