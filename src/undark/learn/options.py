"""Options and result of a training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from undark.errors import TrainingError
from undark.learn.export import config_of
from undark.learn.kind import InputKind
from undark.learn.network import UNetConfig
from undark.learn.task import Gain


@dataclass(frozen=True)
class Training:
    """Options of `undark train`. One of `minutes` and `steps` is given."""

    data: Path
    out: Path
    val: Path | None = None
    minutes: float | None = None
    """Including the search for a learning rate."""
    steps: int | None = None
    start: Path | None = None
    """Weights to start from: model.safetensors or model.onnx."""
    teacher: Path | None = None
    """A model whose output is part of the targets of training on photographs; see `Teacher`."""
    resume: bool = False
    crop: int = 112
    """Side of a training crop in packed pixels."""
    batch: int = 16
    """Samples per step over all devices."""
    peak: float | None = None
    """Highest learning rate; by default 3e-3, or 1e-3 when fine-tuning."""
    decay: float = 0.35
    """Fraction of the time over which the learning rate falls to 0."""
    ema: float = 0.998
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    """Processes on each machine."""
    nodes: int = 1
    """Machines."""
    network: UNetConfig | None = None
    """By default that of `start`, else the shipped architecture."""
    find_rate: bool = False
    """Whether to search for a learning rate first."""
    film: bool = False
    """Whether to restore a validation photo after every epoch."""

    @cached_property
    def config(self) -> UNetConfig:
        """The network to train."""
        return self.network or (self.start and config_of(self.start)) or UNetConfig()

    @property
    def rate(self) -> float:
        """The highest learning rate, unless one is searched for."""
        return (1e-3 if self.start else 3e-3) if self.peak is None else self.peak

    @property
    def processes(self) -> int:
        """Number of processes on all machines."""
        return self.devices * self.nodes

    def for_kind(self, kind: InputKind) -> Training:
        """The same with a network for this kind of input."""
        if self.config.kind == kind:
            return replace(self, network=self.config)
        return replace(self, network=replace(self.config, cell=kind.cell, fold=kind.fold))

    def check(self) -> None:
        """Raises `TrainingError` for options that cannot work together."""
        if (self.minutes is None) == (self.steps is None):
            raise TrainingError("give either --minutes or --steps")
        multiple = self.config.multiple
        if self.crop % multiple:
            raise TrainingError(
                f"--crop {self.crop}: this network takes multiples of {multiple}; "
                f"give {self.crop // multiple * multiple or multiple}"
            )
        if self.batch < self.processes:
            raise TrainingError(
                f"--batch {self.batch}: too few samples for {self.processes} processes; give more"
            )


@dataclass(frozen=True)
class Outcome:
    """The result of a run."""

    model: Path
    """The .onnx file."""
    scores: dict[str, float]
    """Validation PSNR in dB."""
    before: dict[str, float]
    """The same for the start weights; empty without any."""
    gain: Gain | None = None
    """Improvement over `before`; None without start weights."""
    skipped: dict[Path, str] = field(default_factory=dict)
    """Photos that could not be used, and why."""
