"""A batch on many machines: Ray gives each photo to a worker. The events are those of `jobs.run`.

The photos, the results and a model that is a file are on storage that all machines see under the
same paths. Each worker process loads a model once and keeps it.
"""

from __future__ import annotations

import math
import os
import pickle
import secrets
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from undark import __version__
from undark.engine.catalogue import shipped_models
from undark.errors import ClusterError, SetupError
from undark.files.cameras import cameras_folder
from undark.files.output import writing
from undark.restoring.cluster_worker import Answer, Task, portable_work
from undark.restoring.darks import Darks
from undark.restoring.jobs import (
    Event,
    Failed,
    Job,
    Options,
    Outcome,
    Plan,
    Restored,
    Started,
)
from undark.restoring.ray_connection import AUTO, connected

TRIES = 3
"""Workers that may die of one photo."""
MEMORY = 1 << 30
"""Bytes that a photo reserves on its machine: 24 megapixels take 680 MiB, LibRaw's child included
(`benchmarks/speed.py`)."""

_STOP_SECONDS = 60.0
"""Time that workers get to end their current tile."""
_LOOK_SECONDS = 5.0
"""Time after which machines that came or went are noticed, though no photo was finished."""
_CRASHES = (WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError)


class ClusterWarning(UserWarning):
    """A machine of the cluster gets no photos: it lacks what they need."""


def run_on_cluster(
    batch: Plan, options: Options, address: str = AUTO
) -> Generator[Event, None, None]:
    """Restore photos on the machines of a Ray cluster; `address` is `AUTO` or HOST:PORT.

    Events are those of `jobs.run` without `Progress`, several photos at a time, in the order in
    which they are finished. The photo of a worker that dies is tried again, on any machine, up to
    `TRIES` times. Machines with another version of undark, or without the shared folders, get no
    photos (`ClusterWarning`). The device `auto` is the CPU; any other reserves a GPU for a photo.
    Closing the iterator stops after the current tiles. Raises `SetupError` where no photo can be
    done, as `jobs.run` does, and `ClusterError`.
    """
    darks = Darks(options.dark_frames)
    darks.check(batch.jobs)
    for folder, error in batch.unreadable:
        yield Failed(folder, None, str(error))
    if not batch.jobs:
        return
    with connected(address), _marker(batch.jobs[0].target) as marker:
        dispatcher = _Dispatcher(options, darks, marker)
        try:
            yield from dispatcher.run(batch.jobs)
        finally:
            dispatcher.stop()


def cpus_per_photo(machines: Iterable[tuple[float, float]]) -> int:
    """Threads of a worker, for the (CPUs, bytes of memory) of each machine.

    One, which wastes least, if the memory of all suffices for a photo on each CPU; else as many as
    give the photos that fit into it all CPUs.
    """
    all_machines = list(machines)
    cpus = sum(cpus for cpus, _ in all_machines)
    memory = sum(memory for _, memory in all_machines)
    return max(1, math.ceil(cpus * MEMORY / max(memory, 1)))


@dataclass
class _Attempt:
    """A photo, how often it was started, and how many workers died of it."""

    job: Job
    started: bool = False
    deaths: int = 0


@dataclass(frozen=True)
class _Machine:
    node: str
    cpus: float
    memory: float
    """Bytes that Ray may assign."""


class _Dispatcher:
    """Gives photos to the workers of a connected cluster, as many at a time as they can do."""

    def __init__(self, options: Options, darks: Darks, marker: Path) -> None:
        """Raises `ClusterError` where the cluster has no CPUs."""
        machines = _machines()
        self._cpus = cpus_per_photo((m.cpus, m.memory) for m in machines)
        self._cpus = min(self._cpus, int(max(m.cpus for m in machines)))
        gpus = int(options.device not in ("auto", "cpu"))
        remote = ray.remote(num_cpus=self._cpus, num_gpus=gpus, max_retries=0)
        self._work = remote(portable_work())
        self._options = _absolute(options)
        self._darks = ray.put(darks)
        self._shared = [marker, *_shared_files(self._options)]
        self._running: dict[ray.ObjectRef[bytes], _Attempt] = {}
        self._refused: set[str] = set()

    def run(self, jobs: Sequence[Job]) -> Generator[Event, None, None]:
        """See `run_on_cluster`."""
        waiting = deque(_Attempt(job) for job in jobs)
        while waiting or self._running:
            places = self._places()
            while waiting and len(self._running) < places:
                attempt = waiting.popleft()
                self._running[self._submit(attempt)] = attempt
                if not attempt.started:
                    attempt.started = True
                    yield Started(attempt.job.source)
            done, _ = ray.wait(list(self._running), timeout=_LOOK_SECONDS)
            for reference in done:
                attempt = self._running.pop(reference)
                outcome = self._outcome(reference, attempt)
                if outcome is None:
                    waiting.appendleft(attempt)
                else:
                    yield outcome

    def stop(self) -> None:
        """End what is running: each worker removes its partial file and its claim."""
        with suppress(RayError):
            for reference in self._running:
                ray.cancel(reference)
            if self._running:
                count = len(self._running)
                ray.wait(list(self._running), num_returns=count, timeout=_STOP_SECONDS)

    def _places(self) -> int:
        """Photos that the machines can do at a time. Raises `ClusterError` where there are none."""
        places = sum(int(machine.cpus) // self._cpus for machine in self._usable())
        if not places:
            raise ClusterError(
                "the Ray cluster has no machine left that can restore photos; start workers with "
                "`ray start --address`, and the same command continues"
            )
        return places

    def _usable(self) -> list[_Machine]:
        return [machine for machine in _machines() if machine.node not in self._refused]

    def _submit(self, attempt: _Attempt) -> ray.ObjectRef[bytes]:
        source, target = (
            Path(os.path.abspath(p)) for p in (attempt.job.source, attempt.job.target)
        )
        job = replace(attempt.job, source=source, target=target)
        needed = [*self._shared, job.source] if os.path.isfile(job.source) else self._shared
        task = Task(job, self._options, os.path.abspath(cameras_folder()), attempt.deaths > 0)
        # a worker that died may have lacked memory: the next one gets more
        memory = min(
            MEMORY << attempt.deaths, max((int(m.memory) for m in self._usable()), default=MEMORY)
        )
        where: dict[str, Any] = {}
        if self._refused:
            where["label_selector"] = {"ray.io/node-id": f"!in({','.join(self._refused)})"}
        name = "undark " + job.source.name.encode("ascii", "backslashreplace").decode()
        work = self._work.options(name=name, memory=memory, **where)
        paths = [os.fsencode(path) for path in needed]
        return work.remote(__version__, paths, pickle.dumps(task), [self._darks])

    def _outcome(self, reference: ray.ObjectRef[bytes], attempt: _Attempt) -> Outcome | None:
        """None: to be tried again. Raises `SetupError`."""
        job = attempt.job
        try:
            kind, value = pickle.loads(ray.get(reference))
        except _CRASHES:
            attempt.deaths += 1
            if attempt.deaths < TRIES:
                return None
            return Failed(job.source, job.target, _deadly(job.source))
        except RayTaskError:  # a fault in undark
            raise
        except RayError as error:
            why = " ".join(str(error).split())
            raise ClusterError(f"Ray failed ({why}); the same command continues") from error
        if kind == "refused":
            node, why, unseen = value
            if unseen is None or os.path.exists(unseen):  # it was not removed meanwhile
                self._refuse(node, why)
            return None
        answer: Answer = value
        for message in answer.warnings:
            warnings.warn(message, stacklevel=2)
        if isinstance(answer.outcome, SetupError):
            raise answer.outcome
        return _as_given(answer.outcome, job)

    def _refuse(self, node: str, why: str) -> None:
        """Send no more photos to a machine. Raises `ClusterError` where it was the last one."""
        if node in self._refused:
            return
        self._refused.add(node)
        if not self._usable():
            raise ClusterError(why)
        warnings.warn(f"{why}; until then it gets no photos", ClusterWarning, stacklevel=2)


def _nodes() -> list[dict[str, Any]]:
    return ray.nodes()  # type: ignore[no-untyped-call, no-any-return]


def _machines() -> list[_Machine]:
    """Those with CPUs. Raises `ClusterError` where there are none."""
    alive = [(n["NodeID"], n["Resources"]) for n in _nodes() if n["Alive"]]
    machines = [_Machine(n, r["CPU"], r.get("memory", 0)) for n, r in alive if r.get("CPU", 0) >= 1]
    if not machines:
        raise ClusterError(
            "the Ray cluster has no CPUs; start workers with `ray start --address`, and the same "
            "command continues"
        )
    return machines


def _deadly(source: Path) -> str:
    return (
        f"{source}: {TRIES} workers died while they restored it (killed, crashed or out of "
        "memory); give it to undark restore without --cluster to see why"
    )


def _as_given(outcome: Outcome, job: Job) -> Outcome:
    """With the paths of the plan, which may be relative, in place of the worker's."""
    if isinstance(outcome, Restored) and outcome.confidence:
        outcome = replace(outcome, confidence=job.confidence)
    return replace(outcome, source=job.source, target=job.target)


def _absolute(options: Options) -> Options:
    """The options that workers get: paths absolute, dark frames left out, a device chosen."""
    model = options.model
    if model is not None and model not in shipped_models():
        model = os.path.abspath(model)
    device = "cpu" if options.device == "auto" else options.device
    return replace(options, model=model, device=device, dark_frames=())


def _shared_files(options: Options) -> list[Path]:
    """What every worker must see beside the photos: a model's file, the user's cameras."""
    files = [Path(options.model)] if options.model and os.path.isabs(options.model) else []
    cameras = Path(os.path.abspath(cameras_folder()))
    return [*files, cameras] if any(cameras.glob("*.json")) else files


@contextmanager
def _marker(target: Path) -> Iterator[Path]:
    """A file in the folder of results, by which workers know that it is the same folder.

    Raises `OutputError`.
    """
    path = Path(os.path.abspath(target)).with_name(f".undark-{secrets.token_hex(6)}.shared")
    with writing(target):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink()
