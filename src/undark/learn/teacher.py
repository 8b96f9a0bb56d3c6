"""Learning from a larger network: the target is partly what that one restores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from undark.errors import TrainingError
from undark.learn.data.batches import Batch
from undark.learn.export import config_of, record_of, start_from
from undark.learn.kind import InputKind
from undark.learn.loss import Loss
from undark.learn.network import UNet

SHARE = 0.7
"""Share of the teacher's output in the target; the rest is the truth."""


class Teacher:
    """A trained network whose output a smaller one is to learn (Hinton, Vinyals and Dean,
    "Distilling the knowledge in a neural network", 2015).

    What is left of a scene below its noise cannot be learnt: in the truth it is chance, which the
    output of a network lacks.
    """

    def __init__(self, path: Path, kind: InputKind, task: str) -> None:
        """model.onnx or model.safetensors of a network for this kind of input and task.

        Raises `TrainingError` for others.
        """
        config = config_of(path)
        if config is None or config.kind != kind or record_of(path).get("task") != task:
            raise TrainingError(
                f"{path}: not a model for the same photos ({kind.name}, {task}), "
                "so it cannot teach this one; choose another --teacher"
            )
        self._network = UNet(config)
        start_from(self._network, path)
        self._network.eval().requires_grad_(requires_grad=False)

    def target(self, batch: Batch) -> Batch:
        """The batch with `SHARE` of the teacher's output in its target."""
        with torch.no_grad():
            restored = self._network.to(batch.inputs.device)(batch.inputs).to(batch.target.dtype)
        return replace(batch, target=torch.lerp(batch.target, restored, SHARE))


def taught(loss: Loss, teacher: Teacher) -> Loss:
    """A loss whose targets are partly the teacher's."""
    return lambda network, batch: loss(network, teacher.target(batch))
