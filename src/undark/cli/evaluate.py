"""The commands that judge: `undark evaluate` and `undark compare`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from undark.cli.terminal import interruptible, lacking, path, progress_bars, tell
from undark.engine.catalogue import DEFAULT_MODEL
from undark.engine.model import Model, load_model
from undark.errors import DataError, ExistsError, UnsupportedError, naming
from undark.files.folder import MARK
from undark.files.output import atomic_output, writing
from undark.files.picture import write_picture
from undark.files.raw import read_mosaic
from undark.sensor.mosaic import Shot

if TYPE_CHECKING:
    from undark.evaluation.data import Data
    from undark.evaluation.evaluate import Judged, Score


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name or a file.")],
    data: Annotated[Path, typer.Argument(parser=path, metavar="DATA", help="Pairs, or SID.")],
    out: Annotated[
        Path, typer.Option("--out", parser=path, metavar="DIR", help="Where the report goes.")
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the report that is there.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="The model and the amplified photo only.")
    ] = False,
) -> None:
    """Score a model and classical methods on dark/bright pairs; write a report to look at.

    PSNR and SSIM per photo and amplification, RAW and sRGB, with and without brightness
    correction: scores.csv, scores.json and report.html. docs/evaluate.md says how.
    """
    _check_installed()
    network = load_model(model)
    from undark.evaluation.data import choose_data

    chosen = choose_data(data, network.card)
    with _report_folder(out, overwrite):
        _evaluate(chosen, network, out, quick)


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
        str, typer.Option(metavar="NAME|FILE", help="See `undark models`.")
    ] = DEFAULT_MODEL,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the sheet.")] = False,
) -> None:
    """Draw one photo by the model and by every classical method, side by side."""
    _check_installed()
    network = load_model(model)
    target = output or photo.with_name(f"{photo.stem}-compare{MARK}.jpg")
    from undark.evaluation.compare import STEPS

    with atomic_output(target, overwrite) as temporary, progress_bars() as bars:
        task = bars.add_task("methods", total=STEPS)

        def show(share: float) -> None:
            bars.update(task, completed=round(STEPS * share))

        with interruptible("nothing was written"):
            drawn = _drawn(photo, network, show)
        write_picture(temporary, drawn, Shot(), quality=92)
    print(target)


def _drawn(photo: Path, network: Model, progress: Callable[[float], None]) -> NDArray[np.uint8]:
    from undark.evaluation.compare import sheet

    try:
        return sheet(read_mosaic(photo), network, progress)
    except UnsupportedError as error:
        raise UnsupportedError(naming(error, photo)) from error


def _evaluate(data: Data, network: Model, out: Path, quick: bool) -> None:
    from undark.evaluation.evaluate import write_scores
    from undark.evaluation.gallery import Gallery
    from undark.evaluation.report import HTML, Evaluation, write_report

    gallery = Gallery(network.card.name)
    scores: list[Score] = []
    problems: list[str] = []
    try:
        with interruptible("the report holds the photos that were done"):
            for judged in _judge_all(data, network, quick):
                scores += judged.scores
                if judged.problem:
                    problems.append(judged.problem)
                else:
                    gallery.add(judged)
    finally:
        if scores:
            write_scores(out, scores)
            write_report(out, Evaluation(data, network.card, scores, gallery, problems))
    if not scores:
        raise DataError(f"{data.folder}: none of its pairs could be judged; no report is written")
    _print_means(scores)
    print(out / HTML)
    if problems:
        tell(f"{len(problems)} of {len(data.rows)} pairs could not be judged and were left out")
        raise typer.Exit(1)


def _judge_all(data: Data, network: Model, quick: bool) -> Iterator[Judged]:
    """Each pair as it is done, with a bar; problems are told at once."""
    from undark.evaluation.evaluate import evaluate as judge_all

    with progress_bars() as bars:
        task = bars.add_task("photos", total=len(data.rows))
        for judged in judge_all(data, network, quick):
            if judged.problem:
                tell(judged.problem)
            bars.advance(task)
            yield judged


def _print_means(scores: list[Score]) -> None:
    """Means over all photos: a row a method, a column a protocol."""
    from undark.evaluation.protocols import PROTOCOLS
    from undark.evaluation.summary import ALL, means

    columns = [means(scores, protocol) for protocol in PROTOCOLS]
    table = Table(box=None, pad_edge=False)
    table.add_column("method")
    for protocol in PROTOCOLS:
        table.add_column(protocol, justify="right", no_wrap=True)
    for method in columns[-1]:
        found = [column[method][ALL] if method in column else None for column in columns]
        cells = [f"{mean.psnr:.2f} / {mean.ssim:.3f}" if mean else "–" for mean in found]
        table.add_row(Text(method), *cells)
    Console(highlight=False, width=120).print(table)


def _check_installed() -> None:
    """Raises `SetupError` where scikit-image and what it needs are missing."""
    for package in ("skimage", "pywt"):
        if not find_spec(package):
            raise lacking("this", package, "evaluate")


@contextmanager
def _report_folder(out: Path, overwrite: bool) -> Iterator[None]:
    """Make the folder of a report before hours of work; gone again if nothing came of it."""
    if os.path.lexists(out) and not overwrite:
        raise ExistsError(f"{out}: exists already; choose another --out, or add --overwrite")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # not empty
            out.rmdir()
