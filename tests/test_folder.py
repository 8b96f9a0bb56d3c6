"""Finding photographs in folders, without undark's own results."""

import os

import numpy as np
import pytest
from PIL import Image

from conftest import SHOT
from undark.errors import ReadError
from undark.files.folder import (
    UnreadableFolderWarning,
    find_files,
    find_pictures,
    scan_folder,
)
from undark.files.picture import write_picture
from undark.files.provenance import is_made_by_undark
from undark.sensor.mosaic import Shot

RGB = np.zeros((16, 16, 3), np.uint8)


def photograph(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RGB).save(path)
    return path


def test_photographs_to_learn_from(tmp_path):
    photos = [photograph(tmp_path / name) for name in ("a.jpg", "b/c.PNG", "b/d.tif")]
    for name in (".hidden.jpg", ".folder/e.jpg", "f-undark.jpg", "pairs-undark.jpg", "._a.jpg"):
        photograph(tmp_path / name)
    (tmp_path / "run/film").mkdir(parents=True)
    write_picture(tmp_path / "run/film/0001.png", RGB, Shot())  # a frame of the training film
    write_picture(tmp_path / "chosen name.jpg", RGB, SHOT)  # a result under the user's own name
    write_picture(tmp_path / "chosen.tif", RGB, SHOT, source="0" * 64)
    (tmp_path / "note.txt").touch()
    (tmp_path / "folder.jpg").mkdir()
    os.symlink(tmp_path / "nowhere", tmp_path / "broken.jpg")
    assert find_pictures(tmp_path) == photos


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_what_undark_made(tmp_path, suffix):
    write_picture(tmp_path / f"own{suffix}", RGB, Shot())
    assert is_made_by_undark(tmp_path / f"own{suffix}")
    exif = Image.Exif()
    exif[0x010E] = "seen with undark"  # ImageDescription
    Image.fromarray(RGB).save(tmp_path / f"other{suffix}", exif=exif)
    assert not is_made_by_undark(tmp_path / f"other{suffix}")
    assert not is_made_by_undark(tmp_path / "missing.jpg")
    assert not is_made_by_undark(tmp_path)


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """A folder with an unreadable sub-folder (simulated, because tests may run as root)."""
    photograph(tmp_path / "a.jpg")
    photograph(tmp_path / "locked/b.jpg")
    real = os.scandir

    def scandir(path="."):
        if os.fspath(path) == str(tmp_path / "locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return tmp_path


def test_an_unreadable_folder_is_returned(locked):
    scan = scan_folder(locked, {".jpg"})
    assert scan.files == [locked / "a.jpg"]
    (error,) = scan.unreadable
    assert isinstance(error, ReadError)
    assert str(error).startswith(f"{locked / 'locked'}: this folder cannot be read (Permission")


@pytest.mark.parametrize("find", [find_pictures, lambda folder: find_files(folder, {".jpg"})])
def test_an_unreadable_folder_is_warned_of(locked, find):
    with pytest.warns(UnreadableFolderWarning, match="locked: this folder cannot be read"):
        assert find(locked) == [locked / "a.jpg"]


def test_a_folder_that_is_not_there(tmp_path):
    (error,) = scan_folder(tmp_path / "missing", {".jpg"}).unreadable
    assert "missing: this folder cannot be read (No such file" in str(error)
