"""A batch of photos: its events, what counts as done, and several runs at once."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

import undark
from picture_models import Same
from undark.demo import photograph
from undark.errors import ModelError
from undark.files.dng import write_mosaic
from undark.files.picture import open_picture, write_picture
from undark.files.provenance import digest_of, source_of
from undark.restoring import claims, models
from undark.restoring.claims import claim_path, claimed
from undark.restoring.jobs import (
    BRIGHT,
    DONE,
    ELSEWHERE,
    Failed,
    Options,
    Progress,
    Restored,
    Skipped,
    Started,
    existing_result,
    plan,
    run,
)
from undark.restoring.picture import restore_picture
from undark.restoring.plan import kind_of
from undark.sensor.exposure import parse_exposure
from undark.sensor.mosaic import Shot
from undark.sensor.profiles.lookup import noise_of


def dark_photo(path: Path, seed: int = 1, level: float = 0.2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    light = np.full((64, 96, 3), level, np.float32)
    write_mosaic(path, photograph(light, 1600, 100, seed).replace(shot=Shot(iso=1600.0)))
    return path


def outcomes(photos, output=None, **options):
    kept = (Restored, Skipped, Failed)
    return [e for e in run(plan(photos, output), Options(**options)) if isinstance(e, kept)]


def test_events_of_a_batch(tmp_path, capfd):
    good, bad = dark_photo(tmp_path / "a.dng"), tmp_path / "b.dng"
    bad.write_bytes(b"II*\0 no photo")
    events = list(run(plan([good, bad]), Options(exposure=parse_exposure("5"), strength=0.5)))
    assert [type(e) for e in events if not isinstance(e, Progress)] == [
        Started,
        Restored,
        Started,
        Failed,
    ]
    shares = [e.share for e in events if isinstance(e, Progress)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    done, failed = events[-3], events[-1]
    assert (done.source, done.target) == (good, tmp_path / "a-undark.jpg")
    assert done.amplification == 32
    assert str(bad) in failed.reason
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bits", [8, 16])
def test_a_batch_writes_what_the_functions_give(tmp_path, bits):
    """Exposure, strength and bits arrive; the event says what was done."""
    photo = dark_photo(tmp_path / "a.dng")
    asked = Options(exposure=parse_exposure("5"), strength=0.3, bits=bits)
    began = time.perf_counter()
    (done,) = (e for e in run(plan([photo], tmp_path / "a.png"), asked) if isinstance(e, Restored))
    assert 0 < done.seconds < time.perf_counter() - began
    mosaic = undark.read(photo)
    assert (done.amplification, done.noise) == (32, noise_of(mosaic)[1])
    assert done.exposure == "+5 EV, as asked"
    expected = undark.restore(mosaic, exposure=32, strength=0.3).picture(bits)
    assert np.array_equal(read_levels(done.target), expected)


def test_bright_pictures_of_a_folder_are_left_alone(tmp_path, monkeypatch):
    """Those that are named, and all where an exposure is asked for, are restored."""
    random = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name, top in (("dark", 40), ("bright", 255)):
        levels = random.integers(2, top, (32, 48, 3)).astype(np.uint8)
        write_picture(tmp_path / "in" / f"{name}.png", levels, Shot())
    monkeypatch.setattr(models, "load_model", lambda name, device: Same())

    def done(inputs, **options):
        batch = plan(inputs, tmp_path / "out", suffixes={".png"})
        kept = list(run(batch, Options(model="x", overwrite=True, **options)))
        return {e.source.stem: e for e in kept if isinstance(e, Restored | Skipped | Failed)}

    found = done([tmp_path / "in"])
    assert isinstance(found["dark"], Restored)
    assert (found["bright"].reason, found["bright"].target.exists()) == (BRIGHT, False)
    named = [tmp_path / "in/bright.png", tmp_path / "in"]
    for events in (done(named), done([tmp_path / "in"], exposure=parse_exposure("auto+1"))):
        assert all(isinstance(e, Restored) for e in events.values())
        assert len(events) == 2


def read_levels(path):
    levels = open_picture(path).levels
    assert levels.dtype == imagecodecs.imread(path).dtype
    return levels


def test_a_batch_of_pictures_writes_what_the_functions_give(tmp_path, monkeypatch):
    """Exposure, strength and the white level of pictures arrive."""
    dark = np.random.default_rng(0).integers(2, 40, (32, 48, 3)).astype(np.uint8)
    write_picture(tmp_path / "a.png", dark, Shot())
    model = Same(0.5)
    monkeypatch.setattr(models, "load_model", lambda name, device: model)
    for text in ("2", "auto"):
        asked = Options(model="x", exposure=parse_exposure(text), strength=0.3)
        target = tmp_path / f"{text}.png"
        (done,) = (
            e for e in run(plan([tmp_path / "a.png"], target), asked) if isinstance(e, Restored)
        )
        source = open_picture(tmp_path / "a.png")
        exposure = parse_exposure(text).of(source.mosaic, 1.0)
        expected = restore_picture(source, model=model, exposure=exposure, strength=0.3)
        assert done.amplification == exposure.amplification
        assert done.noise is None
        assert np.array_equal(read_levels(target), expected.picture())


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": 2},
        {"strength": float("nan")},
        {"bits": 12},
        {"quality": "good"},
        {"quality": "fast", "model": "bayer"},
    ],
)
def test_options_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Options(**wrong)


def test_an_unknown_model_stops_before_any_photo(tmp_path):
    photo = dark_photo(tmp_path / "a.dng")
    with pytest.raises(ModelError):
        next(run(plan([photo]), Options(model="nonesuch")))


def test_closing_the_iterator_ends_the_thread_and_leaves_nothing(tmp_path):
    photo = dark_photo(tmp_path / "a.dng")
    before = set(threading.enumerate())
    events = run(plan([photo]), Options())
    while not isinstance(next(events), Progress):
        pass
    events.close()
    # Not their number: threads of earlier tests may end meanwhile
    assert set(threading.enumerate()) <= before
    assert list(tmp_path.iterdir()) == [photo]


def test_two_cards_of_one_name_without_dates(tmp_path):
    """The second card's photo is not lost in silence."""
    first, second = (dark_photo(tmp_path / c / "IMG_1.dng", i) for i, c in enumerate("xy"))
    out = tmp_path / "out"
    assert isinstance(outcomes([first], out)[0], Restored)
    assert outcomes([first], out) == [Skipped(first, out / "IMG_1-undark.jpg", DONE)]
    content = (out / "IMG_1-undark.jpg").read_bytes()
    (failed,) = outcomes([second], out)
    assert isinstance(failed, Failed)
    assert "the result of another photo" in failed.reason
    assert (out / "IMG_1-undark.jpg").read_bytes() == content
    assert isinstance(outcomes([second], out, overwrite=True)[0], Restored)
    assert source_of(out / "IMG_1-undark.jpg") == digest_of(second)


@pytest.mark.parametrize("state", ["empty", "cut", "foreign", "older", "edited"])
def test_what_is_not_the_complete_result_is_named_and_kept(tmp_path, state):
    photo = dark_photo(tmp_path / "a.dng")
    target = tmp_path / "a-undark.jpg"
    outcomes([photo])
    made = target.read_bytes()
    if state in ("empty", "cut"):
        target.write_bytes(made[: len(made) // 2] if state == "cut" else b"")
    else:  # pictures without a digest: of another program, an older undark, or saved again
        shot = Shot(taken=datetime(2024, 1, 1)) if state == "edited" else Shot()
        target.unlink()
        write_picture(target, np.zeros((8, 8, 3), np.uint8), shot)
    before = target.read_bytes()
    (failed,) = outcomes([photo])
    assert isinstance(failed, Failed)
    assert failed.reason.startswith(f"{target}: exists already")
    assert target.read_bytes() == before


def test_what_is_at_a_results_path(tmp_path):
    assert existing_result(tmp_path / "none.jpg", "0" * 64) is None
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nothing")
    for other in (tmp_path, tmp_path / "link.jpg"):
        assert "something else" in existing_result(other, "0" * 64)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads every folder")
def test_an_unreadable_folder_is_named(tmp_path):
    dark_photo(tmp_path / "a.dng")
    locked = dark_photo(tmp_path / "locked" / "b.dng").parent
    locked.chmod(0)
    try:
        failed, done = outcomes([tmp_path])
    finally:
        locked.chmod(0o755)
    assert isinstance(done, Restored)
    assert isinstance(failed, Failed)
    assert str(locked) in failed.reason


def test_an_unreadable_folder_fails_the_run(tmp_path, monkeypatch):
    """As above, whoever runs the tests."""
    dark_photo(tmp_path / "a.dng")
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    failed, done = outcomes([tmp_path])
    assert isinstance(done, Restored)
    assert isinstance(failed, Failed)
    assert str(tmp_path / "locked") in failed.reason


def test_the_kind_that_an_output_says(tmp_path):
    """A slash at the end names a folder, whether it is there or not; so does a folder's name."""
    (tmp_path / "folder.jpg").mkdir()
    for folder in (None, f"{tmp_path}/new.jpg/", tmp_path / "folder.jpg", tmp_path, "new"):
        assert kind_of(folder) is None
    for name, kind in (("a.jpg", "jpeg"), ("a.JPEG", "jpeg"), ("a.png", "png"), ("a.dng", "dng")):
        assert kind_of(tmp_path / name) == kind_of(f"{tmp_path}/{name}") == kind


def test_a_photo_that_another_run_restores_is_skipped(tmp_path):
    photo = dark_photo(tmp_path / "a.dng")
    target = tmp_path / "a-undark.jpg"
    with claimed(target) as ours:
        assert ours
        assert outcomes([photo]) == [Skipped(photo, target, ELSEWHERE)]
    assert isinstance(outcomes([photo])[0], Restored)
    assert sorted(tmp_path.iterdir()) == [target, photo]


CLAIM = """
import sys, time
from pathlib import Path
from undark.restoring.claims import claimed
with claimed(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
def test_the_claim_of_a_killed_run_is_taken_over(tmp_path):
    target = tmp_path / "a-undark.jpg"
    command = [sys.executable, "-c", CLAIM, str(target)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "True\n"
    with claimed(target) as ours:
        assert not ours
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert claim_path(target).exists()
    with claimed(target) as ours:
        assert ours
    assert not claim_path(target).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not remove open files")
def test_a_claim_file_that_its_holder_removes_meanwhile_is_made_again(tmp_path, monkeypatch):
    """Between opening the file and locking it: the lock of a removed file would hold nobody off."""
    target, lock, handles = tmp_path / "x.jpg", claims._lock, []

    def late(handle):
        if not handles:
            claim_path(target).unlink()
        handles.append(handle)
        lock(handle)

    monkeypatch.setattr(claims, "_lock", late)
    before = len(os.listdir("/dev/fd"))
    with claimed(target) as ours:
        assert ours
        assert claim_path(target).exists()
        with claimed(target) as others:
            assert not others
        assert len(os.listdir("/dev/fd")) == before + 1
    assert len(handles) == 3
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not remove open files")
def test_a_claim_is_removed_before_its_lock_is_released(tmp_path, monkeypatch):
    """The other way round, another run could lock the file just before it is removed."""
    target, close, left = tmp_path / "x.jpg", os.close, []

    def watch(handle):
        left.append(claim_path(target).exists())
        close(handle)

    with claimed(target):
        monkeypatch.setattr(os, "close", watch)
    monkeypatch.undo()
    assert left == [False]


@pytest.mark.parametrize("name", ["_lock", "_is_at", "_release"])
def test_ctrl_c_at_any_moment_leaves_no_claim(tmp_path, monkeypatch, name):
    """Once, in place of a function that takes or gives back the claim."""
    target, real = tmp_path / "x.jpg", getattr(claims, name)

    def interrupted(*_):
        monkeypatch.setattr(claims, name, real)
        raise KeyboardInterrupt

    monkeypatch.setattr(claims, name, interrupted)
    with pytest.raises(KeyboardInterrupt), claimed(target):
        pass
    assert not list(tmp_path.iterdir())


def test_a_disk_without_locks_grants_every_claim(tmp_path, monkeypatch):
    def refuse(handle):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(claims, "_lock", refuse)
    with claimed(tmp_path / "x.jpg") as ours, claimed(tmp_path / "x.jpg") as others:
        assert ours
        assert others


def test_many_threads_claim_one_at_a_time(tmp_path):
    target, inside, most = tmp_path / "x.jpg", [], []

    def work():
        for _ in range(200):
            with claimed(target) as ours:
                if ours:
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0)
                    inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert not claim_path(target).exists()


def test_two_runs_share_a_folder(tmp_path):
    photos = [dark_photo(tmp_path / f"{i}.dng", i) for i in range(6)]
    command = [sys.executable, "-m", "undark", "restore", str(tmp_path)]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    done = [line.split(" -> ")[0] for text in said for line in text.splitlines() if "->" in line]
    assert sorted(done) == [str(p) for p in photos]
