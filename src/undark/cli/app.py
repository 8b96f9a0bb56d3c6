"""The command line: the application that every command is added to, and its exit status."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from undark import __version__
from undark.cli.burst import burst_command
from undark.cli.calibrate import calibrate_command
from undark.cli.compare import compare
from undark.cli.demo import demo
from undark.cli.desk import desk
from undark.cli.evaluate import evaluate
from undark.cli.export import export_command
from undark.cli.info import info
from undark.cli.models import models
from undark.cli.pairs import pairs
from undark.cli.restore import restore_command
from undark.cli.terminal import (
    escape_output,
    flushed_output,
    output_fails,
    tell,
    warnings_shown,
)
from undark.cli.train import train_app
from undark.cli.tune import tune
from undark.errors import PhotoError, UndarkError

app = typer.Typer(
    help="Turns extremely dark RAW photographs into bright, fully detailed pictures.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"undark {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("restore")(restore_command)
app.command()(desk)
app.command("burst")(burst_command)
app.command()(info)
app.command()(pairs)
app.command()(evaluate)
app.command()(compare)
app.command("calibrate")(calibrate_command)
app.command()(demo)
app.command()(models)
app.command("export")(export_command)
app.add_typer(train_app, name="train")
app.command()(tune)


def main() -> None:
    """The `undark` command: an error is one line; exit status 1 for a photo, 2 for the run."""
    for name in ("SIGTERM", "SIGHUP"):  # SIGHUP: the terminal's window was closed
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _end)
    escape_output()
    try:
        with warnings_shown(), flushed_output():
            app(prog_name="undark")  # also of `python -m undark`: completion goes by it
    except UndarkError as error:
        tell(str(error))
        sys.exit(1 if isinstance(error, PhotoError) else 2)
    except OSError as error:
        tell(f"stopped: {_reason(error)}")
        sys.exit(2)


def _reason(error: OSError) -> str:
    """What the system refused. It names no file for standard output and the working folder."""
    why = str(error.strerror or error)
    if error.filename:
        return f"{why}: {error.filename}"
    if isinstance(error, FileNotFoundError) and _is_folder_gone():
        return "the working folder is gone; go to another one"
    return f"standard output cannot be written ({why})" if output_fails() else why


def _is_folder_gone() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _end(number: int, frame: object) -> None:
    """Exit by an exception, so that every `finally` runs and no partial file stays."""
    sys.exit(128 + number)
