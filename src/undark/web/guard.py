"""What every request must pass, before anything else looks at it.

The address of the page is http://127.0.0.1:PORT/KEY/: the key is random, and every request, also
for scripts and pictures, has it as the first part of its path. There is no cookie, which a browser
would send to any other port of this machine, too. `Host` keeps out pages whose name was made to
lead here (DNS rebinding), `Origin` and `Sec-Fetch-Site` requests that other pages make.
"""

from __future__ import annotations

import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMES = ("127.0.0.1", "localhost")
"""Names of the loopback address that a browser may be given."""
ONCE_SECONDS = 300.0
"""How long the address that opens the browser is valid."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware: refuses what does not come from the desk's own page."""

    def __init__(self, app: ASGIApp, port: int, key: str | None = None) -> None:
        self._app = app
        self.key = key or secrets.token_urlsafe(24)
        self._once, self._made = secrets.token_urlsafe(24), time.monotonic()
        self.hosts = frozenset(f"{name}:{port}" for name in NAMES)
        self._origins = frozenset(f"http://{host}" for host in self.hosts)
        self._port = port

    @property
    def address(self) -> str:
        """The page's address."""
        return f"http://{NAMES[0]}:{self._port}/{self.key}/"

    @property
    def address_once(self) -> str:
        """An address that leads to the page once, and soon.

        A browser is started with it: other users of this machine can read command lines.
        """
        return f"http://{NAMES[0]}:{self._port}/{self._once}/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no web sockets
            await send({"type": "websocket.close", "code": 1008})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._answer(scope, receive, with_headers)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refused(Headers(scope=scope), scope["method"])
        if refused:
            await PlainTextResponse(refused + "\n", 403)(scope, receive, send)
            return
        key, slash, rest = scope["path"].removeprefix("/").partition("/")
        if slash and not rest and self._is_once(key):
            await RedirectResponse(f"/{self.key}/", 303)(scope, receive, send)
        elif slash and _equal(key, self.key):
            await self._app({**scope, "path": f"/{rest}", "raw_path": b""}, receive, send)
        else:
            text = "No such page. Open the address that `undark desk` has printed.\n"
            await PlainTextResponse(text, 403)(scope, receive, send)

    def _refused(self, headers: Headers, method: str) -> str | None:
        """Why a request is refused, by its headers."""
        if headers.get("host", "").lower() not in self.hosts:
            return "This server answers on the loopback address only."
        if method not in ("GET", "HEAD", "POST", "PUT"):
            return "No such request."
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self._origins:
            return "Requests of other pages are refused."
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return "Requests of other pages are refused."
        return None

    def _is_once(self, key: str) -> bool:
        """Whether it is the key that is valid once; it is not afterwards."""
        if not _equal(key, self._once) or time.monotonic() - self._made > ONCE_SECONDS:
            return False
        self._once = secrets.token_urlsafe(24)
        return True


def _equal(given: str, key: str) -> bool:
    """In constant time."""
    return secrets.compare_digest(given.encode("utf-8", "replace"), key.encode())
