"""RAW files in fastai, with the interface of its vision library. See `docs/fastai.md`.

from undark.fastai import RAWImage, TensorRawImage, RawImageBlock, RawCrop, psnr, ssim
"""

try:
    import fastai as _fastai  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "undark.fastai needs fastai; install it with: pip install 'undark[fastai]'", name="fastai"
    ) from error

from undark.fastai.block import RawImageBlock
from undark.fastai.image import RAWImage, TensorLinearImage, TensorRawImage
from undark.fastai.metrics import psnr, ssim
from undark.fastai.network import ConditionPair, export_model
from undark.fastai.restore import restore_photo
from undark.fastai.transforms import RawCrop

__all__ = [
    "ConditionPair",
    "RAWImage",
    "RawCrop",
    "RawImageBlock",
    "TensorLinearImage",
    "TensorRawImage",
    "export_model",
    "psnr",
    "restore_photo",
    "ssim",
]
