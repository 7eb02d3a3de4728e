"""The websocket of one ComfyUI: a thread that takes frames off the socket and hands them on, and reconnects for ever.

It only reads and enqueues: ComfyUI sends to all its clients in turn, so whoever reads slowly stalls everybody. Every connection
gets a client id of its own, since a server that still holds an older socket of the same id makes the newer one deaf.
The only place that knows `websocket`. Nothing that happens to a socket is an error here: it is a hint that is missing.
"""

from __future__ import annotations

import contextlib
import math
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import websocket
from urllib3.util import Url

from comfy_runner.engine.comfyui.address import Address
from comfy_runner.engine.comfyui.connections import credentials, headers_of, proxy_of, tls_of
from comfy_runner.engine.comfyui.frame_pacing import FramePacer
from comfy_runner.engine.comfyui.ws_messages import HELLO, Frame, Preview, parse_binary, parse_frame
from comfy_runner.engine.timeouts import Timeouts

_FIRST_PAUSE = 0.5
_SOON = 0.001  # without any time at all, the library takes nothing for an error
_PIECE = 16 * 1024
_PREVIEWS_APART = 0.5  # seconds; of many servers, as much longer as of the steps of nodes
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
        previews: Whether previews are handed on; of one server two a second at most.

    Attributes:
        timeouts: Likewise; may be set anew.
    """

    def __init__(
        self,
        address: Address,
        deliver: Callable[[Frame | SocketUp | SocketDown], None],
        *,
        timeouts: Timeouts | None = None,
        previews: bool = False,
    ) -> None:
        self._address = address
        self._tls = {"context": tls_of(address)} if address.url.startswith("https") else {}
        self._proxy = _proxy_options(proxy_of(address))
        self._deliver = deliver
        self.timeouts = timeouts or Timeouts()
        self._previews, self._previewed_at = previews, -math.inf
        self._closing = threading.Event()
        self._connection: _Connection | None = None
        self._longest = _LONGEST
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
        connection.send(HELLO)
        self._deliver(SocketUp(client_id))

    def _read(self, connection: _Connection) -> None:
        silences, pacer, wait = 0, FramePacer(), None
        while not self._closing.is_set():
            if not connection.has_more:
                pacer.interval, now = self.timeouts.steps, time.monotonic()
                self._hand_on(pacer.due(now))
                if rest := pacer.rest(now):
                    self._closing.wait(rest)
                wait = pacer.wait(now + rest)
                connection.settimeout(self.timeouts.silence if wait is None else max(_SOON, wait))
            try:
                opcode, data = connection.recv_data(control_frame=True)
            except websocket.WebSocketTimeoutException:
                if wait is not None:
                    continue
                silences += 1
                if silences > 1:
                    raise
                connection.ping()
                continue
            silences = 0
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return
            frame: Frame | None = None
            if opcode == websocket.ABNF.OPCODE_TEXT and not data.startswith(_STATES):
                frame = parse_frame(data)
            if opcode == websocket.ABNF.OPCODE_BINARY:
                pacer.see_picture()
                frame = parse_binary(data)
            if frame is not None and (not isinstance(frame, Preview) or self._is_wanted()):
                self._hand_on(pacer.take(frame, time.monotonic()))

    def _is_wanted(self) -> bool:
        """Return whether to hand a preview on; others come."""
        now = time.monotonic()
        if not self._previews or now - self._previewed_at < max(_PREVIEWS_APART, 2 * self.timeouts.steps):
            return False
        self._previewed_at = now
        return True

    def _hand_on(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self._deliver(frame)


class _Connection(websocket.WebSocket):
    """A websocket that gives up a message which does not end; the library would keep all of it.

    It takes off the socket what is there, which mostly is several messages: the library would ask for each in three pieces.
    """

    longest = _LONGEST
    _received = 0
    _ahead = b""

    @property
    def has_more(self) -> bool:
        """Return whether more has come than was asked for."""
        return bool(self._ahead)

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
