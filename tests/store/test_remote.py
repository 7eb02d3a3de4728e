"""Artifacts in an object store: an S3 that misbehaves, and URLs that are none of a run."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.store.interface import Spooled
from comfy_runner.store.local import write_spool
from comfy_runner.store.registry import local_part, open_store
from comfy_runner.store.remote import RemoteStore, listed_once
from comfy_runner.text_files import shown, url_of
from tests.s3 import Handler, Proxy, S3Server, Times, late, proxy

_CONTENT = b"picture" * 20_000


@pytest.fixture
def before(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the S3, which this process finds in its place."""
    with proxy(s3) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.as_server.url)
        yield made


@pytest.fixture
def store(before: Proxy, s3: S3Server, tmp_path: Path) -> RemoteStore:
    """A new store behind the proxy, which is given up soon."""
    assert os.environ["AWS_ENDPOINT_URL"] == before.as_server.url
    return RemoteStore(f"s3://{s3.bucket()}/runs/x", spool=tmp_path / "spool", retry_seconds=5.0)


def _spooled(store: RemoteStore, key: str = "lake/a.png", content: bytes = _CONTENT) -> Spooled:
    return write_spool(store, key, [content])


def _content(store: RemoteStore, key: str = "lake/a.png") -> bytes:
    with store.open(key) as file:
        return file.read()


def _refusal(status: int, code: str) -> Times:
    return Times(lambda handler, _body: handler.refuse(status, code), left=-1)


def _cut(handler: Handler, _body: bytes) -> bool:
    return handler.cut()


@pytest.mark.parametrize(
    "respond",
    [
        lambda handler, _body: handler.refuse(503, "SlowDown"),
        lambda handler, _body: handler.refuse(500, "InternalError"),
        lambda handler, _body: handler.refuse(429, "TooManyRequests"),
        _cut,
    ],
    ids=["slow-down", "internal-error", "too-many", "cut"],
)
def test_what_may_pass_is_asked_for_again(store: RemoteStore, before: Proxy, respond: Times) -> None:
    for method in ("PUT", "HEAD", "GET", "DELETE"):
        before.responding.append(Times(respond, left=2, method=method))

    store.put([_spooled(store)])

    assert _content(store) == _CONTENT
    assert list(store.list()) == ["lake/a.png"]
    store.remove("lake/a.png")
    assert store.stat("lake/a.png") is None
    assert all(isinstance(each, Times) and each.left == 0 for each in before.responding)


def test_an_upload_that_is_cut_in_the_middle_leaves_what_was_there_and_is_made_anew(store: RemoteStore, before: Proxy) -> None:
    store.put([_spooled(store, content=b"old")])
    seen = []

    def half(handler: Handler, body: bytes) -> bool:
        seen.append(len(body))
        assert _content(store) == b"old"
        return handler.cut()

    before.responding.append(Times(half, left=2))
    store.put([_spooled(store)])

    assert len(seen) == 2
    assert _content(store) == _CONTENT


def test_what_arrives_damaged_is_uploaded_again(store: RemoteStore, before: Proxy) -> None:
    def spoil(handler: Handler, body: bytes) -> bool:
        # Its checksums are those of what arrives here, as where somebody in between repacks bodies.
        for name in list(handler.headers):
            if name.lower().startswith(("x-amz-checksum", "x-amz-sdk-checksum", "content-md5", "x-amz-trailer")):
                del handler.headers[name]
        handler.forward(b"x" * len(body))
        return True

    before.responding.append(Times(spoil, left=1))
    store.put([_spooled(store)])

    assert _content(store) == _CONTENT
    assert sum(line.startswith("PUT") for line in before.seen) == 2


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, "ExpiredToken", "the credentials have expired"),
        (403, "InvalidAccessKeyId", "the store does not know the credentials"),
        (403, "AccessDenied", "no permission"),
        (403, "QuotaExceeded", "the quota of the store is used up"),
        (507, "InsufficientStorage", "the quota of the store is used up"),
        (404, "NoSuchBucket", "there is no such bucket"),
        (503, "SlowDown", "the store does not answer"),
    ],
)
def test_what_does_not_pass_is_one_error_and_nothing_is_lost(
    s3: S3Server, before: Proxy, tmp_path: Path, status: int, code: str, words: str
) -> None:
    store = RemoteStore(f"s3://{s3.bucket()}/runs/x", spool=tmp_path / "spool", retry_seconds=0.3)
    spooled = [_spooled(store, key) for key in ("lake/a.png", "lake/job.json")]
    before.responding.append(_refusal(status, code))

    with pytest.raises(RunFolderError, match=rf"runs/x/lake/a\.png: {words}") as caught:
        store.put(spooled)

    assert caught.value.problems[0].hint
    assert all(file.path.exists() for file in spooled)
    before.responding.clear()
    assert list(store.list()) == []
    store.put(spooled)
    assert list(store.list()) == ["lake/a.png", "lake/job.json"]


def test_a_picture_that_cannot_be_looked_at_is_not_taken_for_one_that_is_gone(s3: S3Server, before: Proxy, tmp_path: Path) -> None:
    store = RemoteStore(f"s3://{s3.bucket()}/runs/x", spool=tmp_path / "spool", retry_seconds=0.3)
    store.put([_spooled(store)])
    for method in ("HEAD", "GET"):
        before.responding.append(Times(_cut, left=-1, method=method))

    for use in (lambda: store.stat("lake/a.png"), lambda: store.open("lake/a.png"), lambda: list(store.list())):
        with pytest.raises(RunFolderError, match="the store does not answer"):
            use()


def test_a_store_that_answers_late_is_waited_for(store: RemoteStore, before: Proxy) -> None:
    before.responding.append(Times(late(1.0), left=1))

    store.put([_spooled(store)])

    assert _content(store) == _CONTENT


def test_a_store_that_is_silent_is_asked_again(s3: S3Server, before: Proxy, tmp_path: Path) -> None:
    store = RemoteStore(f"s3://{s3.bucket()}/runs/x", spool=tmp_path / "spool", retry_seconds=30.0, answer_seconds=1.5)
    before.responding.append(Times(late(3), left=1))

    store.put([_spooled(store)])

    assert _content(store) == _CONTENT
    assert sum(line.startswith("PUT") for line in before.seen) >= 2
    store.retry_seconds = 2.0
    before.responding[:] = [Times(late(3), left=-1, method="HEAD")]
    with pytest.raises(RunFolderError, match="the store does not answer"):
        store.stat("lake/a.png")


def test_a_store_at_which_nobody_answers_is_one_that_does_not_answer(
    before: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before.server_close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", before.as_server.url)
    store = RemoteStore("s3://bucket/runs/x", spool=tmp_path / "spool", retry_seconds=0.3)

    with pytest.raises(RunFolderError, match="the store does not answer"):
        store.put([_spooled(store)])


def test_a_connection_that_is_cut_in_the_middle_of_a_body_leaves_what_was_there(store: RemoteStore, before: Proxy) -> None:
    store.put([_spooled(store, content=b"old")])
    content = os.urandom(8_000_000)
    before.cut_after = [2_000_000, 4_000_000]

    store.put([_spooled(store, content=content)])

    assert before.cut_after == []
    assert _content(store) == content


def test_only_one_of_many_creates_what_was_not_there(store: RemoteStore, before: Proxy) -> None:
    # The answer to a request that was carried out is lost: asked again, the store says that it already exists.
    def lose(handler: Handler, body: bytes) -> bool:
        handler.wfile = open(os.devnull, "wb")  # noqa: PTH123, SIM115 - the answer goes nowhere
        handler.forward(body)
        return handler.cut()

    before.responding.append(Times(lose, left=1))

    assert [store.create(".lease/1.json", content) for content in (b"mine", b"yours")] == [True, False]
    assert _content(store, ".lease/1.json") == b"mine"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_client_that_is_killed_in_the_middle_of_an_upload_leaves_nothing_in_the_store(
    s3: S3Server, before: Proxy, tmp_path: Path
) -> None:
    url, state = f"s3://{s3.bucket()}/runs/x", tmp_path / "state"
    code = (
        "import sys; from comfy_runner.store.registry import open_store; from comfy_runner.store.local import write_spool\n"
        f"store = open_store({url!r}); spooled = write_spool(store, 'lake/a.png', [b'x' * 3_000_000])\n"
        "print(spooled.path, flush=True); store.put([spooled])"
    )
    killed = threading.Event()

    def hold(handler: Handler, _body: bytes) -> bool:
        killed.wait(30)
        return handler.cut()

    before.responding.append(Times(hold, left=1))
    environment = {**os.environ, "COMFY_RUNNER_STATE": str(state)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        spooled = Path(process.stdout.readline().strip())
        while not any(line.startswith("PUT") for line in before.seen):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    killed.set()

    store = RemoteStore(url, spool=spooled.parent)
    assert (list(store.list()), spooled.exists()) == ([], True)
    store.remove_spooled("lake/a.png")
    assert not spooled.exists()


@pytest.mark.slow
def test_what_is_large_is_read_in_parts_and_its_checksum_taken_from_what_is_there(store: RemoteStore, before: Proxy) -> None:
    # Uploads in parts have no MD5 as ETag; parts are of 50 MiB, so that this one has three.
    content = os.urandom(1 << 20) * 101

    store.put([_spooled(store, content=content)])

    with store.open("lake/a.png") as file:
        assert isinstance(file.fileno(), int), "on the disk, not in memory"
        assert hashlib.sha256(file.read()).digest() == hashlib.sha256(content).digest()
        file.seek(-3, os.SEEK_END)
        assert file.read() == content[-3:]
    assert sum(line.startswith("GET") for line in before.seen) == 2 * 4


def test_what_is_empty_or_as_long_as_a_part_is_read_to_its_end(store: RemoteStore) -> None:
    for content in (b"", bytes(32 << 20)):
        store.put([_spooled(store, content=content)])
        assert _content(store) == content


def test_who_keeps_a_listing_asks_for_nothing_of_it_and_knows_what_it_changes_itself(store: RemoteStore, before: Proxy) -> None:
    store.put([_spooled(store, "lake/a.png"), _spooled(store, "lake/b.png")])
    asked = [store.stat(key) for key in ("lake/a.png", "lake/b.png", "lake/c.png")]
    store.overwrite(".lease/1.json", b"{}")
    before.seen.clear()

    with listed_once(store):
        listed = len(before.seen)
        assert [store.stat(key) for key in ("lake/a.png", "lake/b.png", "lake/c.png")] == asked
        assert list(store.list("lake/")) == ["lake/a.png", "lake/b.png"]
        with pytest.raises(FileNotFoundError):
            store.open("lake/c.png")
        assert len(before.seen) == listed == 1
        # What others write is asked for.
        assert list(store.list(".lease/")) == [".lease/1.json"]
        store.remove("lake/b.png")
        store.copy("lake/a.png", "lake/c.png")
        assert [_content(store, "lake/a.png"), _content(store, "lake/a.png")] == [_CONTENT] * 2
        store.put([_spooled(store, "lake/a.png", b"new")])
        assert _content(store, "lake/a.png") == b"new"
        inside = [list(store.list()), store.stat("lake/a.png"), store.stat("lake/c.png")]
    assert [list(store.list("lake/")), store.stat("lake/a.png"), store.stat("lake/c.png")] == inside


def test_folders_are_told_without_what_is_in_them(store: RemoteStore, before: Proxy) -> None:
    assert list(store.folders()) == []
    store.put([_spooled(store, key) for key in ("b/x/a.png", "a/a.png", "c.png", ".hidden/a.png")])
    before.seen.clear()

    assert list(store.folders()) == ["a", "b"]
    assert len(before.seen) == 1


# URLs


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///x", "s3://b//x", "s3://b/../x", "s3://b/x?versionId=1", "s3://b/x#y", "s3://key:secret@b/x", "s3://b/*"]
)
def test_a_url_that_is_none_of_a_run_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "tape"])
def test_a_scheme_that_no_store_has_is_told(scheme: str) -> None:
    with pytest.raises(UsageError, match=f"there is no store for {scheme}:// addresses"):
        open_store(f"{scheme}://bucket/x")


def test_a_store_whose_package_is_not_installed_is_told_with_what_to_install() -> None:
    with pytest.raises(UsageError, match="need a package for fsspec") as caught:
        open_store("oci://bucket/x")

    assert caught.value.problems[0].hint == "install it beside comfy-runner"


def test_a_run_at_a_url_has_a_local_part_that_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path))
    folder = local_part("s3://bucket/runs/x/")

    assert folder == local_part("s3://bucket/runs/x")
    assert folder.parent.parent == tmp_path
    assert not folder.exists()
    assert url_of(folder) == shown(folder) == "s3://bucket/runs/x"
    assert url_of(folder / "lake" / "original.png") == "s3://bucket/runs/x/lake/original.png"
    assert [url_of(folder / "ledger.sqlite"), url_of(tmp_path / "runs" / "x")] == ["", ""]
    assert local_part(local_part("file:///data/runs/x")) == Path("/data/runs/x")
    with pytest.raises(UsageError, match="is longer than"):
        local_part(f"s3://bucket/{'x' * 300}")
