"""The websocket of one ComfyUI: a thread that takes frames off the socket and hands them on, and reconnects for ever.

It only reads and enqueues: ComfyUI sends to all its clients in turn, so whoever reads slowly stalls everybody. Every connection
gets a client id of its own, since a server that still holds an older socket of the same id makes the newer one deaf.
The only place that knows `websocket`.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import websocket

from comfy_runner.comfyui.address import Address
from comfy_runner.comfyui.frames import Frame, parse_frame

_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 30.0
"""After this much silence the server is pinged; after as much again without any sign of life the socket is given up."""
_LONGEST_PAUSE = 15.0


@dataclass(frozen=True, slots=True)
class SocketUp:
    """A connection stands; prompts submitted with this client id are told about."""

    client_id: str


@dataclass(frozen=True, slots=True)
class SocketDown:
    """There is no connection."""

    reason: str


class EventSocket:
    """Frames of one server, delivered to a callback from a thread of its own until `close`.

    Args:
        address: The server.
        deliver: Takes each frame, and `SocketUp` and `SocketDown`; must return at once.
    """

    def __init__(self, address: Address, deliver: Callable[[Frame | SocketUp | SocketDown], None]) -> None:
        self._address = address
        self._deliver = deliver
        self._closing = threading.Event()
        self._connection: websocket.WebSocket | None = None
        self._thread = threading.Thread(target=self._run, name=f"socket {address.url}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading; returns when the thread has ended."""
        self._closing.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            # close() would wait for a lock that the reading thread holds; shutting the socket down wakes that thread.
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=_CONNECT_SECONDS)

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            client_id = str(uuid.uuid4())
            try:
                self._connection = self._connect(client_id)
                failures = 0
                self._deliver(SocketUp(client_id))
                self._read(self._connection)
                reason = "closed by the server"
            except (websocket.WebSocketException, OSError, ValueError) as error:
                reason = str(error) or type(error).__name__
            finally:
                if self._connection is not None:
                    self._connection.shutdown()
                    self._connection = None
            if not self._closing.is_set():
                self._deliver(SocketDown(reason))
            self._closing.wait(random.uniform(0.5, 1.0) * min(_LONGEST_PAUSE, 0.5 * 2**failures))  # noqa: S311 - jitter
            failures = min(failures + 1, 10)

    def _connect(self, client_id: str) -> websocket.WebSocket:
        connection = websocket.WebSocket(enable_multithread=True)
        connection.connect(
            self._address.websocket(client_id),
            header=[f"{name}: {value}" for name, value in self._address.headers.items()],
            timeout=_CONNECT_SECONDS,
            # ComfyUI refuses a handshake whose Origin is not its own Host, and asks for none.
            suppress_origin=True,
            redirect_limit=0,
        )
        connection.settimeout(_SILENCE_SECONDS)
        return connection

    def _read(self, connection: websocket.WebSocket) -> None:
        silences = 0
        while not self._closing.is_set():
            try:
                opcode, data = connection.recv_data(control_frame=True)
            except websocket.WebSocketTimeoutException:
                silences += 1
                if silences > 1:
                    raise
                connection.ping()
                continue
            silences = 0
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return
            if opcode == websocket.ABNF.OPCODE_TEXT:
                frame = parse_frame(data)
                if frame is not None:
                    self._deliver(frame)
