"""What is learnt, and how it is judged on the way: the step, and its frame for Lightning."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, Self

import lightning.pytorch as pl
import torch
from torch import Tensor

from undark.develop.colour import encode_srgb
from undark.learn.muon import Muon
from undark.learn.network import UNet
from undark.learn.photos import Batch, collate
from undark.sensor.cfa import RGGB, mosaic

# What the sensor measured comes first: where noise is mild, the colours it did not measure err more
# than those it did, and would rule. Photographs of the dark keep most of their detail near black,
# where sRGB's curve is steep: the linear terms hold the light, the picture's term the look.
LIGHT_WEIGHT = 0.5
PICTURE_WEIGHT = 0.5
FLOOR = 1e-7
"""Mean squared error below which a photo is as good as perfect (70 dB)."""

Loss = Callable[[torch.nn.Module, Batch], Tensor]
"""One training step: network and batch → a scalar."""
Score = Callable[[Tensor, Tensor], Tensor]
"""Output and target (N, 3, H, W) → (N,) dB."""


def photo_loss(network: torch.nn.Module, batch: Batch) -> Tensor:
    """The step on photographs: batch → loss (a scalar).

    Of each photo the logarithm of its error, so that a decibel counts the same where noise is
    mild as where it is deep; with the plain error the deep ones rule, and detail is smoothed away
    that mild noise would have left. The error is that of the mosaic (linear, highlights
    compressed), with `LIGHT_WEIGHT` that of all three colours, and with `PICTURE_WEIGHT` that of
    the sRGB picture. (NAFNet's PSNR loss, Chen et al. 2022.)
    """
    output = network(batch.inputs)
    light, target = _compress(output), _compress(batch.target)
    raw = _log_error(mosaic(light, RGGB), mosaic(target, RGGB))
    picture = _log_error(_picture(output, batch.srgb), _picture(batch.target, batch.srgb))
    return raw + LIGHT_WEIGHT * _log_error(light, target) + PICTURE_WEIGHT * picture


def _log_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean over photos of ln RMSE."""
    squares = ((output - target) ** 2).flatten(1).mean(1)
    return 0.5 * torch.log(squares + FLOOR).mean()


def _compress(light: Tensor) -> Tensor:
    """Linear to white, logarithmic above: a lamp at 10 weighs no more than it shows."""
    return torch.where(light < 1, light, 1 + torch.log(light.clip(1)))


def _picture(light: Tensor, srgb: Tensor) -> Tensor:
    """Camera RGB (N, 3, H, W) and matrices (N, 3, 3) → sRGB's curve in [0, 1]."""
    return encode_srgb(torch.einsum("nij,njhw->nihw", srgb, light))


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """(N,) PSNR in dB of clipped linear light (N, 3, H, W), white 1."""
    error = (output.clip(0, 1) - target.clip(0, 1)) ** 2
    return -10 * torch.log10(error.mean((1, 2, 3)))


def learning_rate(fraction: float, steps: int, peak: float, decay: float) -> float:
    """Rises over 100 steps, stays, and falls to 0 over the last `decay` of the time."""
    return peak * min(1.0, (steps + 1) / 100) * min(1.0, max(0.0, 1 - fraction) / decay)


class Source(Protocol):
    """Where samples come from: the same for the same step and number, in any process."""

    def batch(self, step: int, share: range) -> Batch:
        """The samples of a step with these numbers. Called from several threads at once."""
        ...


def make_batch(source: Source, step: int, share: range) -> Batch:
    """The samples of a step with these numbers, so that several processes can share it."""
    return collate(source.batch(step, part) for part in _parts(share))


def _parts(share: range) -> list[range]:
    """One for each thread: with smaller parts, threads wait for Python's lock."""
    size = -(-len(share) // torch.get_num_threads())
    return [share[at : at + size] for at in range(0, len(share), size)]


class _Shared:
    """Not copied with the task, as the average of weights would do: photos are large."""

    def __deepcopy__(self, memo: object) -> Self:
        return self


@dataclass(frozen=True)
class Course(_Shared):
    """What a run learns from, how it is judged, and what the record says of it."""

    source: Source
    validation: dict[str, list[Batch]]
    """Name of a score → what the network is given for it."""
    loss: Loss
    score: Score
    task: str
    """What the model is for, one of `undark.engine.model.TASKS`."""
    files: list[str]
    """Names of the photos trained on."""
    epoch: int
    """Samples after which every photo (or pair) had its turn."""


def judge(network: UNet, course: Course) -> dict[str, float]:
    """The mean score, in dB, of each set of photos that were held back."""

    def mean(batches: list[Batch]) -> float:
        made = [course.score(network(b.inputs), b.target) for b in batches]
        return float(torch.cat(made).mean())

    with torch.no_grad():
        return {name: mean(batches) for name, batches in course.validation.items()}


class Ahead(_Shared):
    """Makes the next batch while the network learns from this one: what `make_batch` makes."""

    def __init__(self, source: Source) -> None:
        self._source = source
        # each on one core, so that the network's threads lose as much as one another
        self._pool = ThreadPoolExecutor(
            torch.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,)
        )
        self._next: dict[tuple[int, range], Future[Batch]] = {}

    def batch(self, step: int, share: range) -> Batch:
        """The batch of a step; begins the following one's."""
        ready = self._next.pop((step, share), None) or self._begin(step, share)
        self._next = {(step + 1, share): self._begin(step + 1, share)}
        return ready.result()

    def _begin(self, step: int, share: range) -> Future[Batch]:
        parts = [self._pool.submit(self._source.batch, step, part) for part in _parts(share)]
        # the last in the queue: once it has a thread, all that it waits for have had theirs
        return self._pool.submit(lambda: collate(part.result() for part in parts))


class RestoreTask(pl.LightningModule):
    """Trains a `UNet` on batches made where the network is, from the number of the step."""

    def __init__(
        self,
        network: UNet,
        course: Course,
        batch: int,
        fraction_done: Callable[[], float],
        peak: float,
        decay: float,
    ) -> None:
        """`batch` is the number of samples a step, over all processes."""
        super().__init__()
        self.network, self.course, self._ahead = network, course, Ahead(course.source)
        self._batch, self.fraction_done = batch, fraction_done
        self.peak, self._decay = peak, decay
        self.before: dict[str, float] = {}
        """Scores of the weights that the run began from, kept with every checkpoint."""
        self.history: dict[str, Any] = {}
        """The record of their own training, kept too."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        # every weight is a matrix (see `network.Conv`), so one optimiser serves all; Muon
        # (Jordan et al. 2024) reached in 200 steps what AdamW did not in 250, by 1 to 2 dB
        return Muon(self.parameters(), self.peak)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if self.trainer.lr_scheduler_configs:  # the learning-rate finder's own
            return
        rate = learning_rate(self.fraction_done(), self.global_step, self.peak, self._decay)
        if self.trainer.world_size > 1:  # one clock for all, or their weights part
            rate = self.trainer.strategy.broadcast(rate)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        rank, processes = self.global_rank, self.trainer.world_size
        share = range(self._batch * rank // processes, self._batch * (rank + 1) // processes)
        loss = self.course.loss(self.network, self._ahead.batch(self.global_step, share))
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        for name, score in judge(self.network, self.course).items():
            self.log(f"psnr/{name}", score, batch_size=1, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kept = {name: getattr(self, name) for name in ("before", "history", "peak")}
        made = {
            "network": self.network.config.as_dict(),
            "precision": str(self.trainer.precision),
            "task": self.course.task,
        }
        checkpoint |= kept | made
