"""Bursts from files to files: the plan, the command, and what it is given that is no burst."""

import os
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

import undark
from bursts import SHOT, scene, write_frame
from undark.cli.app import app
from undark.errors import OutputError
from undark.files.dng import write_mosaic
from undark.files.picture import open_picture
from undark.files.provenance import source_of
from undark.files.raw import read_header, read_mosaic
from undark.restoring.burst_jobs import (
    BurstFailed,
    BurstProgress,
    BurstRestored,
    BurstSkipped,
    FrameAligned,
    FrameLeftOut,
    run_bursts,
)
from undark.restoring.burst_plan import MANY, name_bursts, plan_bursts, read_taken
from undark.restoring.jobs import Options
from undark.sensor.mosaic import Shot


def test_a_folder_is_split_at_gaps_and_at_settings(tmp_path):
    light = scene((96, 128))
    seconds = [0, 0.5, 0.9, 4.0, 4.25, 6.0, 20.0]
    for n, second in enumerate(seconds):
        write_frame(tmp_path / f"{9 - n}.dng", light, n, second, iso=3200.0 if n == 5 else 1600.0)
    (tmp_path / "8-undark-burst.dng").write_bytes((tmp_path / "9.dng").read_bytes())
    plan = plan_bursts([tmp_path])
    assert [[p.name for p in g.frames] for g in plan.groups] == [
        ["9.dng", "8.dng", "7.dng"],
        ["6.dng", "5.dng"],
    ]
    assert [p.name for p in plan.single] == ["4.dng", "3.dng"]
    assert plan.groups[0].picture == tmp_path / "9-undark-burst.jpg"
    assert plan.groups[0].dng == tmp_path / "9-undark-burst.dng"
    given = plan_bursts([tmp_path / "9.dng", tmp_path / "3.dng"], str(tmp_path / "out/"))
    assert len(given.groups) == 1
    assert not given.groups[0].is_doubtful


def test_sub_seconds_are_read_back(tmp_path):
    path = write_frame(tmp_path / "a.dng", scene((96, 128)), 0, 0.27)
    assert read_mosaic(path).shot.taken.microsecond == 270_000


def test_a_time_lapse_is_not_merged_without_yes(tmp_path):
    light = scene((96, 128))
    first = write_frame(tmp_path / "00.dng", light, 0)
    for n in range(1, MANY + 1):
        taken = datetime(2024, 5, 6, 7, 8, 9) + timedelta(seconds=n)
        write_mosaic(
            tmp_path / f"{n:02d}.dng", read_mosaic(first).replace(shot=replace(SHOT, taken=taken))
        )
    done = CliRunner().invoke(app, ["burst", str(tmp_path)])
    assert done.exit_code == 1
    assert "time-lapse; --yes merges them" in done.stderr
    assert not list(tmp_path.glob("*-undark*"))


def test_a_burst_from_files_to_files(tmp_path):
    """The frames through the command's jobs: one of another scene and a damaged one are named."""
    frames = [
        write_frame(tmp_path / f"{n}.dng", scene(shift=(n, 2.5 * n)), n, n / 4) for n in range(3)
    ]
    frames.append(write_frame(tmp_path / "3.dng", scene(seed=7), 3, 1))
    frames.append(tmp_path / "4.dng")
    frames[-1].write_bytes(b"II*\0damaged")
    (group,) = plan_bursts(frames, kind="png").groups
    events = list(run_bursts([group], Options(bits=16)))
    left_out = [e for e in events if isinstance(e, FrameLeftOut)]
    assert [e.frame.name for e in left_out] == ["4.dng", "3.dng"] or [
        e.frame.name for e in left_out
    ] == ["3.dng", "4.dng"]
    assert isinstance(events[-1], BurstRestored), events[-1]
    assert events[-1].frames == 3
    back = undark.read(group.dng)
    assert back.shot.iso == 1600
    done = CliRunner().invoke(app, ["burst", *map(str, frames), "--to", "png", "--json"])
    assert '"status": "skipped"' in done.stdout
    alone = CliRunner().invoke(app, ["burst", str(frames[0]), "--overwrite"])
    assert alone.exit_code == 1
    assert "no other frame can be merged" in alone.stderr


def test_white_balance_and_contrast_are_those_of_the_picture(tmp_path):
    frames = [write_frame(tmp_path / f"{n}.dng", scene((160, 192)), n, n / 4) for n in range(2)]
    pictures = []
    for label, contrast in (("-a", -0.8), ("-b", 0.8)):
        group = name_bursts([frames], [tmp_path], "png", label)[0]
        options = Options(white_balance=(2.0, 1.0, 1.0), contrast=contrast)
        *_, done = run_bursts([group], options)
        assert isinstance(done, BurstRestored), done
        pictures.append(open_picture(group.picture).levels.astype(float))
        assert source_of(group.dng) == source_of(group.picture)
    assert all(levels[..., 0].mean() > levels[..., 1].mean() + 10 for levels in pictures)
    assert pictures[1].mean() > pictures[0].mean() + 5  # above mid-grey: brighter with contrast
    merges = [read_mosaic(tmp_path / f"0{label}-undark-burst.dng") for label in ("-a", "-b")]
    assert np.array_equal(merges[0].plane, merges[1].plane)
    assert merges[0].white_balance == pytest.approx(merges[1].white_balance)
    wrong = CliRunner().invoke(app, ["burst", str(tmp_path), "--white-balance", "warm"])
    assert wrong.exit_code == 2


def test_the_merge_alone(tmp_path):
    frames = [write_frame(tmp_path / f"{n}.dng", scene((160, 192)), n, n / 4) for n in range(2)]
    group = name_bursts([frames], [tmp_path / "out"], "dng")[0]
    events = list(run_bursts([group], Options()))
    assert isinstance(events[-1], BurstRestored), events[-1]
    assert max(e.share for e in events if isinstance(e, BurstProgress)) == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["0-undark-burst.dng"]
    assert isinstance(list(run_bursts([group], Options()))[-1], BurstSkipped)


def test_a_photo_without_a_date_in_exif_is_not_decoded(tmp_path, monkeypatch):
    """Its header says as much as the decoded photo; such are CR3 and CRW."""
    path = write_frame(tmp_path / "a.dng", scene((96, 128)), 0)
    header, mosaic = read_header(path), read_mosaic(path)
    assert (header.shot, header.orientation) == (mosaic.shot, mosaic.orientation)
    assert header.shape == mosaic.shape
    monkeypatch.setattr("undark.restoring.burst_plan.shot_from_tags", lambda tags: Shot())
    taken = read_taken(path)
    assert (taken.shot, taken.size) == (mosaic.shot, mosaic.shape)


def burst(tmp_path, name="{}.dng", count=3, shape=(160, 192)):
    """Files of one scene."""
    return [
        write_frame(tmp_path / name.format(n), scene(shape, shift=(n, 2.5 * n)), n, n / 4)
        for n in range(count)
    ]


def left_out(events):
    return {e.frame.name: e.reason for e in events if isinstance(e, FrameLeftOut)}


@pytest.mark.parametrize("name", ["0.jpg", "2.png", "other.jpg"])
def test_no_photo_is_replaced_by_a_merge(tmp_path, name):
    """The merged mosaic takes the name of the picture, which may be that of a photo."""
    frames = burst(tmp_path)
    write_frame(tmp_path / "other.dng", scene((96, 128)), 0)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    output = str(tmp_path / name)
    done = CliRunner().invoke(app, ["burst", *map(str, frames), "-o", output, "--overwrite"])
    assert done.exit_code != 0
    assert "choose another name with -o" in f"{done.exception} {done.stderr}"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_earlier_merge_of_any_name_may_be_replaced(tmp_path):
    frames, output = burst(tmp_path), str(tmp_path / "night.jpg")
    for _ in "ab":
        (group,) = plan_bursts(frames, output).groups
        *_, done = run_bursts([group], Options(overwrite=True))
        assert isinstance(done, BurstRestored), done
    with pytest.raises(OutputError, match="is a photo to be restored"):
        plan_bursts(frames, str(tmp_path / "1.tif"))


def test_bursts_of_one_name_get_different_results(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        burst(tmp_path / folder, count=2, shape=(96, 128))
    groups = plan_bursts([tmp_path / "a", tmp_path / "b"], str(tmp_path / "out/")).groups
    assert [g.picture.name for g in groups] == [
        "a-0-dng-undark-burst.jpg",
        "b-0-dng-undark-burst.jpg",
    ]
    assert [g.dng.name for g in groups] == ["a-0-dng-undark-burst.dng", "b-0-dng-undark-burst.dng"]


def test_names_that_differ_in_upper_case_only_are_told_apart(tmp_path):
    burst(tmp_path, "{}.dng", 2, (96, 128))
    for n in range(2):
        write_frame(tmp_path / f"{n}.DNG", scene((96, 128), seed=3), n, 100 + n / 4)
    if len(list(tmp_path.iterdir())) < 4:
        pytest.skip("this file system takes them for one file")
    results = [path for group in plan_bursts([tmp_path]).groups for path in group.results]
    assert len({os.path.abspath(path).lower() for path in results}) == 4


def test_a_photo_counts_once(tmp_path):
    """By another path, as a link and as a copy."""
    frames = burst(tmp_path, count=2)
    (tmp_path / "link.dng").symlink_to(frames[1])
    (tmp_path / "copy.dng").write_bytes(frames[1].read_bytes())
    again = tmp_path / "." / ".." / tmp_path.name / "1.dng"
    (group,) = plan_bursts([*frames, again, tmp_path / "link.dng", tmp_path / "copy.dng"]).groups
    assert group.frames == (*frames, tmp_path / "copy.dng")
    events = list(run_bursts([group], Options()))
    assert left_out(events) == {"copy.dng": "it has the same pixels as 1.dng"}
    assert events[-1].frames == 2


def test_merges_are_no_frames(tmp_path):
    frames = burst(tmp_path)
    merged = tmp_path / "0-undark-burst.dng"
    *_, done = run_bursts(plan_bursts(frames).groups, Options())
    assert isinstance(done, BurstRestored), done
    (group,) = plan_bursts(sorted(tmp_path.glob("*.dng"))).groups  # as *.dng, given again
    assert group.frames == tuple(frames)
    assert isinstance([*run_bursts([group], Options())][-1], BurstSkipped)
    renamed = merged.rename(tmp_path / "night.dng")
    events = list(run_bursts(name_bursts([[*frames, renamed]], [tmp_path], "png", "-b"), Options()))
    assert left_out(events) == {"night.dng": "it is a result of undark, not a single frame"}
    *_, failed = run_bursts(plan_bursts([renamed]).groups, Options())
    assert isinstance(failed, BurstFailed)
    assert "night.dng: it is a result of undark" in failed.reason


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_among_the_frames_is_left_out(tmp_path):
    frames, pipe = burst(tmp_path, count=2), tmp_path / "pipe.dng"
    os.mkfifo(pipe)
    events = list(run_bursts(plan_bursts([*frames, pipe]).groups, Options()))
    assert left_out(events) == {"pipe.dng": "not a regular file; give a RAW file"}
    assert events[-1].frames == 2


def test_a_frame_of_which_nothing_is_used_is_left_out(tmp_path):
    frames = burst(tmp_path, count=2)
    write_frame(tmp_path / "bright.dng", 4 * scene((160, 192)), 5)
    events = list(run_bursts(plan_bursts([*frames, tmp_path / "bright.dng"]).groups, Options()))
    assert "differs from the first frame nearly everywhere" in left_out(events)["bright.dng"]
    assert events[-1].frames == 2


def test_a_photo_converted_to_dng_counts_once_beside_its_original(tmp_path):
    """The same pixels in two files."""
    frames = burst(tmp_path, count=2)
    other = tmp_path / "converted.dng"
    write_mosaic(other, read_mosaic(frames[1]).replace(orientation=6))
    assert other.read_bytes() != frames[1].read_bytes()
    events = list(run_bursts(plan_bursts([*frames, other]).groups, Options()))
    assert left_out(events) == {"converted.dng": "it has the same pixels as 1.dng"}


def test_frames_without_detail_are_named_with_the_reason(tmp_path, recwarn):
    black = np.zeros((160, 192), np.float32)
    frames = [write_frame(tmp_path / "0.dng", black, None)]
    black[0, 0] = 1
    frames.append(write_frame(tmp_path / "1.dng", black, None, 0.25))
    *events, failed = run_bursts(plan_bursts(frames).groups, Options())
    assert "too little" in left_out(events)["1.dng"]
    assert failed.reason.startswith(f"{frames[0]}: no other frame")
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_the_reference_is_named_where_nothing_fits_it(tmp_path):
    (frame,) = burst(tmp_path, count=1)
    *events, failed = run_bursts(plan_bursts([tmp_path / "none.dng", frame]).groups, Options())
    assert "there is no such file" in left_out(events)["none.dng"]
    assert failed.reason.startswith(f"{frame}: no other frame")


def test_a_model_for_another_sensor_leaves_nothing(tmp_path):
    frames = burst(tmp_path, count=2)
    *events, failed = run_bursts(plan_bursts(frames).groups, Options(model="xtrans"))
    assert isinstance(failed, BurstFailed)
    assert not any(isinstance(event, FrameAligned) for event in events)  # told before the merge
    assert sorted(tmp_path.iterdir()) == frames
