"""How servers stand: each is asked on its own, what is known of it is kept, and nothing that is wrong with one is raised."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import servers
from comfy_runner.config import Config, LocalConfig, ServerConfig
from comfy_runner.engine.comfyui.engine import queue_status
from comfy_runner.engine.info import Queued, QueueStatus
from comfy_runner.engine.local import start, stop
from comfy_runner.engine.registry import local_options
from comfy_runner.engine.server_status import Standing, ask_all, model_names
from comfy_runner.engine.timeouts import RequestTimeouts
from comfy_runner.errors import LocalError, ServerRefused, Unreachable, UsageError
from comfy_runner.graph.object_info import ObjectInfo
from tests.engine.comfyui.support import http, plain_graph
from tests.engine.local.fakes import another_program, make_checkout
from tests.standin import EARLY_2024, StandIn, State

_CONFIG = Config()
_UNHURRIED = RequestTimeouts(connect=30.0, read=30.0, answer=2.0)
_NOWHERE = "http://127.0.0.1:9"


def _ask(*urls: str, **options: Any) -> tuple[Standing, ...]:
    return ask_all([ServerConfig(url=url) for url in urls], _CONFIG, **options)


def _post(server: StandIn, prefix: str, *, color: int) -> None:
    graph = plain_graph(prefix, color=color)
    assert http(server.url).submit(graph, prompt_id=str(uuid.uuid4()), client_id="somebody").status == 200


def _loader(name: str, input_name: str, options: Any) -> dict[str, Any]:
    return {name: {"input": {"required": {input_name: options}}}}


def test_a_server_tells_what_it_is_and_has(server: StandIn) -> None:
    (found,) = _ask(server.url)

    assert (found.url, found.name, found.error) == (server.url, "", None)
    assert found.about is not None
    assert (found.about.comfyui, found.about.cache, found.about.devices[0].name) == ("0.3.75", "classic", "stand-in")
    assert (found.ours, found.others) == (Queued(), Queued())
    assert found.checkpoints == ("SDXL/base.safetensors", "tiny-random-sd15.safetensors")
    assert found.latency_seconds is not None
    assert found.latency_seconds > 0


def test_nothing_is_changed_and_little_is_asked(server: StandIn) -> None:
    _ask(server.url)

    assert {asked.method for asked in server.state.asked} == {"GET"}
    assert [asked.path for asked in server.state.asked if asked.path != "/system_stats"] == [
        "/queue",
        "/object_info/CheckpointLoaderSimple",
        "/object_info/UNETLoader",
    ]


def test_a_server_of_early_2024_tells_all_but_its_version() -> None:
    with StandIn(State(generation=EARLY_2024)) as old:
        (found,) = _ask(old.url)

    assert (found.error, found.about and found.about.comfyui) == (None, "unknown")
    assert found.checkpoints == ("SDXL/base.safetensors", "tiny-random-sd15.safetensors")


def test_ours_are_told_from_others_by_their_file_prefixes(server: StandIn) -> None:
    gate = server.state.hold("image")
    _post(server, "comfy_runner/lake/lake-s1-original", color=1)
    gate.wait()
    _post(server, "comfy_runner/hill/hill-s1-original", color=2)
    _post(server, "comfy_runner", color=3)
    server.state.add_foreign(2)

    (found,) = _ask(server.url)
    gate.open()

    assert (found.ours, found.others) == (Queued(running=1, pending=1), Queued(pending=3))


def test_what_is_no_prompt_in_a_queue_is_not_ours() -> None:
    ours = [1, "a", {"9": {"inputs": {"filename_prefix": "comfy_runner/x"}}}, {}, []]

    assert queue_status({"queue_running": [ours, [], 5], "queue_pending": {}}) == QueueStatus(Queued(running=1))
    assert queue_status({}) == QueueStatus()


def test_one_that_is_dead_and_one_that_hangs_keep_nobody_from_answering(server: StandIn) -> None:
    with StandIn() as hanging:
        gate = hanging.state.hold("GET /system_stats")
        dead, late, good = _ask(_NOWHERE, hanging.url, server.url, timeouts=_UNHURRIED, limit=60.0)
        gate.open()

    assert isinstance(dead.error, Unreachable)
    assert str(dead.error) == f"{_NOWHERE}/system_stats: nobody answers"
    assert str(late.error) == f"{hanging.url}/system_stats: took longer than 2 seconds to answer"
    assert [standing.about for standing in (dead, late)] == [None, None]
    assert [standing.latency_seconds for standing in (dead, late)] == [None, None]
    assert good.error is None


def test_whoever_has_not_answered_in_the_end_is_not_waited_for(server: StandIn) -> None:
    gate = server.state.hold("GET /queue")
    (found,) = _ask(server.url, limit=0.0)
    gate.open()

    assert isinstance(found.error, Unreachable)
    assert str(found.error) == f"{server.url}: did not answer everything within 0 seconds"
    assert found.ours is None


def test_what_a_server_has_told_before_something_went_wrong_is_kept(server: StandIn) -> None:
    server.state.fail_next("/queue", 403, method="GET")

    (found,) = _ask(server.url)

    assert isinstance(found.error, ServerRefused)
    assert found.about is not None
    assert found.latency_seconds is not None
    assert (found.ours, found.checkpoints) == (None, ())


def test_a_login_page_is_no_server(server: StandIn) -> None:
    server.state.login_page = True

    (found,) = _ask(server.url)

    assert (found.about, found.error and found.error.code) == (None, "refused")


def test_a_program_that_answers_everything_with_the_same_is_read_as_far_as_it_makes_sense() -> None:
    answer = {
        "system": {},
        "devices": "none",
        "queue_running": 5,
        "queue_pending": [None, [0, "x", {}]],
        **_loader("UNETLoader", "unet_name", ["COMBO", {"options": ["flux.safetensors", None, 7]}]),
    }
    with another_program(answer=answer) as port:
        (found,) = _ask(f"http://127.0.0.1:{port}")

    assert (found.error, found.ours, found.others) == (None, Queued(), Queued(pending=1))
    assert (found.checkpoints, found.diffusion_models) == ((), ("flux.safetensors",))


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        None,
        _loader("Other", "ckpt_name", [["a"]]),
        _loader("Loader", "other", [["a"]]),
        _loader("Loader", "ckpt_name", ["COMBO", {}]),
        _loader("Loader", "ckpt_name", "a"),
    ],
)
def test_a_loader_that_lists_nothing_has_no_models(answer: Any) -> None:
    assert model_names(lambda _loader: ObjectInfo(answer, source=""), "Loader", "ckpt_name") == ()


def test_the_token_of_a_server_goes_to_it_and_is_in_no_standing(server: StandIn) -> None:
    config = Config(servers={"studio": ServerConfig(url=server.url, headers={"Authorization": "Bearer hunter2"})})

    (found,) = servers("studio", config=config)

    assert (found.name, found.error) == ("studio", None)
    assert {asked.headers["authorization"] for asked in server.state.asked} == {"Bearer hunter2"}
    assert "hunter2" not in repr(found)


def test_a_wrong_address_in_the_settings_is_shown_and_one_that_is_given_is_a_mistake(server: StandIn) -> None:
    config = Config(servers={"bad": ServerConfig(url="ftp://me:hunter2@x"), "good": ServerConfig(url=server.url)})

    bad, good = servers(config=config)
    with pytest.raises(UsageError, match="not the address of a server"):
        servers(["good", "bad"], config=config)

    assert (bad.name, bad.url, bad.error and bad.error.code) == ("bad", "ftp://x", "usage")
    assert "hunter2" not in str(bad.error)
    assert good.error is None


def test_a_local_comfyui_that_does_not_run_is_shown_and_is_not_set_up(tmp_path: Path) -> None:
    config = Config(local=LocalConfig(home=tmp_path / "home"), servers={"here": ServerConfig(url="local")})

    found = servers(["local", ServerConfig(url=_NOWHERE)], config=config)
    (named,) = servers("here", config=config)

    assert [(standing.name, standing.url) for standing in found] == [("local", ""), ("", _NOWHERE)]
    assert isinstance(found[0].error, LocalError)
    assert str(found[0].error) == "local: not running"
    assert named.name == "here"
    assert not (tmp_path / "home").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the managed ComfyUI is for Linux and macOS")
def test_a_local_comfyui_that_runs_is_asked_where_it_runs(tmp_path: Path) -> None:
    local = LocalConfig(home=tmp_path / "home", comfyui=make_checkout(tmp_path / "checkout"), python=Path(sys.executable))
    config = Config(local=local)
    running = start(local_options(config), say=lambda _sentence: None)
    try:
        (found,) = servers("local", config=config)
    finally:
        stop(local_options(config))

    assert (found.name, found.url, found.error) == ("local", running.url, None)
