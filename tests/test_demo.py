"""`undark demo`: a simulated dark photo of the shipped scene, restored."""

import re

import numpy as np
import pytest
import rawpy

import undark
from undark.demo import run_demo
from undark.errors import SetupError
from undark.files.picture import read_picture


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, list(run_demo(folder, 1600, 200, overwrite=False))


def test_it_says_how_much_was_gained(demo):
    _, lines = demo
    before, after = (
        re.search(rf"{word}: +PSNR (\S+) dB, SSIM (\S+) ", "\n".join(lines)).groups()
        for word in ("before", "after")
    )
    assert float(after[0]) > float(before[0]) + 8
    assert float(after[1]) > float(before[1]) + 0.3


def test_the_dark_raw_is_a_real_dng(demo):
    folder, _ = demo
    with rawpy.imread(str(folder / "dark.dng")) as raw:
        dark = raw.postprocess(use_camera_wb=True, no_auto_bright=True)
    assert dark.shape[0] >= 1600
    assert dark.shape[1] >= 2400
    assert np.median(dark) < 12  # a photograph taken at night
    photo = undark.read(folder / "dark.dng")
    assert photo.shot.camera == "SONY ILCE-7SM2"
    assert photo.shot.iso == 1600


def test_pictures_are_there_and_nothing_is_overwritten(demo):
    folder, _ = demo
    assert read_picture(folder / "restored.jpg").shape[:2] == (1600, 2400)
    assert read_picture(folder / "sheet.jpg").shape[1] == 2400
    with pytest.raises(SetupError, match="--overwrite"):
        next(run_demo(folder, 1600, 200, overwrite=False))


def test_the_command_prints_a_line_for_a_line(run, monkeypatch):
    monkeypatch.setattr("undark.demo.run_demo", lambda *_: ["a\nb/dark.dng: simulated", "after"])
    assert run("demo")[1].splitlines() == ["a\\nb/dark.dng: simulated", "after"]
