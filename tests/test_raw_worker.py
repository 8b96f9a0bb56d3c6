"""RAW files are decoded in child processes, which may crash, hang or run out of memory."""

import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from undark.__main__ import _decodes_photos
from undark.errors import ReadError, SetupError
from undark.files.dng import write_mosaic
from undark.files.raw import pool, read_mosaic, render_with_libraw

# Put before the worker's own start: files of these names do what damaged files may do to LibRaw
TROUBLE = """
import ctypes, os, time
from pathlib import Path
from undark.files.raw import worker
decode = worker.TASKS["decode"]
def trouble(path):
    match path.stem:
        case "abort": os.abort()
        case "segfault": ctypes.string_at(0)
        case "hang": time.sleep(60)
        case "memory": bytearray(10 << 30)
        case "slow": time.sleep(1)
        case "fault": raise ZeroDivisionError("a fault of undark's")
        case "noise":
            os.write(1, b"to stdout"), os.write(2, b"to stderr")
    return decode(path)
worker.TASKS["decode"] = trouble
"""


@pytest.fixture
def trouble(monkeypatch):
    """Workers that crash, hang and so on over files of certain names."""
    start = "import sys; sys.path[:] = sys.argv[2:]\n" + TROUBLE + pool._START
    monkeypatch.setattr(pool, "_START", start)
    pool.stop()
    yield
    pool.stop()


@pytest.fixture
def photo(tmp_path, make_mosaic):
    """A function that writes a DNG of a name."""

    def write(name):
        write_mosaic(tmp_path / f"{name}.dng", make_mosaic())
        return tmp_path / f"{name}.dng"

    return write


@pytest.mark.parametrize(
    ("name", "why"),
    [("abort", "crashed.*SIGABRT"), ("segfault", "crashed.*SIGSEGV"), ("memory", "too much mem")],
)
def test_a_crash_costs_one_photo(trouble, photo, capfd, name, why):
    bad, good = photo(name), photo("good")
    for _ in range(2):  # again at every run
        with pytest.raises(ReadError, match=f"^{re.escape(str(bad))}: [^\n]*{why}[^\n]*$"):
            read_mosaic(bad)
        assert read_mosaic(good).shape == (64, 96)
    assert capfd.readouterr() == ("", "")


def test_a_file_that_takes_too_long(trouble, photo, monkeypatch):
    monkeypatch.setattr(pool, "SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(ReadError, match=r"hang\.dng: not decoded within 0\.5 s"):
        read_mosaic(photo("hang"))
    assert time.monotonic() - began < 10
    monkeypatch.undo()
    assert read_mosaic(photo("good")).shape == (64, 96)


def test_a_worker_killed_while_idle_is_replaced(photo):
    path = photo("x")
    read_mosaic(path)
    for worker in list(pool._pool._all):
        worker._process.kill()
        worker._process.wait()
    assert read_mosaic(path).shape == (64, 96)


def test_two_files_at_once_and_stderr_is_left_alone(trouble, photo, capfd):
    """A second of waiting each, in one second; other threads print meanwhile."""
    paths = [photo("slow"), photo("slow")]
    if pool._AT_ONCE < 2:
        pytest.skip("one processor")
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(read_mosaic, [photo("good")] * 2))  # both workers have started
        began = time.monotonic()
        reading = [threads.submit(read_mosaic, path) for path in paths]
        time.sleep(0.3)
        print("meanwhile", file=sys.stderr, flush=True)
        os.write(2, b"and from C\n")
        assert capfd.readouterr().err == "meanwhile\nand from C\n"  # not held back
        assert not any(r.done() for r in reading)
        assert [r.result().shape for r in reading] == [(64, 96)] * 2
    assert time.monotonic() - began < 1.8


def test_what_a_worker_prints_is_kept_off_the_terminal_and_its_answers(trouble, photo, capfd):
    assert read_mosaic(photo("noise")).shape == (64, 96)
    assert capfd.readouterr() == ("", "")


def test_a_bug_of_undark_costs_one_photo_and_is_not_reported_as_damage(trouble, photo):
    bad = photo("fault")
    said = f"^{re.escape(str(bad))}: cannot be read \\(ZeroDivisionError[^\n]*, or report it$"
    with pytest.raises(ReadError, match=said) as caught:
        read_mosaic(bad)
    cause = caught.value.__cause__
    assert isinstance(cause, ZeroDivisionError)
    assert "fault.dng" in cause.__notes__[0]
    assert read_mosaic(photo("good")).shape == (64, 96)


def test_a_batch_goes_on_after_a_bug_in_one_file(trouble, photo, run):
    bad, good = photo("fault"), photo("good")
    status, _, err = run("restore", bad.parent)
    assert (status, len(err.splitlines())) == (1, 3)
    assert f"{bad}: cannot be read (ZeroDivisionError" in err
    assert good.with_name("good-undark.jpg").exists()


def test_a_worker_that_does_not_start(photo, monkeypatch):
    path = photo("x")
    pool.stop()
    monkeypatch.setattr(pool, "_START", "import nonesuch")
    with pytest.raises(SetupError, match="No module named 'nonesuch'"):
        read_mosaic(path)
    monkeypatch.setattr(sys, "executable", "/nonesuch")
    with pytest.raises(SetupError, match="no child process"):
        read_mosaic(path)


def test_a_worker_started_ahead_answers_the_first_request(photo):
    path = photo("x")
    pool.stop()
    pool.start_ahead()
    (started,) = pool._pool._all
    assert read_mosaic(path).shape == (64, 96)
    assert pool._pool._all == {started}


def test_idle_workers_are_ended_and_busy_ones_are_not(trouble, photo):
    busy, other = photo("hang"), photo("x")
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(read_mosaic, busy)
        while not any(worker._ready for worker in tuple(pool._pool._all)):
            time.sleep(0.01)  # one that is still starting is ended with another error
        assert read_mosaic(other).shape == (64, 96)  # by a second worker
        assert len(pool._pool._all) == 2
        pool.end_idle()
        assert len(pool._pool._all) == 1
        pool.stop()
        with pytest.raises(ReadError):
            reading.result()
    assert read_mosaic(other).shape == (64, 96)
    pool.end_idle()
    assert not pool._pool._all


def test_one_that_did_not_start_ahead_is_reported_by_the_request(photo, monkeypatch):
    path = photo("x")
    pool.stop()
    monkeypatch.setattr(pool, "_START", "import nonesuch")
    pool.start_ahead()
    with pytest.raises(SetupError, match="No module named 'nonesuch'"):
        read_mosaic(path)
    monkeypatch.setattr(sys, "executable", "/nonesuch")
    pool.start_ahead()


@pytest.mark.parametrize(
    ("arguments", "ahead"),
    [(["restore", "a.dng"], True), (["burst", "."], True), (["restore", "--help"], False),
     (["models"], False), ([], False)],
)  # fmt: skip
def test_the_command_line_starts_one_for_photos(arguments, ahead):
    assert _decodes_photos(arguments) is ahead


def test_nothing_starts_ahead_for_finished_pictures_alone(tmp_path):
    for name in ("a.jpg", "b.PNG", "c.dng"):
        (tmp_path / name).touch()
    jpeg, png, raw = (str(tmp_path / name) for name in ("a.jpg", "b.PNG", "c.dng"))
    assert not _decodes_photos(["restore", jpeg, png])
    assert _decodes_photos(["restore", jpeg, raw])
    assert _decodes_photos(["restore", jpeg, "-o", str(tmp_path)])  # which may be what is restored
    assert _decodes_photos(["restore", str(tmp_path / "none.jpg")])


def test_an_interrupted_request_leaves_no_answer_behind(trouble, photo, monkeypatch):
    """Else the next file would be given the pixels of the one before."""
    paths = photo("slow"), photo("good")
    read_mosaic(paths[1])
    with monkeypatch.context() as patch:
        patch.setattr(pool, "receive", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            read_mosaic(paths[0])
    assert not pool._pool._all
    assert read_mosaic(paths[1]).shape == (64, 96)


def test_in_a_thread(photo):
    found = []
    thread = threading.Thread(target=lambda: found.append(read_mosaic(photo("x")).shape))
    thread.start()
    thread.join()
    assert found == [(64, 96)]


def test_in_a_plain_script_and_no_process_outlives_it(photo, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, undark\n"
        "print(undark.read(sys.argv[1]).shape)\n"
        "from undark.files.raw import pool\n"
        "print(*(w._process.pid for w in pool._pool._all))\n"
    )
    # of a folder that was left meanwhile, by a relative name
    done = subprocess.run(
        [sys.executable, "script.py", photo("x").name],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    shape, pids = done.stdout.splitlines()
    assert (shape, done.stderr) == ("(64, 96)", "")
    assert pids
    for pid in pids.split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_in_forked_workers_of_a_data_loader(photo):
    """Daemonic processes, forked while this one has a worker of its own."""
    data = pytest.importorskip("torch.utils.data")
    paths = [photo(f"x{n}") for n in range(4)]
    read_mosaic(paths[0])
    before = {w._process.pid for w in pool._pool._all}
    loader = data.DataLoader(
        paths, batch_size=None, num_workers=2, multiprocessing_context="fork", collate_fn=_read
    )
    read = list(loader)
    assert [shape for shape, _ in read] == [(64, 96)] * 4
    assert not before & {pid for _, pids in read for pid in pids}
    assert read_mosaic(paths[0]).shape == (64, 96)
    assert before == {w._process.pid for w in pool._pool._all}


def _read(path):
    return read_mosaic(path).shape, [w._process.pid for w in pool._pool._all]


def _plain_pipe(size):
    """Seconds for so many bytes through a pipe, written by a thread."""
    out, into = os.pipe()
    content, room = memoryview(bytes(size)), memoryview(bytearray(size))

    def write():
        sent = 0
        while sent < size:
            sent += os.write(into, content[sent:])

    began = time.perf_counter()
    sender = threading.Thread(target=write)
    sender.start()
    got = 0
    while got < size:
        got += os.readv(out, [room[got:]])
    sender.join()
    os.close(out)
    os.close(into)
    return time.perf_counter() - began


def test_a_healthy_photo_costs_little_more_than_the_pipe_itself(tmp_path, make_mosaic):
    """24 million pixels: the transfer from the worker, without decoding; a tenth of a second where
    the machine moves as many bytes through a pipe in a thirtieth."""
    frame = np.zeros((4000, 6000), np.uint16)
    write_mosaic(tmp_path / "x.dng", make_mosaic(shape=(64, 96)))
    picture = render_with_libraw(tmp_path / "x.dng")
    assert picture.shape == (64, 96, 3)
    ours, theirs = os.pipe()
    took = []
    for _ in range(3):
        began = time.perf_counter()
        sender = threading.Thread(target=pool.send, args=(theirs, frame))
        sender.start()
        assert pool.receive(ours).shape == frame.shape
        sender.join()
        took.append(time.perf_counter() - began)
    assert min(took) < max(0.1, 3 * min(_plain_pipe(frame.nbytes) for _ in range(3)))
