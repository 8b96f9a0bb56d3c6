"""Restore a photo with the network of a fastai `Learner`, through `undark.restore`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.data.transforms import Normalize
from fastai.torch_core import get_model
from numpy.typing import NDArray

from undark.develop.colour import decode_rec709
from undark.engine.card import SRGB_TASK, TASK, Card
from undark.errors import TrainingError
from undark.fastai.image import TensorLinearImage, TensorRawImage
from undark.files.raw import read_mosaic
from undark.learn.export import measured_halo
from undark.learn.network import UNet
from undark.restoring.raw import Restored, restore
from undark.sensor.exposure import Exposure
from undark.sensor.mosaic import Mosaic

Floats = NDArray[np.float32]

_MULTIPLE, _HALO = 32, 128
"""Multiple and halo of networks that do not declare them: ResNets downsample by 32, and most
U-Nets' outputs depend little on pixels more than 128 packed pixels away."""
_LICENCE = "not stated"


def restore_photo(
    learn: Any, photo: str | Path | Mosaic, exposure: Exposure | float | None = None
) -> Restored:
    """Restore a RAW photo, tile by tile, with the network of a `Learner`.

    Two kinds of network are supported:

    - input with 2·cell² channels, as `ConditionPair` makes it; output linear camera RGB; `exposure`
      as in `undark.restore`;
    - input with cell² channels, the packed planes of `RawImageBlock(packed=True)`; output LibRaw's
      rendering (default curve, sRGB); the amplification is that of the training, and `exposure`
      must be None.

    `Normalize` is applied to the input and inverted on the output. The network stays on its device
    and has its mode, training or not, again afterwards. Raises `TrainingError` for a network with
    another input, and the errors of `undark.restore`.
    """
    mosaic = photo if isinstance(photo, Mosaic) else read_mosaic(Path(photo))
    packed, channels = mosaic.cfa.cell**2, _channels(learn)
    if channels not in (packed, 2 * packed):
        raise TrainingError(
            f"this learner's network takes {channels} channels, a {mosaic.cfa.kind.name} photo has "
            f"{packed} packed planes, or {2 * packed} with ConditionPair; use Learner.predict"
        )
    if channels == packed and exposure is not None:
        raise TrainingError("a network on packed planes has a fixed amplification: omit exposure")
    model: Any = _LearnerModel(learn, mosaic, channels)
    with _evaluating(get_model(learn.model)):
        return restore(mosaic, exposure=1.0 if channels == packed else exposure, model=model)


@contextmanager
def _evaluating(network: torch.nn.Module) -> Iterator[None]:
    """All layers in evaluation mode; afterwards each has its own mode again.

    Around a whole photo: its tiles run in several threads, which share the mode.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _channels(learn: Any) -> int:
    """Channels of the input: from a `UNet`'s configuration, else of the first convolution."""
    network = get_model(learn.model)
    if isinstance(network, UNet):
        return network.config.channels
    first = (m.in_channels for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    return next(first, 0)


class _LearnerModel:
    """A `Learner`'s network with the interface of `undark.Model`: a card, NumPy in and out."""

    path = None
    """It is in no file."""

    def __init__(self, learn: Any, mosaic: Mosaic, channels: int) -> None:
        self._network, self._cell = get_model(learn.model), mosaic.cfa.cell
        self._normalize = [
            transform
            for transform in getattr(getattr(learn.dls, "after_batch", None), "fs", [])
            if isinstance(transform, Normalize)
        ]
        self._gains = mosaic.white_balance[list(mosaic.cfa.colours)][:, None, None]
        self._is_packed = channels == self._cell**2
        known = isinstance(self._network, UNet)
        self.card = Card(
            name=type(self._network).__name__,
            task=SRGB_TASK if self._is_packed else TASK,
            cfa=mosaic.cfa.kind.name,
            channels=2 * self._cell**2,
            multiple=self._network.config.multiple if known else _MULTIPLE,
            halo=measured_halo(self._network) if known else _HALO,
            conditioning="of the learner",
            licence=_LICENCE,
            training={},
            scores={},
        )

    def __call__(self, inputs: Floats) -> Floats:
        """(1, 2·cell², h, w) as `condition` makes them → (1, 3, cell·h, cell·w) linear light."""
        if not self._is_packed:
            return self._run(TensorLinearImage(torch.from_numpy(inputs)))
        planes = inputs[:, : self._cell**2] / self._gains
        picture = self._run(TensorRawImage(torch.from_numpy(planes)))
        light: Floats = decode_rec709(np.clip(picture, 0, 1))
        return light

    def _run(self, batch: TensorRawImage) -> Floats:
        batch = batch.to(next(self._network.parameters()).device)
        for transform in self._normalize:
            batch = transform(batch, split_idx=1)
        with torch.no_grad():
            output = type(batch)(self._network(batch))
        for transform in reversed(self._normalize):
            output = transform.decode(output)
        return np.asarray(output.detach().cpu().float(), np.float32)
