"""Small model files, and a web server for them that can be told to misbehave."""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from comfy_runner.model_files.model_file import ModelFile

ETAG = '"one"'


def safetensors(size: int = 3_000_000, seed: int = 1) -> bytes:
    """Return a safetensors file with one tensor of so many bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(size)  # noqa: S311 - data


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def model(source: str, content: bytes, name: str = "tiny.safetensors", **changes: Any) -> ModelFile:
    given: dict[str, Any] = {"sizes": range(len(content), len(content) + 1), **changes}
    return ModelFile(name, "checkpoints", source, sha256(content), **given)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: FileServer

    def do_GET(self) -> None:
        self.server.seen.append(Seen(self.path, dict(self.headers.items())))
        respond = self.server.responding.pop(0) if self.server.responding else None
        if respond is None or not respond(self):
            self.give()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def give(self, *, cut_after: int | None = None, etag: str = ETAG, ranges: bool = True) -> bool:
        """Answer with the file, from where it is asked for on; end early if told to."""
        content = self.server.files.get(self.path.partition("?")[0])
        if content is None:
            return self.answer(404)
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(found[1]) if found and ranges and self.headers.get("If-Range") in (None, etag) else 0
        if start >= len(content):
            return self.answer(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        try:
            self.wfile.write(content[start:] if cut_after is None else content[start : start + cut_after])
        except OSError:  # the client has seen enough
            self.close_connection = True
        if cut_after is not None:
            self.close_connection = True
        return True

    def answer(self, status: int, body: bytes = b"", **headers: str) -> bool:
        """Answer with something else."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return True


@dataclass(frozen=True)
class Seen:
    """A request that came.

    Attributes:
        path: What it was for.
        headers: Its headers.
    """

    path: str
    headers: Mapping[str, str]


Respond = Callable[[Handler], bool]


@dataclass
class FileServer(ThreadingHTTPServer):
    """Files on a web server.

    Attributes:
        files: Their content by path.
        responding: What the next requests are answered with, in the place of their files.
        seen: What was asked so far.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    responding: list[Respond | None] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    daemon_threads = True

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are gone."""

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def asked(self) -> list[str]:
        """What was asked for, with the part: ``/a.safetensors`` or ``/a.safetensors bytes=7-``."""
        return [f"{seen.path} {seen.headers.get('Range', '')}".rstrip() for seen in self.seen]


@contextmanager
def file_server(**files: bytes) -> Iterator[FileServer]:
    """Run a new server with files, ``tiny`` at ``/tiny.safetensors``."""
    with FileServer({f"/{name}.safetensors": content for name, content in files.items()}) as made:
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield made
        finally:
            made.shutdown()
