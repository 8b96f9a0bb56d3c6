"""The report: its content, and its sliders in a browser without a network."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

import undark
from eval_pairs import sid_folder
from undark.engine.catalogue import shipped_models
from undark.engine.model import read_card
from undark.evaluation.curves import Curve, chart
from undark.evaluation.data import choose_data
from undark.evaluation.evaluate import BRIGHT, Judged, Score, evaluate
from undark.evaluation.gallery import EXTREMES, Gallery
from undark.evaluation.protocols import PROTOCOLS, TITLES
from undark.evaluation.published import published, raw_pairs
from undark.evaluation.report import HTML, Evaluation, write_report
from undark.evaluation.summary import ALL, means

SCREENSHOTS = Path(__file__).parents[1] / ".cache" / "screenshots"
"""Screenshots are kept here for inspection."""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """An evaluation of SID's Sony test split, in small, with one photo left out."""
    card = read_card(shipped_models()["bayer"])
    data = choose_data(sid_folder(tmp_path_factory.mktemp("sid")), card)
    gallery, scores = Gallery(card.name), []
    for judged in evaluate(data, undark.load_model()):
        gallery.add(judged)
        scores += judged.scores
    return Evaluation(data, card, scores, gallery, ["x/<b>.ARW: damaged & cut short"])


@pytest.fixture(scope="module")
def report(found, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(folder, found)
    return folder / HTML


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window, and without a network."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("Chromium is not installed here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser, report, request):
    """The report in a window of a width."""
    context = browser.new_context(
        viewport={"width": request.param, "height": 900}, offline=True, color_scheme="light"
    )
    page = context.new_page()
    page.faults, page.asked = [], []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(report.as_uri())
    yield page
    context.close()


def pixels(element):
    """The visible pixels of a stage, below the names of its sides."""
    return imagecodecs.png_decode(element.screenshot())[40:, :, :3].astype(float)


@pytest.mark.parametrize("page", [1280, 390], indirect=True, ids=["desktop", "phone"])
def test_a_browser_shows_the_tables_and_moves_the_slider(page, found, request):
    for protocol, table in zip(PROTOCOLS, page.locator("h3 + .scroll table").all(), strict=True):
        mean = means(found.scores, protocol)["bayer"][ALL]
        row = table.locator("tr.network").first
        assert row.locator("td").last.inner_text() == f"{mean.psnr:.2f} / {mean.ssim:.3f}"
        assert row.is_visible()
    assert page.locator(".charts svg").count() == 4

    stage, slider = page.locator(".stage").first, page.locator("input[type=range]").first
    shown = {}
    for key, name in (("Home", "dark"), ("End", BRIGHT)):
        slider.press(key)
        shown[name] = pixels(stage)
    slider.fill("100")
    shown["restored"] = pixels(stage)
    assert slider.get_attribute("aria-valuetext") == "restored"
    errors = {n: np.mean((shown[n] - shown[BRIGHT]) ** 2) for n in ("dark", "restored")}
    assert 0 < errors["restored"] < errors["dark"] / 2
    slider.fill("50")
    half = pixels(stage)
    edge = half.shape[1] // 2
    left, right = np.s_[:, 4 : edge - 4], np.s_[:, edge + 4 : -4]
    assert np.abs(half[left] - shown["restored"][left]).max() < 4
    assert np.abs(half[right] - shown["dark"][right]).max() < 4

    assert page.faults == []
    assert all(url.startswith(("file:", "data:")) for url in page.asked)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"report-{request.node.callspec.id}.png", full_page=True)


def test_it_stands_alone_and_says_what_was_left_out(report):
    text = report.read_text()
    assert "x/&lt;b&gt;.ARW: damaged &amp; cut short" in text
    fetched = re.findall(r'(?:src|href)="(?!data:)|url\(|@import|https?://', text)
    assert fetched == []


def test_published_figures_stand_beside_those_of_their_protocol(report):
    parts = report.read_text().split("<h3>")
    tables = {p: next(t for t in parts if t.startswith(f"{TITLES[p]}</h3>")) for p in PROTOCOLS}
    rows = {p: re.findall(r'<tr class="published.*?</tr>', tables[p]) for p in PROTOCOLS}
    assert [len(rows[p]) for p in PROTOCOLS] == [1, 5, 7, 0]
    assert all(r.count('"tag">published<') == 1 for found in rows.values() for r in found)
    figures = "43.47 / 0.961</td><td>41.04 / 0.947</td><td>37.87 / 0.934"
    assert figures in tables["raw corrected"]
    assert "28.88 / 0.787" in tables["srgb"]


def test_figures_of_the_papers():
    assert len(raw_pairs()) == 129
    assert {f.protocol for f in published("sony")} == {"raw", "raw corrected", "srgb"}
    assert len(published("fuji")) == 5
    assert published("") == []


def test_other_data_has_nothing_published(found, tmp_path):
    write_report(tmp_path, replace(found, data=replace(found.data, camera=""), problems=[]))
    text = (tmp_path / HTML).read_text()
    assert "published</span>" not in text
    assert "SID" not in text
    assert "Left out" not in text


def test_the_gallery_keeps_the_worst_and_the_best():
    gallery = Gallery("net")
    picture = np.zeros((40, 60, 3), np.uint8)
    order = np.random.default_rng(0).permutation(20)
    for psnr in order:
        score = Score(f"{psnr}", "net", "srgb", 100.0, float(psnr), 0.5)
        gallery.add(Judged(score.photo, [score], {"net": picture, BRIGHT: picture}))
    assert [e.score.psnr for e in gallery.worst] == list(range(EXTREMES))
    assert [e.score.psnr for e in gallery.best] == [19 - n for n in range(EXTREMES)]


@pytest.mark.parametrize(
    "points", [[(100, 30.0)], [(100, 30.0), (300, 30.0)], [(2, 1.0), (250, np.inf), (300, 80.0)]]
)
def test_a_chart_of_few_points(points):
    drawn = chart([Curve("a<b", "network", points)], "t")
    numbers = [float(n) for n in re.findall(r'c[xy]="([-\d.]+)"', drawn)]
    assert len(numbers) == 2 * sum(np.isfinite(y) for _, y in points)
    assert all(0 < n < 560 for n in numbers)
    assert "nan" not in drawn
    assert "a&lt;b" in drawn
    assert chart([Curve("perfect", "network", [(100, np.inf)])], "t") == ""
