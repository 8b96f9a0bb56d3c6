"""Time a command, and its peak memory: the sum of the proportional set sizes of its processes.

The proportional set size (PSS) divides a page that several processes share among them, so that the
sum over a tree of processes counts it once. Linux only: it is read from `/proc/PID/smaps_rollup`.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.02
"""Seconds between two samples."""


@dataclass(frozen=True)
class Run:
    """One command: wall seconds and peak MiB."""

    seconds: float
    mebibytes: float


def timed(command: list[str]) -> Run:
    """Run a command and wait for it; raises `CalledProcessError`, with its output, if it fails."""
    began, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, sum(_pss(one) for one in tree(process.pid)))
            time.sleep(INTERVAL)
        seconds = time.perf_counter() - began
        if process.returncode:
            output.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, output.read())
    return Run(seconds, peak / 1024)


def tree(pid: int) -> list[int]:
    """A process and all that it started, as far as they still run."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # it has ended
            continue
        for child in children:
            found += tree(int(child))
    return found


def _pss(pid: int) -> int:
    """KiB; 0 of a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
