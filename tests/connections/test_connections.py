"""The command against a server behind TLS, a token and a path prefix; and where the token never shows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.connections.proxy import Proxy
from tests.real.support import comfy_runner
from tests.standin import StandIn

_SECRET = "s3cret-t0ken-0815"  # noqa: S105 - planted, to be looked for
_NO_CONFIG = {"COMFY_RUNNER_CONFIG": os.devnull}
_FAST = ("--set", "sampler.steps=2", "--set", "size={width: 64, height: 64}")


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    folder = tmp_path / "proxy"
    folder.mkdir()
    with StandIn() as server, Proxy(server.url, token=_SECRET, folder=folder) as found:
        yield found


def _config(folder: Path, proxy: Proxy, **server: object) -> Mapping[str, str]:
    path = folder / "config.yaml"
    path.write_text(json.dumps({"server": "studio", "servers": {"studio": {"url": proxy.url, **server}}}), encoding="utf-8")
    return {"COMFY_RUNNER_CONFIG": str(path)}


def _is_done(folder: Path) -> bool:
    return (folder / "runs" / "quickstart" / "quickstart" / "upscaled.png").is_file()


@pytest.mark.parametrize(
    "door", [{"headers": {"Authorization": "Bearer ${STUDIO}"}}, {"query": {"token": "${STUDIO}"}}], ids=["header", "query"]
)
def test_a_token_of_the_config_file_opens_http_websocket_and_view(proxy: Proxy, tmp_path: Path, door: dict[str, object]) -> None:
    settings = _config(tmp_path, proxy, cacert=str(proxy.cacert), **door)

    done = comfy_runner("run", "quickstart", *_FAST, folder=tmp_path, environment={**settings, "STUDIO": _SECRET})

    assert _is_done(tmp_path)
    assert "First pass" in done.stderr, "progress comes over the websocket"
    assert {"/ws", "/prompt", "/view"} <= {path for path, _ in proxy.headers}
    assert [path for path, headers in proxy.headers if "origin" in headers] == []


@pytest.mark.parametrize(
    "secret",
    [{"COMFY_RUNNER_TOKEN": _SECRET}, {"COMFY_RUNNER_QUERY": f"token={_SECRET}"}],
    ids=["bearer", "query"],
)
def test_a_token_of_the_environment_goes_to_the_server_that_is_given_by_its_url(
    proxy: Proxy, tmp_path: Path, secret: dict[str, str]
) -> None:
    args = ("run", "quickstart", *_FAST, "--server", proxy.url, "--cacert", str(proxy.cacert))

    comfy_runner(*args, folder=tmp_path, environment={**_NO_CONFIG, **secret})

    assert _is_done(tmp_path)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_that_the_environment_names_hold_for_http_and_websocket(proxy: Proxy, tmp_path: Path, variable: str) -> None:
    others = {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": ""}
    environment = {**_NO_CONFIG, **others, "COMFY_RUNNER_TOKEN": _SECRET, variable: str(proxy.cacert)}

    done = comfy_runner("run", "quickstart", *_FAST, "--server", proxy.url, folder=tmp_path, environment=environment)

    assert _is_done(tmp_path)
    assert "First pass" in done.stderr, "progress comes over the websocket"
    assert {"/ws", "/prompt", "/view"} <= {path for path, _ in proxy.headers}


def test_a_file_without_certificates_is_told_with_its_path(proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing", encoding="utf-8")
    environment = {**_NO_CONFIG, "REQUESTS_CA_BUNDLE": str(tmp_path / "none.pem")}

    done = comfy_runner("run", "quickstart", "--server", proxy.url, folder=tmp_path, code=2, environment=environment)

    assert "none.pem: its certificates cannot be read" in done.stderr


def test_an_unknown_certificate_is_refused_with_the_way_out(proxy: Proxy, tmp_path: Path) -> None:
    args = ("run", "quickstart", "--server", proxy.url)

    done = comfy_runner(*args, folder=tmp_path, code=3, environment={**_NO_CONFIG, "COMFY_RUNNER_TOKEN": _SECRET})

    assert "the TLS connection failed" in done.stderr
    assert "--cacert FILE" in done.stderr


def test_insecure_goes_on_without_a_check_and_says_so_once(proxy: Proxy, tmp_path: Path) -> None:
    args = ("run", "quickstart", *_FAST, "--server", proxy.url, "--insecure")

    done = comfy_runner(*args, folder=tmp_path, environment={**_NO_CONFIG, "COMFY_RUNNER_TOKEN": _SECRET})

    assert _is_done(tmp_path)
    assert done.stderr.count("is not checked") == 1
    assert "InsecureRequestWarning" not in done.stderr


def test_a_login_page_is_explained_and_the_redirect_is_not_followed(proxy: Proxy, tmp_path: Path) -> None:
    args = ("run", "quickstart", "--server", proxy.url, "--cacert", str(proxy.cacert))

    done = comfy_runner(*args, folder=tmp_path, code=3, environment=_NO_CONFIG)

    assert "answered with status 302" in done.stderr
    assert "a login page or a proxy is in between" in done.stderr
    assert "/login" not in {path for path, _ in proxy.headers}


@pytest.mark.parametrize("server_answers", [True, False], ids=["it works", "it fails"])
def test_no_secret_reaches_a_file_or_a_terminal(proxy: Proxy, tmp_path: Path, server_answers: bool) -> None:
    url = proxy.url.replace("https://", f"https://user:{_SECRET}@")
    door = {"headers": {"X-Key": _SECRET, "Authorization": f"Bearer {_SECRET}"}, "query": {"token": _SECRET}}
    settings = _config(tmp_path, proxy, cacert=str(proxy.cacert), **door)
    args = ["run", "quickstart", *_FAST, "--json", "-v"]
    if not server_answers:
        args += ["--server", url.replace(proxy.url.rsplit(":", 1)[1], "9/comfy")]

    done = comfy_runner(
        *args, folder=tmp_path, code=0 if server_answers else 3, environment={**settings, "COMFY_RUNNER_TOKEN": _SECRET}
    )

    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "config.yaml"]
    assert files
    assert [path for path in files if _SECRET.encode() in path.read_bytes()] == []
    assert _SECRET not in done.stdout + done.stderr


def test_a_missing_variable_is_named_with_its_place(proxy: Proxy, tmp_path: Path) -> None:
    settings = _config(tmp_path, proxy, headers={"Authorization": "Bearer ${NOT_THERE}"})

    done = comfy_runner("run", "quickstart", folder=tmp_path, code=2, environment=settings)

    assert "config.yaml:1: servers.studio.headers.Authorization: the environment has no NOT_THERE" in done.stderr
