"""Bursts on the desk: listed as one photo, split, opened, exported."""

import json
import time

import numpy as np
import pytest
from imagecodecs import png_decode

pytest.importorskip("starlette", reason="starlette comes with undark[desk]")

from desk import desk_client, opened_desk, until, write_burst, write_photos
from undark.files.picture import open_picture
from undark.files.provenance import source_of
from undark.files.raw import read_mosaic
from undark.restoring import burst_jobs, burst_plan
from undark.restoring.live import Live
from undark.web import bursts, opened
from undark.web.library import Library

client = desk_client
FRAMES = ["00.dng", "01.dng", "02.dng", "03.dng"]


@pytest.fixture
def folder(tmp_path, make_mosaic):
    """A burst of four frames, one of which shows another scene, and a photo of its own."""
    write_burst(tmp_path / "photos", other_scene=True)
    write_photos(tmp_path / "photos", make_mosaic, "single.dng")
    return tmp_path / "photos"


def grouped(client):
    """Wait for the burst: its entry in the list."""
    until(lambda: len(client.photos()) == 2)
    return client.photos()["00.dng"]


def list_version(client):
    return client.exports()["list"]


class TestTheList:
    def test_frames_become_one_photo_after_the_first_list(self, client):
        first = client.get("api/photos").json()
        assert [p["name"] for p in first["photos"]] == [*FRAMES, "single.dng"]
        until(lambda: list_version(client) != first["version"])
        burst, single = client.photos().values()
        assert [frame["name"] for frame in burst["frames"]] == FRAMES
        assert (single["name"], single["frames"], single["burst"]) == ("single.dng", [], None)
        assert not client.exports()["looking"]
        assert client.get(f"api/photos/{burst['id']}/thumbnail").status_code == 200
        # what the page has open or chosen meanwhile is still there
        assert {f["id"] for f in burst["frames"]} == {p["id"] for p in first["photos"][:4]}
        assert client.get(f"api/photos/{burst['frames'][1]['id']}").json()["name"] == "01.dng"

    def test_no_file_is_opened_before_the_first_list_and_each_once(
        self, tmp_path, folder, monkeypatch
    ):
        read, taken = [], bursts.read_taken
        monkeypatch.setattr(bursts, "read_taken", lambda p: read.append(p.name) or taken(p))
        with opened_desk(tmp_path / "state", folder) as client:
            time.sleep(0.2)
            assert (client.exports()["looking"], read) == (True, [])
            grouped(client)
            assert sorted(read) == [*FRAMES, "single.dng"]
            (folder / "01.dng").touch()
            (folder / "03.dng").unlink()
            client.post("api/scan")
            until(lambda: not client.exports()["looking"])
            assert sorted(read) == sorted([*FRAMES, "single.dng", "01.dng"])
            assert len(grouped(client)["frames"]) == 3

    def test_bursts_appear_while_others_are_looked_for(self, client, folder, monkeypatch):
        write_burst(folder / "later")
        monkeypatch.setattr(bursts, "EVERY", 0.0)
        told, taken = [], bursts.read_taken
        group = client.desk.library.group
        monkeypatch.setattr(
            client.desk._bursts, "_found", lambda groups: told.append(groups) or group(groups)
        )

        def waiting(path):
            """Reads the last photo only after the first burst is listed."""
            if path == folder / "single.dng":
                until(lambda: client.photos()["00.dng"]["frames"])
            return taken(path)

        monkeypatch.setattr(bursts, "read_taken", waiting)
        client.post("api/scan")
        client.photos()
        until(lambda: not client.exports()["looking"])
        assert all({len(group) for group in groups} <= {3, 4} for groups in told)
        assert len(told[-1]) == 2

    def test_what_may_be_a_time_lapse_stays_single(self, client, monkeypatch):
        monkeypatch.setattr(burst_plan, "MANY", 3)
        client.photos()
        until(lambda: not client.exports()["looking"])
        assert len(client.photos()) == 5

    def test_links_and_damaged_files_stay_single(self, client, folder):
        (folder / "04.dng").symlink_to(folder / "00.dng")
        (folder / "05.dng").write_bytes(b"II*\0damaged")
        client.post("api/scan")
        until(lambda: len(client.photos()) == 4)
        assert set(client.photos()) == {"00.dng", "04.dng", "05.dng", "single.dng"}

    def test_a_file_that_cannot_be_read_for_whatever_reason_stays_single(self, client, monkeypatch):
        read, taken = [], bursts.read_taken

        def broken(path):
            read.append(path.name)
            if path.name == "01.dng":
                raise OSError("the worker ended")
            return taken(path)

        monkeypatch.setattr(bursts, "read_taken", broken)
        client.photos()
        until(lambda: not client.exports()["looking"], seconds=20)
        assert read == [*FRAMES, "single.dng"]
        assert [len(photo["frames"]) for photo in client.photos().values()] == [3, 0, 0]

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_it_does_not_look_on_after_an_error(self, folder):
        looking = bursts.Bursts(lambda groups: 1 / 0)
        looking.look([folder / "single.dng"])
        looking.begin()
        until(lambda: not looking.is_looking, seconds=20)
        looking.close()

    def test_a_burst_is_split_and_joined_and_that_is_kept(self, client, tmp_path, folder):
        burst = grouped(client)
        client.post("api/settings", {"ids": [burst["id"]], "settings": {"ev": 1.0}})
        version = list_version(client)
        said = client.post("api/bursts", {"ids": [burst["id"]], "split": True}).json()
        assert [p["name"] for p in said["photos"]] == [*FRAMES, "single.dng"]
        assert [p["burst"] for p in said["photos"]] == [{"id": burst["id"], "frames": 4}] * 4 + [
            None
        ]
        assert not any(p["edited"] for p in said["photos"])
        assert list_version(client) > version
        client.desk.close()
        with opened_desk(tmp_path / "state", folder) as client:
            client.photos()
            until(lambda: client.photos()["03.dng"]["burst"])
            assert len(client.photos()) == 5
            said = client.post("api/bursts", {"ids": [burst["id"]], "split": False}).json()
            assert [p["name"] for p in said["photos"]] == ["00.dng", "single.dng"]
            assert said["photos"][0]["edited"]
            assert json.loads(client.desk.storage.settings_file.read_text())["split"] == []

    @pytest.mark.parametrize("content", [{}, {"ids": [], "split": "yes"}, {"split": True}])
    def test_requests_that_are_wrong(self, client, content):
        assert client.post("api/bursts", content).status_code == 400


class TestOpened:
    def test_it_is_the_merge_as_an_export_writes_it(self, client, folder, monkeypatch):
        key = grouped(client)["id"]
        seen = []
        keep = opened.Opened._set
        monkeypatch.setattr(
            opened.Opened, "_set", lambda self, e, state: seen.append(state) or keep(self, e, state)
        )
        client.open("00.dng")
        about = client.get(f"api/photos/{key}").json()
        assert about["state"]["stage"] == "ready", about
        merging = [state for state in seen if state.stage == "merging"]
        assert merging[0].share == 0
        assert merging[-1].share == 1
        assert all(state.seconds_left is not None for state in merging[1:])
        assert about["facts"]["frames"] == "3 of 4 merged"
        assert about["facts"]["left out"].startswith("03.dng (")
        settings = {"ev": 0.5, "contrast": 0.4, "strength": 0.8, "white_balance": [1.5, 1.0, 1.2]}
        client.post("api/settings", {"ids": [key], "settings": settings})
        client.post("api/exports", {"ids": [key], "kind": "png"})
        (done,) = client.finished()
        assert done["status"] == "done", done
        live = client.desk.opened.live(key)
        view = f"left=0&top=0&width={about['width']}&height={about['height']}&level=0&format=png"
        query = f"{view}&settings={json.dumps(settings)}"
        after = png_decode(client.get(f"api/photos/{key}/view?{query}").content)
        written = open_picture(folder / "00-undark-burst.png").levels
        assert np.abs(after.astype(float) - written / 257).max() <= 1.5
        # before: the merge, which has less noise than its first frame
        before = png_decode(client.get(f"api/photos/{key}/view?{view}&side=before").content)
        frame = client.photos()["00.dng"]["frames"][0]["id"]
        client.post(f"api/photos/{frame}/open")
        until(lambda: client.stage(frame) == "ready")
        single = png_decode(client.get(f"api/photos/{frame}/view?{view}&side=before").content)
        noise = [np.diff(p[..., 1].astype(float)).std() for p in (before, single)]
        assert noise[0] < 0.8 * noise[1]
        mosaic = live._ready.mosaic
        of_light = Live.nbytes.fget(live)
        assert live.nbytes == of_light + mosaic.plane.nbytes + mosaic.merged.share.nbytes

    def test_its_merging_ends_when_nobody_looks(self, client, monkeypatch):
        key = grouped(client)["id"]
        read = burst_jobs.read_mosaic

        def slow(path):
            if path.name == "01.dng":
                until(lambda: key not in client.desk.opened._wanted)
            return read(path)

        monkeypatch.setattr(burst_jobs, "read_mosaic", slow)
        client.post(f"api/photos/{key}/open")
        until(lambda: client.stage(key) == "merging")
        client.post(f"api/photos/{key}/leave")
        until(lambda: client.desk.opened._states[key].stage == "waiting")
        assert client.desk.opened.live(key) is None

    def test_frames_that_do_not_fit_say_so(self, tmp_path, folder):
        for name in ("01.dng", "02.dng"):
            (folder / name).unlink()
        with opened_desk(tmp_path / "state", folder) as client:
            key = grouped(client)["id"]
            client.open("00.dng")
            state = client.get(f"api/photos/{key}").json()["state"]
        assert state["stage"] == "failed"
        assert "no other frame can be merged" in state["error"]


def test_bursts_whose_first_frames_have_one_name_get_different_results(tmp_path):
    """Their types tell them apart, whichever of them is exported."""
    folder = tmp_path.resolve()
    frames = [folder / name for name in ("a.dng", "b.dng", "a.arw", "c.arw")]
    for frame in frames:
        frame.write_bytes(b"")
    library = Library([folder], tmp_path / "uploads")
    library.scan()
    library.group((tuple(frames[:2]), tuple(frames[2:])))
    entries = [*library.entries.values()]
    assert [entry.is_burst for entry in entries] == [True, True]
    targets = {job.target.name for _, job in library.jobs(entries, None, "jpeg", "")}
    assert targets == {"a-dng-undark-burst.jpg", "a-arw-undark-burst.jpg"}
    for entry in entries:
        [(_, job)] = library.jobs([entry], None, "jpeg", "")
        assert job.target.name in targets


class TestExports:
    def test_the_picture_and_the_merge_are_written_once(self, client, folder):
        key = grouped(client)["id"]
        ids = [p["id"] for p in client.photos().values()]
        client.post("api/exports", {"ids": ids, "below": "out", "label": "-soft"})
        done = {e["name"]: e for e in client.finished()}
        assert {e["status"] for e in done.values()} == {"done"}
        assert sorted(p.name for p in (folder / "out").iterdir()) == [
            "00-soft-undark-burst.dng",
            "00-soft-undark-burst.jpg",
            "single-soft-undark.jpg",
        ]
        assert "3 of 4 frames merged" in done["00.dng"]["message"]
        assert "left out: 03.dng (" in done["00.dng"]["message"]
        picture, dng = (folder / f"out/00-soft-undark-burst.{s}" for s in ("jpg", "dng"))
        assert source_of(picture) == source_of(dng)
        assert read_mosaic(dng).white == 16383 * 4
        assert client.get(f"api/exports/{done['00.dng']['id']}/file").status_code == 200
        again = {"ids": [key], "below": "out", "label": "-soft"}
        client.post("api/exports", again)
        assert client.finished()[-1]["status"] == "skipped"
        dng.write_bytes(b"mine")
        for replace in (False, True):
            client.post("api/exports", again | {"replace": replace})
            assert client.finished()[-1]["status"] == "failed"
            assert dng.read_bytes() == b"mine"

    def test_an_opened_burst_is_not_merged_again(self, tmp_path, folder, monkeypatch):
        """The same files as where it is: its merge and its light are kept."""
        written, read = [], burst_jobs.read_mosaic
        for is_open in (False, True):
            with opened_desk(tmp_path / f"state {is_open}", folder) as client:
                key = grouped(client)["id"]
                if is_open:
                    client.open("00.dng")
                    monkeypatch.setattr(burst_jobs, "read_mosaic", None)
                settings = {"ev": 0.5, "contrast": 0.4, "strength": 0.8}
                client.post("api/settings", {"ids": [key], "settings": settings})
                client.post("api/exports", {"ids": [key], "kind": "png"})
                (done,) = client.finished()
                assert done["status"] == "done", done
            results = sorted(folder.glob("*undark*"))
            assert [p.suffix for p in results] == [".dng", ".png"]
            written.append((done["message"], [p.read_bytes() for p in results]))
            for path in results:
                path.unlink()
        monkeypatch.setattr(burst_jobs, "read_mosaic", read)
        assert written[0] == written[1]

    def test_dng_is_the_merge_alone(self, client, folder):
        key = grouped(client)["id"]
        client.post("api/exports", {"ids": [key], "kind": "dng"})
        (done,) = client.finished()
        assert done["status"] == "done", done
        assert [p.name for p in folder.glob("*undark*")] == ["00-undark-burst.dng"]
        assert client.photos()["00.dng"]["restored"]
        client.post("api/scan")
        assert client.photos()["00.dng"]["restored"]

    def test_stopped_closed_killed_and_gone_on_with(self, tmp_path, folder, monkeypatch):
        read = burst_jobs.read_mosaic
        with opened_desk(tmp_path / "state", folder) as client:
            key = grouped(client)["id"]

            def slow(path):
                if path.name == "02.dng":
                    until(lambda: client.desk.exports.stopped)
                return read(path)

            monkeypatch.setattr(burst_jobs, "read_mosaic", slow)
            client.post("api/exports", {"ids": [key]})
            until(lambda: client.exports()["now"] and client.exports()["now"]["share"] > 0)
            client.post("api/exports/do", {"what": "stop"})
            until(lambda: client.exports()["now"] is None)
            assert client.exports()["exports"][0]["status"] == "waiting"
            assert not [p for p in folder.iterdir() if "undark" in p.name]
            file = client.desk.storage.queue_file
        monkeypatch.setattr(burst_jobs, "read_mosaic", read)
        (item,) = json.loads(file.read_text())
        assert [frame[-6:] for frame in item["frames"]] == FRAMES
        # as if it had been killed while it wrote; another one leads out of the folders
        (tmp_path / "secret.dng").write_bytes((folder / "00.dng").read_bytes())
        out = item | {"id": "1", "frames": [*item["frames"], str(tmp_path / "secret.dng")]}
        file.write_text(json.dumps([item | {"status": "running"}, out]))
        (folder / ".undark-0123456789ab.dng").write_bytes(b"half")
        with opened_desk(tmp_path / "state", folder) as client:
            assert [e["status"] for e in client.exports()["exports"]] == ["waiting"]
            client.post("api/exports/do", {"what": "go-on"})
            assert [e["status"] for e in client.finished()] == ["done"]
        made = ["00-undark-burst.dng", "00-undark-burst.jpg"]
        assert {p.name for p in folder.iterdir()} == {*made, *FRAMES, "single.dng"}
