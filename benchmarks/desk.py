"""Screenshots of the desk and how quickly it answers, in Chromium: docs/desk.md.

    python benchmarks/desk.py --pictures docs

The photos are simulated from undark's own scene, as in `undark demo`. Times depend on what else
the machine does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

from undark.demo import load_scene, photograph
from undark.engine.catalogue import DEFAULT_MODEL
from undark.files.dng import write_mosaic
from undark.files.picture import plain_jpeg
from undark.restoring.jobs import Options
from undark.restoring.live import LiveRaw, View
from undark.restoring.raw import prepare
from undark.sensor.exposure import ExposureWish
from undark.web.app import DRAFT, QUALITY
from undark.web.desk import Desk
from undark.web.storage import Storage

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
CROPS = {
    "DSC00101.dng": (0, 0, 2400, 1600, 1600, 200),
    "DSC00102.dng": (100, 200, 1800, 1200, 3200, 100),
    "DSC00103.dng": (600, 300, 1800, 1200, 6400, 60),
    "evening/DSC00140.dng": (0, 0, 1500, 1000, 1600, 150),
    "evening/DSC00141.dng": (900, 500, 1500, 1000, 800, 250),
    "evening/DSC00142.dng": (300, 400, 1200, 1000, 12800, 30),
}
"""Name → left, top, width, height of the scene, ISO, how many times too dark."""
BURST_WINDOW = {"width": 900, "height": 430}
MANY = 5000
WAIT = 180_000
"""Milliseconds."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True, help="folder of the screenshots")
    folder: Path = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as work, browser() as running:
        rows = [*looks(running, Path(work), folder), *many(running, Path(work))]
        rows += server(Path(work))
        burst_look(running, Path(work), folder)
    print("| | seconds |\n|---|---|")
    for what, seconds in rows:
        print(f"| {what} | {seconds:.2f} |")


@contextmanager
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=FLAGS.split())
        yield running
        running.close()


@contextmanager
def served(state: Path, folder: Path) -> Iterator[tuple[str, float]]:
    """The address of `undark desk`, and the seconds until it answers."""
    began = time.monotonic()
    env = os.environ | {"UNDARK_STATE": str(state)}
    command = [sys.executable, "-m", "undark", "desk", str(folder), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().split()[-1], time.monotonic() - began
        finally:
            process.terminate()


@contextmanager
def window(running: Browser, address: str, **how: Any) -> Iterator[Page]:
    context = running.new_context(**({"viewport": {"width": 1400, "height": 860}} | how))
    context.set_default_timeout(WAIT)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".tile")
    yield page
    context.close()


def photos(folder: Path) -> Path:
    """The simulated photos."""
    scene = load_scene()
    for seed, (name, (left, top, width, height, iso, ratio)) in enumerate(CROPS.items(), 1):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        light = scene[top : top + height, left : left + width]
        write_mosaic(path, photograph(light, iso, ratio, seed))
    return folder


def looks(running: Browser, work: Path, folder: Path) -> Iterator[tuple[str, float]]:
    """Screenshots; yields what was measured on the way."""
    with served(work / "state", photos(work / "photos")) as (address, seconds):
        yield "`undark desk`, until its page answers", seconds
        with window(running, address, color_scheme="dark") as page:
            began = time.monotonic()
            page.reload()
            page.wait_for_selector(".tile img")
            yield (
                "the page, until the first amplified thumbnail (RAW data: no previews)",
                elapsed(began),
            )
            all_shown = f"document.querySelectorAll('.tile img').length === {len(CROPS)}"
            wait_until(page, all_shown)
            keep(page, folder / "desk-list.jpg")
            began = time.monotonic()
            page.click(".tile >> nth=0")
            page.wait_for_selector('#stage[data-stage="ready"]')
            yield "a photo of 3.8 megapixels, until it is restored", elapsed(began)
            settle(page)
            keep(page, folder / "desk-photo.jpg")
            for what, name in (("exposure", "exposure"), ("strength", "strength")):
                yield f"the {what} slider, until the picture has changed: median", slide(page, name)
            page.keyboard.press("f")
            page.click("#reset")
            settle(page)
            page.focus("#stage")
            page.keyboard.press("e")
            page.click("#export-go")
            page.wait_for_selector("#queue-items li.done")
            page.click("#queue-close")
            page.keyboard.press("Escape")
            page.click("#choose-all")
            page.click("#export-chosen")
            page.click("#export-go")
            wait_until(page, "document.getElementById('queue-text').textContent.includes('left')")
            keep(page, folder / "desk-exports.jpg")
            page.click("#queue-stop")
        phone = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2}
        with window(running, address, color_scheme="light", **phone) as page:
            page.click(".tile >> nth=0")
            page.wait_for_selector('#stage[data-stage="ready"]')
            settle(page)
            keep(page, folder / "desk-phone.jpg")


def burst_look(running: Browser, work: Path, folder: Path) -> None:
    """The screenshot of a burst as one photo of the list."""
    with (
        served(work / "state", burst(work / "burst")) as (address, _),
        window(running, address, color_scheme="dark", viewport=BURST_WINDOW) as page,
    ):
        page.wait_for_selector(".tile .many >> text=burst of 8")
        page.focus("#grid")
        wait_until(page, "document.querySelectorAll('.tile img').length === 3")
        settle(page)
        keep(page, folder / "desk-burst.jpg")


def burst(folder: Path) -> Path:
    """Eight frames of a hand-held burst, between two single photos."""
    folder.mkdir()
    scene, rng = load_scene(), np.random.default_rng(8)
    began = datetime(2026, 11, 1, 18, 0, tzinfo=UTC)
    for number in range(10):
        alone = number in (0, 9)
        left, top = (900, 400) if alone else 300 + rng.integers(-12, 13, 2)
        light = scene[top : top + 600, left : left + 900]
        mosaic = photograph(light, 3200, 150, 20 + number)
        seconds = 60 * number if alone else 30 + number / 4
        taken = began + timedelta(seconds=seconds)
        frame = mosaic.replace(shot=replace(mosaic.shot, taken=taken))
        write_mosaic(folder / f"DSC{201 + number:05}.dng", frame)
    return folder


def slide(page: Page, name: str) -> float:
    """Median seconds from a slider's input until all in sight is drawn with the new setting."""
    low, high = (float(page.get_attribute(f"#{name}", n) or 0) for n in ("min", "max"))
    seconds = []
    for step in range(1, 10):
        page.evaluate("delete document.getElementById('stage').dataset.latency")
        page.fill(f"#{name}", f"{low + (high - low) * (0.45 + step / 40):.1f}".removesuffix(".0"))
        wait_until(page, "document.getElementById('stage').dataset.latency")
        seconds.append(float(page.get_attribute("#stage", "data-latency") or 0) / 1000)
        page.wait_for_timeout(1500)  # until what is out of sight is there too
    return statistics.median(seconds)


def many(running: Browser, work: Path) -> Iterator[tuple[str, float]]:
    """A folder of thousands of photos: links to one."""
    folder, photo = work / "many", work / "photos" / "DSC00102.dng"
    folder.mkdir()
    for number in range(MANY):
        os.link(photo, folder / f"IMG_{number:04}.dng")
    with served(work / "state", folder) as (address, seconds):
        yield f"`undark desk` over {MANY:,} photos, until its page answers", seconds
        with window(running, address) as page:
            began = time.monotonic()
            page.reload()
            page.wait_for_selector(".tile")
            yield f"the list of {MANY:,} photos", elapsed(began)
            page.focus("#grid")
            began = time.monotonic()
            page.keyboard.press("End")
            page.wait_for_selector(f'.tile[aria-label^="IMG_{MANY - 1:04}.dng"]')
            yield "from its first photo to its last", elapsed(began)


def wait_until(page: Page, script: str) -> None:
    """Wait until JavaScript is true; Playwright's own way would need the policy's unsafe-eval."""
    began = time.monotonic()
    while not page.evaluate(script):
        if elapsed(began) > WAIT / 1000:
            raise TimeoutError(script)
        time.sleep(0.02)


class Amplified(LiveRaw):
    """A photo whose restored light is the amplified one: the network's time is not measured."""

    def _run(self, progress: Callable[[float], None]) -> NDArray[np.float32]:
        height, width = self._shape
        return self._unrestored_part(slice(0, height), slice(0, width))


def server(work: Path) -> Iterator[tuple[str, float]]:
    """CPU time of the server's part, which does not depend on what else the machine does."""
    folder = work / "many"
    began = time.process_time()
    desk = Desk([folder], Storage(work / "cpu", [folder]), Options(device="cpu"))
    desk.photos()
    yield f"CPU: listing {MANY:,} photos", time.process_time() - began
    desk.close()
    scene = photograph(load_scene(), 1600, 200)
    large = scene.replace(plane=np.tile(scene.plane, (3, 3))[:4000, :6000])
    live = Amplified(prepare(large.crop(0, 0, 4000, 6000), model=DEFAULT_MODEL), {})
    began = time.process_time()
    live.prepare()
    yield "CPU: the sizes of the amplified photo, 24 megapixels", time.process_time() - began
    live.restore(lambda share: None)
    whole = View(0, 0, 6000, 4000)
    windows = {"at 100 %": View(2000, 1500, 1080, 810), "fit": replace(whole, level=2)}
    for name, window in windows.items():
        half = window.width // 2
        left, right = replace(window, width=half), replace(window, left=window.left + half)
        moving = [
            (left, False),
            (replace(right, width=half), True),
            (replace(whole, level=4), True),
        ]
        for when, views, how in (
            ("while its slider moves", moving, DRAFT),
            ("afterwards", [(window, False), (window, True)], QUALITY),
        ):
            draw(live, views, 0, how)  # reads the light
            seconds = [draw(live, views, ev / 10, how) for ev in range(1, 8)]
            what = f"CPU: a new exposure in a window of 1080 x 810, {name}, {when}"
            yield what, statistics.median(seconds)


def draw(
    live: LiveRaw, views: Sequence[tuple[View, bool]], ev: float, how: tuple[int, str]
) -> float:
    """CPU seconds to render parts, restored or not, and to compress them."""
    options = Options(exposure=ExposureWish(ev, relative=True), strength=0.8, contrast=0.2)
    began = time.process_time()
    for view, restored in views:
        plain_jpeg(live.show(view, options, restored=restored).picture, *how)
    return time.process_time() - began


def elapsed(began: float) -> float:
    return time.monotonic() - began


def settle(page: Page) -> None:
    """Wait until the picture does not change any more."""
    before, looks = b"", 0
    while looks < 4:
        page.wait_for_timeout(400)
        now = page.screenshot()
        looks = looks + 1 if now == before else 0
        before = now


def keep(page: Page, path: Path) -> None:
    pixels = imagecodecs.png_decode(page.screenshot())[..., :3]
    path.write_bytes(plain_jpeg(np.ascontiguousarray(pixels), 80))


if __name__ == "__main__":
    main()
