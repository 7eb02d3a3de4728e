"""A TLS proxy with authentication and a path prefix on the loopback, as people put one in front of ComfyUI.

Who has no token is sent to a login page, as OAuth proxies do it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import trustme
from aiohttp import web

_SECONDS = 20.0
_HOP_BY_HOP = frozenset({"connection", "host", "transfer-encoding", "content-length", "content-encoding"})


class Proxy:
    """A proxy that serves while it is entered, at ``https://127.0.0.1:PORT/comfy``.

    Args:
        target: The URL of the server behind it.
        token: What a request must bring, as a bearer token or as the query parameter ``token``.
        folder: Where `cacert` is written.
    """

    def __init__(self, target: str, *, token: str, folder: Path) -> None:
        self.url = ""
        self.cacert = folder / "ca.pem"
        self.headers: list[tuple[str, dict[str, str]]] = []
        self._target, self._token = target, token
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.cacert))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._tls)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(_SECONDS), "the proxy did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_SECONDS)

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=2**28)
        app.router.add_get("/login", self._login)
        app.router.add_route("*", "/comfy/{path:.*}", self._forward)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        async with aiohttp.ClientSession(auto_decompress=False) as self._client:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls).start()
            self.url = f"https://127.0.0.1:{runner.addresses[0][1]}/comfy"
            self._ready.set()
            await self._stopping.wait()
            await runner.cleanup()

    async def _login(self, _request: web.Request) -> web.Response:
        return web.Response(text="<html><form>password</form></html>", content_type="text/html")

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        path = "/" + request.match_info["path"]
        self.headers.append((path, {name.lower(): value for name, value in request.headers.items()}))
        if f"Bearer {self._token}" != request.headers.get("Authorization") and request.query.get("token") != self._token:
            raise web.HTTPFound("/login")
        query = {name: value for name, value in request.query.items() if name != "token"}
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._forward_frames(request, path, query)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        async with self._client.request(
            request.method, self._target + path, params=query, headers=headers, data=await request.read()
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def _forward_frames(self, request: web.Request, path: str, query: dict[str, str]) -> web.WebSocketResponse:
        outside = web.WebSocketResponse()
        await outside.prepare(request)
        async with self._client.ws_connect(self._target + path, params=query) as inside:

            async def inwards() -> None:
                async for _message in outside:
                    pass
                await inside.close()

            reader = asyncio.create_task(inwards())
            with contextlib.suppress(ConnectionError):
                async for message in inside:
                    await outside.send_str(message.data) if message.type is aiohttp.WSMsgType.TEXT else None
            reader.cancel()
        return outside
