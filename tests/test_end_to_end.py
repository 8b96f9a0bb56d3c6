"""The commands in sequence, from pairs to a restored photo."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch comes with undark[train]")

from pair_photos import expose, scene, scene_for, sid_folder, write_pair
from undark.develop.colour import encode_srgb
from undark.develop.metrics import psnr
from undark.develop.render import render
from undark.files.dng import write_mosaic
from undark.files.picture import read_picture, write_picture
from undark.sensor.cfa import RGGB, X_TRANS
from undark.sensor.mosaic import Shot

NOISE = 4.0
"""DN; white is 159 DN above black in a dark photo of 0.1 s."""
SHORT = "--cache cache --network residual --crop 16 --batch 8 --rate 0.01 --steps 40"


@pytest.fixture
def undark(run, tmp_path, monkeypatch):
    """Run `undark LINE` in `tmp_path` → what is on stderr.

    In this process: importing Lightning takes longer than these trainings.
    """
    monkeypatch.chdir(tmp_path)

    def undark(line, status=0):
        done, _, said = run(*line.split())
        assert done == status, said
        return said

    return undark


def gain(undark, folder, dark, ratio, truth):
    """PSNR of a photo restored by the model of `run`, less that of the amplified photo, in dB."""
    command = f"restore {dark} --exposure {math.log2(ratio)} --model run/model.onnx"
    undark(f"{command} -o restored.png")
    undark(f"{command} -o amplified.png --strength 0")
    restored, amplified = (
        psnr(read_picture(folder / name) / 255, truth / 255)
        for name in ("restored.png", "amplified.png")
    )
    return restored - amplified


def sid_with_faults(folder, camera, cfa):
    """Named as in SID; scene 10034's bright photo is shifted, scene 10099's photos are swapped."""
    home = sid_folder(folder, camera, cfa, NOISE) / camera
    shifted, swapped = np.roll(scene_for(cfa, 4), 3, axis=2), scene_for(cfa, 5)
    write_mosaic(home / "long/10034_00_10s.dng", expose(shifted, 10, cfa))
    dark, bright = expose(swapped, 0.1, cfa, NOISE), expose(swapped, 10, cfa)
    write_pair(home, bright, dark, "short/10099_00_0.1s.dng", "long/10099_00_10s.dng")


@pytest.mark.parametrize(
    ("camera", "cfa", "train"),
    [
        ("Sony", RGGB, "sid SID --camera sony"),
        ("Fuji", X_TRANS, "sid SID --camera fuji"),
        ("Sony", RGGB, "pairs SID"),
    ],
    ids=["sony", "fuji", "pairs"],
)
def test_raw_photos(undark, tmp_path, camera, cfa, train):
    sid_with_faults(tmp_path / "SID", camera, cfa)
    assert "6 of 8 pairs are good" in undark("pairs SID", status=1)  # one cannot be compared
    with (tmp_path / "SID/pairs.csv").open() as file:
        verdicts = {Path(row["dark"]).stem: row["verdict"] for row in csv.DictReader(file)}
    assert verdicts.pop("10034_00_0.1s") == "shifted 3.0 px"
    assert verdicts.pop("10099_00_0.1s") == "dark and bright swapped"
    assert set(verdicts.values()) == {"good"}

    undark(f"train {train} --out run {SHORT}")
    light = scene_for(cfa, 99)
    dark = expose(light, 0.1, cfa, NOISE, 99)
    write_mosaic(tmp_path / "dark.dng", dark)
    truth = render(np.moveaxis(light, 0, -1), dark, 100)
    assert gain(undark, tmp_path, "dark.dng", 100, truth) > 1


def test_pictures(undark, tmp_path):
    for seed in (0, 1, 99):
        light = scene(240, 312, seed)
        noise = np.random.default_rng(seed).normal(0, 0.002, light.shape)
        for name, made, time in (("dark", light / 20 + noise, 0.5), ("bright", light, 10.0)):
            path = tmp_path / ("PICS" if seed < 99 else "held") / name / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(
                path, np.rint(255 * encode_srgb(made)).astype(np.uint8), Shot(exposure_time=time)
            )
    assert "pairs not checked" in undark(f"train pairs PICS --aim rgb --out run {SHORT}")
    truth = read_picture(tmp_path / "held/bright/99.png")
    assert gain(undark, tmp_path, "held/dark/99.png", 20, truth) > 1
