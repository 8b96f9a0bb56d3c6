"""Batches, the crops they are made from, and the sampling of a step's samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from os import getpid
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from undark.learn.kind import InputKind

Key = tuple[int, int]
"""Step and number of a sample; a sample is a function of its key and the seed."""
T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """N training samples of one kind."""

    inputs: Tensor
    """(N, channels, h, w); see `undark.sensor.conditioning.condition`."""
    target: Tensor
    """(N, 3, H, W) linear light, white 1: white-balanced camera RGB, or sRGB."""
    srgb: Tensor
    """(N, 3, 3) matrices from the target's light to linear sRGB."""
    saturation: Tensor
    """(N,): above this, target light is only a lower bound; infinite if nothing is clipped."""
    kind: InputKind

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return Batch(
            self.inputs.to(device),
            self.target.to(device),
            self.srgb.to(device),
            self.saturation.to(device),
            self.kind,
        )


def join_batches(parts: Sequence[Batch]) -> Batch:
    """Concatenate batches."""
    names = ("inputs", "target", "srgb", "saturation")
    joined = {name: torch.cat([getattr(p, name) for p in parts]) for name in names}
    joined["inputs"] = joined["inputs"].contiguous(memory_format=torch.channels_last)
    return Batch(**joined, kind=parts[0].kind)


class Crops(Protocol):
    """Clean crops with their random parameters, as a `DataLoader` yields them.

    `prepare` computes exposure, noise and conditioning on the crops' device.
    """

    @property
    def device(self) -> torch.device:
        """The crops' device."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        ...

    def pin_memory(self) -> Self:
        """The same in pinned memory, from which a GPU copies asynchronously."""
        ...

    def parts(self, count: int) -> Sequence[Self]:
        """The same samples in up to `count` parts."""
        ...

    def prepare(self) -> Batch:
        """Inputs and targets. A sample is the same in any batch, process and part."""
        ...


def prepare(crops: Crops) -> Batch:
    """`crops.prepare()`; on the CPU in parts, one for each thread.

    More than half of the time is spent on random numbers, which torch draws in one thread.
    """
    with torch.no_grad():
        if crops.device.type != "cpu":
            return crops.prepare()
        parts = list(_in_threads(lambda part: part.prepare(), crops.parts(_threads())))
        return join_batches(parts)


class Samples(Dataset[Any]):
    """A source of crops: a map from keys to crops, equal in every process."""

    def sample(self, step: int, number: int) -> Any:
        """`Crops` of one sample. Called from several threads at once."""
        raise NotImplementedError

    def join(self, crops: Sequence[Any]) -> Any:
        """Concatenate crops."""
        raise NotImplementedError

    def __getitem__(self, key: Key) -> Any:
        return self.sample(*key)

    def __getitems__(self, keys: list[Key]) -> list[Any]:
        """The crops of a batch, made in several threads; called by `DataLoader`."""
        return list(_in_threads(lambda key: self.sample(*key), keys))


class StepSampler(Sampler[list[Key]]):
    """Yields the keys of this process's samples of every step, from `start` on, without end."""

    def __init__(self, batch: int, rank: int = 0, processes: int = 1, start: int = 0) -> None:
        """`batch` is the number of samples per step over all processes."""
        self._share = range(batch * rank // processes, batch * (rank + 1) // processes)
        self._start = start

    def __iter__(self) -> Iterator[list[Key]]:
        step = self._start
        while True:
            yield [(step, number) for number in self._share]
            step += 1


def loader(
    samples: Samples, sampler: StepSampler, workers: int = 0, pin: bool = False
) -> DataLoader[Any]:
    """A `DataLoader` that yields one `Crops` per step; `pin`: in pinned memory, for a GPU."""
    return DataLoader(
        samples,
        pin_memory=pin,
        batch_sampler=sampler,
        collate_fn=samples.join,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def make_batch(samples: Samples, step: int, share: range) -> Batch:
    """The samples of a step with these numbers, on the CPU."""
    return prepare(samples.join(samples.__getitems__([(step, number) for number in share])))


def _threads() -> int:
    return torch.get_num_threads()


def _in_threads(function: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T]:
    if _threads() == 1 or len(items) < 2:
        return map(function, items)
    return _pool(getpid(), _threads()).map(function, items)


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads that each compute on one core. `process`: a fork does not inherit threads."""
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
