"""Serve the desk on the loopback address until it is stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from undark.errors import SetupError
from undark.web.app import make_app
from undark.web.desk import Desk
from undark.web.guard import Guard

ADDRESS = "127.0.0.1"
CONNECTIONS = 64
"""At the same time; a browser makes six."""


def serve(desk: Desk, port: int, ready: Callable[[Guard], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; `ready` is called when the address answers.

    Port 0 is any free one. Raises `SetupError` where the port is taken.
    """
    with _listening(port) as listening:
        guard = Guard(make_app(desk), listening.getsockname()[1])
        config = uvicorn.Config(
            guard,
            access_log=False,
            log_level="critical",  # `app` answers errors
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=2,
            lifespan="off",
            ws="none",
        )
        ready(guard)
        uvicorn.Server(config).run(sockets=[listening])


def _listening(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((ADDRESS, port))
        listening.listen(CONNECTIONS)
    except OSError as error:
        listening.close()
        raise SetupError(f"port {port} cannot be used ({error.strerror}); give another") from error
    return listening
