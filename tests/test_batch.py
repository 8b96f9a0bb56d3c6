from pathlib import Path

import pytest

from undark.batch import Job, plan
from undark.errors import ReadError


@pytest.fixture
def tree(tmp_path):
    for name in ("a/1.ARW", "a/1.dng", "b/1.ARW", "b/deep/2.cr2", "b/2-undark.dng", "b/notes.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "in"


def names(jobs: list[Job], root: Path) -> dict[str, str]:
    return {str(j.source.relative_to(root)): str(j.target.relative_to(root)) for j in jobs}


def test_beside_the_source(tree):
    photo = tree / "b/deep/2.cr2"
    assert plan([photo], None, "jpeg") == [Job(photo, tree / "b/deep/2-undark.jpg")]


def test_a_file_is_named(tree):
    photo, result = tree / "a/1.ARW", tree / "x.png"
    assert plan([photo], result, "png") == [Job(photo, result)]


def test_a_folder_keeps_its_structure(tree):
    jobs = plan([tree], tree / "out", "tiff")
    assert names(jobs, tree) == {
        "a/1.ARW": "out/a/1-arw-undark.tif",
        "a/1.dng": "out/a/1-dng-undark.tif",
        "b/1.ARW": "out/b/1-undark.tif",
        "b/deep/2.cr2": "out/b/deep/2-undark.tif",
    }


def test_photos_of_one_name_from_two_folders(tree):
    jobs = plan([tree / "a/1.ARW", tree / "b/1.ARW"], tree / "out", "jpeg")
    assert names(jobs, tree) == {
        "a/1.ARW": "out/a-1-arw-undark.jpg",
        "b/1.ARW": "out/b-1-arw-undark.jpg",
    }


def test_a_photo_given_twice_is_done_once(tree):
    assert len(plan([tree / "a/1.ARW", tree / "a/1.ARW"], None, "jpeg")) == 1


def test_same_name_and_folder_name_are_counted(tree, tmp_path):
    other = tmp_path / "other/a/1.ARW"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"")
    targets = [j.target for j in plan([tree / "a/1.ARW", other], tmp_path / "out", "jpeg")]
    assert [t.name for t in targets] == ["1-a-1-arw-undark.jpg", "2-a-1-arw-undark.jpg"]


def test_names_that_differ_in_case_only(tree):
    (tree / "a/x.arw").write_bytes(b"")
    (tree / "a/X.dng").write_bytes(b"")
    jobs = plan([tree / "a/x.arw", tree / "a/X.dng"], None, "jpeg")
    assert [j.target.name for j in jobs] == ["x-arw-undark.jpg", "X-dng-undark.jpg"]


def test_an_empty_folder(tmp_path):
    with pytest.raises(ReadError, match="no RAW photos in this folder"):
        plan([tmp_path], None, "jpeg")
