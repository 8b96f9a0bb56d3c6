"""A batch on a real Ray cluster on this machine: two workers, one killed, one photo that kills."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from undark.files.dng import write_mosaic
from undark.files.picture import read_picture
from undark.restoring import jobs
from undark.restoring.plan import plan

pytest.importorskip("ray", reason="needs the extra `cluster`")

SECONDS = 300
"""For what takes a few seconds on an idle machine."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_AUTH_MODE": "disabled"}


def until(what, seconds=SECONDS):
    """The first true value of `what()`."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"not within {seconds} s: {what.__name__}"
        time.sleep(0.05)
    return found


def workers_on(name):
    """Process ids of Ray's workers that restore a photo of this name."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::undark " + name.encode()):
            found.append(int(process.name))
    return found


class Node:
    """A node of Ray, in its own process group."""

    def __init__(self, folder, *args, prefix=(), cpus=2):
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        command += [f"--num-cpus={cpus}", "--memory=6000000000", "--disable-usage-stats"]
        self._command = [*prefix, *command, "--object-store-memory=100000000", *args]
        self._log = folder / f"node-{len(list(folder.iterdir()))}"
        assert any(self._start() for _ in range(3)), self._log.read_text()

    def _start(self):
        """Whether it has: on a busy machine Ray gives up after 30 s."""
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                self._command,
                stdout=output,
                stderr=output,
                env={**os.environ, **QUIET},
                start_new_session=True,
            )

        def decided():
            return self.process.poll() is not None or "runtime started" in self._log.read_text()

        until(decided)
        return self.process.poll() is None

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="module")
def ray_folder():
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # short: Ray has sockets in it
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def address(ray_folder):
    """Of a cluster of one machine with two CPUs, so two workers of one thread."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    args = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={ray_folder}/r"]
    head = Node(ray_folder, *args)
    yield f"127.0.0.1:{port}"
    head.stop()


@pytest.fixture
def folder(tmp_path, make_mosaic):
    """Six photos that take a moment each, in `in`."""
    (tmp_path / "in").mkdir()
    for i in range(6):
        write_mosaic(tmp_path / f"in/{i}.dng", make_mosaic(shape=(1200, 1600), seed=i))
    return tmp_path


def start(folder, *args, main="from undark.__main__ import main; main()", prefix=()):
    """`undark restore in -o out ARGS` as a process."""
    command = [*prefix, sys.executable, "-c", main, "restore", "in", "-o", "out/", *args]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **QUIET},
        start_new_session=True,
    )


def finish(process):
    """Exit status, stdout, stderr's lines."""
    said, told = process.communicate(timeout=SECONDS)
    return process.returncode, said, told.splitlines()


def kill(name, but=()):
    """SIGKILL the worker that restores a photo; its process id."""

    def found():
        return [pid for pid in workers_on(name) if pid not in but]

    pid = until(found)[0]
    time.sleep(0.3)  # into the work
    os.kill(pid, signal.SIGKILL)
    return pid


def files(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_killed_worker_a_photo_that_kills_and_what_is_done(folder, address):
    process = start(folder, "--cluster", address, "--json")
    killed = [kill("1.dng")]  # done elsewhere
    for _ in range(3):
        killed.append(kill("4.dng", killed))
    status, said, told = finish(process)
    outcomes = {o["source"]: o for o in json.loads(said)}
    good = [f"in/{i}.dng" for i in (0, 1, 2, 3, 5)]
    assert len(set(killed)) == 4
    assert status == 1
    assert sorted(outcomes) == sorted([*good, "in/4.dng"])
    assert [outcomes[name]["status"] for name in good] == ["restored"] * 5
    assert outcomes["in/4.dng"]["status"] == "failed"
    assert outcomes["in/4.dng"]["reason"].startswith("in/4.dng: 3 workers died")
    assert len(told) == 7, told  # a line for each photo, one for the failure: nothing of Ray's
    results = [f"{i}-undark.jpg" for i in (0, 1, 2, 3, 5)]
    assert [name for name in files(folder / "out") if not name.startswith(".")] == results

    before = {name: (folder / "out" / name).stat().st_mtime_ns for name in results}
    status, said, _ = finish(start(folder, "--cluster", address, "--json"))
    outcomes = {o["source"]: o["status"] for o in json.loads(said)}
    assert status == 0
    assert outcomes == dict.fromkeys(good, "skipped") | {"in/4.dng": "restored"}
    assert {name: (folder / "out" / name).stat().st_mtime_ns for name in results} == before
    assert not [name for name in files(folder / "out") if name.endswith((".lock", ".shared"))]

    [*_, done] = jobs.run(plan([folder / "in/1.dng"], folder / "one/"), jobs.Options())
    one, many = (
        read_picture(path)[0].astype(int) for path in (done.target, folder / "out/1-undark.jpg")
    )
    assert np.abs(one - many).max() <= 2
