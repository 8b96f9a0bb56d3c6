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

from processes import answer_ctrl_c
from undark.cpus import LIMIT, usable_cpus
from undark.engine.model import load_model
from undark.errors import ClusterError
from undark.files.dng import write_mosaic
from undark.files.picture import read_picture
from undark.restoring import jobs
from undark.restoring.plan import plan

pytest.importorskip("ray", reason="needs the extra `cluster`")
from undark.restoring import ray_connection
from undark.restoring.cluster import MEMORY, cpus_per_photo

SECONDS = 300
"""For what takes a few seconds on an idle machine."""
SHAPE = 1400, 1800
"""Of the photos, that one takes a second or more: processes are ended in the middle of it."""
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
            self.process.wait(5)
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


@pytest.fixture(scope="module")
def photos(tmp_path_factory, make_mosaic):
    """A folder of six photos that take a moment each, in `in`, and a dark frame."""
    made, shape = tmp_path_factory.mktemp("photos"), SHAPE
    (made / "in").mkdir()
    for i in range(6):
        write_mosaic(made / f"in/{i}.dng", make_mosaic(shape=shape, seed=i))
    noise = np.random.default_rng(9).normal(512, 3, shape)
    write_mosaic(made / "dark.dng", make_mosaic(plane=noise.round().astype(np.uint16)))
    return made


@pytest.fixture
def folder(photos, tmp_path):
    """The same, a test's own."""
    return Path(shutil.copytree(photos, tmp_path / "own"))


@pytest.fixture
def small(tmp_path, make_mosaic):
    """A folder of one small photo."""
    write_mosaic(tmp_path / "0.dng", make_mosaic())
    return tmp_path


def start(folder, *args, main="from undark.__main__ import main; main()", env=()):
    """`undark restore in -o out/ --quality fast ARGS` as a process, with all CPUs."""
    command = [sys.executable, "-c", main, "restore", "in", "-o", "out/", "--quality", "fast"]
    command += args
    usual = {name: value for name, value in os.environ.items() if name != LIMIT}
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**usual, **QUIET, **dict(env)},
        preexec_fn=answer_ctrl_c,
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
    time.sleep(0.2)  # into the work
    os.kill(pid, signal.SIGKILL)
    return pid


def files(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_ctrl_c_leaves_nothing_half_written(folder, ray_folder):
    """With `auto`, where no cluster runs: one of this machine is started, and ended."""
    process = start(folder, "--cluster", "auto", env={"RAY_TMPDIR": str(ray_folder)})

    def both_work():
        assert process.poll() is None, process.communicate()
        return workers_on("0.dng") and workers_on("1.dng")

    until(both_work)
    time.sleep(0.2)  # into the work
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: Ray's processes get it too
    status, said, told = finish(process)
    assert (status, said) == (130, "")
    assert told[-1].startswith("stopped; finished photos are kept")
    done = [line.split(" -> out/")[1].split()[0] for line in told[:-1]]
    results = files(folder / "out")
    assert set(done) <= set(results)  # a photo may be finished while its worker is told to stop
    assert len(results) < 6
    for name in results:  # whole pictures, and nothing else
        assert read_picture(folder / "out" / name).shape == (*SHAPE, 3)
    assert not [*ray_folder.rglob("usage_stats.json")]
    assert not workers_on("")


def test_a_killed_worker_a_photo_that_kills_and_what_is_done(folder, address):
    options = ["--cluster", address, "--dark-frame", "dark.dng", "--json"]
    process = start(folder, *options)
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
    assert [outcomes[name]["dark_frames"] for name in good] == [1] * 5
    assert outcomes["in/4.dng"]["status"] == "failed"
    assert outcomes["in/4.dng"]["reason"].startswith("in/4.dng: 3 workers died")
    assert len(told) == 7, told  # a line for each photo, one for the failure: nothing of Ray's
    results = [f"{i}-undark.jpg" for i in (0, 1, 2, 3, 5)]
    assert [name for name in files(folder / "out") if not name.startswith(".")] == results

    before = {name: (folder / "out" / name).stat().st_mtime_ns for name in results}
    status, said, _ = finish(start(folder, *options))
    outcomes = {o["source"]: o["status"] for o in json.loads(said)}
    assert status == 0
    assert outcomes == dict.fromkeys(good, "skipped") | {"in/4.dng": "restored"}
    assert {name: (folder / "out" / name).stat().st_mtime_ns for name in results} == before
    assert not [name for name in files(folder / "out") if name.endswith((".lock", ".shared"))]

    alone = jobs.Options(quality="fast", dark_frames=(folder / "dark.dng",))
    [*_, done] = jobs.run(plan([folder / "in/1.dng"], folder / "one/"), alone)
    one, many = (
        read_picture(path)[0].astype(int) for path in (done.target, folder / "out/1-undark.jpg")
    )
    assert np.abs(one - many).max() <= 2


def test_another_version(folder, address):
    newer = "import undark; undark.__version__ = '9.9'; from undark.__main__ import main; main()"
    status, _, told = finish(start(folder, "--cluster", address, main=newer))
    assert status == 2
    assert len(told) == 1
    assert told[0].endswith("has undark 0.1.0, not 9.9; install the same version there")
    assert files(folder / "out") == []


@pytest.fixture
def without(address, ray_folder, folder):
    """A machine that joins the cluster and does not see the folder."""
    hide = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(folder)]
    if not shutil.which("unshare") or subprocess.run([*hide, "true"]).returncode:
        pytest.skip("this system allows no mounts in a namespace")
    node = Node(ray_folder, f"--address={address}", prefix=hide, cpus=1)
    yield
    node.stop()


@pytest.mark.usefixtures("without")
def test_a_machine_without_the_shared_folder_gets_no_photos(folder, address):
    for i in range(3, 6):  # one for each CPU is enough
        (folder / f"in/{i}.dng").unlink()
    status, _, told = finish(start(folder, "--cluster", address))
    assert status == 0
    assert files(folder / "out") == [f"{i}-undark.jpg" for i in range(3)]
    lines = [line for line in told if "->" not in line]
    assert len(lines) == 1
    assert f"does not see {folder}/out/.undark-" in lines[0]
    assert lines[0].endswith("mount the shared folder there; until then it gets no photos")


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("127.0.0.1:1", "no Ray cluster answers there (Connection refused)"),
        ("nohost.invalid:6379", "no Ray cluster answers there ("),
        ("ray://127.0.0.1:1", "no address of a Ray cluster; give HOST:PORT"),
        ("127.0.0.1", "no address of a Ray cluster; give HOST:PORT"),
    ],
)
def test_an_address_where_nothing_answers(run, small, where, line):
    status, said, told = run("restore", small, "-o", f"{small}/out/", "--cluster", where)
    assert (status, said, told.count("\n")) == (2, "", 1)
    assert told.startswith(f"{where}: {line}")


def test_an_address_where_something_else_answers(run, small, monkeypatch):
    monkeypatch.setattr(ray_connection, "_PROBE_SECONDS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        where = f"127.0.0.1:{other.getsockname()[1]}"
        status, _, told = run("restore", small, "-o", f"{small}/out/", "--cluster", where)
    assert status == 2
    assert told.startswith(f"{where}: no Ray cluster answers there (no answer within 2 s)")
    assert told.count("\n") == 1


def test_the_handler_of_sigterm_stays_where_ray_does_not_start(monkeypatch):
    def init(**_):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        raise RuntimeError("no room")

    monkeypatch.setattr(ray_connection, "_answers", lambda address: True)
    monkeypatch.setattr(ray_connection.ray, "init", init)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ClusterError, match="no room"), ray_connection.connected("auto"):
        pass
    assert signal.getsignal(signal.SIGTERM) == before


def test_without_ray(run, small, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ("cluster", "cluster_worker", "ray_connection"):
        monkeypatch.delitem(sys.modules, f"undark.restoring.{name}", raising=False)
    status, _, told = run("restore", small, "-o", f"{small}/out/", "--cluster", "auto")
    assert status == 2
    assert told == "--cluster needs ray; install it with: pip install 'undark[cluster]'\n"


def test_cpus_per_photo():
    """More than one only where the memory does not suffice for a photo on each CPU."""
    assert cpus_per_photo([(16, 16 * MEMORY)] * 20) == 1
    assert cpus_per_photo([(16, 8 * MEMORY)] * 20) == 2
    assert cpus_per_photo([(16, 7 * MEMORY), (16, 8 * MEMORY)]) == 3
    assert cpus_per_photo([(1, 0)]) >= 1


def test_threads_are_the_cpus_assigned(monkeypatch):
    monkeypatch.setenv(LIMIT, "1")
    assert usable_cpus() == 1
    session = load_model()._running[1]._backend._session
    assert session.get_session_options().intra_op_num_threads == 1
    monkeypatch.setenv(LIMIT, "100000")
    assert usable_cpus() == len(os.sched_getaffinity(0))
    for nothing in ("", "0", "two"):
        monkeypatch.setenv(LIMIT, nothing)
        assert usable_cpus() == len(os.sched_getaffinity(0))
