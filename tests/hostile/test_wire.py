"""Servers that do not speak like one: endless, dripping, compressed, deep, wrong. Each call ends, in an answer or in our error."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import queue
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from comfy_runner.collect.collector import collect_job
from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.server_files import ServerFiles
from comfy_runner.engine.comfyui.websocket_channel import EventSocket, SocketDown, SocketUp
from comfy_runner.engine.interface import JobToCollect
from comfy_runner.engine.reports import Collected
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import RequestTimeouts, Timeouts
from comfy_runner.engine.verdict import Conclusion, ServerFile, Verdict
from comfy_runner.errors import ServerError, UsageError, VerificationError
from comfy_runner.store.run_folder import RunFolder
from tests.hostile.tally import survives
from tests.hostile.values import TEXTS, deep, mangled, seeded
from tests.running.support import submitted_job

_OK = b"HTTP/1.1 200 OK\r\n"
_JSON = _OK + b"Content-Type: application/json\r\n"
_MIB = 1024 * 1024
Script = Callable[[bytes], Iterator[bytes]]


@contextmanager
def serving(script: Script, *, drip: float = 0.0) -> Iterator[str]:
    """A server that answers every request with the pieces of a script, so many seconds apart, until nobody listens."""
    closing = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            for piece in script(connection.recv(65536)):
                connection.sendall(piece)
                if closing.wait(drip):
                    return

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=[connection], daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        closing.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def client(url: str) -> ComfyHttp:
    return ComfyHttp(parse_address(url), timeouts=RequestTimeouts(connect=5.0, read=5.0, answer=0.2, download=0.2))


def viewed(http: ComfyHttp, name: str) -> int:
    with http.view(name, subfolder=name, kind=name) as chunks:
        return sum(len(chunk) for chunk in chunks)


def calls(http: ComfyHttp) -> list[Callable[[], object]]:
    return [
        http.system_stats,
        http.object_info,
        http.queue,
        lambda: http.history("x"),
        lambda: http.submit({}, prompt_id="x", client_id="y"),
        lambda: http.interrupt("x"),
        lambda: viewed(http, "x"),
    ]


def once(*pieces: bytes) -> Script:
    return lambda _request: iter(pieces)


def endless(start: bytes, piece: bytes) -> Script:
    def pieces(_request: bytes) -> Iterator[bytes]:
        yield start
        while True:
            yield piece

    return pieces


DRIPS: dict[str, Script] = {
    "a byte of a body": endless(_JSON + b"Content-Length: 99999999\r\n\r\n", b" "),
    "a byte of a body without a length": endless(_JSON + b"\r\n", b" "),
    "a chunk of a byte": endless(_JSON + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a digit of a chunk's length": endless(_JSON + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "a byte of the status": endless(b"HTTP/1.1 200 ", b"O"),
    "a byte of a header": endless(_OK + b"X: ", b"x"),
    "a header": endless(_OK, b"X: y\r\n"),
    "a continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a trailer": endless(_JSON + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
}


@pytest.mark.parametrize("name", DRIPS)
def test_a_dripping_answer_ends(name: str) -> None:
    with serving(DRIPS[name], drip=0.02) as url:
        for call in calls(client(url))[::3]:
            assert isinstance(survives("servers", call), ServerError)


FLOODS: dict[str, Script] = {
    "an endless body": endless(_JSON + b"\r\n", b" " * _MIB),
    "an endless chunked body": endless(_JSON + b"Transfer-Encoding: chunked\r\n\r\n", b"100000\r\n" + b" " * _MIB + b"\r\n"),
    "a flood of headers": endless(_OK, b"".join(b"X-%d: y\r\n" % number for number in range(1000))),
    "an endless header": endless(_OK + b"X: ", b"x" * 65536),
    "an endless status": endless(b"HTTP/1.1 200 ", b"x" * 65536),
    "a flood of continues": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "a gzip bomb": once(_JSON + b"Content-Encoding: gzip\r\n\r\n", *[gzip.compress(b" " * (4 * _MIB))] * 50),
    "a deflate bomb": once(_JSON + b"Content-Encoding: deflate\r\n\r\n", zlib.compress(b" " * (200 * _MIB))),
    "gzip in gzip": once(_JSON + b"Content-Encoding: gzip, gzip\r\n\r\n", gzip.compress(gzip.compress(b" " * (200 * _MIB)))),
    "many encodings": once(_JSON + b"Content-Encoding: " + b"gzip, " * 5000 + b"gzip\r\n\r\n", gzip.compress(b"{}")),
    "many values": once(_JSON + b"\r\n", b"[" + b"{}," * (6 * _MIB) + b"{}]"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_in_an_error(name: str) -> None:
    with serving(FLOODS[name]) as url:
        assert isinstance(survives("servers", client(url).object_info), ServerError)


_CHILD = """
import resource, sys
from comfy_runner.errors import ComfyRunnerError
from tests.hostile.test_wire import FLOODS, calls, client
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for url in sys.argv[1:]:
    try:
        client(url).object_info()
    except ComfyRunnerError:
        pass
unit = 1 if sys.platform == "darwin" else 1024
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell how much memory a process had")
def test_no_flood_takes_much_memory() -> None:
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(serving(script)) for script in FLOODS.values()]
        done = subprocess.run([sys.executable, "-c", _CHILD, *urls], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 512 * _MIB


ANSWERS: dict[str, bytes] = {
    "nothing": b"",
    "not http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "an old http": b"HTTP/0.9 200 OK\r\n\r\n{}",
    "a strange http": b"HTTP/9.9 200 OK\r\n\r\n{}",
    "no status": b"HTTP/1.1\r\n\r\n{}",
    "a negative status": b"HTTP/1.1 -200 OK\r\n\r\n{}",
    "a large status": b"HTTP/1.1 999999999999 OK\r\n\r\n{}",
    "status 0": b"HTTP/1.1 000 OK\r\n\r\n{}",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "a redirect to a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "a redirect to itself": b"HTTP/1.1 307 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    "a login": b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\x1b[2J\r\nContent-Length: 0\r\n\r\n",
    "a reason that steers": b"HTTP/1.1 500 \x1b[2J\r\nContent-Length: 4\r\n\r\n\x1b[2J",
    "html": _OK + b"Content-Type: text/html\r\n\r\n<html><script>",
    "a picture": _OK + b"Content-Type: image/png\r\n\r\n\x89PNG\r\n\x1a\n",
    "an upgrade": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
    "a negative length": _JSON + b"Content-Length: -1\r\n\r\n{}",
    "a length that is none": _JSON + b"Content-Length: x\r\n\r\n{}",
    "two lengths": _JSON + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a length that lies": _JSON + b"Content-Length: 99\r\n\r\n{}",
    "a huge length": _JSON + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "a chunk that lies": _JSON + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{}\r\n0\r\n\r\n",
    "a huge chunk": _JSON + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n{}",
    "a negative chunk": _JSON + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}",
    "a chunk of no length": _JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "not gzip": _JSON + b"Content-Encoding: gzip\r\n\r\n{}",
    "half of gzip": _JSON + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}" * 999)[:20],
    "an unknown encoding": _JSON + b"Content-Encoding: nosuch\r\n\r\n{}",
    "brotli that is none": _JSON + b"Content-Encoding: br\r\n\r\n{}",
    "zstd that is none": _JSON + b"Content-Encoding: zstd\r\n\r\n{}",
    "a cookie": _JSON + b"Set-Cookie: " + b"a=b; " * 9000 + b"\r\n\r\n{}",
    "a cookie that is none": _JSON + b"Set-Cookie: =;=\x00;\r\n\r\n{}",
    "an unknown charset": _OK + b"Content-Type: application/json; charset=nosuch\r\n\r\n{}",
    "utf-16": _JSON + b"\r\n" + '{"system": {}}'.encode("utf-16"),
    "no text": _JSON + b"\r\n\xff\xfe\xfd",
    "NaN": _JSON + b"\r\n" + b'{"system": NaN}',
    "deep lists": _JSON + b"\r\n" + deep(200_000).encode(),
    "deep objects": _JSON + b"\r\n" + deep(200_000, obj=True).encode(),
    "a long number": _JSON + b"\r\n" + b"9" * 100_000,
    "surrogates": _JSON + b"\r\n" + b'{"system": {"x": "\\ud800"}, "prompt_id": "\\ud800\\u0000"}',
    "a header without a name": _OK + b": x\r\n\r\n{}",
    "a folded header": _OK + b"X: a\r\n b\r\n\r\n{}",
    "a header with NUL": _OK + b"X: \0\r\n\r\n{}",
    "null": _JSON + b"\r\nnull",
    "a list": _JSON + b"\r\n[]",
    "a text": _JSON + b'\r\n"x"',
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_of_any_kind_is_read_or_refused(name: str) -> None:
    with serving(once(ANSWERS[name])) as url:
        for call in calls(client(url)):
            survives("servers", call)


def test_a_mangled_answer_is_read_or_refused() -> None:
    body = b'{"system": {"comfyui_version": "0.3"}, "prompt_id": "x", "queue_running": [], "queue_pending": []}'
    sound = _JSON + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
    for seed in range(100):
        with seeded(seed) as dice, serving(once(mangled(dice, sound))) as url:
            for call in dice.sample(calls(client(url)), 2):
                survives("servers", call)


@pytest.mark.parametrize("text", TEXTS)
def test_a_nasty_name_goes_into_a_request_or_is_refused(text: str) -> None:
    with serving(once(_JSON + b"Content-Length: 2\r\n\r\n{}")) as url:
        http = client(url)
        survives("servers", lambda: http.history(text))
        survives("servers", lambda: http.submit({"a": text}, prompt_id=text, client_id=text))
        assert not isinstance(survives("servers", lambda: viewed(http, text)), UsageError)


def websocket(piece: bytes, *first: bytes) -> Script:
    """Open a websocket properly, and then send a piece over and over."""

    def pieces(request: bytes) -> Iterator[bytes]:
        key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest())
        upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        yield upgrade + accept + b"\r\n\r\n"
        yield from first
        while True:
            yield piece

    return pieces


SOCKETS: dict[str, Script] = {
    "an endless frame": websocket(b"x" * _MIB, b"\x81\x7f\x7f" + b"\xff" * 7),
    "an endless binary frame": websocket(b"x" * _MIB, b"\x82\x7f\x7f" + b"\xff" * 7),
    "an endless message": websocket(b"\0\x7f" + (65536).to_bytes(8, "big") + b"x" * 65536, b"\x01\x01x"),
    "a frame of negative length": websocket(b"x" * _MIB, b"\x81\x7f" + b"\xff" * 8),
    "reserved bits": websocket(b"\xf1\x01x"),
    "an unknown opcode": websocket(b"\x83\x01x"),
    "a long ping": websocket(b"\x89\x7e\xff\xff" + b"x" * 65535),
    "a split ping": websocket(b"\x09\x01x"),
    "a continuation of nothing": websocket(b"\x80\x01x"),
    "a close with half a code": websocket(b"\x88\x01x"),
    "a close for a nasty reason": websocket(b"\x88\x06\x03\xe8\x1b[2J"),
}


@pytest.mark.parametrize("name", SOCKETS)
def test_a_websocket_that_sends_nonsense_is_given_up(name: str) -> None:
    told: queue.SimpleQueue[object] = queue.SimpleQueue()
    with serving(SOCKETS[name]) as url:
        connection = EventSocket(parse_address(url), told.put)
        try:
            seen = survives("servers", lambda: [told.get(timeout=30.0), told.get(timeout=30.0)])
        finally:
            connection.close()
    assert isinstance(seen, list)
    assert [type(event) for event in seen] == [SocketUp, SocketDown]


def test_a_download_that_is_larger_than_the_planned_picture_can_be_is_cut_off(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    files = {node: (ServerFile("x.png", "", "output"),) for node in submitted_job().workflow.outputs.values()}
    submission, verdict = Submission.of("id", [submitted_job()]), Verdict(Conclusion.SUCCEEDED, files, (), None, None)
    wanted = JobToCollect(submission.job_ids[0], {})
    with serving(endless(_OK + b"\r\n", b"x" * _MIB)) as url:
        http = ComfyHttp(parse_address(url), timeouts=RequestTimeouts(connect=5.0, read=5.0, download=60.0))
        source = ServerFiles(http, Timeouts(outage=0.0))
        found = survives("servers", lambda: collect_job(source, folder, submission, verdict, wanted, prompt_id="id", server={}))
    folder.close()
    assert isinstance(found, Collected)
    assert found.files == {}
    assert all(isinstance(error, VerificationError) and "MiB" in str(error) for error in found.errors)
    assert {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()} == {".lock", "ledger.sqlite"}
