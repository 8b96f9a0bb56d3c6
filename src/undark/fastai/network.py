"""undark's networks in a fastai `Learner`: their input and target, and the export of a model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.torch_core import get_model
from fasttransform import ItemTransform
from numpy.typing import NDArray

from undark.engine.card import TASK
from undark.errors import ExistsError, TrainingError
from undark.fastai.image import RAWImage, TensorLinearImage
from undark.files.output import writing
from undark.learn.export import MODEL, commit, export
from undark.learn.network import UNet
from undark.restoring.blend import amplify_and_demosaic
from undark.sensor.conditioning import condition, scale
from undark.sensor.exposure import exposure_ratio, propose_exposure
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.lookup import noise_of


class ConditionPair(ItemTransform):
    """A dark and a bright mosaic → input and target of undark's networks, as `TensorLinearImage`.

    The input equals, bit for bit, that which `undark.restore` computes of a photo without offsets
    and hot pixels: restoring corrects them in the whole frame, this takes crops as they are, with
    noise maps that contain the offsets. The target is the bright photo, demosaiced bilinearly, in
    the white balance of the dark one.

    `amplification` applies to all pairs; by default each pair has its own, from its exposures. A
    dark photo without a bright one (in prediction) is amplified as `undark.restore` proposes.
    Raises `TrainingError` if the exposures are not known or the bright photo has less exposure.
    """

    order = 2  # after RawCrop

    def __init__(self, amplification: float | None = None) -> None:
        super().__init__()
        self.amplification = amplification
        self._noises: dict[Path, NoiseModel] = {}

    def encodes(self, pair: Any) -> Any:
        images = [_mosaic(image) for image in pair]
        amplification = self.amplification or _amplification(*pair)
        dark, *bright = images
        inputs = _inputs(dark, self._noise(pair[0]), amplification)
        targets = [
            amplify_and_demosaic(b.replace(white_balance=dark.white_balance), 1.0) for b in bright
        ]
        return (_tensor(inputs), *(_tensor(np.moveaxis(t, -1, 0)) for t in targets))

    def _noise(self, image: RAWImage) -> NoiseModel:
        """Estimated from the full frame, as in restoring: a crop may have too few pixels."""
        if image.path is None:
            return noise_of(_frame(image))[0]
        if image.path not in self._noises:
            self._noises[image.path] = noise_of(_frame(image))[0]
        return self._noises[image.path]


def _mosaic(image: Any) -> Mosaic:
    if isinstance(image, RAWImage) and isinstance(image.content, Mosaic):
        return image.content
    raise TypeError("ConditionPair takes mosaics; use RawImageBlock(packed=True) for both blocks")


def _frame(image: RAWImage) -> Mosaic:
    assert isinstance(image.frame, Mosaic)  # as `content`, which `_mosaic` has checked
    return image.frame


def _amplification(dark: RAWImage, bright: RAWImage | None = None) -> float:
    if bright is None:
        return propose_exposure(_frame(dark)).amplification
    ratio = exposure_ratio(_mosaic(dark).shot, _mosaic(bright).shot)
    if ratio is None:
        raise TrainingError(
            f"{dark.name}: its exposure or that of {bright.name} is not known; "
            "give ConditionPair(amplification=…)"
        )
    if ratio < 1:
        raise TrainingError(
            f"{dark.name}: exposed more than {bright.name}; the dark photo is the input"
        )
    return ratio


def _inputs(dark: Mosaic, noise: NoiseModel, amplification: float) -> NDArray[np.float32]:
    """(2·cell², h, w) for a mosaic whose sides are multiples of the CFA's cell."""
    signal = dark.signal()
    factor = scale(dark.cfa, dark.white_balance, dark.span, amplification, signal)
    made: NDArray[np.float32] = condition(signal, dark.cfa, noise, factor)
    return made


def _tensor(channels: NDArray[np.float32]) -> TensorLinearImage:
    return TensorLinearImage(torch.from_numpy(np.ascontiguousarray(channels)))


def export_model(learn: Any, folder: str | Path, overwrite: bool = False) -> Path:
    """Write the `UNet` of a `Learner` as an undark model; returns the path of model.onnx.

    The folder also gets model.safetensors (weights) and training.json. Raises `TrainingError` for
    another network, `ExistsError` if the folder has a model already, `OutputError`.
    """
    network, folder = get_model(learn.model), Path(folder)
    if not isinstance(network, UNet):
        raise TrainingError(
            f"a {type(network).__name__} is not one of undark's networks; "
            "save it with Learner.export, or train undark.learn.network.UNet"
        )
    if (folder / MODEL).exists() and not overwrite:
        raise ExistsError(f"{folder}: has a model already; choose another folder")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return export(copy.deepcopy(network).cpu().float().eval(), folder, _record(learn, network))


def _record(learn: Any, network: UNet) -> dict[str, Any]:
    """The content of training.json that a `Learner` can provide."""
    items = getattr(learn.dls.train_ds, "items", [])
    return {
        "task": TASK,
        "network": network.config.as_dict(),
        "commit": commit(),
        "data": f"{len(items)} pairs",
        "photos": sorted(str(getattr(item, "name", item)) for item in items),
        "validation": _scores(learn),
    }


def _scores(learn: Any) -> dict[str, float]:
    """Loss and metrics on the validation set, computed now; empty if there is none."""
    if not len(learn.dls.valid_ds):
        return {}
    names = ["loss", *(metric.name for metric in learn.metrics)]
    return {n: round(float(v), 4) for n, v in zip(names, learn.validate(), strict=True)}
