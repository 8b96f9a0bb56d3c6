"""The command that describes models: `undark models`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from undark.cli.terminal import printable
from undark.engine.catalogue import find_model, shipped_models
from undark.engine.model import read_card


def models(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME|FILE]", help="Default: the shipped models."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the complete cards.")] = False,
) -> None:
    """List the shipped models and their scores, or print the card of a model file."""
    paths = {name: find_model(name) for name in files} if files else shipped_models()
    cards = {name: read_card(path) for name, path in paths.items()}
    if as_json:
        print(json.dumps({n: json.loads(c.to_json()) for n, c in cards.items()}, indent=1))
        return
    for name, card in cards.items():
        print(printable(f"{name}: {card.task}, {card.cfa}, {card.licence}"))
        print(printable(f"  conditioning     {card.conditioning}"))
        for key, value in {**card.training, **card.scores}.items():
            shown = f"{len(value)}" if isinstance(value, list) else value
            print(printable(f"  {key:<16} {shown}"))
