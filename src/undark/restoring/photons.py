"""Restored light is held to the light that the sensor counted, block by block.

Averaged over a block, restored light must agree with the measured light within what the noise
model allows, whatever the network has made of the scene. `comparison.py` measures that, this
module corrects the blocks that disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from undark.restoring.comparison import Comparison

LIMIT = 5.0
"""Standard errors beyond which a block disagrees."""
_GOAL = 4.5
"""Standard errors that a correction ends within: below `LIMIT`, for rounding."""
_SMOOTH_ROUNDS, _EXACT_ROUNDS = 8, 20
_STEP = 1.25
"""Over-relaxation. A bilinear correction changes its own block by 0.56 of its value at the centre;
a step near 1 / 0.56 would oscillate between neighbours."""


@dataclass(frozen=True)
class Agreement:
    """How well restored light agreed with the measured light, and what was corrected."""

    blocks: int
    """Blocks of the frame."""
    beyond: int
    """Blocks beyond `LIMIT` standard errors before the correction."""
    largest: float
    """Largest disagreement in standard errors before the correction."""
    corrected: int
    """Blocks that were corrected: those beyond, and those that a neighbour's correction moved
    beyond."""
    remaining: float
    """Largest disagreement in standard errors after the correction."""

    def __str__(self) -> str:
        count = f"{self.corrected:,} of {self.blocks:,} blocks"
        return f"{count} were corrected towards the measured light"


def correct(comparison: Comparison, own: slice = slice(None)) -> Agreement:
    """Correct restored light, in place, until every block agrees with the measured light.

    What is returned is of the rows of blocks `own`: others are those of the next part of a photo.

    First the light of wrong blocks is clipped to the range of the measured light around each pixel,
    so that errors smaller than a block are corrected where they are, and again after every step
    below: where light has leaked over an edge, the pixels that it leaked into give it back, and not
    the rest of their block. What is left of a block's
    disagreement becomes a bilinear field between the centres of blocks, of which each pixel takes
    a share in proportion to its own variance. Where a pixel is bright its variance is its light
    times the gain, so the correction multiplies, and keeps contrast and hue; where it is dark the
    variance is constant, so the correction adds, and also raises what a network made black.
    A dark pixel beside a light source moves far less than the source. (This is the
    conditional mean of independent pixels, given their sum.) Where such a field cannot satisfy a
    block (greens that disagree with each other, light sources at a block's corner), a constant for
    the block and the CFA position does; in the end without the range, should that not be enough.
    """
    found = seen(comparison, own)
    wrong = np.asarray(np.abs(comparison.deviations()) > LIMIT)
    corrected = np.asarray(wrong.any(axis=-1))
    if not corrected.any():
        return found
    comparison.clip_local(comparison.by_colour(wrong))
    corrected |= _correct_smoothly(comparison)
    for in_range in (True, False):
        corrected |= _correct_exactly(comparison, in_range)
    remaining = seen(comparison, own).largest
    return replace(found, corrected=int(corrected[own].sum()), remaining=remaining)


def seen(comparison: Comparison, own: slice = slice(None)) -> Agreement:
    """How well the light agrees as it is, of the rows of blocks `own`."""
    apart = np.abs(comparison.deviations()[own])
    beyond = int((apart > LIMIT).any(axis=-1).sum())
    largest = float(apart.max(initial=0))
    return Agreement(apart[..., 0].size, beyond, largest, corrected=0, remaining=largest)


def together(bands: Sequence[Agreement | None]) -> Agreement | None:
    """The agreement of a photo, from those of its bands; None where they have none."""
    parts = [part for part in bands if part is not None]
    if not parts:
        return None
    return Agreement(
        blocks=sum(part.blocks for part in parts),
        beyond=sum(part.beyond for part in parts),
        largest=max(part.largest for part in parts),
        corrected=sum(part.corrected for part in parts),
        remaining=max(part.remaining for part in parts),
    )


def _correct_smoothly(comparison: Comparison) -> NDArray[np.bool_]:
    """Bilinear corrections of whole colours; which blocks (down, across) they were meant for."""
    corrected = np.zeros(comparison.shape[:2], bool)
    for _ in range(_SMOOTH_ROUNDS):
        wrong = comparison.by_colour(np.abs(comparison.deviations()) > _GOAL)
        if not wrong.any():
            break
        corrected |= wrong.any(axis=-1)
        comparison.add_smooth(np.where(wrong, np.float32(_STEP) * comparison.residuals(), 0))
        comparison.clip_local(wrong)
    return corrected


def _correct_exactly(comparison: Comparison, in_range: bool) -> NDArray[np.bool_]:
    """Constants for the blocks and positions that are left; which blocks (down, across).

    `in_range` keeps pixels in the range of the measured light around them.
    """
    corrected = np.zeros(comparison.shape[:2], bool)
    for _ in range(_EXACT_ROUNDS):
        wrong = np.abs(comparison.deviations()) > _GOAL
        if not wrong.any():
            break
        corrected |= wrong.any(axis=-1)
        residual = comparison.measured - comparison.restored
        comparison.add_exact(np.where(wrong, residual, np.float32(0)))
        if in_range:
            comparison.clip_local(comparison.by_colour(wrong))
    return corrected
