from pathlib import Path

import pytest

from undark.errors import OutputError
from undark.files.suffixes import PICTURE_SUFFIXES
from undark.restoring.jobs import Job, suffixes_for
from undark.restoring.jobs import plan as plan_batch


def plan(*args) -> list[Job]:
    return list(plan_batch(*args).jobs)


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


def test_pictures_in_a_folder(tmp_path):
    """Of RAW and JPEG of one photo the RAW is taken; results are none; those found are marked."""
    for name in ("1.ARW", "1.JPG", "2.jpg", "2-undark.jpg", "deep/1.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    suffixes = suffixes_for(None)
    jobs = plan_batch([tmp_path], None, "jpeg", suffixes).jobs
    assert [str(j.source.relative_to(tmp_path)) for j in jobs] == ["1.ARW", "2.jpg", "deep/1.jpg"]
    assert all(job.found for job in jobs)
    jobs = plan_batch([tmp_path / "1.JPG", tmp_path], None, "jpeg", suffixes).jobs
    assert {job.source.name: job.found for job in jobs if job.source.parent == tmp_path} == {
        "1.JPG": False,
        "1.ARW": True,
        "2.jpg": True,
    }


def test_a_photo_given_twice_is_done_once(tree):
    assert len(plan([tree / "a/1.ARW", tree / "a/1.ARW"], None, "jpeg")) == 1


def test_same_name_and_folder_name_are_told_apart_in_any_order(tree, tmp_path):
    other = tmp_path / "other/a/1.ARW"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"")
    photos = [tree / "a/1.ARW", other]
    forth, back = (plan(p, tmp_path / "out", "jpeg") for p in (photos, photos[::-1]))
    assert len({j.target for j in forth}) == 2
    assert set(forth) == set(back)
    assert all(j.target.name.endswith("-a-1-arw-undark.jpg") for j in forth)


def test_names_that_differ_in_case_only(tree):
    (tree / "a/x.arw").write_bytes(b"")
    (tree / "a/X.dng").write_bytes(b"")
    jobs = plan([tree / "a/x.arw", tree / "a/X.dng"], None, "jpeg")
    assert [j.target.name for j in jobs] == ["x-arw-undark.jpg", "X-dng-undark.jpg"]


def test_an_empty_folder_is_reported(tmp_path, tree):
    empty = tmp_path / "empty"
    empty.mkdir()
    made = plan_batch([empty, tree / "a/1.ARW"])
    assert [job.source for job in made.jobs] == [tree / "a/1.ARW"]
    assert [(path, str(error)) for path, error in made.unreadable] == [
        (empty, f"{empty}: a folder without RAW photos; give RAW photos or their folder")
    ]
    assert plan_batch([empty], tmp_path / "one.jpg").jobs == ()
    pictures = plan_batch([empty], suffixes=frozenset(PICTURE_SUFFIXES))
    assert "without pictures" in str(pictures.unreadable[0][1])
    both = plan_batch([empty], suffixes=suffixes_for(None))
    assert "without RAW photos or pictures" in str(both.unreadable[0][1])


def test_a_photo_spelt_twice_is_done_once(tree):
    assert len(plan([tree / "a/1.ARW", tree / "b/../a/1.ARW"], tree / "out", "jpeg")) == 1
    assert len(plan([tree, tree / "b/1.ARW"], tree / "out", "jpeg")) == 4


def test_a_result_never_takes_the_place_of_a_photo(tree):
    with pytest.raises(OutputError, match="is a photo to be restored"):
        plan([tree / "a/1.dng"], tree / "a/1.dng", "dng")
    (tree / "a/link.dng").symlink_to(tree / "a/1.dng")
    with pytest.raises(OutputError, match="is a photo to be restored"):
        plan([tree / "a/link.dng"], tree / "a/1.dng", "dng")


def test_results_are_no_photos(tree):
    photos = [tree / "a/1.dng", tree / "b/2-undark.dng"]
    assert [j.source for j in plan(photos, None, "dng")] == photos[:1]


@pytest.mark.parametrize(("count", "name"), [(1, "x.webp"), (2, "x.jpg")])
def test_names_that_cannot_be_meant(tree, count, name):
    photos = [tree / "a/1.ARW", tree / "b/1.ARW"][:count]
    with pytest.raises(OutputError, match="for a folder of that name, add a slash"):
        plan(photos, tree / name, "jpeg")
