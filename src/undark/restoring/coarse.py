"""Low frequencies of restored light, corrected by a small network that sees means over blocks.

A network for tiles sees 128 pixels to each side. In what is nearly black its errors are correlated
over tens of pixels: blotches of colour, which noise hides at first and which are seen in a finished
picture. The coarse network (`engine.coarse`) is given the means of restored and of measured light
over blocks of 16×16 pixels, and the noise of the measured ones, and says how far the restored
means are to be moved: at most by the standard error of a measured mean, the least of the block
and of those around it, so that a light source allows nothing in the dark beside it, and by no more
than measured and restored means are apart nearby. (A coarse
branch for colour beside a fine one: Ansel's neural raw denoiser.)

All that the network is given is relative to the noise: light and noise times a constant give a
correction times that constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undark.cpus import in_threads
from undark.engine.coarse import run_coarse
from undark.restoring.blocks import BLOCK, ends
from undark.sensor.windows import box_means, over_3x3

Floats = NDArray[np.float32]

REACH = 12
"""Rows of blocks around a block that its correction depends on, an even number: 11 of the
network, or 2 of the limit, and 1 of the bilinear field."""
_MOST_SIGMAS = 5.0
"""Standard errors beyond which measured and restored means count as this far apart."""


@dataclass(frozen=True)
class BlockMeans:
    """Of each block and colour, (blocks down, blocks across, 3), in the unit of restored light."""

    restored: Floats
    residual: Floats
    """Measured minus restored mean."""
    error: Floats
    """Standard error of the measured mean by the noise of pixels and rows."""

    def features(self) -> Floats:
        """(9, blocks down, blocks across): what the network is given."""
        typical = self.error.mean(axis=-1, keepdims=True)
        apart = np.clip(self.residual / self.error, -_MOST_SIGMAS, _MOST_SIGMAS)
        given = [np.arcsinh(self.restored / typical), apart, self.error / typical]
        return np.moveaxis(np.concatenate(given, axis=-1), -1, 0).astype(np.float32)

    def limit(self) -> Floats:
        """(blocks down, blocks across, 3): the most that the mean of a block may be moved.

        The least standard error of the 3×3 blocks around, and the root mean square residual of
        5×5: where measured and restored light agree, nothing is to be moved.
        """
        errors, residuals = (np.moveaxis(m, -1, 0) for m in (self.error, self.residual))
        least = np.stack([over_3x3(error, np.minimum) for error in errors])
        apart = np.sqrt(box_means(np.square(residuals), 2))
        return np.moveaxis(np.minimum(least, apart), 0, -1)


def corrections(means: BlockMeans) -> Floats:
    """(blocks down, blocks across, 3) in the unit of restored light, to be added to the blocks.

    Raises `ModelError`.
    """
    shares = run_coarse(means.features())
    return np.asarray(np.moveaxis(shares, 0, -1) * means.limit(), np.float32)


class CoarseField:
    """The corrections of a frame whose means become known from top to bottom."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """`shape` begins with the blocks of the frame, down and across."""
        self._means = np.empty((3, *shape[:2], 3), np.float32)  # the fields of `BlockMeans`
        self._known = 0

    def add(self, means: BlockMeans) -> None:
        """The next rows of blocks."""
        end = self._known + len(means.restored)
        self._means[:, self._known : end] = (means.restored, means.residual, means.error)
        self._known = end

    def is_known(self, last: int) -> bool:
        """Whether the corrections of all rows of blocks before `last` can be told."""
        return self._known >= min(last + REACH, self._means.shape[1])

    def rows(self, first: int, last: int) -> Floats:
        """Corrections of rows of blocks from `first`, an even number, before `last`.

        With one row more above and below, that of the frame's end repeated.
        """
        begin, end = max(first - REACH, 0), min(last + REACH, self._means.shape[1])
        found = corrections(BlockMeans(*self._means[:, begin:end]))
        rows = np.arange(first - 1, last + 1).clip(begin, end - 1) - begin
        made: Floats = found[rows]
        return made


def add_field(light: Floats, field: Floats) -> None:
    """Add corrections to rows of light (h, W, 3), in place, bilinear between centres of blocks.

    `light` begins with a row of blocks, `field` (blocks down + 2, blocks across, 3) with the row
    above that, and ends with the one below its last.
    """
    width = light.shape[1]
    (left, share), (right, rest) = ends(slice(0, width), field.shape[1])
    across = field[:, left] * share[:, None] + field[:, right] * rest[:, None]
    (above, upper), (below, lower) = ends(slice(BLOCK, BLOCK + len(light)), len(field))
    shares = np.zeros((len(light), len(field)), np.float32)
    np.add.at(shares, (np.arange(len(light)), above), upper)
    np.add.at(shares, (np.arange(len(light)), below), lower)

    def work(block: int) -> None:
        rows, near = slice(block * BLOCK, (block + 1) * BLOCK), slice(block, block + 3)
        part = light[rows]
        part += (shares[rows, near] @ across[near].reshape(3, -1)).reshape(part.shape)

    in_threads(work, range(-(-len(light) // BLOCK)))


def moved_means(field: Floats) -> Floats:
    """By how much `add_field` moves the mean of each block: (blocks down, blocks across, 3)."""
    across = np.pad(field, ((0, 0), (1, 1), (0, 0)), mode="edge")
    rows = (across[:, :-2] + across[:, 2:]) / 8 + across[:, 1:-1] * 0.75
    return np.asarray((rows[:-2] + rows[2:]) / 8 + rows[1:-1] * 0.75, np.float32)
