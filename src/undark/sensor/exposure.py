"""How much to amplify, and how dark the scene was.

The amplification ratio is what a dark mosaic is multiplied by; in steps of two it is an exposure
value (EV). Without a bright photo to compare with it has to come from the picture itself.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from undark.cpus import in_threads
from undark.sensor.cfa import GREEN, pack
from undark.sensor.mosaic import Mosaic, Shot

MIDDLE_LEVEL = 0.1
"""Linear level, white = 1, that the middle tone of the scene is brought to."""
HIGHLIGHT_LEVEL = 0.65
"""Linear level that the brightest part of the scene, light sources left out, reaches at least:
what makes a white wall or snow white, whose middle tone is far above that of other scenes."""
WHITE_LEVEL = 3.0
"""Linear level that all but light sources stay below; the renderer shows it below white."""
MAX_AMPLIFICATION = 300.0
"""That is proposed, and that networks are trained for."""
MAX_EV = 16
MOST_EV = 32
"""Of any amplification; `MAX_EV` is that of what is typed."""
LIGHT_SOURCES = 0.02
"""Fraction of the frame that may clip (light sources)."""
_BLOCK = 8
"""Side in packed pixels of the blocks whose medians are looked at, so noise averages out."""
_BAND = 24
"""Blocks from the top to the bottom of a band of rows."""


@dataclass(frozen=True)
class Exposure:
    """An amplification and why it was chosen."""

    amplification: float
    reason: str
    """One line for people."""
    of_network: float | None = None
    """The amplification at which the network works; None: `amplification`. Where the two differ,
    its output is multiplied: exposures relative to the proposed one differ by a factor only, and
    noise is kept below the light that a network is not given (`most_amplification`)."""

    @property
    def ev(self) -> float:
        """The amplification in steps of two."""
        return math.log2(self.amplification)

    @property
    def network_amplification(self) -> float:
        return self.amplification if self.of_network is None else self.of_network

    def with_network_at(self, amplification: float) -> Exposure:
        """The same, of which the network works at this amplification."""
        same = amplification == self.network_amplification
        return self if same else replace(self, of_network=amplification)


def propose_exposure(mosaic: Mosaic, white_level: float = WHITE_LEVEL) -> Exposure:
    """The amplification, 1 to 300, that shows the scene well.

    The median of the scene is brought to `MIDDLE_LEVEL`, unless more than `LIGHT_SOURCES` of the
    frame would then pass `white_level`, or the brightest part would stay below `HIGHLIGHT_LEVEL`.
    Medians of means over blocks: noise, hot pixels and light sources do not move it.
    """
    levels = block_levels(mosaic)
    middle = float(np.median(levels))
    bright = float(np.quantile(levels, 1 - LIGHT_SOURCES))
    wanted, rules = wanted_amplification(max(middle, 1e-9), max(bright, 1e-9), white_level)
    by_middle, by_bright, by_highlights = rules
    amplification = min(max(wanted, 1.0), MAX_AMPLIFICATION)
    if wanted > MAX_AMPLIFICATION:
        reason = f"the most there is; the middle tone only reaches {middle * amplification:.3f}"
    elif wanted < 1:
        reason = "bright enough as it is"
    elif by_highlights > by_middle:
        reason = f"brings the brightest part of the scene to {HIGHLIGHT_LEVEL:g}"
    elif by_bright < by_middle:
        reason = f"holds all but light sources below {white_level:g}, where detail still shows"
    else:
        reason = f"brings the middle tone of the scene to {MIDDLE_LEVEL}"
    return Exposure(amplification, reason)


def wanted_amplification(
    middle: float, bright: float, white_level: float = WHITE_LEVEL
) -> tuple[float, tuple[float, float, float]]:
    """What `propose_exposure` wants for a scene, without limits.

    For the median and the brightest level but for light sources, both above 0, white = 1. Beside
    it what each of the three rules wants: by the middle tone, by white, by highlights.
    """
    rules = (MIDDLE_LEVEL / middle, white_level / bright, HIGHLIGHT_LEVEL / bright)
    by_middle, by_bright, by_highlights = rules
    return max(min(by_middle, by_bright), by_highlights), rules


@dataclass(frozen=True)
class ExposureWish:
    """What was asked for: EV, from nothing or from what the picture itself proposes."""

    ev: float
    relative: bool

    def of(self, mosaic: Mosaic, white_level: float = WHITE_LEVEL) -> Exposure:
        """The amplification for a photo."""
        if not self.relative:
            return Exposure(2.0**self.ev, f"{self.ev:+g} EV, as asked")
        return self.onto(propose_exposure(mosaic, white_level))

    def onto(self, proposed: Exposure) -> Exposure:
        """A relative wish's exposure, where the proposed one is known."""
        if not self.ev:
            return proposed
        reason = f"{proposed.reason}; {self.ev:+g} EV, as asked"
        amplification = proposed.amplification * 2.0**self.ev
        return Exposure(amplification, reason, of_network=proposed.network_amplification)


def as_exposure(
    asked: Exposure | ExposureWish | float | None, mosaic: Mosaic, white_level: float = WHITE_LEVEL
) -> Exposure:
    """An exposure: as given, by a wish, or of an amplification ratio; None: the one proposed.

    Raises `ValueError` for a ratio beyond `MOST_EV`, or no number.
    """
    if asked is None:
        return propose_exposure(mosaic, white_level)
    if isinstance(asked, ExposureWish):
        return asked.of(mosaic, white_level)
    chosen = asked if isinstance(asked, Exposure) else Exposure(float(asked), "as given")
    if not 2.0**-MOST_EV <= chosen.amplification <= 2.0**MOST_EV:
        raise ValueError(
            f"an amplification is 2^-{MOST_EV} to 2^{MOST_EV}, not {chosen.amplification}"
        )
    return chosen


def parse_exposure(text: str) -> ExposureWish:
    """ "auto", a number of EV (amplification 2^EV), or "auto+1", "auto-0.5".

    Raises `ValueError`, whose message says what to give, for anything else.
    """
    found = re.fullmatch(r"(auto)?([+-]?(?:\d+\.?\d*|\.\d+))?", text.strip().lower())
    auto, number = found.groups() if found else (None, None)
    signed = number is None or number[0] in "+-"
    ev = float(number or 0)
    if not (auto or number) or (auto and not signed) or abs(ev) > MAX_EV:
        raise ValueError(
            f"{text}: give auto, a number of EV from -{MAX_EV} to {MAX_EV}, or both, as in auto+1"
        )
    return ExposureWish(ev, bool(auto))


def block_levels(mosaic: Mosaic) -> NDArray[np.float32]:
    """Green level of each block of the frame, white = 1, not amplified; hot pixels are left out.

    A block's level is the median of its rows' means: means take out noise and the converter's
    steps, the median a hot pixel and its row. Done in bands of rows, to touch little memory.
    """
    height = mosaic.shape[0]
    block = min(_BLOCK, *(n // mosaic.cfa.cell for n in mosaic.shape))
    side = block * mosaic.cfa.cell
    starts = range(0, height - side + 1, _BAND * side)
    bands = (slice(start, min(start + _BAND * side, height)) for start in starts)
    return np.concatenate(in_threads(lambda rows: _band_levels(mosaic, rows, block), bands))


def _band_levels(mosaic: Mosaic, rows: slice, block: int) -> NDArray[np.float32]:
    """(rows, columns) levels of the whole blocks in some rows of the frame."""
    cfa = mosaic.cfa.crop(rows.start % mosaic.cfa.period, 0)
    greens = [i for i, colour in enumerate(cfa.colours) if colour == GREEN]
    planes = pack(mosaic.signal(rows), cfa)[greens[:2]]
    down, across = (n // block for n in planes.shape[1:])
    blocks = planes[:, : down * block, : across * block].reshape(2, down, block, across, block)
    means = np.moveaxis(blocks.mean(axis=-1), (0, 2), (2, 3)).reshape(down, across, -1)
    levels: NDArray[np.float32] = np.median(means, axis=-1) / mosaic.span
    return levels


def exposure_value(shot: Shot) -> float | None:
    """EV at ISO 100 of the camera's settings, log2(N²/t) - log2(ISO/100); None if not known."""
    if not (shot.aperture and shot.exposure_time and shot.iso):
        return None
    return math.log2(shot.aperture**2 / shot.exposure_time) - math.log2(shot.iso / 100)


def exposure_ratio(dark: Shot, bright: Shot) -> float | None:
    """How many times the DN that the bright settings give of one scene; None without both times.

    What only one of them names of ISO and aperture counts as the same for both.
    """
    if not (dark.exposure_time and bright.exposure_time):
        return None
    ratio = bright.exposure_time / dark.exposure_time
    if dark.iso and bright.iso:
        ratio *= bright.iso / dark.iso
    if dark.aperture and bright.aperture:
        ratio *= (dark.aperture / bright.aperture) ** 2
    return ratio


def scene_lux(mosaic: Mosaic) -> float | None:
    """About how much light fell on the scene, in lux; None where the settings are not known.

    A scene metered to a middle tone of 0.18 has 2.5 · 2^EV lux (ISO 2720, incident light,
    C = 250); a darker one has in proportion less.
    """
    ev = exposure_value(mosaic.shot)
    middle = float(np.median(block_levels(mosaic)))
    return None if ev is None or middle <= 0 else 2.5 * 2.0**ev * middle / 0.18
