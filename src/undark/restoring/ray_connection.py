"""The connection to a Ray cluster: one that runs, or one of this machine that is started for it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from undark.cpus import usable_cpus
from undark.errors import ClusterError

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when a cluster is started

import ray

AUTO = "auto"
"""The address of the cluster that runs on this machine, or of one that is started for the run."""

_LOCAL_STORE = 512 << 20
"""Bytes of a local cluster's object store, which holds the means of dark frames."""
_STARTS = 3
_PROBE_SECONDS = 60.0
_SILENT: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL + 1}

_PROBE = """
import logging, sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL + 1)
except Exception as error:
    none_runs = sys.argv[1] == "auto" and isinstance(error, ConnectionError)
    sys.exit(3 if none_runs else " ".join(str(error).split()))
"""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Raises `ClusterError` where no cluster answers."""
    arguments: dict[str, Any] = {"address": address}
    if not _answers(address):
        arguments = {"num_cpus": usable_cpus(), "include_dashboard": False}
        arguments["object_store_memory"] = _LOCAL_STORE
        os.environ.setdefault("RAY_worker_niceness", "0")  # as a run without a cluster; Ray's is 15
    with _own_sigterm():
        _init(address, arguments)
    # Ray prints each worker's death to stdout; there is no public switch
    ray._private.worker._worker_logs_enabled = False
    try:
        yield
    finally:
        ray.shutdown()


def _init(address: str, arguments: dict[str, Any]) -> None:
    """Raises `ClusterError`, after `_STARTS` tries: on a busy machine Ray gives up after 30 s."""
    for left in reversed(range(_STARTS)):
        try:
            ray.init(**arguments, **_SILENT)
            return
        except Exception as error:  # Ray's own share no base class
            ray.shutdown()
            why = " ".join(str(error).split())
            if not left:
                raise ClusterError(
                    f"{address}: Ray did not start, or did not answer ({why}); give the command "
                    "again, or leave --cluster out"
                ) from error


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which Ray replaces."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _answers(address: str) -> bool:
    """Whether a cluster answers, False only for `AUTO`. Raises `ClusterError`.

    In a child process: Ray waits for minutes for a cluster that is not there, in native code that
    writes to stderr.
    """
    if address != AUTO:
        _check_port(address)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, address],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise _silent(address, f"no answer within {_PROBE_SECONDS:g} s") from error
    if done.returncode == 3:
        return False
    if done.returncode:
        raise _silent(address, (done.stderr.strip().splitlines() or ["?"])[-1])
    return True


def _check_port(address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "//" in host:
        raise ClusterError(
            f"{address}: no address of a Ray cluster; give HOST:PORT as `ray start --head` "
            f"printed it, or {AUTO}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise _silent(address, getattr(error, "strerror", None) or str(error)) from error


def _silent(address: str, why: str) -> ClusterError:
    return ClusterError(
        f"{address}: no Ray cluster answers there ({why}); give the address that "
        "`ray start --head` printed, on a machine that belongs to the cluster"
    )
