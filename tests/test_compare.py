"""`undark compare`: the sheet of all methods for one photo."""

import numpy as np
import pytest

import undark
from pair_photos import scene, shoot
from undark.evaluation.compare import GAP, HEIGHT, TITLE, WIDTH, sheet
from undark.files.dng import write_mosaic
from undark.files.picture import read_picture
from undark.sensor.cfa import X_TRANS


@pytest.fixture
def dark(tmp_path):
    path = tmp_path / "a.dng"
    write_mosaic(path, shoot(scene(128, 192, 1), 100))
    return path


def test_a_sheet_of_twelve(dark):
    shares = []
    drawn = sheet(undark.read(dark), undark.load_model(), shares.append)
    assert drawn.shape == (3 * (TITLE + 2 * HEIGHT + GAP), 4 * (WIDTH + GAP), 3)
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1
    frames = [row[TITLE : TITLE + HEIGHT] for row in np.split(drawn, 3)]
    cells = [cell.astype(float) for frame in frames for cell in np.split(frame, 4, axis=1)]
    assert cells[0].mean() < 0.3 * min(cell.mean() for cell in cells[1:])  # as shot
    noise = [np.abs(np.diff(cell[:, :WIDTH], axis=1)).mean() for cell in cells]
    assert noise[3] < noise[1] / 2  # restored, amplified
    assert all(noise[8 + n] < noise[4 + n] for n in range(4))  # the tones, cleaned and alone


def test_a_photo_higher_than_wide_has_room(dark):
    photo = undark.read(dark).replace(orientation=6)
    drawn = sheet(photo, undark.load_model())
    assert drawn.shape[0] > 3 * (TITLE + 2.9 * HEIGHT)


def test_the_command(run, dark):
    status, out, _ = run("compare", dark)
    target = dark.with_name("a-compare-undark.jpg")
    assert (status, out.strip()) == (0, str(target))
    assert read_picture(target).shape[1] == 4 * (WIDTH + GAP)
    status, _, err = run("compare", dark)
    assert (status, err.count("\n")) == (1, 1)
    assert "--overwrite" in err
    assert run("compare", dark, "-o", dark.with_name("b.png"))[0] == 0


def test_the_model_is_that_of_the_photos_sensor(run, tmp_path, make_mosaic):
    photo = tmp_path / "x.dng"
    write_mosaic(photo, make_mosaic(X_TRANS, shape=(96, 96)))
    assert run("compare", photo)[0] == 0


def test_photos_that_cannot_be_compared(run, dark, make_mosaic):
    other = dark.with_name("x.dng")
    write_mosaic(other, make_mosaic(X_TRANS, shape=(96, 96)))
    for photo, says in ((other, "X-Trans"), (dark.with_name("none.dng"), "no such file")):
        status, _, err = run("compare", photo, "--model", "bayer")
        assert (status, err.count("\n")) == (1, 1)
        assert str(photo) in err
        assert says in err
    assert {p.name for p in dark.parent.iterdir()} == {"a.dng", "x.dng"}
