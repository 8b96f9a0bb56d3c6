"""What keeps a pair aligned, and `Normalize` for tensors of RAW files.

For flips and transposition fastai's own `FlipItem` and `DihedralItem` serve: a `RAWImage` knows
how it lies.
"""

from __future__ import annotations

import random
from typing import Any

from fastai.data.transforms import Normalize
from fastai.vision.augment import RandTransform
from fastai.vision.core import TensorPoint
from fastcore.basics import store_attr, tuplify
from PIL import Image

from undark.errors import TrainingError
from undark.fastai.image import RAWImage, TensorRawImage
from undark.sensor.cfa import CFA


class RawCrop(RandTransform):
    """Cuts one place out of all pictures of an item; never resizes and never pads.

    `size` is in pixels of the photo, a side or (height, width), whole periods of the CFA where
    there is a mosaic: multiples of 2, or 6 for X-Trans. The place is random in training, the middle
    in validation, and always one where packed planes begin at the canonical phase: each pixel of
    theirs lies exactly on a cell of the target. A flipped mosaic may lose a period at its border by
    that, so photos have to be a little larger than the crop.

    Raises `TrainingError` for a photo smaller than the crop, and for a pair of two sizes or of two
    colour filter arrays.
    """

    split_idx, order = None, 1

    def __init__(self, size: int | tuple[int, int]) -> None:
        store_attr("size")
        super().__init__()
        self.height, self.width = (size, size) if isinstance(size, int) else size

    def before_call(self, b: Any, split_idx: int | None) -> None:
        pictures = [x for x in tuplify(b) if isinstance(x, Image.Image)]
        width, height = _same_size(pictures)
        cfa = _same_cfa(pictures)
        tops = _starts(height, self.height, cfa, 0)
        lefts = _starts(width, self.width, cfa, 1)
        if not (tops and lefts):
            raise TrainingError(
                f"{_name(pictures[0])}: {width}×{height} pixels hold no crop of "
                f"{self.width}×{self.height}; choose a smaller crop, or leave this photo out"
            )
        top, left = ((s[len(s) // 2] if split_idx else random.choice(s)) for s in (tops, lefts))
        self.box = (left, top, left + self.width, top + self.height)

    # no types of results: fastai would cast to them, and a PILImage would be one no more
    def encodes(self, x: Image.Image) -> Any:
        return x.crop(self.box)

    def encodes(self, x: TensorPoint) -> Any:  # type: ignore[no-redef]  # noqa: F811
        raise TypeError("RawCrop does not move points and boxes; leave it out beside their blocks")


def _name(picture: Image.Image) -> str:
    return picture.name if isinstance(picture, RAWImage) else "a picture"


def _same_size(pictures: list[Image.Image]) -> tuple[int, int]:
    """(W, H) of all the pictures."""
    if not pictures:
        raise TypeError("RawCrop crops RAWImage and PILImage; give it as item_tfms")
    first = pictures[0]
    for other in pictures[1:]:
        if tuple(other.size) != tuple(first.size):
            one, two = ("×".join(map(str, p.size)) for p in (first, other))
            raise TrainingError(
                f"{_name(first)} has {one} pixels, {_name(other)} {two}: not a pair; take both "
                "with one camera, and render them without half_size and user_flip"
            )
    width, height = first.size
    return width, height


def _same_cfa(pictures: list[Image.Image]) -> CFA | None:
    """The CFA of the mosaics among the pictures, if there are any."""
    mosaics = [p for p in pictures if isinstance(p, RAWImage) and p.cfa]
    for other in mosaics[1:]:
        if other.cfa != mosaics[0].cfa:
            raise TrainingError(
                f"{mosaics[0].name} and {other.name} begin with other colours of their filters: "
                "not a pair; take both with one camera"
            )
    return mosaics[0].cfa if mosaics else None


def _starts(length: int, size: int, cfa: CFA | None, axis: int) -> range:
    """Where a crop of `size` may begin along an axis. Raises `ValueError` for a useless size."""
    period, shift = (cfa.period, cfa.shift[axis]) if cfa else (1, 0)
    if size < 1 or size % period:
        raise ValueError(f"a crop of {size} pixels; give a multiple of the CFA's period, {period}")
    return range(-shift % period, length - size + 1, period)


# Statistics of an input with four planes say nothing of a target with three colours: what has
# another number of channels passes as it is.
@Normalize
def encodes(self: Normalize, x: TensorRawImage) -> TensorRawImage:
    return (x - self.mean.to(x.device)) / self.std.to(x.device) if _fits(self, x) else x


@Normalize
def decodes(self: Normalize, x: TensorRawImage) -> TensorRawImage:
    return x * self.std.to(x.device) + self.mean.to(x.device) if _fits(self, x) else x


def _fits(normalize: Normalize, x: TensorRawImage) -> bool:
    return bool(normalize.mean.shape[1] == x.shape[-3])
