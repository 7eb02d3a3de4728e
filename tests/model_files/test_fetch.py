"""Models fetched from a web server on this machine that cuts, redirects, lies and forgets; nothing half ever counts."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfy_runner.errors import ComfyRunnerError, ModelError, UsageError
from comfy_runner.model_files import fetch as fetching
from comfy_runner.model_files.cache import ModelCache
from comfy_runner.model_files.fetch import FetchProgress, fetch
from comfy_runner.model_files.hosts import Hosts
from comfy_runner.model_files.model_file import ModelFile
from tests.model_files.support import FileServer, Handler, file_server, model, safetensors, sha256

CONTENT = safetensors()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_PAUSES", (0.01,))


@pytest.fixture
def web() -> Iterator[FileServer]:
    with file_server(tiny=CONTENT) as made:
        yield made


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ModelCache]:
    made = ModelCache(tmp_path / "cache", 1 << 30)
    yield made
    made.close()


def _fetched(web: FileServer, cache: ModelCache, wanted: ModelFile | None = None, give_up: float = 60) -> bytes:
    wanted = wanted or model(f"{web.url}/tiny.safetensors", CONTENT)
    return fetch([wanted], cache, Hosts((web.url,)), give_up=give_up)[wanted].read_bytes()


def _error(web: FileServer, cache: ModelCache, wanted: ModelFile | None = None, give_up: float = 60) -> ComfyRunnerError:
    with pytest.raises(ComfyRunnerError) as caught:
        _fetched(web, cache, wanted, give_up)
    assert not cache.file(sha256(CONTENT)).exists()
    return caught.value


def test_a_model_is_fetched_once(web: FileServer, cache: ModelCache) -> None:
    told: list[FetchProgress] = []
    wanted = model(f"{web.url}/tiny.safetensors", CONTENT)
    other = model(f"{web.url}/elsewhere.safetensors", CONTENT, name="same.safetensors")

    found = fetch([wanted, other], cache, Hosts((web.url,)), tell=told.append)

    assert found[wanted].read_bytes() == CONTENT
    assert found[other] == found[wanted]
    assert web.asked == ["/tiny.safetensors"]
    assert (told[0].stage, told[0].done, told[-1].stage, told[-1].done) == ("fetching", 0, "there", len(CONTENT))
    assert {each.total for each in told} == {len(CONTENT)}
    assert not os.access(found[wanted], os.W_OK) or os.geteuid() == 0
    (cached,) = cache.models()
    assert cached.names == ("tiny.safetensors", "same.safetensors")
    assert (cached.is_whole, cached.in_use, cached.size_bytes) == (True, True, len(CONTENT))


def test_what_breaks_off_goes_on_where_it_was(web: FileServer, cache: ModelCache) -> None:
    web.responding = [lambda handler: handler.give(cut_after=1_000_000), lambda handler: handler.give(cut_after=500_000)]

    assert _fetched(web, cache) == CONTENT

    assert web.asked == ["/tiny.safetensors", "/tiny.safetensors bytes=1000000-", "/tiny.safetensors bytes=1500000-"]
    assert web.seen[1].headers["If-Range"] == '"one"'


def test_it_goes_on_in_another_process(web: FileServer, cache: ModelCache) -> None:
    web.responding = [lambda handler: handler.give(cut_after=1_000_000), lambda handler: handler.answer(403)]
    assert "answers 403" in str(_error(web, cache))

    assert _fetched(web, ModelCache(cache.folder, 1 << 30)) == CONTENT

    assert web.asked[-1] == "/tiny.safetensors bytes=1000000-"


def test_a_part_that_is_whole_is_only_checked(web: FileServer, cache: ModelCache) -> None:
    web.responding = [lambda handler: handler.give(cut_after=1_000_000), lambda handler: handler.answer(403)]
    _error(web, cache)
    with (cache.folder_of(sha256(CONTENT)) / "part").open("ab") as part:
        part.write(CONTENT[1_000_000:])

    assert _fetched(web, cache) == CONTENT
    assert len(web.seen) == 2


def test_a_file_that_has_changed_meanwhile_is_begun_anew(web: FileServer, cache: ModelCache) -> None:
    web.files["/tiny.safetensors"] = safetensors(seed=2)
    web.responding = [lambda handler: handler.give(cut_after=1_000_000, etag='"two"'), lambda handler: handler.answer(403)]
    _error(web, cache)
    web.files["/tiny.safetensors"] = CONTENT

    assert _fetched(web, cache) == CONTENT
    assert web.asked[-1].endswith("bytes=1000000-")


def test_a_server_without_ranges_gives_all_again(web: FileServer, cache: ModelCache) -> None:
    web.responding = [lambda handler: handler.give(cut_after=1_000_000), lambda handler: handler.give(ranges=False)]

    assert _fetched(web, cache) == CONTENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_asked_again(web: FileServer, cache: ModelCache, status: int) -> None:
    web.responding = [lambda handler: handler.answer(status), lambda handler: handler.answer(status)]

    assert _fetched(web, cache) == CONTENT
    assert len(web.seen) == 3


def test_a_server_that_gives_nothing_is_given_up(web: FileServer, cache: ModelCache) -> None:
    web.responding = [lambda handler: handler.answer(503)] * 1000

    error = _error(web, cache, give_up=0.1)

    assert isinstance(error, ModelError)
    assert "tiny.safetensors: cannot be fetched: " in str(error)
    assert "answers 503" in str(error)


def test_nobody_answers(cache: ModelCache) -> None:
    wanted = model("http://127.0.0.1:9/tiny.safetensors", CONTENT, where="lake.yaml:7: models.tiny")

    with pytest.raises(ModelError) as caught:
        fetch([wanted], cache, Hosts(("http://127.0.0.1:9",)), give_up=0.05)

    assert str(caught.value).startswith("lake.yaml:7: models.tiny: tiny.safetensors: cannot be fetched: http://127.0.0.1:9: ")


def test_another_file_is_thrown_away(web: FileServer, cache: ModelCache) -> None:
    web.files["/tiny.safetensors"] = safetensors(seed=2)

    error = _error(web, cache)

    assert f"sha256 must be {sha256(CONTENT)} (got {sha256(web.files['/tiny.safetensors'])})" in str(error)
    assert os.listdir(cache.folder_of(sha256(CONTENT))) == []  # noqa: PTH208 - names


def test_a_wrong_length_costs_nothing(web: FileServer, cache: ModelCache) -> None:
    web.files["/tiny.safetensors"] = safetensors(size=9_000_000)

    error = _error(web, cache)

    assert f"must have {len(CONTENT)} bytes (got 90000" in str(error)
    assert "bytes, which is 9.00 MB)" in str(error)
    assert not (cache.folder_of(sha256(CONTENT)) / "part").exists()


def test_a_stream_without_an_end_is_cut(web: FileServer, cache: ModelCache) -> None:
    endless = safetensors(size=20_000_000)

    def stream(handler: Handler) -> bool:
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(endless)
        return True

    web.responding = [stream]

    assert "sends more than 3.00 MB" in str(_error(web, cache))


@pytest.mark.parametrize(
    "body", [b"<!DOCTYPE html><title>Log in</title>" + b" " * 4_000_000, b"PK\x03\x04" + b"\0" * 4_000_000, b"GGUF"]
)
def test_what_is_no_model_is_not_fetched_to_its_end(web: FileServer, cache: ModelCache, body: bytes) -> None:
    web.files["/tiny.safetensors"] = body
    wanted = model(f"{web.url}/tiny.safetensors", CONTENT, sizes=None)

    error = _error(web, cache, wanted)

    assert "is not a safetensors file (begins with" in str(error)
    assert not (cache.folder_of(sha256(CONTENT)) / "part").exists()


def test_an_answer_from_the_wrong_place_of_the_file_is_refused(web: FileServer, cache: ModelCache) -> None:
    web.responding = [
        lambda handler: handler.give(cut_after=1_000_000),
        lambda handler: handler.answer(206, b"x" * 9, Content_Range="bytes 7-15/3000000"),
    ]

    assert "did not send the requested bytes" in str(_error(web, cache))


def test_a_compressed_answer_is_refused(web: FileServer, cache: ModelCache) -> None:
    web.responding = [lambda handler: handler.answer(200, b"x" * 99, Content_Encoding="gzip")]

    assert "did not send the requested bytes" in str(_error(web, cache))
    assert web.seen[0].headers["Accept-Encoding"] == "identity"


def test_nothing_is_fetched_where_one_may_not_be(web: FileServer, cache: ModelCache) -> None:
    good = model(f"{web.url}/tiny.safetensors", CONTENT)
    bad = [
        model(f"https://{host}/x.safetensors", safetensors(seed=3), where=f"r.yaml:{host}") for host in ("a.example", "b.example")
    ]

    with pytest.raises(UsageError) as caught:
        fetch([good, *bad], cache, Hosts((web.url,)))

    assert [problem.where for problem in caught.value.problems] == ["r.yaml:a.example", "r.yaml:b.example"]
    assert caught.value.problems[0].what == "models may not be fetched from a.example"
    assert caught.value.problems[0].hint == "if you trust it, add it to the config file: models: {hosts: [a.example]}"
    assert web.seen == []


def test_a_local_file_is_copied(cache: ModelCache, tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(CONTENT)
    wanted = model(str(tmp_path / "mine.safetensors"), CONTENT)

    found = fetch([wanted], cache, Hosts())[wanted]
    (tmp_path / "mine.safetensors").unlink()

    assert found.read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_what_is_no_file_is_no_source(cache: ModelCache, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.safetensors"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)

    with pytest.raises(ModelError, match="cannot be read"):
        fetch([model(str(path), CONTENT)], cache, Hosts())


def test_a_file_that_the_disk_cannot_have_is_not_begun(web: FileServer, cache: ModelCache) -> None:
    large = 1 << 60
    web.responding = [lambda handler: handler.answer(200, b"", Content_Length=str(large))]
    wanted = model(f"{web.url}/tiny.safetensors", CONTENT, sizes=None)

    assert "are needed, but the disk has" in str(_error(web, ModelCache(cache.folder, 1 << 62), wanted))


def test_a_disk_that_fills_up_keeps_no_half_file(web: FileServer, cache: ModelCache) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, before[1]))
    try:
        error = _error(web, cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert "cannot be written: file too large" in str(error)
    assert not (cache.folder_of(sha256(CONTENT)) / "part").exists()
    assert _fetched(web, cache) == CONTENT
