"""A batch on many machines: Ray gives each photo to a worker. The events are those of `jobs.run`.

The photos, the results and a model that is a file are on storage that all machines see under the
same paths. Each worker process loads a model once and keeps it.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from undark import __version__
from undark.cpus import LIMIT, usable_cpus
from undark.engine.catalogue import shipped_models
from undark.errors import ClusterError, SetupError
from undark.files.cameras import ENVIRONMENT, cameras_folder
from undark.files.output import writing
from undark.restoring.darks import Darks
from undark.restoring.jobs import (
    ELSEWHERE,
    Event,
    Failed,
    Job,
    Loaded,
    Options,
    Outcome,
    Plan,
    Restored,
    Skipped,
    Started,
    run,
)

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when a cluster is started

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
    WorkerCrashedError,
)

AUTO = "auto"
"""The address of the cluster that runs on this machine, or of one that is started for the run."""
TRIES = 3
"""Workers that may die of one photo."""
MEMORY = 3 << 29
"""Bytes that a photo reserves on its machine: the peak at 24 megapixels (`benchmarks/speed.py`)."""
PATIENCE = 180.0
"""Seconds to wait for the claim of a worker that died: file servers keep the locks of a machine
that went away for a while, NFS 4 for 90 s."""

_LOCAL_STORE = 512 << 20
"""Bytes of a local cluster's object store, which holds the means of dark frames."""
_PROBE_SECONDS = 60.0
_STOP_SECONDS = 60.0
"""Time that workers get to end their current tile."""
_LOOK_SECONDS = 5.0
"""Time after which machines that came or went are noticed, though no photo was finished."""
_CRASHES = (WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError)
_SILENT: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL + 1}

_PROBE = """
import logging, sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL + 1)
except Exception as error:
    none_runs = sys.argv[1] == "auto" and isinstance(error, ConnectionError)
    sys.exit(3 if none_runs else " ".join(str(error).split()))
"""


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
    with _connected(address), _marker(batch.jobs[0].target) as marker:
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


# --- the driver


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
        self._most_memory = max(m.memory for m in machines)
        gpus = int(options.device not in ("auto", "cpu"))
        remote = ray.remote(num_cpus=self._cpus, num_gpus=gpus, max_retries=0)
        self._work = remote(_portable_work())
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
        usable = [m for m in _machines() if m.node not in self._refused]
        places = sum(int(machine.cpus) // self._cpus for machine in usable)
        if not places:
            raise ClusterError(
                "the Ray cluster has no machine left that can restore photos; start workers with "
                "`ray start --address`, and the same command continues"
            )
        return places

    def _submit(self, attempt: _Attempt) -> ray.ObjectRef[bytes]:
        job = Job(*(Path(os.path.abspath(p)) for p in (attempt.job.source, attempt.job.target)))
        needed = [*self._shared, job.source] if os.path.isfile(job.source) else self._shared
        task = _Task(job, self._options, os.path.abspath(cameras_folder()), attempt.deaths > 0)
        # a worker that died may have lacked memory: the next one gets more
        memory = min(MEMORY << attempt.deaths, self._most_memory)
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
        if kind == "refused":
            self._refuse(*value)
            return None
        answer: _Answer = value
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
        if not any(machine.node not in self._refused for machine in _machines()):
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


# --- the connection


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """Raises `ClusterError` where no cluster answers."""
    arguments: dict[str, Any] = {"address": address}
    if not _answers(address):
        arguments = {"num_cpus": usable_cpus(), "include_dashboard": False}
        arguments["object_store_memory"] = _LOCAL_STORE
        os.environ.setdefault("RAY_worker_niceness", "0")  # as a run without a cluster; Ray's is 15
    try:
        with _own_sigterm():
            ray.init(**arguments, **_SILENT)
    except Exception as error:  # Ray's own share no base class
        why = " ".join(str(error).split())
        raise ClusterError(
            f"{address}: Ray did not start, or did not answer ({why}); give the command again, or "
            "leave --cluster out"
        ) from error
    # Ray prints each worker's death to stdout; there is no public switch
    ray._private.worker._worker_logs_enabled = False
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which Ray replaces."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _answers(address: str) -> bool:
    """Whether a cluster answers, False only for `AUTO`. Raises `ClusterError`.

    In a child process: Ray waits for minutes for a cluster that is not there, in native code that
    writes to stderr.
    """
    if address != AUTO:
        _check_port(address)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, address],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise _silent(address, f"no answer within {_PROBE_SECONDS:g} s") from error
    if done.returncode == 3:
        return False
    if done.returncode:
        raise _silent(address, (done.stderr.strip().splitlines() or ["?"])[-1])
    return True


def _check_port(address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "//" in host:
        raise ClusterError(
            f"{address}: no address of a Ray cluster; give HOST:PORT as `ray start --head` "
            f"printed it, or {AUTO}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise _silent(address, getattr(error, "strerror", None) or str(error)) from error


def _silent(address: str, why: str) -> ClusterError:
    return ClusterError(
        f"{address}: no Ray cluster answers there ({why}); give the address that "
        "`ray start --head` printed, on a machine that belongs to the cluster"
    )


# --- the worker


@dataclass(frozen=True)
class _Task:
    """What a worker is told of a photo."""

    job: Job
    options: Options
    cameras: str
    """The user's folder of cameras."""
    again: bool
    """A worker has died of it: its claim may be there for a while."""


@dataclass(frozen=True)
class _Answer:
    outcome: Outcome | SetupError
    warnings: list[Warning]


def _portable_work() -> Callable[[str, list[bytes], bytes, list[Any]], bytes]:
    """The function that workers run. It is nested, so that Ray sends its code, not its name.

    It therefore runs where undark is missing or another version, and says so.
    """

    def work(version: str, needed: list[bytes], task: bytes, darks: list[Any]) -> bytes:
        import os
        import pickle
        import socket

        import ray

        def refused(why: str) -> bytes:
            node = ray.get_runtime_context().get_node_id()
            return pickle.dumps(("refused", (node, f"{socket.gethostname()}: {why}")))

        try:
            from undark import __version__ as own
        except ImportError:
            return refused(f"has no undark; install undark {version} there")
        if own != version:
            return refused(f"has undark {own}, not {version}; install the same version there")
        for path in needed:
            if not os.path.exists(path):
                return refused(f"does not see {os.fsdecode(path)}; mount the shared folder there")

        from undark.restoring.cluster import work_here

        return pickle.dumps(("done", work_here(pickle.loads(task), darks[0])))

    return work


def work_here(task: _Task, darks: ray.ObjectRef[Darks]) -> _Answer:
    """Restore one photo in this process, a worker of Ray."""
    assigned = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
    os.environ[LIMIT] = str(max(1, int(assigned.get("CPU", 1))))
    os.environ[ENVIRONMENT] = task.cameras
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            outcome: Outcome | SetupError = _restored(task, _loaded(task.options, darks))
        except SetupError as error:
            outcome = type(error)(f"{error} (on {socket.gethostname()})")
    said = [w.message for w in caught if isinstance(w.message, Warning)]
    return _Answer(outcome, [m for m in said if type(m).__module__.startswith("undark.")])


def _restored(task: _Task, loaded: Loaded) -> Outcome:
    until = time.monotonic() + PATIENCE * task.again
    while True:
        outcome = [*run(Plan((task.job,)), task.options, loaded)][-1]
        claimed = isinstance(outcome, Skipped) and outcome.reason == ELSEWHERE
        if not claimed or time.monotonic() >= until:
            assert isinstance(outcome, Restored | Skipped | Failed)
            return outcome
        time.sleep(5)


@lru_cache(maxsize=1)
def _loaded(options: Options, darks: ray.ObjectRef[Darks]) -> Loaded:
    return Loaded(options, ray.get(darks))
