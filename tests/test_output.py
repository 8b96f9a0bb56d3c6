"""Outputs are atomic."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from conftest import SHOT
from undark.errors import ExistsError, OutputError, ReadError
from undark.files.dng import write_linear, write_mosaic
from undark.files.output import atomic_output
from undark.files.picture import write_picture


def write(path, text="new", overwrite=False, error=None):
    with atomic_output(path, overwrite) as temporary:
        temporary.write_text(text)
        if error:
            raise error


def names(folder):
    return [p.name for p in folder.iterdir()]


def test_a_file_appears_with_its_name_and_nothing_else(tmp_path):
    write(tmp_path / "a" / "b" / "x.jpg")
    assert names(tmp_path / "a" / "b") == ["x.jpg"]
    assert (tmp_path / "a" / "b" / "x.jpg").read_text() == "new"


def test_the_temporary_file_lies_hidden_beside_the_target(tmp_path):
    with atomic_output(tmp_path / "x.jpg", overwrite=False) as temporary:
        temporary.touch()
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".jpg"


def test_a_file_is_never_replaced_unless_asked_for(tmp_path):
    path = tmp_path / "x.jpg"
    write(path, "old")
    with pytest.raises(ExistsError, match=r"x\.jpg: exists already; --overwrite"):
        write(path)
    assert path.read_text() == "old"
    write(path, overwrite=True)
    assert path.read_text() == "new"


def test_a_file_that_came_meanwhile_is_kept(tmp_path):
    path = tmp_path / "x.jpg"

    def two_at_a_time():
        with atomic_output(path, overwrite=False) as temporary:
            temporary.write_text("new")
            path.write_text("came meanwhile")

    with pytest.raises(ExistsError):
        two_at_a_time()
    assert path.read_text() == "came meanwhile"
    assert names(tmp_path) == ["x.jpg"]


def test_disks_without_hard_links_are_written_too(tmp_path, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, "no hard links on FAT")

    monkeypatch.setattr(os, "link", link)
    write(tmp_path / "x.jpg")
    assert (tmp_path / "x.jpg").read_text() == "new"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ReadError("no"), ValueError("no")])
@pytest.mark.parametrize("overwrite", [True, False])
def test_nothing_is_left_after_any_error(tmp_path, error, overwrite):
    if overwrite:
        write(tmp_path / "x.jpg", "old")
    with pytest.raises(type(error)):
        write(tmp_path / "x.jpg", overwrite=overwrite, error=error)
    assert names(tmp_path) == (["x.jpg"] if overwrite else [])
    assert not overwrite or (tmp_path / "x.jpg").read_text() == "old"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "no permission"),
        (errno.EIO, "cannot be written"),
    ],
)
def test_trouble_with_the_disk_is_told_in_one_line(tmp_path, number, words):
    with pytest.raises(OutputError) as caught:
        write(tmp_path / "x.jpg", error=OSError(number, os.strerror(number)))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'x.jpg'}: ")
    assert words in message
    assert "\n" not in message


def test_a_folder_in_the_way_is_told(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    with pytest.raises(OutputError, match="that is a folder"):
        write(tmp_path / "x.jpg", overwrite=True)


def test_a_file_in_place_of_a_folder_is_told(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(OutputError, match="is a file, not a folder"):
        write(tmp_path / "a" / "x.jpg")


def test_errors_of_writers_name_the_output_and_not_the_temporary_file(tmp_path):
    with pytest.raises(OutputError, match=r"/x\.gif: cannot write \.gif"):
        write_any(tmp_path / "x.gif", np.zeros((4, 4, 3), np.uint8), None)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(command, check=False).returncode:
        pytest.skip("only root on Linux can mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif", "mosaic.dng", "linear.dng"])
def test_a_full_disk_leaves_nothing(small_disk, make_mosaic, name):
    rgb = np.random.default_rng(0).integers(0, 256, (400, 500, 3)).astype(np.uint8)
    mosaic = make_mosaic(shape=(400, 500), plane=rgb[..., 0].astype(np.uint16) * 257)
    with pytest.raises(OutputError, match=rf"{name}: the disk is full: free some space"):
        write_any(small_disk / name, rgb, mosaic)
    assert names(small_disk) == []


def write_any(path, rgb, mosaic):
    with atomic_output(path, overwrite=False) as temporary:
        if path.name == "mosaic.dng":
            write_mosaic(temporary, mosaic)
        elif path.name == "linear.dng":
            write_linear(temporary, rgb / np.float32(255), mosaic, 1)
        else:
            write_picture(temporary, rgb, SHOT)
