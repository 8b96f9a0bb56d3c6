"""The command line: exit status, one line per error, no photo lost."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from processes import answer_ctrl_c
from undark.cli.terminal import warnings_shown
from undark.demo import photograph
from undark.develop.colour import encode_srgb, light_of
from undark.engine.card import PICTURE_TASK
from undark.engine.catalogue import find_model
from undark.engine.model import read_card
from undark.files.dng import write_mosaic
from undark.files.picture import open_picture, write_picture
from undark.pairs.choose import PairsWarning
from undark.sensor.mosaic import Shot


@pytest.fixture
def dark_dng(tmp_path):
    """A small dark photo on disk."""
    light = np.full((64, 96, 3), 0.2, np.float32)
    light[20:40, 30:60] = (0.6, 0.3, 0.1)
    path = tmp_path / "in" / "IMG_1.dng"
    path.parent.mkdir()
    write_mosaic(path, photograph(light, 1600, 100))
    return path


def _partial(folder: Path) -> list[Path]:
    """Files that are neither a source nor a finished result."""
    return [p for p in folder.rglob("*") if p.is_file() and p.name.startswith(".")]


def test_restore_writes_beside_and_skips_what_is_done(run, dark_dng):
    status, _, err = run("restore", dark_dng)
    result = dark_dng.with_name("IMG_1-undark.jpg")
    assert (status, result.exists()) == (0, True)
    assert "IMG_1-undark.jpg" in err
    before = result.stat().st_mtime_ns
    status, _, err = run("restore", dark_dng)
    assert (status, result.stat().st_mtime_ns) == (0, before)
    assert "restored already" in err
    assert run("restore", dark_dng, "--overwrite")[0] == 0
    assert result.stat().st_mtime_ns > before


@pytest.mark.parametrize(("kind", "suffix"), [("png", "png"), ("tiff", "tif"), ("dng", "dng")])
def test_kinds(run, dark_dng, kind, suffix):
    assert run("restore", dark_dng, "--to", kind)[0] == 0
    assert dark_dng.with_name(f"IMG_1-undark.{suffix}").exists()


def test_output_file_and_json(run, dark_dng, tmp_path):
    target = tmp_path / "x.png"
    status, out, _ = run("restore", dark_dng, "-o", target, "--bits", 16, "--exposure", 5, "--json")
    assert (status, target.exists()) == (0, True)
    (done,) = json.loads(out)
    assert done["status"] == "restored"
    assert done["amplification"] == 32


def test_bad_photos_do_not_stop_the_good_ones(run, dark_dng, tmp_path):
    folder = dark_dng.parent
    (folder / "empty.ARW").write_bytes(b"")
    write_picture(tmp_path / "x.jpg", np.zeros((16, 16, 3), np.uint8), Shot())
    (folder / "jpeg.ARW").write_bytes((tmp_path / "x.jpg").read_bytes())
    (folder / "short.dng").write_bytes(dark_dng.read_bytes()[:3000])
    status, out, err = run("restore", folder, folder / "missing.CR2", "--json")
    assert status == 1
    results = {Path(r["source"]).name: r for r in json.loads(out)}
    assert results.pop("IMG_1.dng")["status"] == "restored"
    assert set(results) == {"empty.ARW", "jpeg.ARW", "short.dng", "missing.CR2"}
    for name, result in results.items():
        assert result["status"] == "failed"
        assert name in result["reason"]
        assert "\n" not in result["reason"]
    assert "4 of 5 photos could not be restored" in err
    assert sorted(p.name for p in folder.glob("*-undark*")) == ["IMG_1-undark.jpg"]
    assert not _partial(folder)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--model", "nonesuch"], "no such model"),
        (["--device", "gpu9"], "no such device"),
        (["--device", "directml"], "install onnxruntime-directml"),
    ],
)
def test_what_stops_the_run_is_one_line(run, dark_dng, args, says):
    status, _, err = run("restore", dark_dng, *args)
    assert status == 2
    assert says in err
    assert err.strip().count("\n") == 0
    assert not list(dark_dng.parent.glob("*-undark*"))


@pytest.mark.parametrize(
    "args",
    [
        ["--exposure", "bright"],
        ["--strength", "2"],
        ["--to", "gif"],
        ["--bits", "16"],
        ["--nonesuch"],
        ["--quality", "good"],
        ["--quality", "fast", "--model", "bayer"],
    ],
)
def test_wrong_options_are_refused(run, dark_dng, args):
    assert run("restore", dark_dng, *args)[0] == 2


def test_an_empty_folder(run, tmp_path):
    status, _, err = run("restore", tmp_path)
    assert status == 1
    assert "without RAW photos" in err


def test_results_of_other_photos_are_not_taken_for_ours(run, dark_dng, tmp_path, make_mosaic):
    """Two cards with the same names, one after the other, into one folder."""
    for card, day in (("c1", 1), ("c2", 2)):
        folder = tmp_path / card / "100CANON"
        folder.mkdir(parents=True)
        photo = make_mosaic()
        taken = replace(photo.shot, taken=datetime(2026, 1, day))
        write_mosaic(folder / "IMG_1.dng", photo.replace(shot=taken))
    out = tmp_path / "out"
    assert run("restore", tmp_path / "c1", "-o", out)[0] == 0
    assert run("restore", tmp_path / "c1", "-o", out)[0] == 0
    status, _, err = run("restore", tmp_path / "c2", "-o", out)
    assert status == 1
    assert "the result of another photo" in err


@pytest.mark.parametrize("name", ["a [b] c", "[bold]x", ":smile:", "a\nb", "ünï😀日"])
def test_any_name(run, dark_dng, name):
    photo = dark_dng.with_name(f"{name}.dng")
    dark_dng.rename(photo)
    status, _, err = run("restore", photo)
    assert status == 0
    assert photo.with_name(f"{name}-undark.jpg").exists()
    assert name.replace("\n", "\\n") in err
    assert err.count("\n") == 1


def test_a_folder_that_looks_like_markup(run, dark_dng):
    folder = dark_dng.parent.with_name("x[")
    folder.mkdir()
    dark_dng.parent.rename(folder / "b]")
    assert run("restore", folder)[0] == 0
    assert "x[/b]" in run("restore", folder)[2]


def test_a_name_that_is_no_text(run, dark_dng):
    photo = Path(os.fsdecode(os.fsencode(dark_dng.parent) + b"/bad\xff.dng"))
    photo.write_bytes(dark_dng.read_bytes())
    assert run("restore", dark_dng.parent)[0] == 0
    assert len(list(dark_dng.parent.glob("*-undark.jpg"))) == 2


def test_a_name_too_long_fails_alone(run, dark_dng):
    (dark_dng.parent / f"{'n' * 250}.dng").write_bytes(dark_dng.read_bytes())
    status, _, err = run("restore", dark_dng.parent)
    assert status == 1
    assert "too long" in err
    assert dark_dng.with_name("IMG_1-undark.jpg").exists()


def test_a_file_where_a_folder_is_meant(run, dark_dng, tmp_path):
    (tmp_path / "file").write_text("")
    for target in ("file", "file/below"):
        status, _, err = run("restore", dark_dng, "-o", tmp_path / target)
        assert status == 2
        assert "file" in err
        assert "Traceback" not in err


def test_an_empty_name(run):
    status, _, err = run("restore", "")
    assert status == 2
    assert "empty name" in err


@pytest.fixture(scope="module")
def picture_model(tmp_path_factory):
    """A model for pictures, not trained: its output is its input."""
    pytest.importorskip("torch", reason="torch comes with undark[train]")
    from undark.learn.export import export
    from undark.learn.network import UNet, UNetConfig

    network = UNet(UNetConfig(cell=1, widths=(8, 12), encoder=(0, 1), decoder=(1,)))
    record = {"task": PICTURE_TASK, "validation": {}}
    return export(network, tmp_path_factory.mktemp("model"), record)


def test_pictures(run, picture_model, dark_dng):
    folder = dark_dng.parent
    write_picture(folder / "a.jpg", np.full((40, 60, 3), 40, np.uint8), Shot(iso=3200.0))
    args = ["restore", folder, "--model", picture_model, "--to", "png", "--exposure", 4]
    status, out, _ = run(*args, "--json")
    (done,) = json.loads(out)
    assert (status, done["status"], done["amplification"]) == (0, "restored", 16)
    made = open_picture(folder / "a-undark.png")
    brighter = 255 * encode_srgb(16 * light_of(np.uint8([40])))
    assert np.median(made.levels) == pytest.approx(brighter[0], abs=0.6)
    assert made.shot.iso == 3200
    assert "restored already" in run(*args)[2]


def test_pictures_and_raw_photos_have_models_of_their_own(run, picture_model, dark_dng):
    picture = dark_dng.with_name("a.jpg")
    write_picture(picture, np.full((40, 60, 3), 40, np.uint8), Shot())
    model = ("--model", picture_model)
    for args, says in (
        ([picture, "--model", "bayer"], "or a model of `undark train photos --aim rgb`"),
        ([dark_dng, *model], "choose a model for RAW"),
        ([picture.parent / "none", *model], "no JPEG, PNG or TIFF"),
    ):
        status, _, err = run("restore", *args)
        assert (status, err.count("\n")) == (1, 1)
        assert f"{args[0]}: " in err
        assert says in err
    status, _, err = run("restore", picture, *model, "--to", "dng")
    assert status == 2
    assert "a DNG is made of a RAW photo" in err
    assert not list(picture.parent.glob("*-undark*"))


def test_info(run, dark_dng):
    status, out, _ = run("info", dark_dng)
    assert status == 0
    for word in ("ILCE-7SM2", "RGGB", "512", "amplification", "because"):
        assert word in out
    assert run("info", dark_dng.parent / "missing.dng")[0] == 1
    status, _, err = run("info", "")
    assert status == 2
    assert "an empty name" in err


def test_info_as_json_goes_on_after_a_photo_that_cannot_be_read(run, dark_dng):
    missing = dark_dng.parent / "missing.dng"
    status, out, err = run("info", "--json", missing, dark_dng, dark_dng.parent)
    assert status == 1
    first, second, third = json.loads(out)
    assert "no such file" in first["error"]
    assert second["CFA"] == "RGGB"
    assert "a folder, where a RAW file is asked for" in third["error"]
    assert len(err.splitlines()) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["f.jpg", "f.tif", "f.dng"])
@pytest.mark.parametrize("command", ["info", "restore"])
def test_a_pipe_is_not_waited_for(tmp_path, command, name):
    """Opening one ends only when somebody writes to it."""
    os.mkfifo(tmp_path / name)
    line = [sys.executable, "-m", "undark", command, name]
    done = subprocess.run(
        line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"{name}: not a regular file; give a ")


@pytest.mark.parametrize("suffix", ["jpg", "dng"])
def test_names_that_cannot_be_opened(run, tmp_path, suffix):
    folder, long = tmp_path / f"sub.{suffix}", tmp_path / f"{'n' * 300}.{suffix}"
    folder.mkdir()
    for path, says in ((folder, "a folder, where a "), (long, "cannot be read (File name too")):
        status, _, err = run("info", path)
        assert (status, err.count("\n")) == (1, 1)
        assert err.startswith(f"{path}: {says}")


def test_models(run):
    status, out, _ = run("models")
    assert status == 0
    assert "bayer" in out
    assert "bayer" in json.loads(run("models", "--json")[1])


def test_version(run):
    assert run("--version")[1].startswith("undark ")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
def test_ctrl_c_stops_with_a_line_and_leaves_nothing_partial(dark_dng):
    for i in range(2, 60):
        (dark_dng.parent / f"IMG_{i}.dng").write_bytes(dark_dng.read_bytes())
    command = [sys.executable, "-m", "undark", "restore", str(dark_dng.parent)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=answer_ctrl_c)
    deadline = time.monotonic() + 60
    while not list(dark_dng.parent.glob("*-undark.jpg")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped" in err
    assert "Traceback" not in err
    assert 0 < len(list(dark_dng.parent.glob("*-undark.jpg"))) < 59
    assert not _partial(dark_dng.parent)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize("stderr", ["/dev/full", "&-"])
def test_standard_error_that_takes_nothing_does_not_end_the_run(dark_dng, stderr):
    """Full or closed: both photos are processed, and the exit status reports the failed one."""
    (dark_dng.parent / "IMG_0.dng").write_bytes(b"II*\0 damaged")
    (dark_dng.parent / "IMG_2.dng").write_bytes(dark_dng.read_bytes())
    command = f'"{sys.executable}" -m undark restore "{dark_dng.parent}" --json 2>{stderr}'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [r["status"] for r in json.loads(done.stdout)] == ["failed", "restored", "restored"]
    command = f'"{sys.executable}" -m undark restore "{dark_dng}" 2>{stderr}'
    assert subprocess.run(command, shell=True, check=False).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("argument", ["models", "--help"])
def test_standard_output_that_takes_nothing_is_named(argument, unbuffered):
    """With a buffer, the disk is found full after the command, when the buffer is flushed."""
    done = subprocess.run(
        f'"{sys.executable}" -m undark {argument} >/dev/full',
        shell=True, stderr=subprocess.PIPE, text=True, check=False,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    said = "stopped: standard output cannot be written (No space left on device)\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_a_working_folder_that_is_gone_is_named(run, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    status, _, err = run("restore", "x.dng")
    assert (status, err) == (2, "stopped: the working folder is gone; go to another one\n")


def test_what_stops_the_run_otherwise_is_said_as_it_is(run, monkeypatch):
    """Not every error of the system without a file's name is standard output's."""
    for error, says in (
        (OSError(24, "Too many open files"), "Too many open files"),
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
        (PermissionError(13, "Permission denied", "a.onnx"), "Permission denied: a.onnx"),
    ):
        monkeypatch.setattr("undark.cli.models.shipped_models", Mock(side_effect=error))
        status, _, err = run("models")
        assert (status, err) == (2, f"stopped: {says}\n")


def test_names_that_standard_output_cannot_encode(run, dark_dng, monkeypatch):
    photo = dark_dng.rename(dark_dng.with_name("emoji😀.dng"))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert run("info", photo)[0] == 0
    assert b"emoji\\U0001f600.dng" in sys.stdout.buffer.getvalue()


def test_compare_prints_a_name_that_is_no_text(run, dark_dng, monkeypatch):
    sheet = Path(os.fsdecode(os.fsencode(dark_dng.parent) + b"/a\ncmp\xff.jpg"))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert run("compare", dark_dng, "-o", sheet)[0] == 0
    assert sys.stdout.buffer.getvalue().endswith(b"a\\ncmp\\udcff.jpg\n")
    assert sheet.exists()


@pytest.mark.parametrize("many", [False, True])
def test_a_slash_names_a_folder(run, dark_dng, tmp_path, many):
    photos = [dark_dng.parent] if many else [dark_dng]
    assert run("restore", *photos, "-o", f"{tmp_path}/new.jpg/")[0] == 0
    assert (tmp_path / "new.jpg" / "IMG_1-undark.jpg").is_file()


def test_an_unreadable_folder_is_named(run, dark_dng, monkeypatch):
    (dark_dng.parent / "locked").mkdir()
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    status, _, err = run("restore", dark_dng.parent)
    assert status == 1
    assert str(dark_dng.parent / "locked") in err
    assert dark_dng.with_name("IMG_1-undark.jpg").exists()


def test_warnings_of_undark_are_one_line(capfd):
    with warnings_shown():
        warnings.warn("a.csv: 1 of 2 pairs left out", PairsWarning, stacklevel=1)
        with pytest.raises(UserWarning):  # another package's: as it would be without undark
            warnings.warn("another package's", UserWarning, stacklevel=1)
    assert capfd.readouterr().err == "a.csv: 1 of 2 pairs left out\n"


def test_a_foreign_card_prints_no_escape_sequences(run, monkeypatch):
    card = replace(read_card(find_model("bayer")), licence="\x1b[2J", scores={"\x1b]0;x\a": 1.0})
    monkeypatch.setattr("undark.cli.models.read_card", lambda path: card)
    status, out, _ = run("models")
    assert status == 0
    assert "\x1b" not in out
