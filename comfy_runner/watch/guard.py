"""Who may ask: whoever knows the address with its token, by a name of this machine, from no other site's page.

A browser sends to 127.0.0.1 whatever page it shows asks for. So another site's page must not get in by a name of its own that it
has resolve to this machine (DNS rebinding: hence the check of Host), by a form or a script (hence Origin), or by a guess (hence the
token). There is no cookie that a browser would add by itself.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_BYTES = 32
_READING = ("GET", "HEAD")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class Guard:
    """Lets through to an application what may ask, with the token taken off the path.

    Args:
        app: The application.
        token: The first part of all paths.
        names: By which hosts it may be asked besides ``localhost`` and addresses of numbers, which nobody can have resolve to us.
    """

    def __init__(self, app: ASGIApp, token: str, names: Collection[str] = ()) -> None:
        self._app, self._token = app, token.encode()
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or have the application do so."""
        if scope["type"] != "http":
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers, method = Headers(scope=scope), scope["method"]
        host, origin = headers.get("host", ""), headers.get("origin")
        first, slash, rest = scope["path"].removeprefix("/").partition("/")
        answer: ASGIApp
        if not self._is_ours(host):
            answer = PlainTextResponse("this host is not served here\n", status_code=421)
        elif not _is_same(origin, host) if origin is not None else method not in _READING:
            answer = PlainTextResponse("asked from another page\n", status_code=403)
        elif not secrets.compare_digest(first.encode("utf-8", "replace"), self._token):
            answer = PlainTextResponse("not found\n", status_code=404)
        elif not slash:
            answer = RedirectResponse(f"/{first}/", status_code=307)
        else:
            answer = self._app
            scope = {**scope, "path": f"/{rest}", "raw_path": b"", "root_path": ""}
        await answer(scope, receive, told)

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_same(origin: str, host: str) -> bool:
    """Return whether a page of this origin is one of ours: only the scheme may differ from ours, by a proxy's."""
    return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")
