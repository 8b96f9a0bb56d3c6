"""`RawImageBlock`: RAW files wherever a `DataBlock` could have an `ImageBlock`."""

from __future__ import annotations

from typing import Any

from fastai.data.block import TransformBlock
from fastai.data.transforms import IntToFloatTensor
from fasttransform import Transform

from undark.fastai.image import RAWImage, TensorRawImage, check_options


class OpenRAW(Transform):
    """`RAWImage.create` with its options, as a transform that can be pickled."""

    def __init__(self, packed: bool, options: dict[str, Any]) -> None:
        super().__init__()
        self.packed, self.options = packed, options

    def encodes(self, fn: object) -> RAWImage:
        return RAWImage.create(fn, packed=self.packed, **self.options)


class RawImageBlock(TransformBlock):
    """A `TransformBlock` for RAW files: LibRaw's rendering, or the sensor's own planes if `packed`.

    `options` are those of `RAWImage.create`. Raises `TypeError` for a misspelt one.
    """

    def __init__(self, packed: bool = False, **options: Any) -> None:
        check_options(packed, options)
        super().__init__(type_tfms=OpenRAW(packed, options), batch_tfms=IntToFloatTensor)


# In a batch beside an ImageBlock's bytes: these are floats in [0, 1] already.
@IntToFloatTensor
def encodes(self: IntToFloatTensor, o: TensorRawImage) -> TensorRawImage:
    return o


@IntToFloatTensor
def decodes(self: IntToFloatTensor, o: TensorRawImage) -> TensorRawImage:
    return o
