"""What the commands share in talking to a user: one line at a time, on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

INTERRUPTED = 130
"""The exit status after Ctrl-C."""

say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def tell(line: str) -> None:
    """One line for the user, whatever a file is called."""
    say.print(printable(line))


def printable(text: str) -> str:
    """Control characters, line ends and bytes that are no text shown as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


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
def interruptible(line: str) -> Iterator[None]:
    """Ctrl-C inside is answered with one line."""
    try:
        yield
    except KeyboardInterrupt as stop:
        tell(f"stopped; {line}")
        raise typer.Exit(INTERRUPTED) from stop
