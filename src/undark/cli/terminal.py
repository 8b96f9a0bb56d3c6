"""Output to the user that all commands share: one line at a time, on standard error."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

INTERRUPTED = 130
"""The exit status after Ctrl-C."""


class _StandardError(io.TextIOBase):
    """The current `sys.stderr`; messages are dropped where it is closed or its disk is full.

    The work goes on: the exit status and the results still say what was done.
    """

    def write(self, text: str) -> int:
        self._attempt(lambda: sys.stderr.write(text))
        return len(text)

    def flush(self) -> None:
        self._attempt(lambda: sys.stderr.flush())

    def isatty(self) -> bool:
        try:
            return sys.stderr.isatty()
        except (OSError, ValueError, AttributeError):
            return False

    def fileno(self) -> int:
        return sys.stderr.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # rich draws bars in ASCII by it
        return getattr(sys.stderr, "encoding", None) or "utf-8"

    def _attempt(self, output: Callable[[], object]) -> None:
        try:
            output()
        except (OSError, ValueError, AttributeError):  # full, closed, None
            # Python flushes sys.stderr at exit, and exits with 120 where that fails
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115


say = Console(
    file=cast("IO[str]", _StandardError()),
    highlight=False,
    soft_wrap=True,
    markup=False,
    emoji=False,
)


def tell(line: str) -> None:
    """One line for the user, whatever a file is called."""
    say.print(printable(line))


def printable(text: str) -> str:
    """Control characters, line ends and bytes that are no text shown as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def escape_output() -> None:
    """Print characters that standard output cannot encode as escapes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def flushed_output() -> Iterator[None]:
    """Flush standard output where the block exits.

    Python itself flushes it after all else, and says in its own words where that fails.
    """
    try:
        yield
    except SystemExit:
        sys.stdout.flush()
        raise


def output_fails() -> bool:
    """Whether standard output takes nothing; it is dropped then, since Python flushes it at exit.

    Writes a line end: without a buffer, a flush alone never fails.
    """
    try:
        print(flush=True)
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return True
    return False


def not_empty(text: str) -> str:
    """Parse a name; an empty one is refused."""
    if not text:
        raise typer.BadParameter("an empty name; perhaps a variable of the shell is not set")
    return text


def path(text: str) -> Path:
    """Parse a path; an empty one is refused."""
    return Path(not_empty(text))


def progress_bars() -> Progress:
    """Bars with a count and the time left, gone at the end; none where there is no terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    return Progress(
        *columns, TimeRemainingColumn(), console=say, transient=True, disable=not say.is_terminal
    )


@contextmanager
def warnings_shown() -> Iterator[None]:
    """undark's own warnings inside are one line each, without the place in its code."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def tell_ours(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if category.__module__.startswith("undark."):
                tell(str(message))
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = tell_ours
        yield


@contextmanager
def interruptible(line: str) -> Iterator[None]:
    """Print one line after Ctrl-C in the block."""
    try:
        yield
    except KeyboardInterrupt as stop:
        tell(f"stopped; {line}")
        raise typer.Exit(INTERRUPTED) from stop
