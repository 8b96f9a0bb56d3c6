"""What reading RAW files in a child process costs, and the digest of each source.

    python benchmarks/reading.py [--runs 7]

Reads the files of `../shared/raw` and a 24-megapixel DNG made here, in turn by LibRaw's functions
in this process and through the child, once it has started. Prints a Markdown table of medians in
seconds, with how long the child takes to start.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from darkroom import SHARED
from speed import SIZES, machine, make_frame
from undark.files.provenance import digest_of
from undark.files.raw import read_mosaic
from undark.files.raw.decode import decode


def seconds(action: Callable[[Path], object], path: Path) -> float:
    began = time.perf_counter()
    action(path)
    return time.perf_counter() - began


def medians(path: Path, runs: int) -> list[float]:
    """Of decoding here, reading through the child, and the digest; in turn."""
    actions = (decode, read_mosaic, digest_of)
    times = [[seconds(action, path) for action in actions] for _ in range(runs)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def read_libraws_messages(folder: str) -> None:
    """Make standard error a file, as it is in the child: `decode` reads there what LibRaw says."""
    messages = os.open(Path(folder) / "messages", os.O_RDWR | os.O_CREAT)
    os.dup2(messages, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        frame = Path(folder) / "24 megapixels.dng"
        make_frame(frame, SIZES[24])
        paths = [p for p in sorted((SHARED / "raw").iterdir()) if p.suffix in (".dng", ".crw")]
        read_libraws_messages(folder)
        decode(paths[0])  # libraries are loaded
        first = seconds(read_mosaic, paths[0])
        started = first - seconds(read_mosaic, paths[0])
        print(f"{machine()}; the child starts in {started:.2f} s\n")
        print("| file | MB | decoded here | through the child | more | digest |")
        print("|---|---|---|---|---|---|")
        for path in [*paths, frame]:
            here, child, digest = medians(path, runs)
            print(
                f"| {path.name} | {path.stat().st_size / 1e6:.1f} | {here:.3f} | {child:.3f} "
                f"| {child - here:+.3f} | {digest:.3f} |"
            )


if __name__ == "__main__":
    main()
