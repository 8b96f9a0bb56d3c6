"""The command that gives a model to other programs: `undark export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from undark.cli.extras import needed
from undark.cli.terminal import not_empty, printable
from undark.engine.card import read_card
from undark.engine.catalogue import find_model


class Form(StrEnum):
    """Whom the model is for."""

    ONNX = "onnx"
    DARKTABLE = "darktable"


def export_command(
    model: Annotated[str, typer.Argument(metavar="NAME|FILE", help="See `undark models`.")],
    to: Annotated[
        Form,
        typer.Option(
            help="onnx: the plain network, to feed as docs/export.md says; darktable: a package "
            "for the neural restore of darktable 5.6, which derives the noise map itself."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            parser=not_empty,
            metavar="FILE",
            help="Default: in this folder, named as the model. darktable takes the name, without "
            ".dtmodel, as the model's identifier.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write a model for other programs."""
    path = find_model(model)
    if to == Form.ONNX:
        from undark.export import plain

        out = Path(output or plain.default_name(read_card(path)))
        if out.suffix.lower() != plain.SUFFIX:
            raise typer.BadParameter(f"{output} is no name for an ONNX file: end it in .onnx")
        print(printable(str(plain.write_onnx(path, out, overwrite))))
        return
    with needed("--to darktable", "export"):
        from undark.export import darktable

    out = Path(output or darktable.default_name(read_card(path)))
    try:
        darktable.check_identifier(out)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    print(printable(str(darktable.write_package(path, out, overwrite))))
