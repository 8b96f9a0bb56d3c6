"""Results carry a digest of their source; incomplete and foreign files carry none."""

import hashlib
import os

import numpy as np
import pytest
import rawpy
import tifffile

from conftest import SHOT
from undark.errors import ReadError
from undark.files.dng import write_linear
from undark.files.picture import open_picture, write_picture
from undark.files.provenance import digest_of, source_of
from undark.restoring.picture import RestoredPicture
from undark.restoring.raw import Restored
from undark.sensor.exposure import Exposure

DIGEST = hashlib.sha256(b"a photo").hexdigest()
NAMES = ["x.jpg", "x8.png", "x16.png", "x8.tif", "x16.tif", "x.dng"]


def write(path, mosaic, source=DIGEST):
    dtype = np.uint16 if "16" in path.stem else np.uint8
    rgb = np.random.default_rng(0).integers(0, 200, (*mosaic.shape, 3)).astype(dtype)
    if path.suffix == ".dng":
        write_linear(path, rgb.astype(np.float32) / 200, mosaic, 8.0, source)
    else:
        write_picture(path, rgb, SHOT, source=source)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_the_digest_comes_back(tmp_path, mosaic, name):
    assert source_of(write(tmp_path / name, mosaic)) == DIGEST
    assert source_of(write(tmp_path / name, mosaic, source=None)) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_file_cut_anywhere_carries_none(tmp_path, mosaic, name):
    path = write(tmp_path / name, mosaic)
    content = path.read_bytes()
    padding = 1 if path.suffix in (".tif", ".dng") else 0  # a last byte without meaning
    lengths = [*range(0, 5000, 23), *np.linspace(5000, len(content), 100).astype(int)]
    lengths += range(len(content) - 40, len(content) - padding)
    for length in (n for n in lengths if 0 <= n < len(content) - padding):
        path.write_bytes(content[:length])
        assert source_of(path) is None, length


@pytest.mark.parametrize("name", NAMES)
def test_zeros_at_the_end_are_a_cut_file_too(tmp_path, mosaic, name):
    """A disk that lost power may leave the length without the content."""
    path = write(tmp_path / name, mosaic)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    assert source_of(path) is None


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_never_raise(tmp_path, mosaic, name):
    path = write(tmp_path / name, mosaic)
    content, rng = np.frombuffer(path.read_bytes(), np.uint8), np.random.default_rng(1)
    for _ in range(150):
        damaged = content.copy()
        where = rng.integers(0, min(len(content), 3000), 8)
        damaged[where] = rng.choice([0, 255, 1, 128], 8)
        path.write_bytes(damaged.tobytes())
        assert source_of(path) in (DIGEST, None)


def test_foreign_files_carry_none(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("no picture")
    tifffile.imwrite(tmp_path / "foreign.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(tmp_path / "big.tif", np.zeros((8, 8), np.uint8), byteorder=">")
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in [*tmp_path.iterdir(), tmp_path, tmp_path / "missing.jpg", tmp_path / "a\0b.jpg"]:
        assert source_of(path) is None


def test_the_digest_is_that_of_the_content(tmp_path):
    (tmp_path / "x.arw").write_bytes(b"a photo")
    assert digest_of(tmp_path / "x.arw") == DIGEST
    for bad in (tmp_path / "missing.arw", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(ReadError, match="cannot be read"):
            digest_of(bad)


def test_only_a_digest_is_taken(tmp_path):
    with pytest.raises(ValueError, match="64 hex digits"):
        write_picture(tmp_path / "x.jpg", np.zeros((4, 4, 3), np.uint8), SHOT, source="/home/me")


@pytest.mark.parametrize("name", NAMES)
def test_what_reads_results_still_does(tmp_path, mosaic, name):
    path = write(tmp_path / name, mosaic)
    if path.suffix == ".dng":
        with tifffile.TiffFile(path) as file:
            assert DIGEST.encode() in file.pages[0].tags["XMP"].value
    else:
        assert open_picture(path).shot == SHOT


def test_restored_photos_save_it(tmp_path, make_mosaic):
    mosaic = make_mosaic()
    linear = np.zeros((*mosaic.shape, 3), np.float32)
    restored = Restored(mosaic, linear, Exposure(1.0, "as asked"), None, "as given")
    for name in ("a.jpg", "a.dng"):
        assert source_of(restored.save(tmp_path / name, source=DIGEST)) == DIGEST
        assert source_of(restored.save(tmp_path / f"none-{name}")) is None
    picture = RestoredPicture(open_picture(tmp_path / "a.jpg"), linear, Exposure(1.0, "as asked"))
    assert source_of(picture.save(tmp_path / "b.png", source=DIGEST)) == DIGEST


def test_libraw_opens_a_dng_with_a_digest(tmp_path, mosaic):
    with rawpy.imread(str(write(tmp_path / "x.dng", mosaic))) as raw:
        assert raw.raw_image.shape[:2] == mosaic.shape
