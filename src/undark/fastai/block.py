"""`RawImageBlock`: the equivalent of an `ImageBlock` for RAW files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastai.data.block import TransformBlock
from fastai.data.transforms import IntToFloatTensor
from fasttransform import Transform

from undark.fastai.frames import CachedFrames
from undark.fastai.image import RAWImage, TensorRawImage, check_options


class OpenRAW(Transform):
    """`RAWImage.create` with its options as a transform; can be pickled."""

    def __init__(
        self, packed: bool, options: dict[str, Any], frames: CachedFrames | None = None
    ) -> None:
        super().__init__()
        self.packed, self.options, self.frames = packed, options, frames

    def encodes(self, fn: object) -> RAWImage:
        if self.frames and isinstance(fn, (str, Path)):
            return RAWImage.open_cached(Path(fn), self.frames, self.packed, **self.options)
        return RAWImage.create(fn, packed=self.packed, **self.options)


class RawImageBlock(TransformBlock):
    """A `TransformBlock` for RAW files: LibRaw's rendering, or the sensor's planes if `packed`.

    With `cache`, each file is decoded once and stored on disk, in undark's cache (True) or in the
    folder given; without, it is decoded in every epoch. `options` are those of `RAWImage.create`.
    Raises `TypeError` for an unknown option.
    """

    def __init__(
        self, packed: bool = False, cache: bool | str | Path = False, **options: Any
    ) -> None:
        check_options(packed, options)
        folder = None if isinstance(cache, bool) else Path(cache)
        opener = OpenRAW(packed, options, CachedFrames(folder) if cache else None)
        super().__init__(type_tfms=opener, batch_tfms=IntToFloatTensor)


# fastai applies IntToFloatTensor to each tensor of a batch; these are floats in [0, 1] already.
@IntToFloatTensor
def encodes(self: IntToFloatTensor, o: TensorRawImage) -> TensorRawImage:
    return o


@IntToFloatTensor
def decodes(self: IntToFloatTensor, o: TensorRawImage) -> TensorRawImage:
    return o
