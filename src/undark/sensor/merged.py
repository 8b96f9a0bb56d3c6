"""The noise of a mosaic that several frames were merged into: it differs from pixel to pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import dihedral, extend
from undark.sensor.noise import NoiseModel


@dataclass(frozen=True, eq=False)
class MergedNoise:
    """What each pixel's noise is, where it is the weighted mean of several frames' pixels."""

    one: NoiseModel
    """Of a single frame's pixel, in DN of the merged mosaic."""
    share: NDArray[np.float16]
    """(H, W): variance of a pixel as a share of a single frame's; 1/N where N frames are equal."""
    middle: float
    """The median share over the frame; parts of it keep it."""
    frames: int
    """Frames that were merged, the reference among them."""

    @classmethod
    def of(cls, one: NoiseModel, share: NDArray[np.float16], frames: int) -> MergedNoise:
        """The median is that of a sample of the pixels."""
        step = max(1, round((share.size / 1e6) ** 0.5)) | 1  # odd: all positions of the CFA
        middle = float(np.median(share[::step, ::step].astype(np.float32)))
        return cls(one, share, max(middle, 1e-4), frames)

    @property
    def typical(self) -> NoiseModel:
        """Of a pixel with the median share."""
        gain, read = self.one.gain * self.middle, self.one.read * self.middle**0.5
        return replace(self.one, gain=gain, read=read, row=0.0, bias=0.0, shape=None)

    def excess(
        self, rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.float32]:
        """(h, w): factor of the variance that `typical` gives, for a part of the frame."""
        found: NDArray[np.float32] = self.share[rows, columns].astype(np.float32)
        found /= np.float32(self.middle)
        return found

    def crop(self, rows: slice, columns: slice) -> MergedNoise:
        """Of a part of the frame."""
        return replace(self, share=self.share[rows, columns])

    def extended(self, before: tuple[int, int], after: tuple[int, int], period: int) -> MergedNoise:
        """Of the frame after `cfa.extend`."""
        return replace(self, share=extend(self.share, before, after, period))

    def dihedral(self, k: int) -> MergedNoise:
        """Of the frame after `cfa.dihedral`."""
        return replace(self, share=dihedral(self.share, k))
