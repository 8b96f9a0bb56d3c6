"""Print `docs/cli.md`: the help of every command. A test checks that the file is up to date.

python scripts/cli_docs.py > docs/cli.md
"""

import os
import subprocess
import sys
from collections.abc import Iterator

from typer.main import get_command

from undark.cli import app


def commands() -> Iterator[str]:
    """Every command by name, the program itself first, in the order of its help."""
    yield ""
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        yield name
        yield from (f"{name} {sub}" for sub in getattr(command, "commands", {}))


def help_of(command: str) -> str:
    """The help text, 80 columns wide."""
    asked = [sys.executable, "-m", "undark", *command.split(), "--help"]
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(asked, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.replace("python -m undark", "undark")


def reference() -> str:
    """The content of `docs/cli.md`."""
    parts = ["# Command reference\n\nMade by `python scripts/cli_docs.py > docs/cli.md`.\n"]
    for command in commands():
        title = f"undark {command}".strip()
        parts.append(f"\n## {title}\n\n```\n{help_of(command).strip()}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    print(reference(), end="")
