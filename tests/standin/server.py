"""Serving a `State`: a thread with an event loop, a free port on the loopback, and the orders that need that thread."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.standin.files import tear
from tests.standin.records import Memory
from tests.standin.routes import application
from tests.standin.sockets import send_all
from tests.standin.state import State
from tests.standin.worker import work

_SECONDS = 20.0
_HOST = "127.0.0.1"
_CAN_SHARE = hasattr(socket, "SO_REUSEPORT")
_STEPS_OF_ACCEPTING = 5


def _bound(port: int) -> socket.socket:
    """Return a socket with a port that several sockets of ours can have."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if _CAN_SHARE:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((_HOST, port))
    return bound


class StandIn:
    """A stand-in that serves while it is entered.

    Args:
        state: What it is; None for the usual.
        port: The port that it takes; 0 for any.

    Attributes:
        state: All that a test sets and reads.
        url: Where it serves.
    """

    def __init__(self, state: State | None = None, *, port: int = 0) -> None:
        self.state = state or State()
        self.url = ""
        self._port = port
        self._ready = threading.Event()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="stand-in", daemon=True)
        self._tasks: list[asyncio.Task[None]] = []

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        assert self._ready.wait(_SECONDS), "the stand-in did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop serving and delete its files."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_SECONDS)
        shutil.rmtree(self.state.files, ignore_errors=True)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.state.files = Path(tempfile.mkdtemp(prefix="standin-")).resolve()
        for folder in ("output", "temp", "input"):
            (self.state.files / folder).mkdir()
        # No waiting for handlers on the way out: the open websockets of a test would make every test a minute long.
        self._runner = web.AppRunner(application(self.state), access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        # Bound and never listening: while the server is away, connections are refused and nobody else can take its port.
        self._placeholder = _bound(self._port)
        self._port = self._placeholder.getsockname()[1]
        self.url = f"http://{_HOST}:{self._port}"
        if not _CAN_SHARE:
            self._placeholder.close()
        await self._open()
        self._start_tasks()
        self.state.obey(self._order)
        self._ready.set()
        await self._stopping.wait()
        await self._stop_tasks()
        await self._close()
        await self._runner.cleanup()
        self._placeholder.close()

    async def _open(self) -> None:
        self._listener = _bound(self._port)
        self._site = web.SockSite(self._runner, self._listener)
        await self._site.start()

    async def _close(self) -> None:
        if self._site in self._runner.sites:
            # Whoever is being accepted gets through first: CPython 3.11 loses the connection if its server is closed meanwhile.
            self._loop.remove_reader(self._listener)
            for _ in range(_STEPS_OF_ACCEPTING):
                await asyncio.sleep(0)
            await self._site.stop()
        server = self._runner.server
        for connection in list(server.connections) if server is not None else ():
            if connection.transport is not None:
                connection.transport.abort()

    def _start_tasks(self) -> None:
        self._tasks = [asyncio.create_task(work(self.state)), asyncio.create_task(send_all(self.state))]

    async def _stop_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _order(self, what: str, **how: Any) -> None:
        asyncio.run_coroutine_threadsafe(self._carry_out(what, **how), self._loop).result(_SECONDS)

    async def _carry_out(self, what: str, *, torn: bool = False, down: float = 0.0, loses_inputs: bool = False) -> None:
        match what:
            case "go away":
                await self._close()
            case "come back":
                await self._open()
            case "drop sockets":
                while self.state.transports:
                    self.state.transports.pop().abort()
            case "deliver":
                await self.state.outbox.join()
            case "restart":
                await self._stop_tasks()
                await self._close()
                if torn:
                    tear(self.state)
                self.state.memory = Memory()
                self.state.sockets.clear()
                for path in (self.state.files / "temp").iterdir():
                    path.unlink()
                if loses_inputs:
                    self.state.delete_inputs()
                await asyncio.sleep(down)
                await self._open()
                self._start_tasks()
