"""What tests share: synthetic mosaics, and real camera files where they are at hand."""

import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # a worker for each core; read when torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Where Python is told not to write compiled files, each process that tests start compiles torch,
# Lightning and Ray again, which takes more than twice as long as importing them compiled.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

# the results of an engine that a trial chooses differ a little from one machine to another
os.environ["UNDARK_DEVICE"] = "cpu"

import hypothesis
import numpy as np
import pytest

from undark import cli
from undark.sensor.cfa import CFA, RGGB
from undark.sensor.mosaic import GPS, Mosaic, Shot

# a shared machine stands still for longer than Hypothesis gives an example
hypothesis.settings.register_profile("undark", deadline=None)
hypothesis.settings.load_profile("undark")

SHARED = Path(__file__).parents[2] / "shared"

A7S2_FROM_XYZ = np.array(
    [[0.6719, -0.1994, -0.0544], [-0.4595, 1.2426, 0.2428], [-0.0979, 0.1724, 0.5852]], np.float32
)
"""A plausible colour matrix: XYZ (D65) to camera RGB."""

SHOT = Shot(
    make="SONY",
    model="ILCE-7SM2",
    lens="FE 35mm F1.8",
    exposure_time=1 / 30,
    aperture=2.8,
    iso=25600.0,
    focal_length=35.0,
    taken=datetime(2024, 5, 6, 7, 8, 9),
    gps=GPS(-33.5, 151.25, -12.25),
)


@pytest.fixture(autouse=True)
def cameras(tmp_path_factory, monkeypatch) -> Path:
    """An empty folder of cameras, in place of the one of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("cameras")
    monkeypatch.setenv("UNDARK_CAMERAS", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real RAW files, photos and noise tables; tests skip where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"the project's shared folder is not here: {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def make_mosaic() -> Callable[..., Mosaic]:
    """A function that makes a dark mosaic of shot noise; keywords replace fields."""

    def make(
        cfa: CFA = RGGB, shape: tuple[int, int] = (64, 96), seed: int = 0, **changes: object
    ) -> Mosaic:
        light = np.random.default_rng(seed).poisson(60, shape)
        mosaic = Mosaic(
            plane=(512 + light).astype(np.uint16),
            cfa=cfa,
            black=np.full(cfa.pattern.shape, 512, np.float32),
            white=16383.0,
            white_balance=np.array([2.125, 1, 1.5], np.float32),
            camera_from_xyz=A7S2_FROM_XYZ,
            shot=SHOT,
        )
        return mosaic.replace(**changes)

    return make


@pytest.fixture
def mosaic(make_mosaic: Callable[..., Mosaic]) -> Mosaic:
    """A small RGGB mosaic."""
    return make_mosaic()


@pytest.fixture
def run(monkeypatch, capfd):
    """Run `undark ARGS` in this process → (exit status, stdout, stderr)."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["undark", *map(str, args)])
        status = 0
        try:
            cli.main()
        except SystemExit as done:
            status = done.code or 0
        return (status, *capfd.readouterr())

    return run


@pytest.fixture
def without_onnx(monkeypatch):
    """Trainings write an empty model.onnx, for tests of something else: exporting takes seconds."""
    monkeypatch.setattr("undark.learn.export.to_onnx", lambda network, card: b"")
