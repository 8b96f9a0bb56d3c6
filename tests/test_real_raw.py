"""End to end on real cameras' RAW files; see the shared folder's README."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rawpy

import undark
from undark import cli
from undark.files.picture import read_picture
from undark.sensor.blind import estimate

CANONS = [
    "canon_kiss_x4_magic_lantern.dng",
    "canon_powershot_g2.crw",
    "canon_powershot_s40.crw",
]


def _colours(picture: np.ndarray) -> np.ndarray:
    """(24, 32, 3): means of a grid of blocks, linear, exposure taken out."""
    height, width = picture.shape[0] // 24 * 24, picture.shape[1] // 32 * 32
    linear = (picture[:height, :width] / 255.0) ** 2.2
    blocks = linear.reshape(24, height // 24, 32, width // 32, 3).mean((1, 3))
    return blocks / blocks.mean()


def _libraws(path: Path, amplification: float) -> np.ndarray:
    """LibRaw's own picture, as bright."""
    black = round(float(undark.read(path).black.mean()))  # LibRaw believes the tag
    with rawpy.imread(str(path)) as raw:
        return raw.postprocess(
            use_camera_wb=True,
            no_auto_bright=True,
            user_black=black,
            gamma=(2.4, 12.92),
            bright=amplification,
        )


def test_a_real_border_has_the_offsets_of_the_rows(shared):
    """Its second differences go with those of the frame's rows, and no more once it is used."""
    photo = undark.read(shared / "raw" / CANONS[0])
    found = estimate(photo)
    assert found.masked_lines
    corrected = found.correct(photo)

    def bends(lines):
        bent = lines[2:-2] - (lines[:-4] + lines[4:]) / 2
        return np.clip(bent, *np.quantile(bent, (0.1, 0.9)))

    border, alike = bends(photo.masked.means.rows[:, 0]), []
    for one in (photo, corrected):
        parts = np.array_split(one.signal(), 16, axis=1)
        frame = np.mean([bends(part.mean(axis=1)) for part in parts], axis=0)
        alike.append(float(np.corrcoef(border, frame)[0, 1]))
    assert alike[0] > 0.15
    assert abs(alike[1]) < 0.5 * alike[0]


def test_the_folder_by_the_command_line(shared, tmp_path, monkeypatch, capsys):
    """All is restored or its failure said; the results are upright and in LibRaw's colours."""
    folder = shared / "raw"
    monkeypatch.setattr(
        sys, "argv", ["undark", "restore", str(folder), "-o", str(tmp_path), "--json"]
    )
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 1  # the DC120's pixels are not square: said, and not skipped over
    results = {Path(r["source"]).name: r for r in json.loads(capsys.readouterr().out)}
    assert {n for n, r in results.items() if r["status"] == "failed"} == {"kodak_dc120.kdc"}
    assert "not square" in results["kodak_dc120.kdc"]["reason"]
    for name in [*CANONS, "kodak_dc50.kdc"]:
        picture = read_picture(tmp_path / f"{Path(name).stem}-undark.jpg")
        assert 30 < picture.mean() < 220
        assert (picture.std((0, 1)) > 15).all()
    for name in CANONS:
        made = read_picture(tmp_path / f"{Path(name).stem}-undark.jpg")
        expected = _libraws(folder / name, results[name]["amplification"])
        assert abs(made.shape[0] - expected.shape[0]) < 16
        height, width = np.minimum(made.shape, expected.shape)[:2]
        ours, theirs = _colours(made[:height, :width]), _colours(expected[:height, :width])
        assert np.abs(ours - theirs).mean() < 0.05, name
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.985, name
