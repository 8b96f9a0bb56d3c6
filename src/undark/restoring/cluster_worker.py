"""What a worker of a Ray cluster does with a photo."""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ray

from undark.cpus import LIMIT
from undark.errors import SetupError
from undark.files.cameras import ENVIRONMENT
from undark.restoring.darks import Darks
from undark.restoring.jobs import (
    ELSEWHERE,
    Failed,
    Job,
    Loaded,
    Options,
    Outcome,
    Plan,
    Restored,
    Skipped,
    run,
)

PATIENCE = 180.0
"""Seconds to wait for the claim of a worker that died: file servers keep the locks of a machine
that went away for a while, NFS 4 for 90 s."""


@dataclass(frozen=True)
class Task:
    """What a worker is told of a photo."""

    job: Job
    options: Options
    cameras: str
    """The user's folder of cameras."""
    again: bool
    """A worker has died of it: its claim may be there for a while."""


@dataclass(frozen=True)
class Answer:
    """What became of a photo."""

    outcome: Outcome | SetupError
    warnings: list[Warning]
    """undark's own, to be shown where the command was given."""


def portable_work() -> Callable[[str, list[bytes], bytes, list[Any]], bytes]:
    """The function that workers run. It is nested, so that Ray sends its code, not its name.

    It therefore runs where undark is missing or another version, and says so. It returns a pickled
    ("refused", (node, one line, the path that it does not see or None)) or ("done", `Answer`).
    """

    def work(version: str, needed: list[bytes], task: bytes, darks: list[Any]) -> bytes:
        import os
        import pickle
        import socket

        import ray

        def refused(why: str, unseen: bytes | None = None) -> bytes:
            node = ray.get_runtime_context().get_node_id()
            return pickle.dumps(("refused", (node, f"{socket.gethostname()}: {why}", unseen)))

        try:
            from undark import __version__ as own
        except ImportError:
            return refused(f"has no undark; install undark {version} there")
        if own != version:
            return refused(f"has undark {own}, not {version}; install the same version there")
        for path in needed:
            if not os.path.exists(path):
                why = f"does not see {os.fsdecode(path)}; mount the shared folder there"
                return refused(why, path)

        from undark.restoring.cluster_worker import work_here

        return pickle.dumps(("done", work_here(pickle.loads(task), darks[0])))

    return work


def work_here(task: Task, darks: ray.ObjectRef[Darks]) -> Answer:
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
    return Answer(outcome, [m for m in said if type(m).__module__.startswith("undark.")])


def _restored(task: Task, loaded: Loaded) -> Outcome:
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
