"""Several processes and one cache: a download is shared, and one that is killed is gone on with."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfy_runner.model_files.cache import ModelCache
from comfy_runner.model_files.fetch import fetch
from comfy_runner.model_files.hosts import Hosts
from comfy_runner.model_files.model_file import ModelFile
from tests.model_files.support import FileServer, Handler, file_server, model, safetensors

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

CONTENT = safetensors()
_SECONDS = 60
_FETCH = """
import pickle, sys, time
from comfy_runner.model_files.cache import ModelCache
from comfy_runner.model_files.fetch import fetch
folder, wanted, hosts = pickle.loads(sys.stdin.buffer.read())
cache = ModelCache(folder, 1 << 30)
print("began", flush=True)
print(*fetch([wanted], cache, hosts).values(), flush=True)
"""


@pytest.fixture
def web() -> Iterator[FileServer]:
    with file_server(tiny=CONTENT) as made:
        yield made


def _process(folder: Path, wanted: ModelFile, web: FileServer) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", _FETCH], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(pickle.dumps((folder, wanted, Hosts((web.url,)))))
    process.stdin.close()
    process.stdin = None
    return process


class _Held:
    """Gives the first half of a file, and the rest when it is told to."""

    def __init__(self) -> None:
        self.half, self.rest = threading.Event(), threading.Event()

    def __call__(self, handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("ETag", '"one"')
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:1_600_000])
        handler.wfile.flush()
        self.half.set()
        assert self.rest.wait(_SECONDS)
        try:
            handler.wfile.write(CONTENT[1_600_000:])
        except OSError:
            handler.close_connection = True
        return True


def test_two_processes_share_one_download(web: FileServer, tmp_path: Path) -> None:
    held = _Held()
    web.responding = [held]
    wanted = model(f"{web.url}/tiny.safetensors", CONTENT)
    with _process(tmp_path, wanted, web) as first:
        assert held.half.wait(_SECONDS)
        told = threading.Event()
        found: list[Path] = []
        cache = ModelCache(tmp_path, 1 << 30)

        def second() -> None:
            found.extend(
                fetch(
                    [wanted], cache, Hosts((web.url,)), tell=lambda each: told.set() if each.stage == "another" else None
                ).values()
            )

        waiting = threading.Thread(target=second)
        waiting.start()
        assert told.wait(_SECONDS)
        held.rest.set()
        waiting.join(_SECONDS)
        out, _ = first.communicate(timeout=_SECONDS)

    assert first.returncode == 0
    assert out.decode().split() == ["began", str(found[0])]
    assert found[0].read_bytes() == CONTENT
    assert len(web.seen) == 1
    cache.close()


def test_one_that_is_killed_is_gone_on_with(web: FileServer, tmp_path: Path) -> None:
    held = _Held()
    web.responding = [held]
    wanted = model(f"{web.url}/tiny.safetensors", CONTENT)
    cache = ModelCache(tmp_path, 1 << 30)
    part = cache.folder_of(wanted.sha256) / "part"
    with _process(tmp_path, wanted, web) as killed:
        assert held.half.wait(_SECONDS)
        while not part.exists() or part.stat().st_size < 1_000_000:
            assert killed.poll() is None
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait(_SECONDS)
    held.rest.set()
    left = part.stat().st_size

    assert fetch([wanted], cache, Hosts((web.url,)))[wanted].read_bytes() == CONTENT

    assert web.asked == ["/tiny.safetensors", f"/tiny.safetensors bytes={left}-"]
    cache.close()


def test_what_a_process_uses_is_free_once_it_is_killed(web: FileServer, tmp_path: Path) -> None:
    wanted = model(f"{web.url}/tiny.safetensors", CONTENT)
    cache = ModelCache(tmp_path, 1 << 30)
    using = f"{_FETCH}\ntime.sleep({_SECONDS})"
    with subprocess.Popen([sys.executable, "-c", using], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(pickle.dumps((tmp_path, wanted, Hosts((web.url,)))))
        process.stdin.close()
        try:
            process.stdout.readline()
            process.stdout.readline()
            assert [each.in_use for each in cache.models()] == [True]
            assert not cache.remove(wanted.sha256)
        finally:
            process.kill()

    assert [each.in_use for each in cache.models()] == [False]
    assert cache.remove(wanted.sha256)
    assert cache.models() == []
