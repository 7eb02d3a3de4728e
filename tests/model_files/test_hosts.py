"""Which hosts models are fetched from, redirects included, and who is sent which token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from comfy_runner.errors import ModelError, UsageError
from comfy_runner.model_files.cache import ModelCache
from comfy_runner.model_files.fetch import fetch
from comfy_runner.model_files.hosts import Hosts, told_host
from tests.model_files.support import FileServer, file_server, model, safetensors

CONTENT = safetensors(size=1000)
HOSTS = Hosts(("huggingface.co", "*.example.org", "http://nas:8000", "s3://bucket", "https://[::1]:8443"))


@pytest.fixture
def webs() -> Iterator[tuple[FileServer, FileServer]]:
    """A server that redirects, and the one that has the file."""
    with file_server(tiny=CONTENT) as first, file_server(tiny=CONTENT) as second:
        first.responding = [lambda handler: handler.answer(302, Location=f"{second.url}/tiny.safetensors?signed=1")] * 9
        yield first, second


@pytest.mark.parametrize(
    "url",
    [
        "https://huggingface.co/a/b.safetensors",
        "https://HuggingFace.co:443/a/b.safetensors",
        "https://models.example.org/x.gguf",
        "https://a.b.example.org/x.gguf",
        "http://nas:8000/x.onnx",
        "s3://bucket/models/x.onnx",
        "https://[::1]:8443/x.onnx",
    ],
)
def test_allowed(url: str) -> None:
    assert HOSTS.allows(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://huggingface.co/a/b.safetensors",
        "https://huggingface.co:8443/a/b.safetensors",
        "https://huggingface.co./a/b.safetensors",
        "https://huggingface.co.evil.example/a/b.safetensors",
        "https://evilhuggingface.co/a/b.safetensors",
        "https://huggingface.co@evil.example/a/b.safetensors",
        "https://evil.example\\@huggingface.co/a/b.safetensors",
        "https://evil.example#@huggingface.co/a.safetensors",
        "https://evil.example/?https://huggingface.co/a.safetensors",
        "https://huggingface.co:x/a.safetensors",
        "https://\uff48uggingface.co/a.safetensors",
        "https://cas-bridge.xethub.hf.co/x",
        "https://example.org/x.gguf",
        "https://notexample.org/x.gguf",
        "http://nas/x.onnx",
        "https://nas:8000/x.onnx",
        "s3://other/x.onnx",
        "file:///etc/passwd",
        "https:///etc/passwd",
        "//huggingface.co/x",
        "huggingface.co/x",
        "https://127.0.0.1/x",
        "https://[::1",
        "",
    ],
)
def test_not_allowed(url: str) -> None:
    assert not HOSTS.allows(url)
    with pytest.raises(UsageError):
        HOSTS.refuse(url)


def test_a_hosts_own_storage_is_allowed_only_where_it_leads_there() -> None:
    for url in (
        "https://cas-bridge.xethub.hf.co/x?X-Amz-Signature=1",
        "https://cdn-lfs-us-1.hf.co/x",
        "https://cdn-lfs.huggingface.co/x",
    ):
        assert HOSTS.allows(url, redirected=True)
        assert not HOSTS.allows(url)
        assert not Hosts(("other.example",)).allows(url, redirected=True)
    assert not HOSTS.allows("http://cdn-lfs.hf.co/x", redirected=True)
    assert not HOSTS.allows("https://hf.co.evil.example/x", redirected=True)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://huggingface.co/a?b", "huggingface.co"),
        ("http://nas:8000/x", "http://nas:8000"),
        ("https://h:8443/x", "h:8443"),
        ("s3://b/k", "s3://b"),
    ],
)
def test_a_host_is_told_as_the_config_file_takes_it(url: str, host: str) -> None:
    assert told_host(url) == host
    assert Hosts((host,)).allows(url)


def test_a_token_is_that_of_the_very_host() -> None:
    hosts = Hosts((), {"huggingface.co": "one", "http://nas:8000": "two", "*.example.org": "three"})

    assert hosts.token_for("https://huggingface.co/x") == "one"
    assert hosts.token_for("http://nas:8000/x") == "two"
    assert [
        hosts.token_for(url) for url in ("http://huggingface.co/x", "https://cdn.huggingface.co/x", "https://a.example.org/x")
    ] == [""] * 3
    assert "one" not in repr(hosts)


def test_a_redirect_leads_only_to_allowed_hosts(webs: tuple[FileServer, FileServer], tmp_path: Path) -> None:
    first, second = webs
    wanted = model(f"{first.url}/tiny.safetensors", CONTENT)

    with pytest.raises(UsageError) as caught:
        fetch([wanted], ModelCache(tmp_path, 1 << 30), Hosts((first.url,)))

    assert caught.value.problems[0].what == f"redirects to {second.url}, from which models may not be fetched"
    assert second.seen == []


def test_a_token_does_not_follow_a_redirect(
    webs: tuple[FileServer, FileServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = webs
    (tmp_path / "netrc").write_text("default login me password hidden\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wanted = model(f"{first.url}/tiny.safetensors", CONTENT)

    fetch([wanted], ModelCache(tmp_path / "cache", 1 << 30), Hosts((first.url, second.url), {first.url: "secret"}))

    assert first.seen[0].headers["Authorization"] == "Bearer secret"
    assert "Authorization" not in second.seen[0].headers
    assert "Cookie" not in second.seen[0].headers
    # Neither the token nor what the redirect was signed with is kept anywhere.
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*.json"))
    assert b"secret" not in kept
    assert b"signed" not in kept


def test_redirects_come_to_an_end(tmp_path: Path) -> None:
    with file_server() as web:
        web.responding = [lambda handler: handler.answer(302, Location="/again")] * 100
        wanted = model(f"{web.url}/x.safetensors", CONTENT)

        with pytest.raises(ModelError, match="redirects more than 8 times"):
            fetch([wanted], ModelCache(tmp_path, 1 << 30), Hosts((web.url,)))


@pytest.mark.parametrize(("status", "hint"), [(401, "give a token for"), (403, "is not enough"), (404, "check the URL")])
def test_what_a_host_refuses_has_a_way_out(tmp_path: Path, status: int, hint: str) -> None:
    with file_server() as web:
        web.responding = [lambda handler: handler.answer(status)]
        hosts = Hosts((web.url,), {web.url: "secret"} if status == 403 else {})

        with pytest.raises(ModelError, match=f"answers {status}") as caught:
            fetch([model(f"{web.url}/x.safetensors", CONTENT)], ModelCache(tmp_path, 1 << 30), hosts)

    assert hint in caught.value.problems[0].hint
    assert "secret" not in str(caught.value) + caught.value.problems[0].hint
