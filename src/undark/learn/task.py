"""The training step as a LightningModule, the plan of a run, and its validation scores."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from undark.learn.checkpoints import FORMAT
from undark.learn.data.batches import Batch, Crops, Samples, StepSampler, loader, prepare
from undark.learn.kind import InputKind
from undark.learn.loss import Loss
from undark.learn.muon import Muon
from undark.learn.network import UNet

Score = Callable[[Tensor, Tensor], Tensor]
"""Output and target (N, 3, H, W) → (N,) dB."""
Scores = dict[str, list[float]]
"""Name of a score → PSNR in dB of every validation crop."""


@dataclass(frozen=True)
class TrainingPlan:
    """Data, loss and validation of a run, and the facts for its record."""

    samples: Samples
    kind: InputKind
    validation: dict[str, list[Batch]]
    """Name of a score → its validation batches, on the CPU."""
    loss: Loss
    loss_name: str
    score: Score
    task: str
    """The model's task, one of `undark.engine.card.TASKS`."""
    unit: str
    """ "photographs" or "pairs"."""
    files: list[str]
    """Names of the photos trained on."""
    held: list[str]
    """Names of the photos that are held back, below the data folder; [] with a --val folder."""
    epoch: int
    """Number of samples in an epoch: the number of photos or pairs."""
    split: str
    """One line about the split, for the user."""

    def __deepcopy__(self, memo: object) -> Self:
        """Not copied when the weight averaging copies the task: photos are large."""
        return self


def judge(network: UNet, plan: TrainingPlan) -> Scores:
    """The score of every validation crop.

    Batches are moved to the network's device: Lightning moves it to the CPU after training.
    """
    device = next(network.parameters()).device

    def each(batch: Batch) -> list[float]:
        moved = batch.to(device)
        found: list[float] = plan.score(network(moved.inputs), moved.target).cpu().tolist()
        return found

    with torch.no_grad():
        return {n: [s for b in batches for s in each(b)] for n, batches in plan.validation.items()}


def means(scores: Mapping[str, list[float]]) -> dict[str, float]:
    """The mean of each score, in dB."""
    return {name: float(np.mean(values)) for name, values in scores.items()}


@dataclass(frozen=True)
class Gain:
    """Improvement of a run over its start weights in dB."""

    mean: float
    error: float
    """Standard error of the mean over the validation crops; infinite for one crop."""

    @property
    def verdict(self) -> str:
        """ "improved", "did not improve" or "too close to tell" (within two standard errors, or too
        small for two decimals)."""
        if abs(self.mean) < max(2 * self.error, 0.005):
            return "too close to tell"
        return "improved" if self.mean > 0 else "did not improve"


def gain_of(before: Scores, after: Scores) -> Gain | None:
    """The gain over `before`, from differences per crop; None without scores to compare with.

    Crops of one photo at several amplifications are averaged first: they are not independent.
    """
    names = [name for name in before if len(before[name]) == len(after.get(name, []))]
    if not names:
        return None
    gains = np.mean([np.subtract(after[n], before[n]) for n in names], axis=0)
    error = float(gains.std(ddof=1) / math.sqrt(len(gains))) if len(gains) > 1 else math.inf
    return Gain(float(gains.mean()), error)


def learning_rate(fraction: float, steps: int, peak: float, decay: float) -> float:
    """Rises over 100 steps, stays, and falls to 0 over the last `decay` of the time."""
    return peak * min(1.0, (steps + 1) / 100) * min(1.0, max(0.0, 1 - fraction) / decay)


@dataclass
class Progress:
    """The progress of a run, stored in every checkpoint; built-in types only."""

    before: Scores = field(default_factory=dict)
    """Scores of the start weights."""
    packed_pixels: int = 0
    """Counted per step, because batches may be halved during the run."""
    history: dict[str, Any] = field(default_factory=dict)
    """The record of the start weights."""
    start: dict[str, str] = field(default_factory=dict)
    """Name and digest of the start weights."""
    find_seconds: float = 0.0
    """Time of the search for a learning rate."""


class RestoreTask(pl.LightningModule):
    """Trains a `UNet` on the samples of a plan."""

    def __init__(
        self,
        network: UNet,
        plan: TrainingPlan,
        batch: int,
        fraction_done: Callable[[], float],
        peak: float,
        decay: float,
    ) -> None:
        """`batch` is the number of samples per step over all processes."""
        super().__init__()
        self.network, self.plan = network, plan
        self._batch, self.fraction_done = batch, fraction_done
        self.peak, self._decay = peak, decay
        self.progress = Progress()
        self.rate = 0.0
        """Learning rate of the current step."""
        self.scores: dict[str, float] = {}
        """Mean scores of the last validation in dB."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        # every weight is a matrix (see `network.Conv`), so one optimiser can train all. After 200
        # steps Muon (Jordan et al. 2024) was 1 to 2 dB ahead of AdamW after 250
        return Muon(self.parameters(), self.peak)

    def train_dataloader(self) -> Any:
        """This process's samples of every step from the current one on."""
        sampler = StepSampler(
            self._batch, self.global_rank, self.trainer.world_size, self.global_step
        )
        device = self.trainer.strategy.root_device
        on_gpu = device.type != "cpu"
        return loader(self.plan.samples, sampler, workers_for(device), pin=on_gpu)

    def transfer_batch_to_device(
        self, batch: Crops, device: torch.device, dataloader_idx: int
    ) -> Crops:
        return batch.to(device)

    def on_after_batch_transfer(self, batch: Crops, dataloader_idx: int) -> Batch:
        """Exposure, noise and conditioning, on the network's device."""
        return prepare(batch)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        rate = learning_rate(self.fraction_done(), self.global_step, self.peak, self._decay)
        if self.trainer.world_size > 1:  # equal rates, or the processes' weights would diverge
            rate = self.trainer.strategy.broadcast(rate)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self.rate = rate

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.plan.loss(self.network, batch)
        height, width = batch.inputs.shape[-2:]
        self.progress.packed_pixels += self._batch * height * width
        return loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {
            "format": FORMAT,
            "progress": asdict(self.progress),
            "peak": self.peak,
            "network": self.network.config.as_dict(),
            "precision": str(self.trainer.precision),
            "task": self.plan.task,
            "held": self.plan.held,
        }


def workers_for(device: torch.device) -> int:
    """Number of `DataLoader` workers: none on the CPU, where threads are as fast."""
    return 0 if device.type == "cpu" else min(15, max(1, (os.cpu_count() or 2) - 1))
