"""Means over blocks of restored and of measured light, and ways to bring them together.

A frame is cut into blocks of 16×16 sensor pixels. In each, the restored light is put back through
the CFA and its mean at each position of the CFA (X-Trans: at each colour) is compared with the mean
of the measured signal. All means are in DN above black, without white balance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from undark.cpus import in_threads
from undark.restoring.blocks import (
    BLOCK,
    Patch,
    block_sums,
    corners,
    group_map,
    groups_of,
    isolated,
    patches,
    rows_of_groups,
    with_neighbours,
)
from undark.restoring.bound import beyond_noise, limits, shared_detail
from undark.restoring.coarse import BlockMeans
from undark.sensor.conditioning import signal_per_light
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.windows import near_sums

Floats = NDArray[np.float32]

_FEWEST = 4
"""Usable pixels that a mean is taken of."""
_NEAR_CLIPPING = 4.0
"""Sigmas from a clipping level within which a pixel is left out. The restored light decides: to
leave out the pixels whose own noise carried them there would bias the mean of the others."""
_ALMOST_WHITE = 0.98
"""Share of the span above which a sensor may not be linear."""
_AROUND = 1.0
"""Sigmas of a pixel by which light may exceed the means around it in a wrong block."""
_BELOW_PEAK = 2.0
"""Sigmas by which single pixels must exceed that to allow more: a star may be one pixel."""
_MOST_SHARE = 1.25
"""Most that a pixel moves, as a multiple of its block's residual: the residual of a dark block is
not multiplied in a bright one beside it."""


class _Near(NamedTuple):
    """What usable pixels of a colour show around each pixel; (h, w), DN, as for `bound.limits`."""

    mean: Floats
    """Of 5×5."""
    sigma: Floats
    """Of a pixel with the mean."""
    reach: Floats
    """Infinite where no pixel is usable: nothing is known."""
    peaks: Floats
    dips: Floats
    detail: Floats


class Comparison:
    """Means over blocks of restored and measured light: arrays (blocks down, blocks across, G).

    G counts the groups of pixels that are averaged together (see `groups_of`).
    """

    def __init__(
        self,
        light: Floats,
        mosaic: Mosaic,
        noise: NoiseModel,
        amplification: float,
        floor: int | None = None,
    ) -> None:
        """`floor` is what `clipped_below` says of the photo that the mosaic is, or is cut from."""
        self._light, self._mosaic, self._noise = light, mosaic, noise
        self._to_signal = signal_per_light(mosaic, amplification)
        self._groups, self.colours = groups_of(mosaic.cfa)
        self._floor = floor
        self._at_black = float(max(noise.read**2 + noise.step**2 / 12, 1e-6))
        height, width = mosaic.shape
        self.shape = (-(-height // BLOCK), -(-width // BLOCK), len(self.colours))
        self.count, self.measured, self.restored = (np.zeros(self.shape, np.float32) for _ in "cmr")
        self._excess = np.ones(self.shape, np.float32)  # of the variance of merged frames
        self._rows = rows_of_groups(self._groups, height)
        self._measure(np.ones(self.shape[:2], bool))

    def residuals(self) -> Floats:
        """(blocks down, blocks across, 3): measured minus restored mean of each colour, DN."""
        count = np.maximum(self._of_colours(self.count), np.float32(1))
        apart = self._of_colours(self.count * (self.measured - self.restored)) / count
        return np.asarray(apart, np.float32)

    def by_colour(self, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(blocks down, blocks across, G) → (…, 3): colours of which any group is marked."""
        return self._of_colours(marked.astype(np.float32)) > 0

    def _of_colours(self, values: Floats) -> Floats:
        """Sums over the groups of each colour: (…, G) → (…, 3)."""
        return values @ np.eye(3, dtype=np.float32)[self.colours]

    def standard_errors(self) -> Floats:
        """Of measured minus restored means, DN.

        Shot noise (of the brighter of the two means), read noise and quantisation average over the
        pixels of a mean; a row's offset is shared by the pixels of a row, so it averages over rows
        only; the black level's error is shared by all pixels of a position of the CFA. Where
        offsets were subtracted, what is left of them is mostly their slow part, which looks like
        the scene and which neighbouring rows share: it does not average.
        """
        of_black = self._noise.bias**2 / np.bincount(self._groups.ravel())
        return np.asarray(np.sqrt(self._variances() + of_black), np.float32)

    def _variances(self) -> Floats:
        """Of measured means, by the noise of pixels and of rows; DN²."""
        pixels = np.maximum(self.count, 1)
        rows = np.ones_like(pixels) if self._mosaic.offsets else np.minimum(self._rows, pixels)
        independent = self._variance(np.maximum(self.measured, self.restored)) / pixels
        independent *= np.maximum(self._excess, np.float32(0.01))  # 0 where nothing is usable
        return np.asarray(independent + self._noise.row**2 / rows, np.float32)

    def block_means(self) -> BlockMeans:
        """The means of colours, in the unit of restored light.

        A block where fewer than `_FEWEST` pixels of a colour are usable counts as white, with a
        residual of 0.
        """
        count = self._of_colours(self.count)
        share = np.asarray(self.count / np.maximum(count, 1)[..., self.colours], np.float32)
        restored, residual = self._of_colours(share * self.restored), self.residuals()
        variance = self._of_colours(np.square(share) * self._variances())
        white, unknown = np.array(self._mosaic.span, np.float32), count < _FEWEST
        restored[unknown], residual[unknown] = white, 0
        variance[unknown] = self._variance(white) / BLOCK**2
        means = (restored, residual, np.sqrt(variance))
        return BlockMeans(*(np.asarray(m / self._to_signal, np.float32) for m in means))

    def move(self, by: Floats) -> None:
        """Take the restored means for moved by (blocks down, blocks across, 3) of restored light.

        The light itself stays.
        """
        self.restored += (by * self._to_signal)[..., self.colours]

    def deviations(self) -> Floats:
        """Measured minus restored means in standard errors; 0 where too few pixels are usable."""
        apart = (self.measured - self.restored) / self.standard_errors()
        return np.where(self.count >= _FEWEST, apart, np.float32(0))

    def clip_local(self, wrong: NDArray[np.bool_]) -> None:
        """Clip light to what the measured light around each pixel allows, and take the means anew.

        In the blocks of a colour that are `wrong` (blocks down, blocks across, 3) and in those
        around them. The range is that of the means over 5×5 pixels in 3×3, `_AROUND` sigmas more,
        and of single pixels that exceed it by `_BELOW_PEAK` sigmas; below black, where no light
        is, single pixels do not count. Where the measured light has detail it is wider: pixels of
        a colour miss what is finer than they are apart.
        """
        wrong = np.stack([with_neighbours(wrong[..., c]) for c in range(3)], axis=-1)

        def work(patch: Patch) -> None:
            light, seen = self._light[patch.pixels], self._seen(patch)
            signal = self._mosaic.signal(*patch.pixels)
            usable = self._usable(patch, signal, seen)
            of_pixel = self._mosaic.cfa.colour_map(light.shape[:2])
            marked = wrong[patch.blocks].repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
            near = [self._near(signal, usable & (of_pixel == c), patch) for c in range(3)]
            details = shared_detail(
                [n.detail for n in near], [n.mean for n in near], [n.sigma for n in near]
            )
            for colour, (seen_of, detail) in enumerate(zip(near, details, strict=True)):
                mean, _, reach, peaks, dips, _ = seen_of
                plane = light[..., colour] * self._to_signal[colour]
                clipped = np.clip(plane, *limits(mean, reach, peaks, dips, detail))
                clipped /= self._to_signal[colour]
                at = marked[: plane.shape[0], : plane.shape[1], colour]
                light[..., colour] = np.where(at, clipped, light[..., colour])

        touched = np.asarray(wrong.any(axis=-1))
        self._each(touched, work)
        self._measure(touched)

    def _near(self, signal: Floats, ours: NDArray[np.bool_], patch: Patch) -> _Near:
        """What the usable pixels of a colour, `ours`, show around each pixel."""
        count = near_sums(ours.astype(np.float32))
        own = np.where(ours, signal, np.float32(0))
        some = np.maximum(count, np.float32(1))
        mean, square = (np.asarray(near_sums(of) / some, np.float32) for of in (own, own * own))
        noise = self._variance(mean, patch)
        sigma, none = np.sqrt(noise), np.float32(np.inf)
        below = np.float32(_BELOW_PEAK) * sigma
        return _Near(
            mean,
            sigma,
            np.where(count > 0, np.float32(_AROUND) * sigma, none),
            np.where(ours, signal - below, -none),
            np.where(ours, signal + below, none),
            beyond_noise(mean, square, noise, some),
        )

    def add_smooth(self, residual: Floats) -> None:
        """Move colours by residuals in DN, bilinear between centres, and take the means anew.

        `residual` is (blocks down, blocks across, 3).
        """
        groups = self._of_colours(np.ones_like(self.restored))
        level = self._variance(self._of_colours(self.restored) / groups)
        touched = with_neighbours((residual != 0).any(axis=-1))

        def work(patch: Patch) -> None:
            light = self._light[patch.pixels]
            for colour in range(3):
                seen = light[..., colour] * self._to_signal[colour]
                variance = self._variance(seen)
                for block, weight in corners(patch.pixels, residual.shape):
                    share = np.minimum(variance / level[..., colour][block], _MOST_SHARE)
                    seen += weight * residual[..., colour][block] * share
                light[..., colour] = seen / self._to_signal[colour]

        self._each(touched, work)
        self._measure(touched)

    def add_exact(self, residual: Floats) -> None:
        """Move each group's own pixels by residuals in DN, and take the means anew."""
        share = residual / self._variance(self.restored)
        touched = (share != 0).any(axis=-1)

        def work(patch: Patch) -> None:
            seen = self._seen(patch)
            field = share[patch.blocks].repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
            field = field[: seen.shape[0], : seen.shape[1]]
            group = group_map(self._groups, *seen.shape)[..., None]
            seen += np.take_along_axis(field, group, axis=-1)[..., 0] * self._variance(seen)
            self._put(patch, seen)

        self._each(touched, work)
        self._measure(touched)

    def _variance(self, signal: Floats, patch: Patch | None = None) -> Floats:
        """Variance of a pixel with this restored signal, DN²: shot noise, read noise, rounding.

        For the pixels of a `patch` with what a merge of fewer frames adds to it.
        """
        variance: Floats = np.maximum(signal, 0) * np.float32(self._noise.gain)
        variance += np.float32(self._at_black)
        if patch is not None and self._mosaic.merged is not None:
            variance *= self._mosaic.merged.excess(*patch.pixels)
        return variance

    def _measure(self, touched: NDArray[np.bool_]) -> None:
        """Take the means of the touched blocks (blocks down, blocks across), and of some others."""

        def work(patch: Patch) -> None:
            signal, seen = self._mosaic.signal(*patch.pixels), self._seen(patch)
            usable = self._usable(patch, signal, seen).astype(np.float32)
            count = self.count[patch.blocks] = block_sums(usable, self._groups)
            pairs = [(signal, self.measured), (seen, self.restored)]
            if self._mosaic.merged is not None:
                pairs.append((self._mosaic.merged.excess(*patch.pixels), self._excess))
            for values, means in pairs:
                values *= usable
                means[patch.blocks] = block_sums(values, self._groups) / np.maximum(count, 1)

        self._each(touched, work)

    def _usable(self, patch: Patch, signal: Floats, seen: Floats) -> NDArray[np.bool_]:
        """Pixels that are not clipped, hot or dead: those whose noise the model describes."""
        variance = self._variance(seen, patch)
        usable: NDArray[np.bool_] = self._mosaic.plane[patch.pixels] < self._mosaic.white
        margin = np.sqrt(variance) * np.float32(_NEAR_CLIPPING)
        usable &= seen + margin < np.float32(_ALMOST_WHITE * self._mosaic.span)
        if self._floor is not None:
            usable &= seen - margin > np.float32(self._floor - self._mosaic.black.mean())
        of_pixel = self._mosaic.cfa.colour_map(signal.shape)
        usable[isolated(signal - seen, variance, of_pixel)] = False
        return usable

    def _seen(self, patch: Patch) -> Floats:
        """(h, w): restored light of a patch, put back through the CFA, DN above black."""
        light = self._light[patch.pixels]
        seen = np.empty(light.shape[:2], np.float32)
        for y, x, colour in self._places:
            np.multiply(light[y, x, colour], self._to_signal[colour], out=seen[y, x])
        return seen

    def _put(self, patch: Patch, seen: Floats) -> None:
        """Undo `_seen`: sets the colour that each pixel measures, the two others stay."""
        light = self._light[patch.pixels]
        for y, x, colour in self._places:
            light[y, x, colour] = seen[y, x] / self._to_signal[colour]

    @property
    def _places(self) -> Iterator[tuple[slice, slice, int]]:
        """Rows, columns and colour of each position of the CFA's period."""
        cfa = self._mosaic.cfa
        for y, line in enumerate(cfa.rows):
            for x, colour in enumerate(line):
                yield slice(y, None, cfa.period), slice(x, None, cfa.period), colour

    def _each(self, touched: NDArray[np.bool_], work: Callable[[Patch], None]) -> None:
        """Call `work` with the patches that hold the touched blocks."""
        found = patches(touched, self._mosaic.shape)
        in_threads(work, found)
