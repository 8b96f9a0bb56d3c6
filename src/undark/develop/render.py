"""The renderer: linear camera RGB → an upright sRGB picture, 8 or 16 bit.

Five steps for each pixel, each a small function:

1. highlights: with another white balance than as shot, channels are multiplied; they are clipped at
   the level where the first one saturates, so that a light source that saturated the sensor is
   neutral, not magenta;
2. colour: the camera's matrix to linear sRGB; negative channels (out of gamut) are compressed
   smoothly to the gamut's border while the largest channel stays, after the ACES Reference Gamut
   Compression (Academy S-2020-001);
3. shoulder: the largest channel follows a tone curve, linear up to `KNEE`, then compressed up to
   white; the others are scaled in proportion, so hue is kept; far above white they fade to white;
4. contrast, where it is asked for: an S-curve on the largest channel, the others in proportion;
5. sRGB's curve, and rounding.

A frame is rendered in tiles that fit a CPU cache, which also bounds memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from undark.cpus import in_threads
from undark.develop.colour import encode_srgb, srgb_from_camera
from undark.sensor.mosaic import Mosaic
from undark.sensor.orientation import as_on_sensor, upright_shape

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8] | NDArray[np.uint16]
RGB = tuple[Floats, Floats, Floats]
"""Three planes of one shape."""

KNEE = 0.7
"""Linear light up to which the tone curve is the identity."""
WHITE = 16.0
"""Linear light that becomes the picture's white; less where the sensor saturates below it."""
FADE = 7.0
"""Linear light above 1 at which colours are half faded to white; less with a lower white."""
BORDER = 0.04
"""Width of the gamut compression at sRGB's border, as a fraction of the largest channel."""
MIDDLE_GREY = 0.18
"""Linear light that contrast leaves as it is, beside black and white."""
MAX_CONTRAST = 1.0
TILE = (32, 512)
"""Rows and columns of a tile: 64 KiB a plane."""

_TYPES = {8: np.uint8, 16: np.uint16}
_CURVE_STEPS = {8: 1 << 13, 16: 1 << 18}  # rounding is right within 0.02 and 0.2 of a level


def render(
    linear: Floats,
    mosaic: Mosaic,
    amplification: float,
    bits: int = 8,
    gains: NDArray[np.floating] | None = None,
    contrast: float = 0.0,
) -> Picture:
    """Develop linear light into a picture: (H, W, 3) float32 → (H', W', 3) uint8 or uint16, sRGB.

    `linear` is camera RGB with the white balance of `mosaic`; 1 is white in the amplified picture,
    light sources are above, noise may be below 0. It may be a part of the frame. `mosaic` gives
    the white balance, the colour matrix (None: camera RGB is taken for sRGB) and the orientation,
    which is applied. `gains` (3,) are another white balance to show it with (see
    `develop.white_balance`), `contrast` is -1 to 1 (see `contrast_curve`). Raises `ValueError` for
    other than 8 or 16 bits and for another contrast.
    """
    rendering = Rendering(linear.shape[:2], mosaic, amplification, bits, gains, contrast)
    rendering.add(0, linear)
    return rendering.picture


class Rendering:
    """A picture that is developed from top to bottom, some rows at a time."""

    def __init__(
        self,
        shape: tuple[int, ...],
        mosaic: Mosaic,
        amplification: float,
        bits: int,
        gains: NDArray[np.floating] | None = None,
        contrast: float = 0.0,
    ) -> None:
        """For light of (H, W) pixels; see `render`."""
        if bits not in _TYPES:
            raise ValueError(f"a picture has 8 or 16 bits a channel, not {bits}")
        check_contrast(contrast)
        self._bits, self._contrast = bits, contrast
        self._factors = None if gains is None else gains / mosaic.white_balance
        shown = mosaic.white_balance if gains is None else gains
        self._level = saturation(shown, amplification)
        self._matrix = srgb_matrix(mosaic.camera_from_xyz) / min(self._level, 1.0)
        self.picture, self._frame = oriented(shape, mosaic.orientation, bits)

    def add(self, top: int, linear: Floats) -> None:
        """Develop rows of linear light (h, W, 3), the first of which is row `top` of the frame."""

        def work(tile: tuple[slice, slice]) -> None:
            rgb = linear[tile] if self._factors is None else rebalance(linear[tile], self._factors)
            planes = apply_matrix(clip_highlights(rgb, self._level), self._matrix)
            planes = shoulder(compress_gamut(planes), max(self._level, 1.0))
            planes = apply_contrast(planes, self._contrast)
            rows = slice(tile[0].start + top, tile[0].stop + top)
            for channel, plane in enumerate(planes):
                self._frame[rows, tile[1], channel] = quantise(plane, self._bits)

        in_threads(work, _tiles(*linear.shape[:2]))


def saturation(white_balance: NDArray[np.floating], amplification: float) -> float:
    """Linear light at which the first channel saturates; below 1, it is taken as white."""
    return float(amplification * white_balance.min())


def srgb_matrix(camera_from_xyz: NDArray[np.floating] | None) -> NDArray[np.float64]:
    """(3, 3): white-balanced camera RGB → linear sRGB; the identity where the matrix is unknown."""
    if camera_from_xyz is None:
        return np.eye(3)
    try:
        return srgb_from_camera(camera_from_xyz)
    except ValueError:  # damaged DNGs have matrices that cannot be inverted
        return np.eye(3)


def rebalance(rgb: Floats, factors: NDArray[np.floating]) -> Floats:
    """Light (h, w, 3) with another white balance; `factors` (3,) are the new gains over the old."""
    return rgb * factors.astype(np.float32)


def clip_highlights(rgb: Floats, level: float) -> RGB:
    """(h, w, 3) → its three planes, clipped at `level`: neutral where the sensor saturated."""
    red, green, blue = (np.minimum(rgb[..., c], np.float32(level)) for c in range(3))
    return red, green, blue


def apply_matrix(planes: RGB, matrix: NDArray[np.float64]) -> RGB:
    """Multiply the channels of each pixel by a (3, 3) matrix."""

    def row(weights: NDArray[np.float32]) -> Floats:
        total: Floats = planes[0] * weights[0]
        total += planes[1] * weights[1]
        total += planes[2] * weights[2]
        return total

    red, green, blue = (row(weights) for weights in matrix.astype(np.float32))
    return red, green, blue


def strongest(planes: RGB) -> Floats:
    """The largest channel of each pixel, at least 1e-6."""
    peak: Floats = np.maximum(planes[0], planes[1])
    np.maximum(peak, planes[2], out=peak)
    return np.maximum(peak, np.float32(1e-6), out=peak)


def compress_gamut(planes: RGB) -> RGB:
    """Raise channels below or near 0, in place, so that none is negative; the largest stays.

    A channel at b times the largest follows a parabola for |b| < `BORDER` and is 0 below it, so
    that colours just outside sRGB remain distinguishable.
    """
    border: Floats = strongest(planes) * np.float32(BORDER)
    span = 2 * border
    half_share = 0.5 / span
    for plane in planes:
        short: Floats = border - plane
        if short.max() <= 0:
            continue
        np.maximum(short, 0, out=short)
        bent: Floats = np.minimum(short, span)
        # bent (short - bent / 2) / span: a parabola where short < span, then a line of slope 1
        short *= 2
        short -= bent
        bent *= short
        bent *= half_share
        plane += bent
        np.maximum(plane, 0, out=plane)
    return planes


def shoulder(planes: RGB, white: float = WHITE) -> RGB:
    """Map light of [0, ∞) to [0, 1], in place: the largest channel by `roll_off`.

    The others are scaled in proportion, which keeps hue, and above white fade towards the largest,
    so that light sources become white.
    """
    peak = strongest(planes)
    if peak.max() <= KNEE:
        return planes
    shown = roll_off(peak, white)
    faded: Floats = fade(peak, white) * shown
    ratio: Floats = np.subtract(shown, faded)
    ratio /= peak
    for plane in planes:
        plane *= ratio
        plane += faded
    return planes


def roll_off(light: Floats, white: float = WHITE) -> Floats:
    """Highlight compression: light of [0, ∞) → [0, 1], identity up to `KNEE`, 1 from `white` on.

    Reinhard et al.'s curve with a burnt-out white ("Photographic tone reproduction for digital
    images", SIGGRAPH 2002, eq. 4), starting at the knee with slope 1. With `white` at 1 nothing is
    compressed. `white` is clipped to [1, `WHITE`].
    """
    span = np.float32(1 - KNEE)
    most = (min(max(white, 1.0), WHITE) - KNEE) / (1 - KNEE)
    above: Floats = np.maximum(light - np.float32(KNEE), 0)
    above /= span
    curve: Floats = above / np.float32(most**2)
    curve += 1
    curve *= above
    above += 1
    curve /= above
    curve *= span
    curve += np.minimum(light, np.float32(KNEE))
    return np.minimum(curve, 1, out=curve)


def fade(light: Floats, white: float = WHITE) -> Floats:
    """Fraction by which colours fade to white: 0 up to 1, half at 1 + `FADE`, towards 1 above.

    With a `white` below `WHITE` it rises faster: where channels saturate one after the other, hues
    are unreliable.
    """
    half = min(max(FADE * (white - 1) / (WHITE - 1), 2.0), FADE)
    beyond: Floats = np.maximum(light - 1, 0)
    beyond *= beyond
    total: Floats = beyond + np.float32(half**2)
    return np.divide(beyond, total, out=beyond)


def check_contrast(contrast: float) -> None:
    """Raises `ValueError` for other than -1 to 1."""
    if not -MAX_CONTRAST <= contrast <= MAX_CONTRAST:
        raise ValueError(f"contrast is -{MAX_CONTRAST:g} to {MAX_CONTRAST:g}, not {contrast}")


def apply_contrast(planes: RGB, contrast: float) -> RGB:
    """Change the contrast of light in [0, 1], in place: the largest channel by `contrast_curve`.

    The others are scaled in proportion, which keeps hue and saturation. With contrast 0 nothing
    changes. Light above 1 keeps its value.
    """
    if contrast == 0:
        return planes
    peak = strongest(planes)
    np.minimum(peak, 1, out=peak)
    ratio: Floats = contrast_curve(peak, contrast)
    ratio /= peak
    for plane in planes:
        plane *= ratio
    return planes


def contrast_curve(light: Floats, contrast: float) -> Floats:
    """Light of [0, 1] → [0, 1]: monotone, the same at black, `MIDDLE_GREY` and white.

    The slope is 2^contrast at mid-grey and 2^-contrast at black and white; -contrast gives the
    inverse. Two hyperbolas that meet with equal slope, after Schlick, "Fast alternatives to
    Perlin's bias and gain functions", Graphics Gems IV, 1994, his with the middle at 0.5.
    """
    slope, middle = np.float32(2.0**contrast), np.float32(MIDDLE_GREY)
    rest = np.float32(1) - middle
    below = np.minimum(light, middle) / middle
    above = np.clip((1 - light) / rest, 0, 1)
    dark = middle * below / (below + slope * (1 - below))
    bright = rest - rest * above / (above + slope * (1 - above))
    curve: Floats = np.asarray(dark + bright, np.float32)
    return curve


def quantise(plane: Floats, bits: int) -> Picture:
    """Linear light, in place clipped to [0, 1] → levels of sRGB's curve, rounded."""
    curve = _curve(bits)
    np.clip(plane, 0, 1, out=plane)
    np.sqrt(plane, out=plane)  # finer steps of the table where sRGB's curve is steep
    plane *= len(curve) - 1
    plane += np.float32(0.5)
    levels: Picture = curve.take(plane.astype(np.intp))
    return levels


@cache
def _curve(bits: int) -> Picture:
    """Levels of sRGB's curve at evenly spaced square roots of linear light."""
    root = np.linspace(0, 1, _CURVE_STEPS[bits] + 1)
    levels: Picture = np.rint(encode_srgb(root**2) * (2**bits - 1)).astype(_TYPES[bits])
    return levels


def oriented(shape: tuple[int, ...], orientation: int, bits: int) -> tuple[Picture, Picture]:
    """An empty upright picture, and a view of it in the sensor's pixel order.

    `orientation` is EXIF's, 1 to 8; any other value counts as 1 (upright).
    """
    height, width = shape
    out: Picture = np.empty((*upright_shape((height, width), orientation), 3), _TYPES[bits])
    return out, as_on_sensor(out, orientation)


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    rows, columns = TILE
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield slice(top, min(top + rows, height)), slice(left, min(left + columns, width))
