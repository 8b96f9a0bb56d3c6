"""The command that scores a model: `undark evaluate`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from undark.cli.extras import check_installed
from undark.cli.terminal import interruptible, path, printable, progress_bars, tell
from undark.engine.model import Model, load_model
from undark.errors import DataError, ExistsError
from undark.files.output import writing

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
    """Score a model and classical methods on dark/bright pairs; write a report.

    PSNR and SSIM per photo and amplification, RAW and sRGB, with and without brightness
    correction: scores.csv, scores.json and report.html. docs/evaluate.md has the protocols.
    """
    check_installed()
    network = load_model(model)
    from undark.evaluation.data import choose_data

    chosen = choose_data(data, network.card)
    with _report_folder(out, overwrite):
        _evaluate(chosen, network, out, quick)


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
        raise DataError(f"{data.folder}: none of its pairs could be scored; no report is written")
    _print_means(scores)
    print(printable(str(out / HTML)))
    if problems:
        tell(f"{len(problems)} of {len(data.rows)} pairs could not be scored and were left out")
        raise typer.Exit(1)


def _judge_all(data: Data, network: Model, quick: bool) -> Iterator[Judged]:
    """Yield each pair when it is done, with a progress bar; problems are printed at once."""
    from undark.evaluation.evaluate import evaluate as judge_all

    with progress_bars() as bars:
        task = bars.add_task("photos", total=len(data.rows))
        for judged in judge_all(data, network, quick):
            if judged.problem:
                tell(judged.problem)
            bars.advance(task)
            yield judged


def _print_means(scores: list[Score]) -> None:
    """Means over all photos: one row per method, one column per protocol."""
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


@contextmanager
def _report_folder(out: Path, overwrite: bool) -> Iterator[None]:
    """Create the folder of a report before hours of work; remove it if it stays empty."""
    if os.path.lexists(out) and not overwrite:
        raise ExistsError(f"{out}: exists already; choose another --out, or add --overwrite")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # not empty
            out.rmdir()
