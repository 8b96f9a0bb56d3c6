"""`RawCrop`, which crops both photos of a pair alike, and `Normalize` for tensors of RAW files.

For flips and transposition use fastai's `FlipItem` and `DihedralItem`; `RAWImage` updates the CFA.
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
    """Crop all pictures of an item to the same region; never resizes, never pads.

    `size` is in pixels of the photo, a side or (height, width); with a mosaic it must be a multiple
    of the CFA's period, 2 or 6 (X-Trans). The region is random in training and central in
    validation. It always starts at the canonical phase of the CFA, so that each packed pixel covers
    exactly one cell of the target. In a flipped mosaic that may exclude a period at the border:
    photos must be slightly larger than the crop.

    Raises `TrainingError` for a photo smaller than the crop, and for a pair whose sizes or colour
    filter arrays differ.
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
                f"{_name(pictures[0])}: {width}×{height} pixels, too small for a crop of "
                f"{self.width}×{self.height}; choose a smaller crop, or leave this photo out"
            )
        top, left = ((s[len(s) // 2] if split_idx else random.choice(s)) for s in (tops, lefts))
        self.box = (left, top, left + self.width, top + self.height)

    # no return types: fastai casts results to them, which would change a PILImage's class
    def encodes(self, x: Image.Image) -> Any:
        return x.crop(self.box)

    def encodes(self, x: TensorPoint) -> Any:  # type: ignore[no-redef]  # noqa: F811
        raise TypeError("RawCrop does not crop points and boxes; do not use it with their blocks")


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
                f"{mosaics[0].name} and {other.name} have different colour filter arrays: "
                "not a pair; take both with one camera"
            )
    return mosaics[0].cfa if mosaics else None


def _starts(length: int, size: int, cfa: CFA | None, axis: int) -> range:
    """Possible starts of a crop along an axis. Raises `ValueError` for an unsuitable size."""
    period, shift = (cfa.period, cfa.shift[axis]) if cfa else (1, 0)
    if size < 1 or size % period:
        raise ValueError(f"a crop of {size} pixels; give a multiple of the CFA's period, {period}")
    return range(-shift % period, length - size + 1, period)


# The statistics are of the input's channels (such as four planes): a tensor with another number of
# channels (a target of three) is not changed.
@Normalize
def encodes(self: Normalize, x: TensorRawImage) -> TensorRawImage:
    return (x - self.mean.to(x.device)) / self.std.to(x.device) if _fits(self, x) else x


@Normalize
def decodes(self: Normalize, x: TensorRawImage) -> TensorRawImage:
    return x * self.std.to(x.device) + self.mean.to(x.device) if _fits(self, x) else x


def _fits(normalize: Normalize, x: TensorRawImage) -> bool:
    return bool(normalize.mean.shape[1] == x.shape[-3])
