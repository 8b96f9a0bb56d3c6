"""The list of exports: stopped, gone on with, closed, killed in the middle."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="starlette comes with undark[desk]")

import httpx

from desk import desk_client, opened_desk, until, write_photos
from undark.engine.model import Model
from undark.errors import OutputError
from undark.files.picture import open_picture
from undark.files.provenance import digest_of, source_of
from undark.restoring.claims import claimed, remove_partial
from undark.restoring.live import LiveRaw
from undark.sensor.cfa import CFA
from undark.sensor.exposure import ExposureWish
from undark.web import exports, opened
from undark.web.exports import Export
from undark.web.settings import Settings

client = desk_client
NAMES = ("a.dng", "b.dng", "c.dng")


@pytest.fixture
def folder(tmp_path, make_mosaic):
    write_photos(tmp_path / "photos", make_mosaic, *NAMES)
    return tmp_path / "photos"


def statuses(client):
    return [e["status"] for e in client.exports()["exports"]]


def add_all(client, **how):
    ids = [p["id"] for p in client.photos().values()]
    return client.post("api/exports", {"ids": ids} | how).json()


@pytest.mark.parametrize(
    ("kind", "suffix", "dtype"),
    [
        ("jpeg", "jpg", "uint8"),
        ("png", "png", "uint16"),
        ("tiff", "tif", "uint16"),
        ("dng", "dng", ""),
    ],
)
def test_each_format(client, folder, kind, suffix, dtype):
    key = client.photos()["a.dng"]["id"]
    settings = {"contrast": 0.5, "white_balance": [2.0, 1.0, 1.5]}
    client.post("api/settings", {"ids": [key], "settings": settings})
    client.post("api/exports", {"ids": [key], "kind": kind})
    (done,) = client.finished()
    assert (done["status"], done["seconds"] > 0) == ("done", True)
    target = folder / f"a-undark.{suffix}"
    assert source_of(target) == digest_of(folder / "a.dng")
    if dtype:
        assert open_picture(target).levels.dtype == dtype
    assert client.photos()["a.dng"]["restored"]
    assert client.photos()["a.dng"]["edited"]


def run_counted(monkeypatch):
    """A list that grows with each tile that a network restores."""
    ran, call = [], Model.__call__
    monkeypatch.setattr(
        Model, "__call__", lambda self, *given: ran.append(self) or call(self, *given)
    )
    return ran


SETTINGS = {"ev": 0.7, "strength": 0.6, "contrast": 0.3, "white_balance": [2.0, 1.0, 1.5]}


@pytest.mark.parametrize("cfa", ["RGGB", "X-Trans"])
def test_an_opened_photo_is_exported_without_a_run_of_the_network(
    tmp_path, make_mosaic, monkeypatch, cfa
):
    """The same bytes as where the network runs: the light is kept in full precision."""
    folder = tmp_path / "photos"
    write_photos(folder, make_mosaic, "a.dng", cfa=CFA.from_name(cfa), shape=(330, 192))
    written = []
    for is_open in (False, True):
        with opened_desk(tmp_path / f"state {is_open}", folder) as client:
            key = client.photos()["a.dng"]["id"]
            if is_open:
                client.open("a.dng")
            ran = run_counted(monkeypatch)
            for settings in ({}, SETTINGS):
                client.post("api/settings", {"ids": [key], "settings": settings})
                for kind in ("jpeg", "png", "dng"):
                    client.post("api/exports", {"ids": [key], "kind": kind, "replace": True})
                    done = client.finished()[-1]
                    assert done["status"] == "done", done
                    result = folder / f"a-undark.{'jpg' if kind == 'jpeg' else kind}"
                    written.append((done["message"], result.read_bytes()))
                    result.unlink()
            assert bool(ran) != is_open
    assert written[:6] == written[6:]


def test_what_is_kept_of_another_state_is_not_exported(client, folder, monkeypatch):
    """A changed file, other settings of the network, light that was rounded to save memory."""
    key = client.open("a.dng")
    kept, options = client.desk.opened.kept, client.desk.options
    files = (folder / "a.dng",)
    assert kept(files, options) is not None
    assert kept((folder / "b.dng",), options) is None
    for other in (
        {"quality": "fast"},
        {"model": "bayer-fast"},
        {"confidence": True},
        {"exposure": ExposureWish(3.0, relative=False)},
    ):
        assert kept(files, replace(options, **other)) is None
    os.utime(files[0], ns=(0, 0))
    assert kept(files, options) is None
    ran = run_counted(monkeypatch)
    client.post("api/exports", {"ids": [key]})
    assert client.finished()[-1]["status"] == "done"
    assert ran


def test_the_limit_of_memory_rounds_light_before_it_drops_photos(client, folder, monkeypatch):
    client.open("a.dng")
    live = client.desk.opened.live(client.photos()["a.dng"]["id"])
    exact = live.nbytes
    assert live.kept
    monkeypatch.setattr(opened, "LIMIT", exact * 7 // 4)
    client.open("b.dng")
    assert (live.is_exact, live.kept) == (False, None)
    assert live.nbytes < exact
    assert client.desk.opened.kept((folder / "b.dng",), client.desk.options)
    assert client.stage(client.photos()["a.dng"]["id"]) == "ready"


def test_a_photo_that_is_dropped_while_it_is_read_is_not_kept(client, monkeypatch):
    desk_opened, prepare = client.desk.opened, LiveRaw.prepare
    monkeypatch.setattr(LiveRaw, "prepare", lambda self: (prepare(self), desk_opened.forget()))
    key = client.photos()["a.dng"]["id"]
    client.post(f"api/photos/{key}/open")
    until(lambda: not desk_opened._states, seconds=20)
    desk_opened.close()  # the thread has ended
    assert desk_opened.live(key) is None


def test_photos_have_their_own_settings(client, folder):
    keys = {name: photo["id"] for name, photo in client.photos().items()}
    client.post("api/settings", {"ids": [keys["b.dng"], keys["c.dng"]], "settings": {"ev": 2.0}})
    add_all(client, kind="png")
    client.finished()
    a, b = (open_picture(folder / f"{n}-undark.png").levels.mean() for n in "ab")
    assert b > 1.15 * a
    client.post("api/settings", {"ids": list(keys.values()), "settings": {}})
    assert not any(p["edited"] for p in client.photos().values())


def test_it_is_stopped_and_goes_on(client, folder, monkeypatch):
    began = []
    run = Model.__call__

    def slow(self, *given):
        began.append(1)
        until(lambda: len(began) > 1 or client.desk.exports.stopped)
        return run(self, *given)

    monkeypatch.setattr(Model, "__call__", slow)
    assert add_all(client) == {"added": 3}
    until(lambda: began)
    assert statuses(client) == ["running", "waiting", "waiting"]
    client.post("api/exports/do", {"what": "stop"})
    until(lambda: "running" not in statuses(client))
    left = statuses(client).count("waiting")
    assert left >= 2
    assert client.exports()["stopped"]
    assert client.post("api/clear").status_code == 507  # while they wait
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]
    client.post("api/exports/do", {"what": "go-on"})
    assert {e["status"] for e in client.finished()} == {"done"}
    client.post("api/exports/do", {"what": "remove-finished"})
    assert client.exports()["exports"] == []
    assert (folder / "a-undark.jpg").exists()


def test_it_goes_on_after_the_server_was_closed(tmp_path, folder, monkeypatch):
    with opened_desk(tmp_path / "state", folder) as client:
        client.post("api/exports/do", {"what": "stop"})
        add_all(client, kind="png")
        key = client.photos()["b.dng"]["id"]
        client.post("api/settings", {"ids": [key], "settings": {"strength": 0.5}})
    with opened_desk(tmp_path / "state", folder) as client:
        assert statuses(client) == ["waiting"] * 3
        assert client.exports()["stopped"]  # nothing begins before somebody says so
        assert client.get(f"api/photos/{key}").json()["settings"]["strength"] == 0.5
        client.post("api/exports/do", {"what": "go-on"})
        assert {e["status"] for e in client.finished()} == {"done"}
    with opened_desk(tmp_path / "state", folder) as client:
        assert statuses(client) == ["done"] * 3
        assert not client.exports()["stopped"]


def test_one_bad_photo_does_not_stop_the_others(client, folder):
    (folder / "b.dng").write_bytes(b"II*\0" + bytes(500))
    add_all(client)
    found = {e["name"]: e for e in client.finished()}
    assert [found[n]["status"] for n in NAMES] == ["done", "failed", "done"]
    assert "b.dng" in found["b.dng"]["message"]
    client.post("api/exports/do", {"what": "retry"})
    assert {e["name"]: e["status"] for e in client.finished()}["b.dng"] == "failed"


def test_a_full_disk_stops_the_list_and_loses_nothing(client, folder, monkeypatch):
    def full(*args, **more):
        raise OutputError("the disk is full: free some space, or choose another folder")

    monkeypatch.setattr("undark.restoring.saving.write_picture", full)
    add_all(client)
    until(lambda: client.exports()["problem"])
    assert "disk is full" in client.exports()["problem"]
    assert statuses(client) == ["waiting"] * 3
    assert sorted(p.name for p in folder.iterdir()) == list(NAMES)
    monkeypatch.undo()
    client.post("api/exports/do", {"what": "go-on"})
    assert {e["status"] for e in client.finished()} == {"done"}


def test_a_state_file_that_was_tampered_with_leads_nowhere(tmp_path, folder):
    secret = tmp_path / "secret.dng"
    secret.write_bytes((folder / "a.dng").read_bytes())
    with opened_desk(tmp_path / "state", folder) as client:
        file = client.desk.storage.queue_file
        client.post("api/exports/do", {"what": "stop"})
        add_all(client)
    good = json.loads(file.read_text())
    bad = [
        good[0] | {"source": str(secret), "id": "1"},
        good[0] | {"target": str(tmp_path / "out.jpg"), "id": "2"},
        good[0] | {"target": str(folder / "../out.jpg"), "id": "3"},
        good[0] | {"status": "nonsense", "id": "4"},
        good[0] | {"settings": {"ev": 1e9}, "id": "5"},
        {"id": "6"},
        7,
    ]
    for content in (json.dumps([*bad, *good]), "[1, 2", "null", json.dumps({"a": 1})):
        file.write_text(content)
        with opened_desk(tmp_path / "state", folder) as client:
            found = {e["id"] for e in client.exports()["exports"]}
            assert found == ({e["id"] for e in good} if content.startswith("[{") else set())


def test_too_many_exports(client, monkeypatch):
    monkeypatch.setattr(exports, "MOST", 2)
    answer = client.post("api/exports", {"ids": [p["id"] for p in client.photos().values()]})
    assert answer.status_code == 400
    assert "2 exports at most" in answer.json()["error"]


def test_an_export_is_what_its_json_says():
    item = Export("1", "p", "a.dng", Path("/a.dng"), Path("/a.jpg"), Settings(ev=0.5), "jpeg")
    assert Export.from_json(json.loads(json.dumps(item.to_json()))) == item


def test_what_a_killed_run_left_is_removed_unless_another_is_at_work(tmp_path):
    old, new, other = (tmp_path / f".undark-{c * 12}.jpg" for c in "abc")
    for path in (old, new, other):
        path.touch()
    os.utime(old, (1000, 1000))
    foreign = tmp_path / ".undark-notes.txt"
    foreign.touch()
    since = new.stat().st_mtime
    code = "import sys; sys.path[:] = sys.argv[2:]; from pathlib import Path\n"
    code += "from undark.restoring.claims import claimed\n"
    code += "with claimed(Path(sys.argv[1])) as ours: print(ours, flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "x.jpg"), *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "True\n"
        remove_partial(tmp_path, since)
        assert new.exists()
        process.communicate("\n")
    with claimed(tmp_path / "y.jpg"):
        pass
    remove_partial(tmp_path, since)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([old.name, foreign.name])


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_in_the_middle_of_an_export(tmp_path, make_mosaic):
    """Through the command, three times: nothing partial stays, and all is done in the end."""
    folder = tmp_path / "photos"
    write_photos(folder, make_mosaic, *NAMES, shape=(600, 800))
    env = os.environ | {"UNDARK_STATE": str(tmp_path / "state")}
    command = [sys.executable, "-m", "undark", "desk", str(folder), "--no-browser"]

    def state(http):
        return http.get("api/exports").json()

    for life in range(4):
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as process,
            httpx.Client(base_url=process.stdout.readline().split()[-1], timeout=60) as http,
        ):
            if life == 0:
                ids = [p["id"] for p in http.get("api/photos").json()["photos"]]
                http.post("api/exports", json={"ids": ids, "kind": "png"})
            else:
                assert not list(folder.glob(".undark-*.png"))
                assert state(http)["stopped"]
                http.post("api/exports/do", json={"what": "go-on"})
            if life < 3:
                until(lambda http=http: state(http)["now"], "an export runs")
                process.send_signal(signal.SIGKILL)
                # as if it had been killed while it wrote
                (folder / ".undark-0123456789ab.png").write_bytes(b"half")
                continue
            done = lambda http=http: {e["status"] for e in state(http)["exports"]} == {"done"}  # noqa: E731
            until(done, "all are done")
            process.send_signal(signal.SIGTERM)
    results = sorted(p.name for p in folder.iterdir())
    assert results == sorted([*NAMES, *(n.replace(".dng", "-undark.png") for n in NAMES)])
    for name in NAMES:
        target = folder / name.replace(".dng", "-undark.png")
        assert source_of(target) == digest_of(folder / name)
        assert open_picture(target).levels.shape == (600, 800, 3)


def test_a_second_desk_of_the_same_folder_is_refused(tmp_path, folder, run, monkeypatch):
    monkeypatch.setenv("UNDARK_STATE", str(tmp_path / "state"))
    env = os.environ | {"UNDARK_STATE": str(tmp_path / "state")}
    command = [sys.executable, "-m", "undark", "desk", str(folder), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as first:
        assert "http://127.0.0.1:" in first.stdout.readline()
        status, _, said = run("desk", folder, "--no-browser")
        first.terminate()
    assert status == 2
    assert "open for these folders already" in said


def test_folders_and_ports_that_cannot_be_used(tmp_path, run, monkeypatch):
    monkeypatch.setenv("UNDARK_STATE", str(tmp_path / "state"))
    status, _, said = run("desk", tmp_path / "missing", "--no-browser")
    assert (status, "no such folder" in said) == (2, True)
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, _, said = run("desk", tmp_path, "--no-browser", "--port", port)
    assert (status, f"port {port} cannot be used" in said) == (2, True)


def test_two_browsers_at_the_same_time(client, folder):
    """Each opens its photo; both add exports; the last settings count."""
    from desk import Client

    other = Client(client.desk)
    assert other.http.get(f"/{client.guard.key}/api/photos").status_code == 403  # another key
    keys = {name: photo["id"] for name, photo in client.photos().items()}
    client.post(f"api/photos/{keys['a.dng']}/open")
    other.open("b.dng")
    client.open("a.dng")
    assert other.stage(keys["b.dng"]) == "ready"
    assert add_all(client) == {"added": 3}
    assert add_all(other) == {"added": 3}
    done = client.finished()
    assert {e["status"] for e in done} <= {"done", "skipped"}
    assert len(list(folder.glob("*-undark.jpg"))) == 3
    assert other.exports()["version"] == client.exports()["version"]
