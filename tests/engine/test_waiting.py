"""Servers that are just starting: they are waited for once, said once, and no longer than was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from comfy_runner.config import Config
from comfy_runner.engine.registry import connect_all
from tests.cli.support import Running, recipe_file, typed
from tests.standin import StandIn
from tests.standin.server import _bound


@pytest.fixture
def port() -> Iterator[int]:
    """A port at which nobody listens yet, and that nobody else gets."""
    with _bound(0) as held:
        yield held.getsockname()[1]


def test_a_run_begins_once_its_server_answers(tmp_path: Path, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    running = Running("run", str(recipe_file(tmp_path)), "--server", url, "--wait", "60", folder=tmp_path)
    running.wait_for(f"waiting up to 60 s for {url} to answer")

    with StandIn(port=port):
        ended = running.end()

    assert ended.code == 0, ended.err
    assert ended.err.count("waiting up to") == 1
    assert len(ended.out.splitlines()) == 2


@pytest.mark.parametrize("command", ["plan", "validate", "find"])
def test_one_that_never_answers_is_the_usual_error(command: str, tmp_path: Path, port: int) -> None:
    over = ("--over", "upscale.denoise=0.3:0.6:0.1") if command == "find" else ()
    given = (str(recipe_file(tmp_path)), *over, "--server", f"http://127.0.0.1:{port}", "--wait", "0.1")

    found = typed(command, *given, folder=tmp_path)

    assert found.code == 3
    assert found.err.count("waiting up to") == 1
    assert "nobody answers" in found.err


def test_of_several_servers_all_are_waited_for_together(port: int) -> None:
    said: list[str] = []
    with StandIn() as early, ExitStack() as later:

        def say(sentence: str) -> None:
            said.append(sentence)
            later.enter_context(StandIn(port=port))

        first, second = connect_all([early.url, f"http://127.0.0.1:{port}"], Config(wait=60), say=say)
        assert {engine.engine.info().comfyui for engine in (first, second)} == {"0.3.75"}

    assert said == [f"waiting up to 60 s for http://127.0.0.1:{port} to answer"]


def test_one_that_refuses_us_is_not_waited_for(server: StandIn) -> None:
    said: list[str] = []
    server.state.fail_next("/system_stats", 401, method="GET")

    connect_all([server.url], Config(wait=3600), say=said.append)

    assert said == []
    assert len(server.state.asked) == 1


def test_nothing_is_asked_without_a_wish_to_wait(server: StandIn) -> None:
    connect_all([server.url], Config())

    assert server.state.asked == []
