"""The command that searches for settings: `undark tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from undark.cli.extras import needed
from undark.cli.terminal import interruptible, path, tell


def tune(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Photographs to train on.")],
    out: Annotated[Path, typer.Option(parser=path, metavar="DIR", help="Folder of the study.")],
    trials: Annotated[int, typer.Option(min=2, help="Number of trials.")] = 20,
    minutes: Annotated[
        float, typer.Option(min=0.01, help="Training time per trial, without validation.")
    ] = 2.0,
) -> None:
    """Search batch size, depth, width, crop and learning rate for `undark train`.

    The same command resumes a search; with the same --out, several machines share it.
    """
    with needed("tuning", "tune"):
        from undark.learn.trial import Search
        from undark.learn.tune import tune as search
    with interruptible("the same command continues from there"):
        found = search(Search(folder, out, trials, minutes), tell)
    defaults = "failed" if found.default is None else f"{found.default:.2f} dB"
    failed = f" ({found.failed} failed)" if found.failed else ""
    tell(f"best of {found.trials} trials{failed}: {found.best:.2f} dB; defaults: {defaults}")
    if found.default is not None and found.best <= found.default:
        tell("nothing better than the defaults was found: keep those")
    print(found.settings)
