"""`RAWImage`, used in place of a `PILImage`, and the tensors made from it.

`RAWImage` is a subclass of Pillow's image, because fastai's blocks and transforms only accept that.
Pillow supports neither 16-bit RGB nor mosaics, so the pixels are stored outside the Pillow image,
and Pillow's methods that would change them (resize, convert, save) raise `TypeError`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from fastai.torch_core import TensorImage, show_image
from fastai.vision.core import PILBase, ToTensor
from numpy.typing import NDArray
from PIL import Image

from undark.develop.colour import encode_srgb
from undark.fastai.frames import CachedFrames
from undark.files.raw import check_rendering, read_mosaic, render_with_libraw
from undark.sensor.cfa import CFA, RGGB, X_TRANS, dihedral, pack
from undark.sensor.mosaic import Mosaic

Content = Mosaic | NDArray[Any]

_CFAS = {cells * cfa.cell**2: cfa for cfa in (RGGB, X_TRANS) for cells in (1, 2)}
_WHITE = 0.99
"""Quantile of the light that is displayed as white, for planes that are not amplified."""


class TensorRawImage(TensorImage):
    """(C, H, W) float32, or a batch (N, C, H, W) of it.

    Three channels are a rendered picture in [0, 1]. Four (Bayer: R G G B) or nine (X-Trans) are
    packed planes of the sensor: 0 is black, 1 is white, and noise below black is negative.
    """

    _show_args: ClassVar[dict[str, Any]] = {}

    @property
    def is_packed(self) -> bool:
        """Whether the channels are packed planes of the sensor."""
        return self.shape[-3] in _CFAS

    def picture(self) -> NDArray[np.float32]:
        """(H, W, 3) in [0, 1], for display; packed planes are not demosaiced to full size."""
        channels = np.asarray(self.detach().cpu().float())
        if not self.is_packed:
            return np.clip(np.moveaxis(channels, 0, -1), 0, 1)
        light = _colours(channels)
        light /= np.clip(light, 0, None).mean(axis=(0, 1)) + 1e-9  # grey world
        return _encoded(light / max(float(np.quantile(light, _WHITE)), 1e-6))

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Draw `picture` on a matplotlib axis `ctx`, or a new one; the axis is returned."""
        return show_image(self.picture(), ctx=ctx, **{**self._show_args, **kwargs})

    def flip_lr(self) -> Self:
        self._refuse_packed()
        flipped: Self = super().flip_lr()
        return flipped

    def dihedral(self, k: int) -> Self:
        self._refuse_packed()
        turned: Self = super().dihedral(k)
        return turned

    def affine_coord(self, *args: Any, **kwargs: Any) -> Self:
        self._refuse_packed()
        moved: Self = super().affine_coord(*args, **kwargs)
        return moved

    def _refuse_packed(self) -> None:
        if self.is_packed:
            raise TypeError(
                "packed planes cannot be flipped or warped: that would move their colours; give "
                "FlipItem or DihedralItem as item_tfms: they flip the RAWImage before it is packed"
            )


class TensorLinearImage(TensorRawImage):
    """Linear white-balanced camera RGB (3, H, W), 1 is white; or the input of undark's networks,
    (2·cell², h, w): the amplified planes, then the noise map of each (`sensor.conditioning`)."""

    def picture(self) -> NDArray[np.float32]:
        """(H, W, 3) in [0, 1], with sRGB's curve."""
        channels = np.asarray(self.detach().cpu().float())
        return _encoded(_colours(channels) if self.is_packed else np.moveaxis(channels, 0, -1))


class RAWImage(PILBase):
    """A RAW file as a fastai image: its mosaic, or LibRaw's rendering of it.

    `content` is a `Mosaic`, or a picture (H, W, 3) of integers or of floats in [0, 1]. `frame` is
    the full frame that it was cropped from; `path` is the file, or None. `size` is (W, H) and
    `shape` (H, W) in pixels of the photo, also for a mosaic.
    """

    _open_args: ClassVar[dict[str, Any]] = {"output_bps": 16, "user_flip": 0}
    _show_args: ClassVar[dict[str, Any]] = {}
    _tensor_cls = TensorRawImage

    def __init__(
        self, content: Content, path: Path | None = None, frame: Content | None = None
    ) -> None:
        super().__init__()
        self.content, self.path = content, path
        self.frame = content if frame is None else frame
        height, width = content.shape[:2]
        self._size = (width, height)  # the attribute that Pillow's `size` reads

    # Any: fastai makes a transform of it and dispatches on the annotations
    @classmethod
    def create(cls, fn: Any, packed: bool = False, **options: Any) -> Any:
        """A RAWImage of a RAW file: its mosaic if `packed`, else LibRaw's rendering.

        `options` are those of rawpy's `postprocess`. Two defaults differ: 16 bits, and
        `user_flip=0`, the sensor's orientation, so that a rendering matches the mosaic of its pair.
        `user_flip=None` rotates the picture upright. Instead of a file, `fn` may be a `Mosaic`, an
        array (H, W, 3) or a tensor (3, H, W).

        Raises `ReadError`, `UnsupportedError`; `TypeError` for an unknown option.
        """
        check_options(packed, options)
        if isinstance(fn, RAWImage):
            return cls(fn.content, fn.path, fn.frame)
        if isinstance(fn, torch.Tensor):
            return cls(np.moveaxis(np.asarray(fn.detach().cpu()), 0, -1))
        if isinstance(fn, (Mosaic, np.ndarray)):
            return cls(fn)
        path = Path(fn)
        if packed:
            return cls(read_mosaic(path), path)
        return cls(render_with_libraw(path, **{**cls._open_args, **options}), path)

    @classmethod
    def open_cached(cls, path: Path, frames: CachedFrames, packed: bool, **options: Any) -> Self:
        """`create` for a file, read through a cache. Raises as `create`, and `OutputError`."""
        if packed:
            return cls(frames.mosaic(path), path)
        return cls(frames.rendering(path, {**cls._open_args, **options}), path)

    @property
    def cfa(self) -> CFA | None:
        """The colour filter array, starting at the top left pixel; None for a picture."""
        return self.content.cfa if isinstance(self.content, Mosaic) else None

    @property
    def name(self) -> str:
        """The file, for messages."""
        return str(self.path or "a RAWImage")

    def crop(self, box: tuple[int, int, int, int] | None = None) -> Self:
        """The crop (left, top, right, bottom), in Pillow's order; a view of the same pixels."""
        left, top, right, bottom = box or (0, 0, *self.size)
        if isinstance(self.content, Mosaic):
            return self._of(self.content.crop(top, left, bottom - top, right - left))
        return self._of(self.content[top:bottom, left:right])

    def dihedral(self, k: int) -> Self:
        """Flipped and transposed (see `sensor.cfa.dihedral`), with the CFA of a mosaic."""
        if isinstance(self.content, Mosaic):
            return self._of(self.content.dihedral(k))
        return self._of(dihedral(self.content, k))

    def flip_lr(self) -> Self:
        """Flipped left to right."""
        return self.dihedral(1)

    def tensor(self) -> TensorRawImage:
        """A picture in [0, 1], or the packed planes of a mosaic; see `TensorRawImage`.

        Packing extends a mosaic that does not start at its CFA's canonical phase; `RawCrop` crops
        both photos of a pair so that they start there.
        """
        content = self.content
        if isinstance(content, Mosaic):
            channels = pack(content.signal(), content.cfa) / np.float32(content.span)
        else:
            integers = np.issubdtype(content.dtype, np.integer)
            white = np.iinfo(content.dtype).max if integers else 1
            channels = np.moveaxis(content, -1, 0) / np.float32(white)
        return self._tensor_cls(torch.from_numpy(np.ascontiguousarray(channels, np.float32)))

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Draw it on a matplotlib axis `ctx`, or a new one; the axis is returned."""
        return self.tensor().show(ctx=ctx, **{**self._show_args, **kwargs})

    def load(self) -> None:
        """Raises `TypeError`: Pillow's methods call this to read the pixels, which it has not."""
        raise TypeError(
            f"{self.name}: Pillow supports neither 16-bit RGB nor mosaics; "
            "use crop, dihedral and tensor, or numpy.asarray"
        )

    def crop_pad(self, *args: Any, **kwargs: Any) -> Self:
        """Raises `TypeError`: fastai's croppers may resize or pad, as pixels of a RAW must not."""
        raise TypeError(f"{self.name}: fastai's Resize and crops may resize or pad; use RawCrop")

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """For `numpy.asarray`: the pixels (H, W, 3), or the plane of a mosaic (H, W)."""
        content = self.content
        pixels = content.plane if isinstance(content, Mosaic) else content
        interface: dict[str, Any] = pixels.__array_interface__
        return interface

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.content, self.path, self.frame)

    def _repr_image(self, image_format: str, **kwargs: Any) -> bytes | None:
        """For notebooks: `TensorRawImage.picture` in 8 bits."""
        shown = Image.fromarray(np.rint(255 * self.tensor().picture()).astype(np.uint8))
        encoded: bytes | None = shown._repr_image(image_format, **kwargs)
        return encoded

    def __repr__(self) -> str:
        kind = f"{self.cfa.name} mosaic" if self.cfa else f"{np.asarray(self).dtype} picture"
        width, height = self.size
        return f"{type(self).__name__} {kind} size={width}x{height}"

    def _of(self, content: Content) -> Self:
        return type(self)(content, self.path, self.frame)


def check_options(packed: bool, options: dict[str, Any]) -> None:
    """Raises `TypeError` for unknown rendering options, and for any if `packed`."""
    check_rendering(**options)
    if packed and options:
        raise TypeError(f"packed=True renders nothing: leave out {', '.join(options)}")


@ToTensor
def encodes(self: ToTensor, o: RAWImage) -> TensorRawImage:
    return o.tensor()


def _colours(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Packed planes (C, h, w) → (h, w, 3): the mean of each colour's planes; no noise maps."""
    colours = np.array(_CFAS[len(planes)].colours)
    light = planes[: len(colours)]
    return np.stack([light[colours == colour].mean(axis=0) for colour in range(3)], axis=-1)


def _encoded(light: NDArray[np.float32]) -> NDArray[np.float32]:
    shown: NDArray[np.float32] = encode_srgb(light)
    return shown
