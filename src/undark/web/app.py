"""The requests of the page, and what answers them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import imagecodecs
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from undark.develop.white_balance import check_white_balance
from undark.errors import OutputError, UndarkError
from undark.files.picture import plain_jpeg
from undark.restoring.live import UNSURE, Live, Shown, View
from undark.web.desk import Desk, Wanted
from undark.web.library import Entry, is_inside
from undark.web.opened import State
from undark.web.settings import Settings

MOST_JSON = 1 << 20
"""Bytes of a request's JSON."""
MOST_SIDE = 8192
"""Pixels along a side of a part that is rendered."""
QUALITY = (92, "444")
"""Of JPEGs, with the chroma subsampling."""
DRAFT = (80, "420")
"""Of those that are shown while a slider moves: a third of the time and of the bytes."""
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def make_app(desk: Desk) -> Starlette:
    """The application; `guard.Guard` goes around it."""
    api = _Requests(desk)
    return Starlette(
        routes=[
            Route("/", api.static),
            Route("/static/{name}", api.static),
            Route("/api/photos", api.photos),
            Route("/api/photos/{id}", api.photo),
            Route("/api/photos/{id}/thumbnail", api.thumbnail),
            Route("/api/photos/{id}/view", api.view),
            Route("/api/photos/{id}/open", api.open, methods=["POST"]),
            Route("/api/photos/{id}/leave", api.leave, methods=["POST"]),
            Route("/api/photos/{id}/gains", _with_json(api.gains), methods=["POST"]),
            Route("/api/settings", _with_json(api.keep_settings), methods=["POST"]),
            Route("/api/scan", api.scan, methods=["POST"]),
            Route("/api/bursts", _with_json(api.split), methods=["POST"]),
            Route("/api/exports", api.exports),
            Route("/api/exports", _with_json(api.export), methods=["POST"]),
            Route("/api/exports/{id}/file", api.file),
            Route("/api/exports/do", _with_json(api.do), methods=["POST"]),
            Route("/api/uploads", api.upload, methods=["PUT"]),
            Route("/api/storage", api.storage),
            Route("/api/clear", api.clear, methods=["POST"]),
        ],
        exception_handlers={
            HTTPException: _http_error,
            UndarkError: _error,
            Exception: _bug,
        },
    )


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def _error(request: Request, error: Exception) -> Response:
    """One line for the user."""
    return JSONResponse({"error": str(error)}, 507 if isinstance(error, OutputError) else 400)


def _bug(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"an error of undark's: {error!r}"}, 500)


def _with_json(
    work: Callable[[Request, dict[str, Any]], Response],
) -> Callable[[Request], Awaitable[Response]]:
    """A handler that gets the request's JSON, read up to `MOST_JSON`, and runs in a thread."""

    async def handle(request: Request) -> Response:
        body = b""
        async for block in request.stream():
            body += block
            if len(body) > MOST_JSON:
                raise HTTPException(413, "the request is too large")
        try:
            content = json.loads(body or b"{}")
        except ValueError as error:
            raise HTTPException(400, "the request is no JSON") from error
        if not isinstance(content, dict):
            raise HTTPException(400, "the request is no JSON object")
        try:
            return await run_in_threadpool(work, request, content)
        except ValueError as error:  # of what was asked
            return _error(request, error)

    return handle


class _Requests:
    """A method for each request; those that are not async run in threads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        folder = files("undark.web") / "static"
        self._static = {f.name: f.read_bytes() for f in folder.iterdir() if f.is_file()}

    def static(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        content = self._static.get(name)
        if content is None:
            raise HTTPException(404, "no such file")
        return Response(content, media_type=_TYPES[Path(name).suffix])

    def photos(self, request: Request) -> Response:
        return JSONResponse(self._desk.photos())

    def scan(self, request: Request) -> Response:
        self._desk.scan()
        return JSONResponse(self._desk.photos())

    def split(self, request: Request, content: dict[str, Any]) -> Response:
        """Show the frames of bursts singly, or as one photo again."""
        split = content.get("split")
        if not isinstance(split, bool):
            raise HTTPException(400, "split is true or false")
        self._desk.split(self._entries(content), split)
        return JSONResponse(self._desk.photos())

    def thumbnail(self, request: Request) -> Response:
        made = self._desk.thumbnail(self._entry(request), "better" in request.query_params)
        headers = {"X-Rough": "1" if made.rough else "0", "Cache-Control": "private, max-age=600"}
        return Response(made.jpeg, headers=headers, media_type="image/jpeg")

    def open(self, request: Request) -> Response:
        entry = self._entry(request)
        return self._about(entry, self._desk.opened.open(entry))

    def photo(self, request: Request) -> Response:
        entry = self._entry(request)
        return self._about(entry, self._desk.opened.look(entry))

    def leave(self, request: Request) -> Response:
        self._desk.opened.leave(request.path_params["id"])
        return JSONResponse({})

    def _about(self, entry: Entry, state: State | None) -> Response:
        live = self._desk.opened.live(entry.id)
        about = {
            "id": entry.id,
            "name": entry.name,
            "settings": self._desk.settings(entry.id).to_json(),
            "state": asdict(state) if state else None,
        }
        return JSONResponse(about | (_described(live) if live else {}))

    def view(self, request: Request) -> Response:
        """A part of the picture, its place in the header X-Place."""
        live = self._live(request)
        query = request.query_params
        try:
            view = View(*(int(query[n]) for n in ("left", "top", "width", "height", "level")))
            settings = Settings.from_json(json.loads(query.get("settings", "{}")))
            sides = (view.width, view.height)
        except (KeyError, ValueError) as error:
            raise HTTPException(400, f"no such view: {error}") from error
        if not (min(sides) > 0 and 0 <= view.level <= 16 and max(sides) >> view.level <= MOST_SIDE):
            raise HTTPException(400, "no such view: its size")
        shown = live.show(
            view,
            settings.onto(self._desk.options),
            restored=query.get("side") != "before",
            confidence="confidence" in query,
        )
        if query.get("format") == "png":
            return _picture(shown, bytes(imagecodecs.png_encode(shown.picture)), "image/png")
        how = DRAFT if "draft" in query else QUALITY
        return _picture(shown, plain_jpeg(shown.picture, *how), "image/jpeg")

    def gains(self, request: Request, content: dict[str, Any]) -> Response:
        """The white balance for which a point of the picture is grey."""
        point = content.get("point")
        asked = tuple(point) if isinstance(point, list) else point
        check_white_balance(asked)  # type: ignore[arg-type]  # raises where it is something else
        return JSONResponse({"white_balance": self._live(request).gains(asked)})  # type: ignore[arg-type]

    def keep_settings(self, request: Request, content: dict[str, Any]) -> Response:
        settings = Settings.from_json(content.get("settings"))
        self._desk.keep_settings(self._entries(content), settings)
        return JSONResponse({})

    def export(self, request: Request, content: dict[str, Any]) -> Response:
        names = ("kind", "below", "label", "replace")
        try:
            wanted = Wanted(**{n: content[n] for n in names if n in content})
        except TypeError as error:
            raise HTTPException(400, "no such export") from error
        return JSONResponse({"added": self._desk.export(self._entries(content), wanted)})

    def exports(self, request: Request) -> Response:
        """The list of exports, or only what is running where the page knows the list."""
        exports = self._desk.exports
        version, now = exports.version, exports.now
        answer = {
            "version": version,
            "stopped": exports.stopped,
            "problem": exports.problem,
            "now": asdict(now) if now else None,
            "seconds_left": exports.seconds_left(),
            "list": self._desk.library.version,
            "looking": self._desk.looks_for_bursts,
        }
        if request.query_params.get("version") != str(version):
            answer["exports"] = [
                {
                    "id": item.id,
                    "photo": item.photo,
                    "name": item.name,
                    "target": str(item.target),
                    "kind": item.kind,
                    "status": item.status,
                    "message": item.message,
                    "seconds": item.seconds,
                }
                for item in exports.items
            ]
        return JSONResponse(answer)

    def do(self, request: Request, content: dict[str, Any]) -> Response:
        """Stop, go on, and so on."""
        exports = self._desk.exports
        actions: dict[str, Callable[[], None]] = {
            "stop": exports.stop,
            "go-on": exports.go_on,
            "retry": exports.retry,
            "remove": lambda: exports.remove(_texts(content.get("ids"))),
            "remove-finished": exports.remove_finished,
        }
        action = actions.get(str(content.get("what")))
        if action is None:
            raise HTTPException(400, f"what is {', '.join(actions)}")
        action()
        return JSONResponse({})

    def file(self, request: Request) -> Response:
        """A result that the desk has written, as a download."""
        item = self._desk.exports.find(request.path_params["id"])
        roots = (*self._desk.library.folders, self._desk.library.uploads)
        if item is None or item.status != "done" or not item.target.is_file():
            raise HTTPException(404, "no such result")
        if not any(is_inside(item.target, root) for root in roots):
            raise HTTPException(404, "no such result")
        return FileResponse(item.target, filename=item.target.name)

    async def upload(self, request: Request) -> Response:
        uploads, length = self._desk.uploads, request.headers.get("content-length", "")
        name = request.query_params.get("name", "")
        size = int(length) if length.isdecimal() else None
        path = await uploads.receive(name, size, request.stream())
        await run_in_threadpool(uploads.check, path)
        await run_in_threadpool(self._desk.scan)
        return JSONResponse({"name": path.name})

    def storage(self, request: Request) -> Response:
        return JSONResponse({"bytes": self._desk.storage.size})

    def clear(self, request: Request) -> Response:
        self._desk.clear()
        return JSONResponse(self._desk.photos())

    def _entry(self, request: Request) -> Entry:
        entry = self._desk.library.find(request.path_params["id"])
        if entry is None:
            raise HTTPException(404, "no such photo; it may have been moved: list the folder again")
        return entry

    def _entries(self, content: dict[str, Any]) -> list[Entry]:
        found = map(self._desk.library.find, _texts(content.get("ids")))
        return [entry for entry in found if entry]

    def _live(self, request: Request) -> Live:
        live = self._desk.opened.live(self._entry(request).id)
        if live is None:
            raise HTTPException(409, "the photo is not open")
        return live


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise HTTPException(400, "ids are a list of names")
    return value


def _described(live: Live) -> dict[str, Any]:
    width, height = live.size
    return {
        "width": width,
        "height": height,
        "restored": live.is_restored,
        "confidence": live.has_confidence,
        "unsure": UNSURE,
        "facts": live.facts,
        "amplification": live.exposure.amplification,
        "because": live.exposure.reason,
    }


def _picture(shown: Shown, content: bytes, kind: str) -> Response:
    place = f"{shown.left},{shown.top},{shown.width},{shown.height}"
    return Response(content, headers={"X-Place": place}, media_type=kind)
