"""An S3 on this machine: moto's server, a process of its own; and a proxy before it that can be told to misbehave.

moto keeps what it is given in memory and speaks S3's protocol, conditional requests and uploads in parts included. It knows neither
quotas nor expired credentials; those answers are the proxy's, in S3's words.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
_KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
Respond = Callable[["Handler", bytes], bool]
"""Answers a request in the place of the server, or does something else to it; returns whether it did."""


@dataclass(frozen=True)
class S3Server:
    """An S3 that runs.

    Attributes:
        url: Where it answers.
    """

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it, as AWS' own tools read it."""
        return {**_KEYS, "AWS_ENDPOINT_URL": self.url, "AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}

    def bucket(self) -> str:
        """Make a new bucket, and return its name."""
        name = f"bucket-{uuid.uuid4()}"
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        with contextlib.closing(connection):
            connection.request("PUT", f"/{name}")
            assert connection.getresponse().status == 200
        return name


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a new S3."""
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield S3Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


class Handler(BaseHTTPRequestHandler):
    """One request that comes through a `Proxy`."""

    protocol_version = "HTTP/1.1"
    server: Proxy

    def handle_any(self) -> None:
        """Answer it."""
        self.server.seen.append(f"{self.command} {self.path}")
        if self.command == "PUT" and self.server.cut_after:
            self.rfile.read(self.server.cut_after.pop(0))
            self.cut()
            return
        body = self._body()
        if len(body) < int(self.headers.get("Content-Length", 0)):  # its client is gone
            self.cut()
            return
        respond = next((each for each in list(self.server.responding) if each(self, body)), None)
        if respond is None:
            self.forward(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def refuse(self, status: int, code: str, message: str = "told to") -> bool:
        """Answer as S3 does what it refuses."""
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)
        return True

    def cut(self) -> bool:
        """End the connection without an answer."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        return True

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            pass  # answered by the base class before
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def forward(self, body: bytes) -> None:
        """Have the server answer it."""
        answer, content = self.ask(body)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "server", "date", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        """Return what the server answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("transfer-encoding", "expect")}
        headers["Content-Length"] = str(len(body))
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer, answer.read()


class Proxy(ThreadingHTTPServer):
    """What stands before an S3 and passes everything on, unless it is told otherwise.

    Attributes:
        responding: What is asked first of each request.
        seen: What was asked so far: ``PUT /bucket/key``.
        cut_after: After how many bytes of their bodies the next uploads are cut.
    """

    daemon_threads = True

    def __init__(self, behind: S3Server) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = int(behind.url.rpartition(":")[2])
        self.responding: list[Respond] = []
        self.seen: list[str] = []
        self.cut_after: list[int] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are gone."""

    @property
    def as_server(self) -> S3Server:
        """It, as one that clients talk to."""
        return S3Server(f"http://127.0.0.1:{self.server_address[1]}")


@contextmanager
def proxy(behind: S3Server) -> Iterator[Proxy]:
    """Run a new proxy."""
    with Proxy(behind) as made:
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield made
        finally:
            made.shutdown()


class Death:
    """An S3 that is killed and comes back with what it had: no request is answered for a while, and it has done some of them.

    Args:
        draw: Decides which.
        sees: Is asked first of those.
    """

    def __init__(self, draw: random.Random, sees: Respond) -> None:
        self._draw, self._sees, self._until = draw, sees, 0.0

    def strike(self, seconds: float) -> None:
        """Let nothing be answered for some seconds."""
        self._until = time.monotonic() + seconds

    def __call__(self, handler: Handler, body: bytes) -> bool:
        """Break a connection, if it is time for that."""
        if time.monotonic() >= self._until:
            return False
        if self._draw.random() < 0.5 and not self._sees(handler, body):
            handler.ask(body)
        return handler.cut()


@dataclass
class Times:
    """Lets something happen to the first requests of a kind, and to no more of them.

    Attributes:
        respond: What happens.
        left: To how many more.
        method: Of which method.
        part: What their path has in it.
    """

    respond: Respond
    left: int
    method: str = "PUT"
    part: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, handler: Handler, body: bytes) -> bool:
        """Do it to a request, if it is one of them."""
        with self.lock:
            if not self.left or handler.command != self.method or self.part not in handler.path:
                return False
            self.left -= 1
        return self.respond(handler, body)


def late(seconds: float) -> Respond:
    """Return what makes an answer come late."""

    def respond(_handler: Handler, _body: bytes) -> bool:
        time.sleep(seconds)
        return False

    return respond
