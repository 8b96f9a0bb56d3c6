"""Runs LibRaw in child processes that are kept and reused, a few at the same time.

Children are started with `subprocess`, not `multiprocessing`: that works from a plain script
without a `__main__` guard, from any thread, and from the daemonic workers of a torch DataLoader.
A forked process starts children of its own, since a pipe cannot be shared.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import BoundedSemaphore, Lock, Timer
from time import monotonic
from typing import IO, Any

from undark.errors import PhotoError, ReadError, SetupError
from undark.files.raw.advice import AGAIN
from undark.files.raw.wire import receive, send

SECONDS = 120.0
"""Time limit of one request; the largest cameras' files take a few seconds."""
MEMORY = 8 << 30
"""Bytes of address space of a child; rendering 150 million pixels takes about 3 GiB."""
_AT_ONCE = min(os.cpu_count() or 1, 4)
_START = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from undark.files.raw.worker import main; main(int(sys.argv[1]))"
)


def _start(messages: IO[bytes]) -> subprocess.Popen[bytes]:
    """A child whose stderr is the file `messages`."""
    return subprocess.Popen(
        [sys.executable, "-c", _START, str(MEMORY), *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=messages,
        bufsize=0,
        # numpy's linear algebra is not used in the child: its threads would cost address space
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )


class _Worker:
    """One child process and its pipes. It may still be starting."""

    def __init__(self) -> None:
        """Raises `SetupError` where the child does not start."""
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = _start(self._messages)
        except OSError as error:
            self._messages.close()
            raise SetupError(f"RAW files cannot be decoded: no child process ({error})") from error
        assert self._process.stdin
        assert self._process.stdout
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._ready = False

    def _await_ready(self) -> None:
        """Raises `SetupError` with the last line of the child's stderr where it ends at once."""
        try:
            receive(self._answers.fileno())
        except EOFError as error:
            self._messages.seek(0)
            said = self._messages.read().decode(errors="replace").strip().splitlines()
            self.stop()
            raise SetupError(
                f"RAW files cannot be decoded: the child process ended ({(said or ['?'])[-1]})"
            ) from error

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def ask(self, task: str, path: Path, options: dict[str, Any]) -> Any:
        """The answer to a request. Raises `ReadError` where the child ends or takes too long, and
        `SetupError` where it did not start."""
        if not self._ready:
            self._await_ready()
            self._ready = True
        timer = Timer(SECONDS, self._process.kill)
        timer.daemon = True
        timer.start()
        began = monotonic()
        try:
            send(self._requests.fileno(), (task, path.absolute(), options))
            return receive(self._answers.fileno())
        except (EOFError, BrokenPipeError) as error:
            raise ReadError(f"{path}: {self._why(monotonic() - began)}") from error
        finally:
            timer.cancel()

    def _why(self, seconds: float) -> str:
        """Why the child has ended, `seconds` after a request."""
        if seconds >= SECONDS:
            return f"not decoded within {SECONDS:g} s: the file is damaged; {AGAIN}"
        status = self._process.wait()
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return f"LibRaw crashed ({how}): the file is damaged, or memory ran out; {AGAIN}"

    def stop(self) -> None:
        """Kill the child."""
        self._process.kill()
        self._process.wait()
        self.close()

    def close(self) -> None:
        """Close this process's ends of the pipes; the child then ends by itself."""
        self._requests.close()
        self._answers.close()
        self._messages.close()


class Pool:
    """The children of one process."""

    def __init__(self) -> None:
        self._free = BoundedSemaphore(_AT_ONCE)
        self._lock = Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def run(self, task: str, path: Path, **options: Any) -> Any:
        """The result of a task of `worker.TASKS`; waits while all children are busy.

        Raises the `PhotoError` that the task raised, `ReadError` where it raised anything else or
        the child crashed, took longer than `SECONDS` or more than `MEMORY`, and `SetupError` where
        no child can be started.
        """
        with self._free:
            worker = self._take()
            try:
                answer = worker.ask(task, path, options)
            except BaseException:  # Ctrl-C too: a late answer would be read by the next request
                self._drop(worker)
                raise
            self._idle.append(worker)
        if isinstance(answer, PhotoError):
            raise answer
        if isinstance(answer, Exception):  # a bug, or a disk that fails: the other photos go on
            raise ReadError(
                f"{path}: cannot be read ({answer!r}); {AGAIN}, or report it"
            ) from answer
        return answer

    def _take(self) -> _Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                self._all.discard(worker)
                worker.close()
        worker = _Worker()
        self._all.add(worker)
        return worker

    def _drop(self, worker: _Worker) -> None:
        self._all.discard(worker)
        worker.stop()

    def start_ahead(self) -> None:
        """Start a child and do not wait for it; the next request finds it. Where that fails, the
        request says so."""
        with suppress(SetupError), self._lock:
            worker = _Worker()
            self._all.add(worker)
            self._idle.append(worker)

    def stop(self) -> None:
        """End all children; the next request starts new ones."""
        with self._lock:
            self._idle.clear()
            while self._all:
                self._all.pop().stop()

    def end_idle(self) -> None:
        """End the children that are doing nothing, each of which takes 60 MiB."""
        with self._lock:
            while self._idle:
                self._drop(self._idle.pop())

    def forget(self) -> None:
        """Close a parent's pipes in a forked process, without ending the parent's children."""
        for worker in self._all:
            worker.close()


_pool = Pool()
_forgotten: list[Pool] = []
"""Pools of parents: kept, since `Popen` warns of children that are gone when it is collected."""


def run(task: str, path: Path, **options: Any) -> Any:
    """See `Pool.run`; of this process's pool."""
    return _pool.run(task, path, **options)


def start_ahead() -> None:
    """See `Pool.start_ahead`; of this process's pool."""
    _pool.start_ahead()


def stop() -> None:
    """See `Pool.stop`; of this process's pool."""
    _pool.stop()


def end_idle() -> None:
    """See `Pool.end_idle`; of this process's pool."""
    _pool.end_idle()


def _after_fork() -> None:
    global _pool
    _pool.forget()
    _forgotten.append(_pool)
    _pool = Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(stop)
