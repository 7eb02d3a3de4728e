"""``comfy-runner fleet``: servers of a live run, changed from another process; and what a fleet's run looks like from outside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.support import Running, Typed, recipe_file
from tests.standin import StandIn

Cli = Callable[..., Typed]

pytestmark = pytest.mark.slow  # each starts the command as a process that is changed while it runs

_SEEDS = list(range(1, 9))
_IN_FLIGHT = 2


@pytest.fixture
def other() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


def _sweep(folder: Path) -> str:
    return str(recipe_file(folder, sweep={"seed": _SEEDS}))


def test_two_servers_share_the_jobs_of_one_run(cli: Cli, server: StandIn, other: StandIn, tmp_path: Path) -> None:
    gates = [each.state.hold("history") for each in (server, other)]
    running = Running("run", _sweep(tmp_path), "--server", server.url, "--server", other.url, folder=tmp_path)
    for each in (server, other):
        each.state.until_asked("POST", "/prompt", 1)
    for gate in gates:
        gate.open()
    done = running.end()

    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 2 * len(_SEEDS)
    assert server.state.work().second + other.state.work().second == len(_SEEDS)
    assert min(server.state.work().second, other.state.work().second) > 0
    again = cli("run", _sweep(tmp_path), "--server", server.url, "--server", other.url)
    assert "8 done (8 already)" in again.err


def test_a_server_that_is_added_to_a_live_run_gets_work(cli: Cli, server: StandIn, other: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("history")
    running = Running("run", _sweep(tmp_path), "--server", server.url, folder=tmp_path)
    server.state.until_asked("POST", "/prompt", 1)

    done = cli("fleet", "add", "runs/lake", other.url)

    assert (done.code, done.err) == (0, f"{other.url} joins as soon as it answers\n")
    other.state.until_asked("POST", "/prompt", 1)
    gate.open()
    assert running.end().code == 0
    assert other.state.work().second > 0


def test_a_server_that_is_drained_finishes_what_it_has_and_gets_nothing_more(
    cli: Cli, server: StandIn, other: StandIn, tmp_path: Path
) -> None:
    gates = [each.state.hold("history") for each in (server, other)]
    running = Running("run", _sweep(tmp_path), "--server", server.url, "--server", other.url, folder=tmp_path)
    for each in (server, other):
        each.state.until_asked("POST", "/prompt", 1)

    done = cli("fleet", "drain", "runs/lake", other.url)
    for gate in gates:
        gate.open()

    assert (done.code, done.err) == (0, f"{other.url} finishes what it has, and gets nothing more\n")
    assert running.end().code == 0
    assert 1 <= other.state.work().second <= _IN_FLIGHT
    assert server.state.work().second + other.state.work().second == len(_SEEDS)


@pytest.mark.parametrize("action", ["add", "drain"])
def test_a_bad_address_is_a_mistake_that_the_run_does_not_mind(cli: Cli, server: StandIn, tmp_path: Path, action: str) -> None:
    gate = server.state.hold("history")
    running = Running("run", _sweep(tmp_path), "--server", server.url, folder=tmp_path)
    server.state.until_asked("POST", "/prompt", 1)

    bad = cli("fleet", action, "runs/lake", "ftp://nowhere")
    unknown = cli("fleet", "drain", "runs/lake", "http://127.0.0.1:9")
    gate.open()

    assert bad.code == 2
    assert "ftp" in bad.err
    assert unknown.code == 2
    assert "is not part of this run" in unknown.err
    assert running.end().code == 0
    assert not list((tmp_path / "runs/lake").glob(".fleet*"))


def test_a_folder_without_a_live_run_cannot_be_changed(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    assert cli("run", str(recipe_file(tmp_path)), "--server", server.url).code == 0

    done = cli("fleet", "add", "runs/lake", server.url)

    assert done.code == 5
    assert "no run is active in it" in done.err


def test_the_token_of_the_user_is_not_sent_to_a_server_that_somebody_adds(
    cli: Cli, server: StandIn, other: StandIn, tmp_path: Path
) -> None:
    gate = server.state.hold("history")
    changes = {"COMFY_RUNNER_TOKEN": "secret"}
    running = Running("run", _sweep(tmp_path), "--server", server.url, folder=tmp_path, changes=changes)
    server.state.until_asked("POST", "/prompt", 1)

    cli("fleet", "add", "runs/lake", other.url)
    other.state.until_asked("POST", "/prompt", 1)
    gate.open()

    assert running.end().code == 0
    assert all(asked.headers.get("authorization") == "Bearer secret" for asked in server.state.asked)
    assert not any("authorization" in asked.headers for asked in other.state.asked)


def test_a_job_that_is_impossible_everywhere_is_refused_at_once_with_the_reason_of_each_server(
    cli: Cli, server: StandIn, other: StandIn, tmp_path: Path
) -> None:
    recipe = str(recipe_file(tmp_path, checkpoint="nowhere.safetensors"))

    done = cli("run", recipe, "--server", server.url, "--server", other.url)

    assert done.code == 2
    assert f"that {server.url} has" in done.err
    assert f"that {other.url} has" in done.err
    assert not server.state.requests("POST", "/prompt")


def test_a_fleet_in_the_config_file_is_used_where_the_command_line_names_none(
    cli: Cli, server: StandIn, other: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yaml"
    servers = {"one": {"url": server.url, "in_flight": 1}, "two": {"url": other.url}}
    config.write_text(json.dumps({"fleet": ["one", "two"], "servers": servers}), encoding="utf-8")

    monkeypatch.setenv("COMFY_RUNNER_CONFIG", str(config))
    done = cli("run", _sweep(tmp_path), "--json")

    assert done.code == 0
    records = [json.loads(line) for line in done.out.splitlines()]
    results = [job for record in records if record["event"] == "run-finished" for job in record["jobs"]]
    assert {job["state"] for job in results} == {"done"}
    assert server.state.work().second + other.state.work().second == len(_SEEDS)


@pytest.mark.parametrize("action", ["add", "drain"])
@pytest.mark.parametrize("url", ["http://mary:s3cret@gpu:8188", "mary:s3cret@gpu:8188", "http://gpu:8188?token=s3cret"])
def test_a_password_is_neither_printed_nor_written_into_the_run_folder(cli: Cli, tmp_path: Path, action: str, url: str) -> None:
    folder = tmp_path / "runs" / "lake"
    folder.mkdir(parents=True)

    done = cli("fleet", action, "runs/lake", url)

    assert done.code == 2
    assert "a password or a token is never written to a run folder (got one for " in done.err
    assert "s3cret" not in done.out + done.err
    assert [*folder.iterdir()] == []
