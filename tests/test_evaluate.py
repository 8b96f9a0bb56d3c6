"""`undark evaluate`: its scores against those of an independent script, and bad input."""

import csv
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import rawpy
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import undark
from eval_pairs import sid_folder
from pair_photos import inner, moved, scene, shoot, write_pair
from undark.develop.colour import XYZ_FROM_SRGB
from undark.engine.catalogue import shipped_models
from undark.engine.model import read_card
from undark.errors import DataError, ModelError
from undark.evaluation.data import choose_data
from undark.evaluation.evaluate import evaluate
from undark.evaluation.methods import AMPLIFIED, DENOISED, NAMES
from undark.evaluation.protocols import CORRECTED, PROTOCOLS, packed, scores, truth_of
from undark.evaluation.summary import ALL, means
from undark.files.dng import write_mosaic
from undark.files.picture import write_picture
from undark.pairs.choose import PairsWarning
from undark.pairs.table import Row, write_rows
from undark.restoring.blend import amplify_and_demosaic
from undark.sensor.cfa import BAYER_ORDERS, X_TRANS
from undark.sensor.mosaic import Shot

CARD = read_card(shipped_models()["bayer"])


@pytest.fixture(scope="module")
def sid(tmp_path_factory):
    return sid_folder(tmp_path_factory.mktemp("sid"))


@pytest.fixture(scope="module")
def judged(sid):
    """Every pair of the folder's test split."""
    return list(evaluate(choose_data(sid, CARD), undark.load_model()))


def independent_scores(dark, bright, amplification):
    """Both protocols by NumPy, rawpy and scikit-image only, from the restored light."""
    photo = undark.read(dark)
    light = undark.restore(photo, exposure=amplification).linear.astype(float)
    gains = np.array([[2.0, 1.0], [1.0, 1.7]])
    channel = np.array([[0, 1], [1, 2]])
    places = [(y, x) for y in range(2) for x in range(2)]
    planes = [light[y::2, x::2, channel[y, x]] / gains[y, x] for y, x in places]
    matrix = photo.camera_from_xyz @ XYZ_FROM_SRGB
    linear = light @ np.linalg.inv(matrix / matrix.sum(1, keepdims=True)).T
    linear = linear.clip(0, 1)
    curve = np.where(linear < 0.018054, 4.5 * linear, 1.0992968 * linear**0.45004 - 0.0992968)
    with rawpy.imread(str(bright)) as raw:
        true_plane = (raw.raw_image_visible.astype(float) - 512) / (16383 - 512)
        target = raw.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16) / 65535
    true_planes = [true_plane[y::2, x::2] for y, x in places]
    return {
        "raw": _judge(np.stack(planes, -1).clip(0, 1), np.stack(true_planes, -1).clip(0, 1)),
        "srgb": _judge(curve, target),
    }


def _judge(made, truth):
    return (
        peak_signal_noise_ratio(truth, made, data_range=1),
        structural_similarity(truth, made, data_range=1, channel_axis=-1),
    )


def test_the_scores_are_those_of_an_independent_script(sid, judged):
    assert len(judged) == 3
    for pair in judged:
        dark = sid / pair.photo
        bright = sid / "Sony" / "long" / f"{dark.stem[:8]}_10s.dng"
        expected = independent_scores(dark, bright, pair.scores[0].amplification)
        ours = {s.protocol: s for s in pair.scores if s.method == "bayer"}
        for protocol, (psnr, ssim) in expected.items():
            assert ours[protocol].psnr == pytest.approx(psnr, abs=0.01)
            assert ours[protocol].ssim == pytest.approx(ssim, abs=0.001)


def test_sids_test_split_without_what_is_misaligned(sid, judged):
    assert [pair.photo for pair in judged] == [
        "Sony/short/10003_00_0.033s.dng",
        "Sony/short/10003_00_0.1s.dng",
        "Sony/short/10006_00_0.1s.dng",
    ]
    assert [pair.scores[0].amplification for pair in judged] == [300, 100, 100]
    data = choose_data(sid / "Sony", CARD)
    assert (len(data.rows), data.camera, data.left_out) == (3, "sony", 1)


def test_every_method_is_judged_by_every_protocol(judged):
    for pair in judged:
        rows = Counter((s.method, s.protocol) for s in pair.scores)
        assert set(rows) == {(m, p) for m in ("bayer", *NAMES) for p in PROTOCOLS}
        assert set(rows.values()) == {1}


def test_means_over_photos(judged):
    every = [s for pair in judged for s in pair.scores]
    for protocol in PROTOCOLS:
        found = means(every, protocol)
        assert max(found, key=lambda method: found[method][ALL].ssim) == "bayer"
        assert found[AMPLIFIED + DENOISED][ALL].psnr > found[AMPLIFIED][ALL].psnr + 5
        assert list(found["bayer"]) == [100, 300, ALL]
        assert [mean.photos for mean in found["bayer"].values()] == [2, 1, 3]
        chosen = [s.psnr for s in every if (s.method, s.protocol) == ("bayer", protocol)]
        assert found["bayer"][ALL].psnr == pytest.approx(np.mean(chosen))


def test_correcting_brightness_never_harms(judged):
    scored = {(s.photo, s.method, s.protocol): s.psnr for p in judged for s in p.scores}
    for (photo, method, protocol), psnr in scored.items():
        corrected = scored.get((photo, method, protocol + CORRECTED), psnr)
        assert corrected > psnr - 0.2  # the factor is fitted without saturated pixels


@given(
    st.sampled_from([*BAYER_ORDERS, X_TRANS]),
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(18, 40),
    st.integers(18, 40),
)
def test_a_packed_plane_holds_one_colour(cfa, top, left, height, width):
    crop = cfa.crop(top % cfa.period, left % cfa.period)
    values = np.tile(crop.pattern, (7 + 40 // cfa.period,) * 2)[:height, :width] / np.float32(2)
    planes = packed(values, (top, left, height, width), cfa)
    assert min(planes.shape[:2]) >= 18 // cfa.cell - cfa.period
    assert planes.tolist() == np.broadcast_to(np.array(cfa.colours) / 2, planes.shape).tolist()


def perfect(row, photo):
    """The scores of the bright photo itself, whose only error is that of demosaicing."""
    mosaiced = photo.signal() / photo.span
    light = np.repeat(mosaiced[..., None], 3, axis=-1) * photo.white_balance
    return {p: psnr for p, psnr, _ in scores(light, photo, truth_of(row, photo))}


@pytest.mark.parametrize("cfa", [*BAYER_ORDERS, X_TRANS], ids=lambda cfa: cfa.name)
def test_the_truth_has_no_error(tmp_path, make_mosaic, cfa):
    bright = make_mosaic(cfa, shape=(530, 541), plane=_levels(530, 541))
    paths = write_pair(tmp_path, bright, bright)
    found = perfect(Row(*paths, amplification=100), undark.read(paths[1]))
    assert found["raw"] > 120


def _levels(height, width):
    return np.random.default_rng(0).integers(600, 9000, (height, width)).astype(np.uint16)


@pytest.mark.parametrize(
    ("shift", "protocols"), [((4, -2), PROTOCOLS), ((3.5, 0.25), PROTOCOLS[2:])]
)
def test_an_aligned_pair_is_judged_where_both_show_the_same(tmp_path, shift, protocols):
    light = scene(240, 320, seed=3)
    dark, bright = shoot(inner(light), 100), shoot(inner(moved(light, *shift)))
    row = Row(*write_pair(tmp_path, dark, bright), amplification=100)
    photo = undark.read(row.dark)
    restored = undark.restore(photo, exposure=100.0).linear
    unaligned, aligned = (
        {p: psnr for p, psnr, _ in scores(restored, photo, truth_of(r, photo))}
        for r in (row, replace(row, align_dx=shift[0], align_dy=shift[1]))
    )
    assert tuple(aligned) == protocols
    assert all(aligned[p] > unaligned[p] + 1 for p in aligned)


def two_pairs(folder):
    """Pairs by name, and their dark and bright paths."""
    return [
        write_pair(folder, shoot(scene(128, 160, s), 100), shoot(scene(128, 160, s)), *names)
        for s, names in enumerate((("a_dark.dng", "a_bright.dng"), ("b_dark.dng", "b_bright.dng")))
    ]


def problems(folder):
    """Photo → its error message, "" if it was scored."""
    found = evaluate(choose_data(folder, CARD), undark.load_model())
    return {pair.photo: pair.problem or "" for pair in found}


@pytest.mark.parametrize("which", [0, 1], ids=["dark", "bright"])
def test_a_corrupt_photo_is_named_and_the_others_are_judged(tmp_path, which):
    first, _ = two_pairs(tmp_path)
    first[which].write_bytes(first[which].read_bytes()[:9000])
    found = problems(tmp_path)
    assert found["b_dark.dng"] == ""
    assert str(first[which]) in found["a_dark.dng"]
    assert "damaged or cut short" in found["a_dark.dng"]


@pytest.mark.parametrize(
    ("photo", "says"),
    [
        (shoot(scene(160, 160)), "160 x 160 pixels"),
        (shoot(scene(128, 160)).crop(1, 1, 126, 158), "158 x 126 pixels"),
        (shoot(scene(128, 160)).replace(cfa=BAYER_ORDERS[1]), "CFA RGGB, but its bright photo"),
    ],
)
def test_photos_that_cannot_be_compared(tmp_path, photo, says):
    first, _ = two_pairs(tmp_path)
    write_mosaic(first[1], photo)
    found = problems(tmp_path)
    assert says in found["a_dark.dng"]
    assert "\n" not in found["a_dark.dng"]
    assert found["b_dark.dng"] == ""


def test_a_photo_of_another_cfa(tmp_path, make_mosaic):
    two_pairs(tmp_path)
    photo = make_mosaic(X_TRANS, shape=(540, 540))
    paths = write_pair(tmp_path, photo, photo, "c_dark.dng", "c_bright.dng")
    write_rows(tmp_path / "pairs.csv", [Row(*paths, amplification=100)])
    assert "is X-Trans, the model bayer restores Bayer" in problems(tmp_path)["c_dark.dng"]


def test_pairs_that_are_not_good_and_unknown_exposures(tmp_path):
    first, second = two_pairs(tmp_path)
    rows = [Row(*first, amplification=100, verdict="moved"), Row(*second)]
    write_rows(tmp_path / "pairs.csv", rows)
    with pytest.warns(PairsWarning, match="1 of 2 pairs are not good: left out"):
        assert list(problems(tmp_path)) == ["b_dark.dng"]
    assert "run `undark pairs` first" in problems(tmp_path)["b_dark.dng"]


def test_data_that_is_no_data(tmp_path, sid):
    fuji = replace(CARD, cfa="X-Trans")
    with pytest.raises(ModelError, match="SID's Sony photos are Bayer"):
        choose_data(sid, fuji)
    with pytest.raises(ModelError, match="finished pictures"):
        choose_data(sid, replace(CARD, task="picture to picture"))
    write_mosaic(tmp_path / "alone.dng", shoot(scene(128, 160)))
    with pytest.raises(DataError, match="no pairs"):
        choose_data(tmp_path, CARD)
    (tmp_path / "alone.dng").unlink()
    for name, time in (("a_dark.jpg", 0.1), ("a_bright.jpg", 10)):
        write_picture(tmp_path / name, np.zeros((64, 64, 3), np.uint8), Shot(exposure_time=time))
    with pytest.raises(DataError, match="finished pictures"):
        choose_data(tmp_path, CARD)


def test_sid_without_its_test_split(tmp_path):
    home = sid_folder(tmp_path) / "Sony"
    for path in home.rglob("1*"):
        path.unlink()
    with pytest.raises(DataError, match="numbered 1xxxx"):
        choose_data(tmp_path, CARD)


def test_the_command_writes_its_tables(run, sid, tmp_path):
    out = tmp_path / "report"
    status, printed, _ = run("evaluate", "bayer", sid, "--out", out)
    assert status == 0
    assert "multi-scale Retinex + non-local means" in printed
    with (out / "scores.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ["photo", "method", "protocol", "amplification", "psnr", "ssim"]
    assert len(table) == 3 * 11 * 4
    for row, other in zip(table, json.loads((out / "scores.json").read_text()), strict=True):
        assert (row["photo"], row["method"]) == (other["photo"], other["method"])
        assert float(row["psnr"]) == pytest.approx(other["psnr"], abs=1e-3)
    status, _, err = run("evaluate", "bayer", sid, "--out", out)
    assert (status, err.count("\n")) == (1, 1)
    assert "--overwrite" in err
    status, _, _ = run("evaluate", "bayer", sid, "--out", out, "--quick", "--overwrite")
    assert status == 0
    assert len((out / "scores.csv").read_text().splitlines()) == 1 + 3 * 2 * 4


def test_without_its_extra_it_says_what_to_install(run, sid, tmp_path, monkeypatch):
    monkeypatch.setattr("undark.cli.extras.find_spec", lambda package: None)
    for asked in (("evaluate", "bayer", sid, "--out", tmp_path / "r"), ("compare", "x.dng")):
        status, _, err = run(*asked)
        assert (status, err.count("\n")) == (2, 1)
        assert "pip install 'undark[evaluate]'" in err
    assert not (tmp_path / "r").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
def test_ctrl_c_keeps_what_was_done(sid, tmp_path):
    out = tmp_path / "report"
    command = [sys.executable, "-c", INTERRUPTED, "evaluate", "bayer", str(sid), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130
    assert "the report holds the photos that were done" in done.stderr
    photos = {line.split(",")[0] for line in (out / "scores.csv").read_text().splitlines()[1:]}
    assert photos == {"Sony/short/10003_00_0.033s.dng"}
    assert "1 dark photo restored" in (out / "report.html").read_text()


INTERRUPTED = """
import undark.evaluation.evaluate as package
from undark import cli

def judge(name, *rest):
    if "0.1s" in name:
        raise KeyboardInterrupt
    return before(name, *rest)

before, package._judge = package._judge, judge
cli.main()
"""


def test_the_command_goes_on_after_a_corrupt_photo(run, tmp_path):
    data, out = tmp_path / "data", tmp_path / "report"
    first, second = two_pairs(data)
    first[0].write_bytes(b"")
    status, _, err = run("evaluate", "bayer", data, "--out", out)
    assert status == 1
    assert f"{first[0]}: the file is empty" in err
    assert "1 of 2 pairs could not be scored" in err
    assert "b_dark.dng" in (out / "scores.csv").read_text()
    second[0].write_bytes(b"")
    status, _, err = run("evaluate", "bayer", data, "--out", tmp_path / "none")
    assert status == 2
    assert "none of its pairs could be scored" in err
    assert not (tmp_path / "none").exists()


def test_scores_are_those_of_before(tmp_path):
    """Recorded at commit 1090a17, for a photo amplified 100 times and demosaiced."""
    light = scene(seed=4)
    photos = shoot(inner(light), 100), shoot(inner(moved(light, 2, 0)))
    dark, bright = write_pair(tmp_path, *photos)
    row = Row(dark, bright, 100.0, align_dx=1.7, align_dy=0.3)
    photo = undark.read(dark)
    amplified = amplify_and_demosaic(photo, 100.0)
    found = {n: both for n, *both in scores(amplified, photo, truth_of(row, photo))}
    assert found["raw"] == pytest.approx((24.0131, 0.381483), abs=1e-4)
    assert found["srgb"] == pytest.approx((16.66006, 0.140427), abs=1e-4)
    assert found["srgb corrected"] == pytest.approx((16.75814, 0.145618), abs=1e-4)
