"""The process that runs LibRaw: reads requests from stdin, answers on stdout, until stdin ends.

A damaged file may end LibRaw with a segmentation fault, or make it decode for hours or allocate
without bound; here that costs one photo. Stderr is a file of this process's own: LibRaw reports
damaged data there and nowhere else (see `libraw`).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from undark.errors import PhotoError, ReadError
from undark.files.raw.decode import decode
from undark.files.raw.metadata import header
from undark.files.raw.preview import preview
from undark.files.raw.rendering import render
from undark.files.raw.wire import receive, send

TASKS: dict[str, Callable[..., Any]] = {
    "decode": decode,
    "header": header,
    "preview": preview,
    "render": render,
}


def main(memory: int) -> None:
    """Serve requests `(task, path, options)` with at most `memory` bytes of address space.

    An answer is the task's result, or the exception that ended it. The first is None: "ready".
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    _limit_memory(memory)
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):  # what a library prints must not get among the answers
        os.dup2(nothing, standard)
    answer: Any = None
    with suppress(EOFError, BrokenPipeError):  # undark has ended, or needs no worker any more
        while True:
            send(answers, answer)
            answer = None  # frees the frame before the next is decoded
            answer = _answer(*receive(requests))


def _answer(task: str, path: Path, options: dict[str, Any]) -> Any:
    try:
        return TASKS[task](path, **options)
    except PhotoError as error:
        return error.with_traceback(None)
    except MemoryError:
        return ReadError("decoding takes too much memory: the file is damaged, or too large")
    except Exception as error:  # a bug, or a disk that fails: see `Pool.run`
        error.add_note(f"in the RAW worker, {task} {path}")
        return error


def _limit_memory(memory: int) -> None:
    """Limit the address space where the system can (not on Windows; macOS ignores it).

    No core dumps: a crash here is expected.
    """
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
