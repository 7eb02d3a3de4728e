"""The server of a page that is watched: on this machine's loopback, at an address that nobody guesses, in a thread of its own."""

from __future__ import annotations

import importlib.util
import ipaddress
import secrets
import socket
import threading
from typing import TYPE_CHECKING

from comfy_runner.errors import UsageError
from comfy_runner.text_files import reason_of
from comfy_runner.watch.watching import Watching

if TYPE_CHECKING:
    from comfy_runner.watch.page_routes import Routes

LOOPBACK = "127.0.0.1"
EXTRA = "pip install 'comfy-runner[watch]'"
"""How what serving needs is installed."""

_NEEDED = ("starlette", "uvicorn")
_BACKLOG = 512
_BUFFERED = 64 * 1024  # bytes that the system keeps for a browser that does not read
_GRACE_SECONDS = 1
_JOIN_SECONDS = 5.0


class WatchServer:
    """The address of a page, taken now.

    Args:
        host: The address to listen on, or a name of it.
        port: The port; 0 for any that is free.

    Attributes:
        url: Where the page is.
        is_open: Whether others than this machine's users can reach it.

    Raises:
        UsageError: What serving needs is not installed, or nothing can listen there.
    """

    def __init__(self, *, host: str = LOOPBACK, port: int = 0) -> None:
        if not all(importlib.util.find_spec(name) for name in _NEEDED):
            raise UsageError(f"watching needs {' and '.join(_NEEDED)}, which are not installed", hint=EXTRA)
        self._socket = _listening(host, port)
        address = ipaddress.ip_address(self._socket.getsockname()[0].partition("%")[0])
        self.is_open = not address.is_loopback
        self._host = host
        token = self._token = secrets.token_urlsafe(32)
        # Whoever listens everywhere is asked here.
        is_six = address.version == 6
        named = ("::1" if is_six else LOOPBACK) if address.is_unspecified else address
        place = f"[{named}]" if is_six else named
        self.url = f"http://{place}:{self._socket.getsockname()[1]}/{token}/"
        self._watching: Watching | None = None
        self.routes: Routes | None = None

    def serve(self, watching: Watching) -> None:
        """Begin to serve a run, until `close`."""
        import uvicorn

        from comfy_runner.watch.guard import Guard
        from comfy_runner.watch.page_routes import Routes

        self._watching, self.routes = watching, Routes(watching)
        config = uvicorn.Config(
            Guard(self.routes.app, self._token, [self._host]),
            log_config=None,
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            http="h11",
            loop="asyncio",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more; streams that are open end."""
        if self._watching is not None:
            self._watching.close()
            self._server.should_exit = True
            self._thread.join(_JOIN_SECONDS)
        self._socket.close()


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: Nothing can.
    """
    where = f"{host}:{port}"
    found = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        # A port that was used a moment ago can be used again; on Windows this would mean one that is in use.
        if hasattr(socket, "SO_REUSEPORT"):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFERED)
        found.bind(address)
        found.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        if found is not None:
            found.close()
        reason = reason_of(error) if isinstance(error, OSError) else "no such host"
        hint = "choose another --watch-port, or omit it" if port else "choose another --watch-host, or omit it"
        raise UsageError(f"cannot be used for listening ({reason})", where=where, hint=hint) from error
    return found
