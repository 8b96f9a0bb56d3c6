"""How many threads to use."""

from __future__ import annotations

import os

LIMIT = "OMP_NUM_THREADS"
"""The usual name of such a limit; Ray sets it to the CPUs that it assigns to a worker."""


def usable_cpus() -> int:
    """The CPUs that this process may use, 1 or more; `OMP_NUM_THREADS` lowers it."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get(LIMIT, "")
    return min(here, int(limit)) if limit.isdecimal() and int(limit) else here
