"""``comfy-runner servers``: blocks for people, an object for programs, and its page, which says the same."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.cli.servers import VERSION, describe, servers_record
from comfy_runner.engine.comfyui.system_info import info_from_stats
from comfy_runner.engine.info import Queued
from comfy_runner.engine.server_status import Standing
from comfy_runner.errors import Unreachable
from tests.cli.support import Typed
from tests.engine.comfyui.support import http, plain_graph
from tests.hostile.values import TEXTS
from tests.standin import EARLY_2024, StandIn, State

Cli = Callable[..., Typed]

_PAGE = (Path(__file__).parents[2] / "docs" / "servers.md").read_text(encoding="utf-8")
_NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def settings(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Write the user's config file."""
    del cli  # which sets none, so it has to come first

    def write(values: dict[str, Any]) -> None:
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps(values), encoding="utf-8")
        monkeypatch.setenv("COMFY_RUNNER_CONFIG", str(path))

    return write


def _blocks(out: str) -> list[list[str]]:
    return [block.splitlines() for block in out.split("\n\n")]


def _named(count: int) -> State:
    return State(models={"checkpoints": [f"SDXL/model-{number:02}.safetensors" for number in range(count)]})


def test_a_server_is_a_block_of_lines_on_stdout(cli: Cli, server: StandIn) -> None:
    gate = server.state.hold("image")
    graph = plain_graph("comfy_runner/lake/lake-s1")
    http(server.url).submit(graph, prompt_id=str(uuid.uuid4()), client_id="somebody")
    gate.wait()
    server.state.add_foreign(2)

    done = cli("servers", "--server", server.url)
    gate.open()

    assert (done.code, done.err) == (0, "")
    head, state, *rest = done.out.splitlines()
    assert head == server.url
    assert re.fullmatch(r"  state    reachable, answers in (\d+ ms|\d+\.\d s)", state)
    assert rest == [
        "  version  ComfyUI 0.3.75, Python 3.12",
        "  like     0.3.57 to 0.3: interrupts a job by its id",
        "  device   stand-in, 8.0 of 8.0 GiB free",
        "  cache    classic",
        "  queue    ours: 1 running; others: 2 pending",
        "  models   2 checkpoints",
        "             SDXL/base.safetensors",
        "             tiny-random-sd15.safetensors",
    ]


def test_one_that_is_dead_is_shown_with_the_reason_beside_the_others_and_is_exit_code_3(cli: Cli, server: StandIn) -> None:
    done = cli("servers", "--server", _NOWHERE, "--server", server.url)

    dead, good = _blocks(done.out)
    assert (done.code, done.err) == (3, "")
    assert dead[:2] == [_NOWHERE, "  state    unreachable: nobody answers (/system_stats)"]
    assert good[0] == server.url
    assert good[1].startswith("  state    reachable, answers in ")


def test_one_that_answers_in_part_is_shown_in_part_and_is_exit_code_3(cli: Cli, server: StandIn) -> None:
    server.state.fail_next("/queue", 403, method="GET")

    done = cli("servers", "--server", server.url)

    assert done.code == 3
    assert re.search(r"  state    reachable, answers in .*, but answered with\s+status 403\s+\(/queue\)\n", done.out)
    assert "  version  ComfyUI 0.3.75" in done.out
    assert "  queue" not in done.out


def test_an_old_windows_server_is_shown_as_far_as_it_tells_with_the_names_that_it_has(cli: Cli) -> None:
    with StandIn(State(generation=EARLY_2024, windows=True)) as old:
        done = cli("servers", "--server", old.url)

    assert done.code == 0
    assert "  version  ComfyUI of an unknown version, Python 3.12\n" in done.out
    assert "  cache    unknown\n" in done.out
    assert "             SDXL\\base.safetensors\n" in done.out


# Which servers


def test_without_one_all_of_the_config_file_are_shown_those_of_the_fleet_first(
    cli: Cli, settings: Callable[[dict[str, Any]], None], server: StandIn
) -> None:
    with StandIn() as other:
        named = {"attic": {"url": _NOWHERE}, "studio": {"url": other.url}}
        settings({"fleet": [server.url, "studio"], "servers": named})
        done = cli("servers")

    assert [block[0] for block in _blocks(done.out)] == [server.url, f"studio  {other.url}", f"attic  {_NOWHERE}"]


def test_without_any_the_default_server_is_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch, server: StandIn) -> None:
    monkeypatch.setenv("COMFY_RUNNER_SERVER", server.url)

    done = cli("servers")

    assert (done.code, [block[0] for block in _blocks(done.out)]) == (0, [server.url])


def test_a_local_comfyui_is_neither_set_up_nor_started(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_RUNNER_LOCAL_HOME", str(tmp_path / "home"))

    done = cli("servers", "--server", "local")

    assert done.code == 3
    assert done.out.startswith("local\n  state    not running\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--server", "ftp://x"), "not the address of a server"),
        (("--server=",), "not the address of a server"),
        (("--server", _NOWHERE, "--server", f"{_NOWHERE}/"), f"a server is given twice (got {_NOWHERE})"),
        (("--cacert", "nowhere.pem"), "does not exist"),
        (("studio",), "unexpected extra argument"),
    ],
)
def test_a_mistake_is_exit_code_2(cli: Cli, args: tuple[str, ...], words: str) -> None:
    done = cli("servers", *args)

    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_no_secret_is_ever_printed(cli: Cli, settings: Callable[[dict[str, Any]], None], server: StandIn) -> None:
    secrets = {"headers": {"Authorization": "Bearer hunter2"}, "query": {"token": "hunter2"}}
    urls = {"good": server.url, "dead": _NOWHERE, "bad": "https://me:hunter2@x:y"}
    settings(
        {"fleet": ["https://me:hunter2@127.0.0.1:9/a"], "servers": {name: {"url": url, **secrets} for name, url in urls.items()}}
    )

    told = [cli("servers", *args) for args in ((), ("--json",), ("--insecure",))]

    assert [done.code for done in told] == [3, 3, 3]
    assert server.state.asked[0].headers["authorization"] == "Bearer hunter2"
    assert "hunter2" not in "".join(done.out + done.err for done in told)
    assert "warning: the certificate of https://127.0.0.1:9/a is not checked\n" in told[2].err


# Long and hostile lists


def test_of_many_models_the_first_are_shown_and_the_rest_counted(cli: Cli) -> None:
    with StandIn(_named(60)) as rich:
        some = cli("servers", "--server", rich.url).out.splitlines()
        every = cli("servers", "--server", rich.url, "--all").out.splitlines()

    assert some[7:] == [
        "  models   60 checkpoints",
        *(f"             SDXL/model-{number:02}.safetensors" for number in range(6)),
        "             and 54 more (--all shows them)",
    ]
    assert every[8:] == [f"             SDXL/model-{number:02}.safetensors" for number in range(60)]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    words = "a card of many words " * 5
    about = info_from_stats("http://x", {"system": {"comfyui_version": words}, "devices": [{"name": words, "vram_total": 1 << 34}]})
    standing = Standing("http://x", about=about, error=Unreachable(words.strip(), where="http://x/queue", hint=words))

    lines = list(describe([standing]))

    assert max(map(len, lines)) <= columns
    assert " ".join(" ".join(lines).split()).count("a card of many words") == 20


def test_hostile_names_neither_steer_the_terminal_nor_look_like_lines_of_ours(cli: Cli) -> None:
    names = ["\x1b]0;pwned\x07.ckpt", "\x9b31m\u202egnp.ckpt", "x\n\nhttp://y\n  state    reachable", "x" * 70_000]
    with StandIn(State(models={"checkpoints": names})) as evil:
        done, told = (cli("servers", "--server", evil.url, "--all", *form) for form in ((), ("--json",)))

    assert done.code == 0
    assert all(char.isprintable() or char == "\n" for char in done.out + told.out)
    assert len(done.out.splitlines()) == 8 + len(names)
    assert len(done.out) < 2000
    assert json.loads(told.out)["servers"][0]["checkpoints"] == names


@pytest.mark.parametrize("text", [*TEXTS, "9" * 4000])
def test_whatever_a_server_says_of_itself_is_shown_in_a_few_lines(text: str) -> None:
    system = {"comfyui_version": text, "python_version": text, "pytorch_version": text}
    devices = [{"name": text, "vram_total": 10**4200, "vram_free": 10**400}]
    about = info_from_stats("http://x", {"system": system, "devices": devices})

    lines = list(describe([Standing("http://x", text[:50], about, ours=Queued(10**20), others=Queued())]))

    assert not any("\n" in line for line in lines)
    assert len(lines) < 40


# JSON


def _documented() -> dict[str, set[str]]:
    """Return the keys of a server that the page names, each with those of what is in it."""
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|$", _PAGE.split("`--json` prints one object")[1], flags=re.MULTILINE)
    return {key: set(re.findall(r"`([a-z_]+)`", text)) for keys, text in rows for key in re.findall(r"`([a-z_]+)`", keys)}


def test_json_is_one_object_and_every_key_is_documented(cli: Cli, server: StandIn) -> None:
    done = cli("servers", "--server", server.url, "--server", _NOWHERE, "--json")

    found = json.loads(done.out)
    documented = _documented()
    assert (done.code, found["v"], set(found)) == (3, VERSION, {"v", "servers"})
    for record in found["servers"]:
        assert set(record) <= set(documented)
        for key, value in record.items():
            inner = value[0] if isinstance(value, list) and value else value
            assert not isinstance(inner, dict) or set(inner) <= documented[key] | documented["ours"], key
    good, dead = found["servers"]
    assert (good["url"], good["reachable"], good["error"], good["comfyui"]) == (server.url, True, None, "0.3.75")
    assert good["devices"] == [{"name": "stand-in", "vram_total": 8 << 30, "vram_free": 8 << 30}]
    assert good["latency_seconds"] > 0
    assert good["ours"] == good["others"] == {"running": 0, "pending": 0}
    assert good["checkpoints"] == ["SDXL/base.safetensors", "tiny-random-sd15.safetensors"]
    assert (dead["reachable"], dead["comfyui"], dead["devices"], dead["ours"]) == (False, None, [], None)
    assert (dead["error"]["code"], dead["error"]["exit_code"]) == ("unreachable", 3)
    assert dead["error"]["problems"][0]["where"] == f"{_NOWHERE}/system_stats"


def test_every_key_that_the_page_names_is_there() -> None:
    (record,) = servers_record([Standing("http://x")])["servers"]

    assert set(record) == set(_documented())


def test_json_of_a_command_that_fails_is_an_error(cli: Cli) -> None:
    done = cli("servers", "--server", "ftp://x", "--json")

    record = json.loads(done.out)
    assert (done.code, record["event"], record["code"]) == (2, "error", "usage")
