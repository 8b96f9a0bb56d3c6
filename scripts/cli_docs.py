"""Print `docs/cli.md`: the help of every command. A test checks that the file is up to date.

python scripts/cli_docs.py > docs/cli.md
"""

from collections.abc import Iterator

from typer.main import get_command
from typer.testing import CliRunner

from undark.cli import app


def commands() -> Iterator[str]:
    """Every command by name, the program itself first, in the order of its help."""
    yield ""
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        yield name
        yield from (f"{name} {sub}" for sub in getattr(command, "commands", {}))


def help_of(command: str) -> str:
    """The help text on a terminal of 80 columns."""
    plain = {"NO_COLOR": "1", "TERM": "dumb"}
    asked = [*command.split(), "--help"]
    return CliRunner().invoke(app, asked, env=plain, prog_name="undark", terminal_width=78).stdout


def reference() -> str:
    """The content of `docs/cli.md`."""
    parts = ["# Command reference\n\nMade by `python scripts/cli_docs.py > docs/cli.md`.\n"]
    for command in commands():
        title = f"undark {command}".strip()
        parts.append(f"\n## {title}\n\n```\n{help_of(command).strip()}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    print(reference(), end="")
