"""A watched run folder on the loopback, and how it is asked: by requests that no browser would make, and by streams."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from comfy_runner.watch.server import WatchServer
from comfy_runner.watch.sources import FolderRun, RunSource
from comfy_runner.watch.watching import Watching
from tests.standin import HELD


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Watched:
    """A run that is served.

    Args:
        server: Its server.
        watching: The run.
    """

    def __init__(self, server: WatchServer, watching: Watching) -> None:
        self.server, self.watching, self.url = server, watching, server.url
        parts = urlsplit(server.url)
        self.host, self.root = parts.netloc, parts.path
        self.origin = f"http://{self.host}"

    def ask(
        self, path: str = "", *, method: str = "GET", root: str | None = None, body: bytes | None = None, **headers: str
    ) -> Answer:
        """Ask for a path below the token, as it is written."""
        with closing(http.client.HTTPConnection(self.host, timeout=HELD)) as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, (self.root if root is None else root) + path, body=body, headers=named)
            found = connection.getresponse()
            return Answer(found.status, found.headers, found.read())

    def stream(self, cursor: str = "", **headers: str) -> socket.socket:
        """Ask for events, and read nothing."""
        host, _, port = self.host.partition(":")
        found = socket.create_connection((host, int(port)), timeout=HELD)
        lines = [f"GET {self.root}events?since={cursor} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        found.sendall("\r\n".join([*lines, "", ""]).encode())
        return found


@contextmanager
def watched(folder: Path, source: RunSource | None = None) -> Iterator[Watched]:
    """Serve a run folder."""
    with closing(WatchServer()) as server:
        watching = Watching(folder, source or FolderRun(folder))
        server.serve(watching)
        yield Watched(server, watching)


def events(stream: socket.socket) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the cursor and the values of each change that a stream tells."""
    with stream.makefile("r", encoding="utf-8") as lines:
        cursor = ""
        for line in lines:
            if line.startswith("id: "):
                cursor = line.removeprefix("id: ").strip()
            elif line.startswith("data: {"):
                yield cursor, json.loads(line.removeprefix("data: "))


def facts_of(page: bytes) -> dict[str, Any]:
    """Return what the scripts of a page are given."""
    text = page.decode().partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    found: dict[str, Any] = json.loads(text)
    return found
