"""Stand-ins for the tests of this folder: a ComfyUI checkout whose main.py is twenty lines, and a wheel with a few bytes."""

from __future__ import annotations

import hashlib
import http.server
import json
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from comfy_runner.engine.local import LocalOptions
from comfy_runner.engine.local.versions import Source

MAIN = """
import argparse, http.server, json, os, sys, threading

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--mode", default="serve")
args, _ = parser.parse_known_args()
print("fake ComfyUI", args.mode, flush=True)
if args.mode == "crash":
    sys.exit("the reason of the crash")
if args.mode == "suicide":
    os.kill(os.getpid(), 9)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        environment = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTHONHOME", "HF_HUB_OFFLINE")}
        stats = {"system": {"argv": sys.argv}, "environment": environment, "path": sys.path, "file": __file__}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(stats).encode())

if args.mode == "silent":
    threading.Event().wait()
http.server.HTTPServer(("127.0.0.1", args.port), Handler).serve_forever()
"""


def make_checkout(folder: Path) -> Path:
    """Make a checkout that starts at once and answers /system_stats."""
    folder.mkdir()
    (folder / "main.py").write_text(MAIN, encoding="utf-8")
    (folder / "comfyui_version.py").write_text('__version__ = "9.8.7"\n', encoding="utf-8")
    return folder


def fake_options(tmp_path: Path, *, mode: str = "serve", port: int | None = None) -> LocalOptions:
    """Return options for a fake ComfyUI with a home of its own."""
    checkout = tmp_path / "checkout"
    if not checkout.exists():
        make_checkout(checkout)
    return LocalOptions(
        home=tmp_path / "home",
        port=port,
        comfyui=checkout,
        python=Path(sys.executable),
        server_args=("--mode", mode),
    )


def make_wheel(path: Path, files: Mapping[str, str]) -> Source:
    """Write a wheel, and return the source that describes it."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return Source(
        version="9.8.7",
        requirement="fake==1",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        prefix="fake/_comfyui/",
        drop=("extra_model_paths.yaml",),
    )


@contextmanager
def another_program(port: int = 0, *, answer: object = None) -> Iterator[int]:
    """Listen on a port of 127.0.0.1 as some other program would, and yield the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
