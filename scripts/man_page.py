"""Print `docs/undark.1`: the help of every command as a man page. A test checks that it is current.

python scripts/man_page.py > docs/undark.1
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from undark import __version__
from undark.cli import app

DATE = "2026-11-29"
"""Of the release; changed with the version."""

NAME = "turns extremely dark RAW photographs into bright pictures"
DESCRIPTION = """\
undark separates noise from detail in the sensor data of a RAW file with a neural network that
runs on an ordinary processor, and writes JPEG, PNG, TIFF or linear DNG. Nothing leaves the machine.
"""
STATUS = [
    ("0", "Every photo worked."),
    ("1", "A photo failed; the others are done."),
    ("2", "The run could not be done, or the command line is wrong."),
]
ENVIRONMENT = [
    ("UNDARK_DEVICE", "What --device auto stands for."),
    ("UNDARK_CAMERAS", "The folder of your cameras' calibrations."),
    ("OMP_NUM_THREADS", "Limits the threads of restoring."),
]
EXAMPLES = [
    ("undark restore IMG_0001.ARW", "Write IMG_0001-undark.jpg beside the photo."),
    ("undark restore ~/night -o ~/bright --to dng", "Restore a folder into linear DNGs."),
    ("undark info IMG_0001.ARW", "Camera, noise and the proposed amplification."),
]


def page() -> str:
    """The content of `docs/undark.1`, in the macros of man(7)."""
    lines = [
        f'.TH UNDARK 1 "{DATE}" "undark {__version__}" "User Commands"',
        ".SH NAME",
        f"undark \\- {escaped(NAME)}",
        ".SH SYNOPSIS",
        ".B undark",
        escaped("[--version] [--help] COMMAND [ARGS]..."),
        ".SH DESCRIPTION",
        *filled(DESCRIPTION),
        ".SH COMMANDS",
        *commands(),
        ".SH EXIT STATUS",
        *entries(STATUS),
        ".SH ENVIRONMENT",
        *entries(ENVIRONMENT),
        ".SH EXAMPLES",
        *entries(EXAMPLES),
    ]
    return "\n".join(lines) + "\n"


def commands() -> Iterator[str]:
    """A subsection for each command, those of groups too."""
    root: Any = get_command(app)
    for name, command in root.commands.items():
        children = getattr(command, "commands", {})
        for full, one in [(name, command), *((f"{name} {n}", c) for n, c in children.items())]:
            if not getattr(one, "commands", {}):
                yield from subsection(full, one)


def subsection(name: str, command: Any) -> Iterator[str]:
    """A command's usage, help and options."""
    context = command.make_context(f"undark {name}", [], resilient_parsing=True)
    yield f".SS undark {name}"
    yield f".B undark {name}"
    yield from filled(" ".join(command.collect_usage_pieces(context)))
    for paragraph in re.split(r"\n\s*\n", command.help.strip()):
        yield ".PP"
        yield from filled(paragraph)
    records = (p.get_help_record(context) for p in command.get_params(context))
    yield from entries([record for record in records if record is not None])


def entries(pairs: list[tuple[str, str]]) -> Iterator[str]:
    """Terms in bold with their explanations."""
    for term, text in pairs:
        yield ".TP"
        yield f"\\fB{escaped(TYPES.sub(plain_type, ' '.join(term.split())))}\\fR"
        yield from filled(text)


TYPES = re.compile(r" <(list\[\w+\]|\w+ range|\w+)>")
"""How typer writes the type of an option or argument without a name of its own."""


def plain_type(found: re.Match[str]) -> str:
    """The type as man pages write it; nothing for a list, whose name says what it holds."""
    return "" if found[1].startswith("list") else f" {found[1].split()[0].upper()}"


def filled(text: str) -> Iterator[str]:
    """Text in source lines of at most 80 characters; the reader's program fills them anew."""
    yield from (escaped(line) for line in lines_of(text))


def lines_of(text: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), 60, break_on_hyphens=False) or [""]


def escaped(text: str) -> str:
    """Text with what roff would interpret, and characters outside ASCII, written out."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    plain = plain.replace("`", "\\(ga").replace("~", "\\(ti").replace("^", "\\(ha")
    plain = "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in plain)
    return f"\\&{plain}" if plain.startswith(".") or not plain else plain


if __name__ == "__main__":
    print(page(), end="")
