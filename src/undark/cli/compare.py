"""The command that renders one photo by every method: `undark compare`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from undark.cli.extras import check_installed
from undark.cli.terminal import interruptible, path, printable, progress_bars
from undark.engine.catalogue import choose
from undark.engine.model import Model, load_model
from undark.errors import UnsupportedError, naming
from undark.files.folder import MARK
from undark.files.output import atomic_output
from undark.files.picture import write_picture
from undark.files.raw import read_mosaic
from undark.sensor.mosaic import Mosaic, Shot


def compare(
    photo: Annotated[Path, typer.Argument(parser=path, metavar="PHOTO", help="A RAW file.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=path,
            metavar="FILE",
            help="JPEG, PNG or TIFF. Default: PHOTO-compare-undark.jpg beside the photo.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Default: by the sensor; see `undark models`."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the sheet.")] = False,
) -> None:
    """Render one photo by the model and by every classical method, side by side."""
    check_installed()
    mosaic = read_mosaic(photo)
    network = load_model(model or choose(mosaic.cfa.kind.name))
    target = output or photo.with_name(f"{photo.stem}-compare{MARK}.jpg")
    from undark.evaluation.compare import STEPS

    with atomic_output(target, overwrite) as temporary, progress_bars() as bars:
        task = bars.add_task("methods", total=STEPS)

        def show(share: float) -> None:
            bars.update(task, completed=round(STEPS * share))

        with interruptible("nothing was written"):
            drawn = _drawn(photo, mosaic, network, show)
        write_picture(temporary, drawn, Shot(), quality=92)
    print(printable(str(target)))


def _drawn(
    photo: Path, mosaic: Mosaic, network: Model, progress: Callable[[float], None]
) -> NDArray[np.uint8]:
    from undark.evaluation.compare import sheet

    try:
        return sheet(mosaic, network, progress)
    except UnsupportedError as error:
        raise UnsupportedError(naming(error, photo)) from error
