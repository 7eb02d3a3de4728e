"""The websocket of one ComfyUI: a thread that takes frames off the socket and hands them on, and reconnects for ever.

It only reads and enqueues: ComfyUI sends to all its clients in turn, so whoever reads slowly stalls everybody. Every connection
gets a client id of its own, since a server that still holds an older socket of the same id makes the newer one deaf.
The only place that knows `websocket`. Nothing that happens to a socket is an error here: it is a hint that is missing.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import websocket
from urllib3.util import Url

from comfy_runner.engine.comfyui.address import Address
from comfy_runner.engine.comfyui.connections import credentials, headers_of, proxy_of, tls_of
from comfy_runner.engine.comfyui.ws_messages import HELLO, Frame, parse_binary, parse_frame
from comfy_runner.engine.reports import NodeProgress
from comfy_runner.engine.timeouts import Timeouts

_FIRST_PAUSE = 0.5
_PIECE = 16 * 1024
_LONGEST = 16 * 1024 * 1024  # a preview picture is a thousandth of it
_STATES = b'{"type": "progress_state"'
"""How a message begins that comes with each step, beside that of the step: it is long, and says nothing new."""


@dataclass(frozen=True, slots=True)
class SocketUp:
    """A connection stands; prompts submitted with this client id are told about."""

    client_id: str


@dataclass(frozen=True, slots=True)
class SocketDown:
    """There is no connection."""


class EventSocket:
    """Frames of one server, delivered to a callback from a thread of its own until `close`.

    Args:
        address: The server.
        deliver: Takes each frame, and `SocketUp` and `SocketDown`; must return at once.
        timeouts: How long to wait for the server.

    Attributes:
        timeouts: Likewise; may be set anew.
    """

    def __init__(
        self, address: Address, deliver: Callable[[Frame | SocketUp | SocketDown], None], *, timeouts: Timeouts | None = None
    ) -> None:
        self._address = address
        self._tls = {"context": tls_of(address)} if address.url.startswith("https") else {}
        self._proxy = _proxy_options(proxy_of(address))
        self._deliver = deliver
        self.timeouts = timeouts or Timeouts()
        self._closing = threading.Event()
        self._connection: _Connection | None = None
        self._longest = _LONGEST
        self._last: NodeProgress | None = None
        self._last_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"socket {address.url}", daemon=True)
        self._thread.start()

    def take(self, longest: int) -> None:
        """Take messages of so many bytes from now on; without it none is as long as a large picture."""
        self._longest = max(self._longest, longest)
        connection = self._connection
        if connection is not None:
            connection.longest = self._longest

    def close(self) -> None:
        """Stop reading. The thread ends at once; where it waits for a TCP connection, within `Timeouts.connect` seconds."""
        self._closing.set()
        connection = self._connection
        sock = connection.sock if connection is not None else None
        if sock is not None:
            # close() would wait for a lock that the reading thread holds; shutting the socket down wakes that thread.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        # Until the TCP connection stands there is nothing to wake the thread with, and no reason to wait for it.
        if sock is not None or connection is None:
            self._thread.join(timeout=self.timeouts.connect)

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            # Frames are bytes until they are parsed: text that is no UTF-8 is a frame to ignore, not a connection to drop.
            connection = self._connection = _Connection(enable_multithread=True, skip_utf8_validation=True, sslopt=self._tls)
            connection.longest = self._longest
            try:
                self._connect(connection)
                failures = 0
                self._read(connection)
            except Exception:  # noqa: S110 - a server can send anything, and a dead thread would look like a silent server
                pass
            finally:
                self._connection = None
                connection.shutdown()
            if not self._closing.is_set():
                self._deliver(SocketDown())
            pause = min(self.timeouts.reconnect, _FIRST_PAUSE * 2**failures)
            self._closing.wait(random.uniform(0.5, 1.0) * pause)  # noqa: S311 - jitter
            failures = min(failures + 1, 10)

    def _connect(self, connection: websocket.WebSocket) -> None:
        client_id = str(uuid.uuid4())
        connection.connect(
            self._address.websocket(client_id),
            header=[f"{name}: {value}" for name, value in headers_of(self._address).items()],
            timeout=self.timeouts.connect,
            # ComfyUI refuses a handshake whose Origin is not its own Host, and asks for none.
            suppress_origin=True,
            redirect_limit=0,
            **self._proxy,
        )
        connection.settimeout(self.timeouts.silence)
        connection.send(HELLO)
        self._deliver(SocketUp(client_id))

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
                frame = None if data.startswith(_STATES) else parse_frame(data)
                if frame is not None and self._is_news(frame):
                    self._deliver(frame)
            if opcode == websocket.ABNF.OPCODE_BINARY:
                picture = parse_binary(data)
                if picture is not None:
                    self._deliver(picture)

    def _is_news(self, frame: Frame) -> bool:
        """Return whether to hand a frame on: of a node's steps the first, the last, and as many of the others as are wanted."""
        if not isinstance(frame, NodeProgress):
            return True
        last, now = self._last, time.monotonic()
        is_next = last is not None and (last.key, last.node, last.steps) == (frame.key, frame.node, frame.steps)
        if is_next and frame.step < frame.steps and now - self._last_at < self.timeouts.steps:
            return False
        self._last, self._last_at = frame, now
        return True


class _Connection(websocket.WebSocket):
    """A websocket that gives up a message which does not end; the library would keep all of it.

    It takes off the socket what is there, which mostly is several messages: the library would ask for each in three pieces.
    """

    longest = _LONGEST
    _received = 0
    _ahead = b""

    def recv_data(self, control_frame: bool = False) -> tuple[int, bytes]:
        self._received = 0
        return super().recv_data(control_frame=control_frame)

    def _recv(self, bufsize: int) -> bytes:
        ahead: bytes = self._ahead or super()._recv(_PIECE)
        data, self._ahead = ahead[:bufsize], ahead[bufsize:]
        self._received += len(data)
        if self._received > self.longest:
            raise websocket.WebSocketPayloadException(f"a message of more than {self.longest} bytes")
        return data


def _proxy_options(proxy: Url | None) -> dict[str, Any]:
    if proxy is None:
        # Without a proxy to make an exception from, the library looks into the environment itself.
        return {"http_proxy_host": "none", "http_no_proxy": ["*"]}
    return {
        "http_proxy_host": proxy.host,
        "http_proxy_port": proxy.port or 80,
        "http_proxy_auth": credentials(proxy),
        "http_no_proxy": [""],
        "proxy_type": proxy.scheme,
    }
