"""Decoded frames on disk: found again, checked, bounded."""

import os

import numpy as np
import pytest

from undark.errors import OutputError
from undark.files import cache as cache_module
from undark.files.cache import CacheWarning, FrameCache, default_folder

MEGABYTE = 1 << 20


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / f"{n}.arw" for n in range(4)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]))
    return paths


class Decoder:
    """Counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return np.full((512, 1024), self.calls, np.uint16), {"black": 512.5}


def test_a_frame_is_decoded_once(tmp_path, photos):
    decode = Decoder()
    for _ in range(3):  # each time as another process would
        array, facts = FrameCache(tmp_path / "cache").get(photos[0], "plane", decode)
        assert (array == 1).all()
        assert facts == {"black": 512.5}
    assert decode.calls == 1
    assert isinstance(array, np.memmap)
    assert not array.flags.writeable


def test_another_file_or_another_purpose_is_another_frame(tmp_path, photos):
    decode, cache = Decoder(), FrameCache(tmp_path / "cache")
    cache.get(photos[0], "plane", decode)
    cache.get(photos[0], "picture", decode)
    cache.get(photos[1], "plane", decode)
    photos[0].write_bytes(b"changed")
    cache.get(photos[0], "plane", decode)
    assert decode.calls == 4


@pytest.mark.parametrize("text", ["[]", "null", "{}"])
def test_a_record_of_something_else_is_made_again(tmp_path, photos, text):
    decode = Decoder()
    FrameCache(tmp_path / "cache").get(photos[0], "plane", decode)
    next((tmp_path / "cache").glob("*.json")).write_text(text)
    FrameCache(tmp_path / "cache").get(photos[0], "plane", decode)
    assert decode.calls == 2


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_frame_is_made_again(tmp_path, photos, suffix, damage):
    decode = Decoder()
    FrameCache(tmp_path / "cache").get(photos[0], "plane", decode)
    path = next((tmp_path / "cache").glob(f"*{suffix}"))
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    os.remove(path)
    if damage != "gone":
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    array, _ = FrameCache(tmp_path / "cache").get(photos[0], "plane", decode)
    assert decode.calls == 2
    assert (array == 2).all()


def test_the_least_recently_used_frame_is_evicted(tmp_path, photos):
    decode, cache = Decoder(), FrameCache(tmp_path / "cache", limit=int(3.1 * MEGABYTE))
    for number, photo in enumerate(photos[:3]):
        cache.get(photo, "plane", decode)
        for record in (tmp_path / "cache").glob("*.json"):
            os.utime(record, ns=(record.stat().st_mtime_ns - 10**9,) * 2)
        assert decode.calls == number + 1
    cache.get(photos[0], "plane", decode)  # now the second is the least recently used
    cache.get(photos[3], "plane", decode)
    assert decode.calls == 4
    cache.get(photos[0], "plane", decode)
    assert decode.calls == 4
    cache.get(photos[1], "plane", decode)
    assert decode.calls == 5
    taken = sum(p.stat().st_size for p in (tmp_path / "cache").iterdir())
    assert taken < 3.2 * MEGABYTE


def test_with_a_full_disk_a_frame_is_decoded_each_time(tmp_path, photos, monkeypatch):
    decode, cache = Decoder(), FrameCache(tmp_path / "cache")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.warns(CacheWarning, match=r"cache: decoded photos .* disk is full"):
        cache.get(photos[0], "plane", decode)
    for photo in (photos[0], photos[1]):  # one warning: a second one would be an error here
        array, _ = cache.get(photo, "plane", decode)
    assert (array == 3).all()
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["README"]


def test_frames_that_are_not_there_again_are_warned_of_once(tmp_path, photos):
    """Space for two of three: with least-recently-used eviction no frame is ever found."""
    decode, cache = Decoder(), FrameCache(tmp_path / "cache", limit=int(2.1 * MEGABYTE))

    def epoch():
        for photo in photos[:3]:
            cache.get(photo, "plane", decode)
            for record in (tmp_path / "cache").glob("*.json"):
                os.utime(record, ns=(record.stat().st_mtime_ns - 10**9,) * 2)

    epoch()  # not yet known to be useless
    with pytest.warns(CacheWarning, match=r"too small \(2 MiB\)"):
        epoch()
    epoch()  # one warning: a second one would be an error here
    assert decode.calls == 9


def test_a_frame_larger_than_the_limit_evicts_no_other(tmp_path, photos):
    decode = Decoder()
    FrameCache(tmp_path / "cache").get(photos[0], "plane", decode)
    small = FrameCache(tmp_path / "cache", limit=MEGABYTE // 2)
    with pytest.warns(CacheWarning, match="more than the limit"):
        small.get(photos[1], "plane", decode)
    FrameCache(tmp_path / "cache").get(photos[0], "plane", decode)
    assert decode.calls == 2


def test_frames_of_other_code_are_decoded_again(tmp_path, photos, monkeypatch):
    decode = Decoder()
    FrameCache(tmp_path / "cache").get(photos[0], "plane", decode)
    with monkeypatch.context() as newer:
        newer.setattr(cache_module, "code_version", lambda: "newer")
        array, _ = FrameCache(tmp_path / "cache").get(photos[0], "plane", decode)
    assert (array == 2).all()
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1  # in place of the older one


def test_the_version_changes_with_code_and_tables(tmp_path, monkeypatch):
    package = tmp_path / "undark"
    for name in ("sensor/blind.py", "sensor/profiles/table.json", "files/cache.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("old")
    monkeypatch.setattr(cache_module, "__file__", str(package / "files/cache.py"))
    versions = [cache_module.code_version.__wrapped__()]
    for name in ("sensor/blind.py", "sensor/profiles/table.json"):
        (package / name).write_text("new")
        versions.append(cache_module.code_version.__wrapped__())
    assert len(set(versions)) == 3
    (package / "sensor/__pycache__").mkdir()
    (package / "sensor/__pycache__/blind.pyc").write_text("compiled")
    assert cache_module.code_version.__wrapped__() == versions[-1]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="--cache"):
        FrameCache(tmp_path / "file" / "cache")


def test_the_default_folder_is_the_systems_place_for_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "undark" / "frames"
