"""A desk over a folder of small dark photos, for the tests of the page and its server."""

import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from bursts import scene, write_frame
from undark.files.dng import write_mosaic
from undark.restoring.jobs import Options
from undark.web.app import make_app
from undark.web.desk import Desk
from undark.web.guard import Guard
from undark.web.storage import Storage

PORT = 8123
ORIGIN = f"http://127.0.0.1:{PORT}"


class Client:
    """Requests with the key, as the page makes them."""

    def __init__(self, desk, origin=ORIGIN):
        self.desk, self.guard = desk, Guard(make_app(desk), PORT)
        self.http = TestClient(self.guard, base_url=origin)
        self.at = f"/{self.guard.key}"

    def get(self, path, **more):
        return self.http.get(f"{self.at}/{path}", **more)

    def post(self, path, content=None, **more):
        headers = {"Origin": ORIGIN} | more.pop("headers", {})
        return self.http.post(f"{self.at}/{path}", json=content or {}, headers=headers, **more)

    def put(self, path, body, **more):
        return self.http.put(f"{self.at}/{path}", content=body, headers={"Origin": ORIGIN}, **more)

    def photos(self):
        return {p["name"]: p for p in self.get("api/photos").json()["photos"]}

    def open(self, name, stage="ready"):
        """Open a photo and wait until it is that far, or further: its identifier."""
        key = self.photos()[name]["id"]
        state = self.post(f"api/photos/{key}/open").json()["state"]
        until(lambda: self.stage(key) in (stage, "ready", "failed"), f"{name} {stage} {state}")
        return key

    def stage(self, key):
        return self.get(f"api/photos/{key}").json()["state"]["stage"]

    def exports(self):
        return self.get("api/exports").json()

    def finished(self):
        """Wait until nothing waits or runs: the exports."""
        until(lambda: not {e["status"] for e in self.exports()["exports"]} & {"waiting", "running"})
        return self.exports()["exports"]


def until(condition, what="", seconds=120.0):
    """Wait until a condition holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, what
        time.sleep(0.1)


@pytest.fixture
def desk_client(tmp_path, folder):
    """Of a desk over the fixture `folder` of a test's file."""
    with opened_desk(tmp_path / "state", folder) as client:
        yield client


@contextmanager
def opened_desk(state: Path, *folders: Path, options: Options | None = None):
    desk = Desk(folders, Storage(state, folders), options or Options(device="cpu"))
    try:
        yield Client(desk)
    finally:
        desk.close()


def write_burst(folder: Path, *, other_scene: bool = False, shape=(160, 192)):
    """Three frames of a scene, 00.dng to 02.dng, a quarter of a second apart; with
    `other_scene` 03.dng, which shows another one."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(3):
        light = scene(shape, shift=(n, 2.5 * n))
        write_frame(folder / f"{n:02}.dng", light, n, n / 4)
    if other_scene:
        write_frame(folder / "03.dng", scene(shape, seed=7), 3, 0.75)


def write_photos(folder: Path, make_mosaic, *names: str, **changes):
    """Dark DNGs, each of another seed, a minute apart; names may have folders."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        mosaic = make_mosaic(seed=seed, **{"shape": (96, 128)} | changes)
        light = np.random.default_rng(seed).poisson(
            np.linspace(20, 220, mosaic.shape[1]), mosaic.shape
        )
        shot = replace(mosaic.shot, taken=mosaic.shot.taken + timedelta(minutes=1 + seed))
        write_mosaic(path, mosaic.replace(plane=(512 + light).astype(np.uint16), shot=shot))
