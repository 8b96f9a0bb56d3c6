"""Seconds and peak memory of a command: the sum of its processes' proportional set sizes.

The proportional set size (PSS) divides a page that several processes share among them, so that the
sum over a tree of processes counts it once. Linux only: it is read from `/proc/PID/smaps_rollup`.
"""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.02
"""Seconds between two samples."""


@dataclass(frozen=True)
class Run:
    """One command."""

    seconds: float
    cpu: float
    """Seconds of all its processes on all cores: what a busy machine changes little."""
    mebibytes: float
    """At the peak."""


def timed(command: list[str]) -> Run:
    """Run a command and wait for it; raises `CalledProcessError`, with its output, if it fails."""
    began, before, peak = time.perf_counter(), _cpu(), 0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, sum(pss(one) for one in tree(process.pid)))
            time.sleep(INTERVAL)
        seconds = time.perf_counter() - began
        if process.returncode:
            output.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, output.read())
    return Run(seconds, _cpu() - before, peak / 1024)


def _cpu() -> float:
    """Seconds on a core of all processes that this one has waited for, and of those they did."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


def pss(pid: int) -> int:
    """KiB; 0 of a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
