"""Print `docs/cli.md`: the help of every command. A test holds the file to it.

python scripts/cli_docs.py > docs/cli.md
"""

import os
import subprocess
import sys

COMMANDS = (
    "",
    "restore",
    "info",
    "pairs",
    "evaluate",
    "compare",
    "calibrate",
    "demo",
    "models",
    "train",
    "train photos",
    "train pairs",
    "train sid",
    "tune",
)


def help_of(command: str) -> str:
    """The help text, at one width whatever the terminal."""
    asked = [sys.executable, "-m", "undark", *command.split(), "--help"]
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(asked, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.replace("python -m undark", "undark")


def reference() -> str:
    """The whole page."""
    parts = ["# Command reference\n\nMade by `python scripts/cli_docs.py > docs/cli.md`.\n"]
    for command in COMMANDS:
        title = f"undark {command}".strip()
        parts.append(f"\n## {title}\n\n```\n{help_of(command).strip()}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    print(reference(), end="")
