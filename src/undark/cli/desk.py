"""The command that opens the desk in a browser: `undark desk`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from undark.cli.extras import needed
from undark.cli.options import DeviceChoice, Quality
from undark.cli.terminal import path, printable, tell
from undark.engine.allocator import return_memory
from undark.errors import SetupError
from undark.restoring.claims import claimed
from undark.restoring.jobs import Options

if TYPE_CHECKING:
    from undark.web.guard import Guard


def desk(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            parser=path,
            metavar="[FOLDER]...",
            help="Folders of photos; without one photos can be dropped on the page.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the page's address; 0: any that is free.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    quality: Annotated[
        Quality, typer.Option(help="best, or fast: about half the time, more noise left.")
    ] = Quality.BEST,
    device: DeviceChoice = "auto",
) -> None:
    """Look at photos on a page in the browser: compare, choose settings, export.

    The page is served on this machine only, at an address with a random key in it, until Ctrl-C.
    Exports that were not finished go on when the desk is opened for the same folders again.
    """
    with needed("undark desk", "desk"):
        from undark.web.desk import Desk
        from undark.web.serve import serve
        from undark.web.storage import Storage, state_folder

    return_memory()
    for folder in folders or []:
        if not folder.is_dir():
            raise SetupError(f"{folder}: no such folder; give a folder of photos")
    storage = Storage(state_folder(), folders or [])
    with claimed(storage.session / "desk") as ours:
        if not ours:
            raise SetupError("a desk is open for these folders already; use or stop that one")
        opened = Desk(folders or [], storage, Options(quality=quality, device=device))

        def ready(guard: Guard) -> None:
            print(f"undark desk: {guard.address}", flush=True)
            tell(printable(f"{len(opened.library.entries)} photos; stop with Ctrl-C"))
            if browser:
                webbrowser.open(guard.address_once)

        try:
            serve(opened, port, ready)
        finally:
            opened.close()
