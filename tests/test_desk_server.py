"""The desk's server: who may ask it, for what, and what stays on the disk."""

import os
import re
import stat
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

pytest.importorskip("starlette", reason="starlette comes with undark[desk]")

from starlette.websockets import WebSocketDisconnect

from desk import ORIGIN, PORT, desk_client, write_photos
from undark.files.picture import open_picture, write_picture
from undark.sensor.mosaic import Shot
from undark.web import storage, uploads
from undark.web.guard import HEADERS, Guard

client = desk_client
PICTURE = np.full((40, 60, 3), 9, np.uint8)


@pytest.fixture
def folder(tmp_path, make_mosaic):
    """Two photos, a third in a sub-folder, and a secret beside the folder."""
    photos = tmp_path / "photos"
    write_photos(photos, make_mosaic, "a.dng", "b.dng", "trip/c.dng")
    (tmp_path / "secret.dng").write_bytes((photos / "a.dng").read_bytes())
    return photos


def files_below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


class TestWhoMayAsk:
    def test_every_request_needs_the_key(self, client):
        assert client.get("").status_code == 200
        for path in ("", "static/desk.js", "api/photos"):
            for key in ("", "x", client.guard.key[:-1], client.guard.key + "x", "ÿ"):
                answer = client.http.get(f"/{key}/{path}" if key else f"/{path}")
                assert answer.status_code == 403, (key, path)
                assert "a.dng" not in answer.text
        assert client.http.get(f"/{client.guard.key}").status_code == 403  # no slash

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            f"evil.example:{PORT}",
            "127.0.0.1",
            "127.0.0.1:1",
            f"127.0.0.1.evil:{PORT}",
            f"0.0.0.0:{PORT}",
            "",
        ],
    )
    def test_another_host_is_refused(self, client, host):
        answer = client.get("api/photos", headers={"Host": host})
        assert answer.status_code == 403
        assert "photos" not in answer.text

    @pytest.mark.parametrize(
        "host", [f"localhost:{PORT}", f"127.0.0.1:{PORT}", f"LocalHost:{PORT}"]
    )
    def test_names_of_this_machine_are_not(self, client, host):
        assert client.get("api/photos", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize(
        "origin", ["http://evil.example", "null", f"https://127.0.0.1:{PORT}", "http://127.0.0.1:1"]
    )
    def test_another_origin_is_refused(self, client, origin):
        for answer in (
            client.get("api/photos", headers={"Origin": origin}),
            client.post("api/scan", headers={"Origin": origin}),
        ):
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_requests_of_another_page_are_refused(self, client, site):
        assert client.get("", headers={"Sec-Fetch-Site": site}).status_code == 403
        for own in ("same-origin", "none"):
            assert client.get("", headers={"Sec-Fetch-Site": own}).status_code == 200

    def test_other_methods_and_sockets_are_refused(self, client):
        for method in ("OPTIONS", "DELETE", "PATCH", "TRACE"):
            assert client.http.request(method, f"{client.at}/api/photos").status_code == 403
        with (
            pytest.raises(WebSocketDisconnect),
            client.http.websocket_connect(client.at),
        ):
            pass

    def test_headers_of_every_answer(self, client):
        for answer in (client.get(""), client.get("api/photos"), client.http.get("/nothing")):
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "unsafe" not in HEADERS["Content-Security-Policy"]
        assert client.get("api/photos").headers["Cache-Control"] == "no-store"
        assert "set-cookie" not in client.get("").headers

    def test_the_page_fetches_nothing_from_outside(self, client):
        page = client.get("").text
        names = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert names
        assert all(client.get(name).status_code == 200 for name in names)
        texts = [client.get(f"static/{f.name}").text for f in STATIC.iterdir()]
        outside = [re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text) for text in texts]
        assert {url for found in outside for url in found} <= {"http://www.w3.org"}
        assert not re.search(r"\son\w+=|<script>|style=", page)

    def test_the_address_for_the_browser_is_valid_once(self, client, monkeypatch):
        once = client.guard.address_once.removeprefix(ORIGIN)
        first = client.http.get(once, follow_redirects=False)
        assert (first.status_code, first.headers["Location"]) == (303, f"{client.at}/")
        assert client.http.get(once, follow_redirects=False).status_code == 403
        late = Guard(client.guard, PORT)
        late._made -= 1000
        assert not late._is_once(late._once)

    def test_keys_differ(self):
        keys = {Guard(None, PORT).key for _ in range(20)}
        assert len(keys) == 20
        assert min(map(len, keys)) >= 32


STATIC = Path(storage.__file__).parent / "static"


class TestWhatMayBeRead:
    @pytest.mark.parametrize(
        "path",
        [
            "static/../app.py",
            "static/..%2fapp.py",
            "static/%2e%2e/app.py",
            "static//etc/passwd",
            "static/..\\app.py",
            "api/photos/../../secret.dng/thumbnail",
            "api/photos/..%2f..%2fsecret.dng/thumbnail",
            "api/photos/%2fetc%2fpasswd/view",
            "api/exports/..%2f..%2fsecret.dng/file",
            "api/photos/" + "a" * 5000 + "/thumbnail",
        ],
    )
    def test_no_path_leads_out(self, client, path):
        answer = client.get(path)
        assert answer.status_code in (403, 404)
        assert len(answer.content) < 200

    def test_links_out_of_the_folder_are_no_photos(self, tmp_path, folder, client):
        (folder / "link.dng").symlink_to(tmp_path / "secret.dng")
        (folder / "inside.dng").symlink_to(folder / "a.dng")
        (folder / "out").symlink_to(tmp_path)
        client.post("api/scan")
        assert set(client.photos()) == {"a.dng", "b.dng", "inside.dng", "trip/c.dng"}

    def test_a_photo_that_becomes_a_link_is_not_read(self, tmp_path, folder, client):
        key = client.photos()["b.dng"]["id"]
        (folder / "b.dng").unlink()
        (folder / "b.dng").symlink_to(tmp_path / "secret.dng")
        assert client.get(f"api/photos/{key}/thumbnail").status_code == 404
        assert client.post(f"api/photos/{key}/open").status_code == 404
        assert client.post("api/exports", {"ids": [key]}).json() == {"added": 0}

    def test_only_its_own_results_are_sent(self, client, folder):
        key = client.photos()["a.dng"]["id"]
        client.post("api/exports", {"ids": [key]})
        (done,) = client.finished()
        answer = client.get(f"api/exports/{done['id']}/file")
        assert answer.content == (folder / "a-undark.jpg").read_bytes()
        assert "attachment" in answer.headers["Content-Disposition"]
        (folder / "a-undark.jpg").unlink()
        (folder / "a-undark.jpg").symlink_to("/etc/passwd")
        assert client.get(f"api/exports/{done['id']}/file").status_code == 404


class TestWhatMayBeWritten:
    @pytest.mark.parametrize(
        "below",
        [
            "..",
            "../out",
            "a/../../out",
            "/tmp/out",
            "a//b",
            ".hidden",
            "~/x",
            "C:\\x",
            "a\0b",
            "x" * 300,
            "a/.",
            "\\\\host\\share",
        ],
    )
    def test_results_stay_within_the_folder(self, client, tmp_path, below):
        before = files_below(tmp_path / "photos")
        key = client.photos()["a.dng"]["id"]
        answer = client.post("api/exports", {"ids": [key], "below": below})
        assert answer.status_code == 400
        assert client.exports()["exports"] == []
        assert files_below(tmp_path / "photos") == before

    def test_a_link_in_the_folder_does_not_lead_results_out(self, client, tmp_path, folder):
        (tmp_path / "elsewhere").mkdir()
        (folder / "restored").symlink_to(tmp_path / "elsewhere")
        key = client.photos()["a.dng"]["id"]
        answer = client.post("api/exports", {"ids": [key], "below": "restored"})
        assert answer.status_code == 507
        assert "leads out" in answer.json()["error"]
        assert files_below(tmp_path / "elsewhere") == []

    @pytest.mark.parametrize("label", ["/x", "..\\x", "a\nb", "x" * 41, "<b>"])
    def test_names_are_plain(self, client, label):
        key = client.photos()["a.dng"]["id"]
        assert client.post("api/exports", {"ids": [key], "label": label}).status_code == 400

    def test_photos_and_foreign_files_are_never_replaced(self, client, folder):
        (folder / "a-undark.jpg").write_bytes(b"mine")
        key = client.photos()["a.dng"]["id"]
        for again in (False, True):
            client.post("api/exports", {"ids": [key], "replace": again})
            assert client.finished()[-1]["status"] == "failed"
            assert (folder / "a-undark.jpg").read_bytes() == b"mine"

    def test_a_result_is_replaced_only_where_that_is_asked(self, client, folder):
        key = client.photos()["a.dng"]["id"]
        client.post("api/exports", {"ids": [key]})
        client.finished()
        first = (folder / "a-undark.jpg").read_bytes()
        client.post("api/settings", {"ids": [key], "settings": {"ev": 1.0}})
        client.post("api/exports", {"ids": [key]})
        skipped = client.finished()[-1]
        assert (skipped["status"], "--" in skipped["message"]) == ("skipped", False)
        assert (folder / "a-undark.jpg").read_bytes() == first
        client.post("api/exports", {"ids": [key], "replace": True})
        assert client.finished()[-1]["status"] == "done"
        brighter = open_picture(folder / "a-undark.jpg").levels
        assert brighter.mean() > imagecodecs.jpeg8_decode(first).mean() + 10

    def test_sub_folders_are_kept_in_an_output_folder(self, client, folder):
        ids = [p["id"] for p in client.photos().values()]
        client.post("api/exports", {"ids": ids, "below": "out/2026", "label": "-soft"})
        assert {e["status"] for e in client.finished()} == {"done"}
        assert files_below(folder / "out") == [
            "2026/a-soft-undark.jpg",
            "2026/b-soft-undark.jpg",
            "2026/trip/c-soft-undark.jpg",
        ]

    def test_the_state_folder_is_the_users_own(self, client, tmp_path):
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
        client.get(f"api/photos/{client.photos()['a.dng']['id']}/thumbnail")
        assert files_below(tmp_path / "photos") == ["a.dng", "b.dng", "trip/c.dng"]

    def test_a_button_clears_it(self, client, tmp_path):
        key = client.photos()["a.dng"]["id"]
        client.get(f"api/photos/{key}/thumbnail")
        client.post("api/settings", {"ids": [key], "settings": {"ev": 1.0}})
        client.put("api/uploads?name=x.png", png(tmp_path))
        assert client.get("api/storage").json()["bytes"] > 0
        assert len(client.post("api/clear").json()["photos"]) == 3
        assert client.get("api/storage").json()["bytes"] == 0

    def test_thumbnails_are_bounded(self, client, monkeypatch, tmp_path):
        monkeypatch.setattr(storage, "THUMBNAILS", 5000)
        for number in range(20):
            kept = client.desk.storage
            kept.keep_thumbnail(kept.thumbnails / f"{number:02}", bytes(1000))
            os.utime(kept.thumbnails / f"{number:02}", (number, number))
        names = sorted(p.name for p in (tmp_path / "state/thumbnails").iterdir())
        assert len(names) <= 5
        assert names[-1] == "19"


def png(folder):
    write_picture(folder / "up.png", PICTURE, Shot())
    return (folder / "up.png").read_bytes()


class TestUploads:
    def test_photos_are_kept_and_restored(self, client, folder, tmp_path):
        answer = client.put("api/uploads?name=../../new%20one.dng", (folder / "a.dng").read_bytes())
        assert answer.json() == {"name": "new one.dng"}
        photo = client.photos()["new one.dng"]
        assert photo["uploaded"]
        client.post("api/exports", {"ids": [photo["id"]], "below": "restored"})
        (done,) = client.finished()
        assert done["status"] == "done"
        assert Path(done["target"]).is_relative_to(tmp_path / "state")
        assert len(client.get(f"api/exports/{done['id']}/file").content) > 1000

    def test_of_a_raw_photo_and_its_picture_the_raw_photo_is_listed(self, client, folder):
        for name in ("A.JPG", "b.png", "c.jpg", "trip/c.tif"):
            write_picture(folder / name, PICTURE, Shot())
        client.post("api/scan")
        assert set(client.photos()) == {"a.dng", "b.dng", "c.jpg", "trip/c.dng"}

    def test_the_same_name_twice(self, client, tmp_path):
        for name in ("x.png", "x 2.png", "x 3.png"):
            assert client.put("api/uploads?name=x.png", png(tmp_path)).json() == {"name": name}

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.dng", b"not a photo" * 100),
            ("a.png", b"\x89PNG\r\n\x1a\n broken"),
            ("a.jpg", b"\xff\xd8\xff\xe0 cut"),
            ("a.tif", b"II*\0\xff\xff\xff\xff"),
            ("a.svg", b"<svg onload='alert(1)'/>"),
            ("a.html", b"<script>"),
            ("a.dng", b""),
            ("", b"x"),
            ("noname", b"x"),
            (".dng", b"x"),
            ("a.dng\0.png", b"x"),
        ],
    )
    def test_what_is_no_photo_is_refused_and_not_kept(self, client, tmp_path, name, content):
        answer = client.http.put(
            f"{client.at}/api/uploads",
            params={"name": name},
            content=content,
            headers={"Origin": ORIGIN},
        )
        assert answer.status_code == 400
        assert answer.json()["error"]
        assert str(tmp_path) not in answer.json()["error"]
        assert files_below(client.desk.storage.uploads) == []

    def test_too_large(self, client, monkeypatch, tmp_path):
        monkeypatch.setattr(uploads, "MOST_BYTES", 10_000)

        def blocks():  # no length is declared
            for _ in range(100):
                yield bytes(1000)

        assert client.put("api/uploads?name=a.dng", blocks()).status_code == 400
        lying = client.http.put(
            f"{client.at}/api/uploads?name=a.dng", content=bytes(20_000), headers={"Origin": ORIGIN}
        )
        assert "too large" in lying.json()["error"]
        assert files_below(client.desk.storage.uploads) == []

    def test_too_many(self, client, monkeypatch, tmp_path):
        monkeypatch.setattr(uploads, "MOST_FILES", 2)
        answers = [client.put("api/uploads?name=a.png", png(tmp_path)) for _ in range(3)]
        assert [a.status_code for a in answers] == [200, 200, 400]
        assert len(files_below(client.desk.storage.uploads)) == 2

    def test_a_small_file_of_a_huge_picture(self, client, tmp_path):
        import struct
        import zlib

        def chunk(name, body):
            return (
                struct.pack(">I", len(body))
                + name
                + body
                + struct.pack(">I", zlib.crc32(name + body))
            )

        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        bomb = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(bytes(1000)))
        )
        answer = client.put("api/uploads?name=bomb.png", bomb + chunk(b"IEND", b""))
        assert answer.status_code == 400
        assert "too many" in answer.json()["error"]


class TestRequestsThatAreWrong:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"[1]",
            b"{",
            b"null",
            b'{"ids": 5}',
            b'{"ids": ["x"], "settings": {"ev": 99}}',
            b'{"ids": [], "settings": {"evv": 1}}',
            b'{"ids": [], "settings": {"ev": NaN}}',
        ],
    )
    def test_settings(self, client, content):
        answer = client.http.post(
            f"{client.at}/api/settings", content=content, headers={"Origin": ORIGIN}
        )
        assert answer.status_code == 400
        assert "Traceback" not in answer.text

    def test_too_much_json(self, client):
        answer = client.http.post(f"{client.at}/api/settings", content=b" " * (2 << 20))
        assert answer.status_code == 413

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "left=0&top=0&width=10&height=10",
            "left=0&top=0&width=0&height=1&level=0",
            "left=0&top=0&width=99999999&height=99999999&level=0",
            "left=x&top=0&width=1&height=1&level=0",
            "left=0&top=0&width=9&height=9&level=-1",
            "left=0&top=0&width=9&height=9&level=99",
            "left=0&top=0&width=9&height=9&level=0&settings=[",
        ],
    )
    def test_views(self, client, query):
        key = client.open("a.dng", "restoring")
        assert client.get(f"api/photos/{key}/view?{query}").status_code in (200, 400)

    def test_views_outside_the_photo_show_its_border(self, client):
        key = client.open("a.dng")
        answer = client.get(f"api/photos/{key}/view?left=-50&top=9999&width=9&height=9&level=0")
        assert answer.status_code == 200

    def test_a_damaged_photo_is_named(self, client, folder):
        (folder / "cut").mkdir()  # elsewhere it would be of one burst with a.dng
        (folder / "cut/broken.dng").write_bytes((folder / "a.dng").read_bytes()[:3000])
        client.post("api/scan")
        key = client.photos()["cut/broken.dng"]["id"]
        assert client.get(f"api/photos/{key}/thumbnail").status_code == 400
        client.open("cut/broken.dng")
        state = client.get(f"api/photos/{key}").json()["state"]
        assert state["stage"] == "failed"
        assert "broken.dng" in state["error"]
        client.open("a.dng")
        assert client.stage(client.photos()["a.dng"]["id"]) == "ready"
