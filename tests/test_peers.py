"""`benchmarks/peers.py`: its curve, its borders, what programs are told, time and memory."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import peer_programs
import peers
import process_memory
from darkroom import SHARED, picture
from undark.develop.metrics import psnr

with_shared = pytest.mark.skipif(
    not (SHARED / "noise").is_dir(), reason="no ../shared/noise beside the repository"
)


def test_a_monotone_tone_curve_is_undone() -> None:
    wanted = np.random.default_rng(0).random((60, 50, 3))
    given = wanted**2
    knots, values = peers.tone_curve(given, wanted)
    assert len(knots) == peers.KNOTS
    assert np.all(np.diff(values) >= 0)
    assert psnr(peers.toned(given, wanted), wanted) > 45


def test_the_curve_is_the_best_of_those_that_never_fall() -> None:
    random = np.random.default_rng(1)
    given = random.random(5000)
    wanted = np.sin(5 * given) + 0.1 * random.standard_normal(5000)  # rises, then falls
    knots, values = peers.tone_curve(given, wanted)

    def error(curve: np.ndarray) -> float:
        return float(np.sum((np.interp(given, knots, curve) - wanted) ** 2))

    assert np.all(np.diff(values) >= 0)
    for knot in range(len(knots)):
        for step in (-0.01, 0.01):
            other = np.maximum.accumulate(values + step * (np.arange(len(knots)) == knot))
            assert error(other) > error(values) - 1e-6


def test_a_picture_of_one_level_gets_one_value() -> None:
    given, wanted = np.zeros((8, 8, 3)), np.linspace(0, 1, 192).reshape(8, 8, 3)
    assert np.allclose(peers.toned(given, wanted), 0.5)


def test_the_same_pixels_are_compared_where_a_program_leaves_borders_out() -> None:
    photo = np.arange(80 * 70 * 3).reshape(80, 70, 3)
    assert np.array_equal(
        peers.inner(photo, photo.shape), peers.inner(photo[4:-4, 4:-4], photo.shape)
    )
    assert peers.inner(photo, photo.shape).shape == (48, 38, 3)


@with_shared
def test_darktable_is_told_exposure_and_the_sensors_noise(tmp_path: Path) -> None:
    program = peer_programs.Darktable()
    settings = {name: values[-1] for name, values in program.grids[0].items()}
    settings["profile"] = "true"
    noise = peer_programs.sensor_noise(1600)
    task = peer_programs.Task(Path("a.dng"), tmp_path / "a.tif", 6.5, 1600, settings)
    assert str(tmp_path / "a.xmp") in program.command(task)
    modules = {
        item.get("{http://darktable.sf.net/}operation"): bytes.fromhex(
            item.get("{http://darktable.sf.net/}params") or ""
        )
        for item in ElementTree.parse(tmp_path / "a.xmp").iter()
    }
    assert peer_programs._EXPOSURE.unpack(modules["exposure"])[2] == 6.5
    denoise = peer_programs._DENOISE.unpack(modules["denoiseprofile"])
    assert denoise[2] == settings["strength"]
    assert denoise[8:11] == pytest.approx((noise.gain / peer_programs.SPAN,) * 3)


def test_without_settings_nothing_is_denoised(tmp_path: Path) -> None:
    task = peer_programs.Task(Path("a.dng"), tmp_path / "a.tif", 4.0, 100, None)
    for program, suffix, word in (
        (peer_programs.Darktable(), "xmp", "denoise"),
        (peer_programs.RawTherapee(), "pp3", "Denoising"),
    ):
        program.command(task)
        assert word not in (tmp_path / f"a.{suffix}").read_text()


def test_missing_programs_are_left_out_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    names = [program.name for program in peers.installed()]
    assert "LibRaw" in names
    assert not any(name.startswith(("darktable", "RawTherapee")) for name in names)
    assert "RawTherapee: left out, it is not installed" in capsys.readouterr().out


@pytest.mark.parametrize("program", peer_programs.PROGRAMS, ids=lambda program: program.name)
def test_a_noise_free_photo_is_rendered_as_it_is(
    program: peer_programs.Program, tmp_path: Path
) -> None:
    """Exposure, white balance, colours and orientation of every program's pictures."""
    if program.version() is None:
        pytest.skip(f"{program.name} is not installed")
    y, x = np.mgrid[:288, :320] / 320
    light = np.stack([0.1 + 0.5 * x, 0.15 + 0.4 * y, 0.5 - 0.3 * x], -1)
    subject = peers.Subject("slopes", light, 0)
    made, wanted = (
        peers.inner(part, light.shape)
        for part in (peers.Darkroom(tmp_path).reference(program, subject), picture(light))
    )
    assert psnr(peers.toned(made, wanted), wanted) > 35


def test_memory_is_that_of_all_processes_and_failures_are_raised() -> None:
    work = "x = bytearray(150 << 20); import time; end = time.process_time() + 0.3\n"
    child = work + "while time.process_time() < end: pass\ntime.sleep(0.2)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    run = process_memory.timed([sys.executable, "-c", parent])
    assert 150 < run.mebibytes < 250
    assert run.seconds > 0.5
    assert run.cpu > 0.3
    with pytest.raises(subprocess.CalledProcessError):
        process_memory.timed([sys.executable, "-c", "raise SystemExit(3)"])


@with_shared
def test_scores_are_of_the_program_at_the_cells_amplification(tmp_path: Path) -> None:
    """A picture without noise scores high; the measurement is kept, and found again."""
    room, program = peers.Darkroom(tmp_path), peer_programs.LibRaw("LibRaw")
    y, x = np.mgrid[:96, :128] / 128
    subject = peers.Subject("slope", np.stack([0.2 + 0.6 * x, 0.2 + 0.5 * y, 0.4 + 0 * x], -1), 0)
    cell = peers.Cell(400, 100)
    first = peers.score(room, program, subject, cell, {})
    assert 20 < first.psnr < 40
    assert math.isfinite(first.absolute)
    assert peers.score(peers.Darkroom(tmp_path), program, subject, cell, {}) == first
