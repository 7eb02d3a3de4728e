"""Runs that are ended from outside: live ones, and what clients that were killed have left on a server."""

from __future__ import annotations

import sqlite3
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from comfy_runner.config import Config, ServerConfig
from comfy_runner.control.cancel import Cancellation, cancel
from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import RunFolderError, ServerStuck, Unreachable
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.planning.capabilities import capabilities_of
from comfy_runner.running.prepare import Preparer
from comfy_runner.store.ledger import FILE
from comfy_runner.store.ledger_rows import PlanRow
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.status import Status, status
from tests.cli.support import Running, recipe_file
from tests.running.support import Room, sidecar_in
from tests.standin import HELD, V0_3_40, Gate, StandIn, State, ViewFault

_SHORT = Timeouts(outage=0.2, idle=5.0, queue=0.02)


def _running(server: StandIn, folder: Path, *names: str) -> tuple[Running, Gate]:
    """Render small recipes with the real command, the first of which stands at its first pass when the second is posted."""
    gate = server.state.hold("first_pass")
    recipes = [str(recipe_file(folder, name=name, seed=seed)) for seed, name in enumerate(names, 1)]
    running = Running("run", *recipes, "--server", server.url, "--out", "out", folder=folder)
    gate.wait()
    server.state.until_asked("POST", "/prompt", 2)
    return running, gate


def _left(server: StandIn, folder: Path, *, place: str = "first_pass", before_post: bool = False) -> Gate:
    """Leave in the folder ``out``, and on the server, what a client leaves that is killed while its job stands at a node."""
    gate, http, key = server.state.hold(place), ComfyHttp(parse_address(server.url)), str(uuid.uuid4())
    room = Room(folder / "out", "lake")
    preparer = Preparer(room.folder, capabilities_of(room.drafts, ObjectInfo(http.object_info(), source=server.url)))
    submission = Submission.of(key, [preparer.prepare(room.drafts[0], prompt_id=key).job])
    room.folder.ledger.submit(key, server=http.address.url, text=submission.to_text(), job_ids=submission.job_ids)
    room.folder.close()
    if not before_post:
        http.submit(submission.workflow.to_api(), prompt_id=key, client_id="gone")
        gate.wait()
    return gate


def _finished(server: StandIn, count: int = 1) -> None:
    """Ask the server until it has ended so many prompts."""
    http, until = ComfyHttp(parse_address(server.url)), time.monotonic() + HELD
    while len(server.state.memory.history) < count:
        assert time.monotonic() < until, "the server did not finish"
        http.queue()


def _cancel(folder: Path, *servers: str, config: Config | None = None, seconds: float = 20.0) -> Cancellation:
    return cancel(folder / "out", servers=servers, config=config or Config(), seconds=seconds, timeouts=_SHORT)


def _states(folder: Path) -> dict[str, str]:
    return {job.row.job_id: job.row.state for job in status(folder / "out").jobs}


def _look(folder: Path) -> Status:
    return status(folder / "out")


# Left by a client that was killed


def test_what_waits_is_deleted_and_what_runs_is_interrupted_and_nobody_elses(server: StandIn, tmp_path: Path) -> None:
    client, _ = _running(server, tmp_path, "a", "b")
    client.process.kill()
    client.end()
    (foreign,) = server.state.add_foreign()
    running, pending = (submission.prompt_id for submission in _look(tmp_path).submissions)

    found = _cancel(tmp_path)

    assert found == Cancellation(None, {"b": "cancelled", "a": "cancelled"})
    assert [asked.body for asked in server.state.requests("POST", "/queue")] == [{"delete": [pending]}]
    assert {asked.body["prompt_id"] for asked in server.state.requests("POST", "/interrupt")} == {running}
    assert _states(tmp_path) == {"a": "cancelled", "b": "cancelled"}
    assert _look(tmp_path).submissions == ()
    _finished(server, 2)
    assert server.state.memory.history[foreign]["status"]["status_str"] == "success"


def test_what_was_finished_meanwhile_is_collected(server: StandIn, tmp_path: Path) -> None:
    _left(server, tmp_path).open()
    _finished(server)

    found = _cancel(tmp_path)

    assert found.ended == {"lake": "done"}
    assert (tmp_path / "out/lake/upscaled.png").is_file()
    assert sidecar_in(tmp_path / "out")["state"] == "done"
    assert server.state.requests("POST", "/interrupt") == []


def test_a_picture_that_was_saved_before_the_interruption_is_kept(server: StandIn, tmp_path: Path) -> None:
    _left(server, tmp_path, place="second_pass")

    found = _cancel(tmp_path)

    assert found.ended == {"lake": "partial"}
    assert (tmp_path / "out/lake/original.png").is_file()
    (job,) = _look(tmp_path).jobs
    assert job.row.error == "cancelled"


def test_pictures_that_a_restarted_server_no_longer_knows_of_are_found_by_their_names(server: StandIn, tmp_path: Path) -> None:
    _left(server, tmp_path).open()
    _finished(server)
    server.state.restart()

    assert _cancel(tmp_path).ended == {"lake": "done"}
    assert sidecar_in(tmp_path / "out")["recovered"] is True


def test_what_a_restarted_server_has_nothing_of_is_cancelled(server: StandIn, tmp_path: Path) -> None:
    _left(server, tmp_path)
    server.state.restart()

    assert _cancel(tmp_path).ended == {"lake": "cancelled"}
    assert _look(tmp_path).submissions == ()


def test_what_was_never_posted_is_cancelled(server: StandIn, tmp_path: Path) -> None:
    _left(server, tmp_path, before_post=True)

    assert _cancel(tmp_path).ended == {"lake": "cancelled"}
    assert server.state.requests("POST", "/interrupt") == []


def test_a_prompt_whose_id_an_old_server_chose_is_taken_back(tmp_path: Path) -> None:
    with StandIn(State(generation=V0_3_40)) as server:
        _left(server, tmp_path)

        assert _cancel(tmp_path).ended == {"lake": "cancelled"}
        assert server.state.memory.running == []


def _rows(ledger: Path) -> list[str]:
    with closing(sqlite3.connect(ledger)) as connection:
        return list(connection.iterdump())


def test_of_a_server_that_does_not_answer_nothing_is_changed_until_it_does(server: StandIn, tmp_path: Path) -> None:
    _left(server, tmp_path)
    before = _rows(tmp_path / "out" / FILE)
    server.state.go_away()

    found = _cancel(tmp_path)

    assert found.ended == {}
    assert [type(error) for error in found.errors] == [Unreachable]
    assert _rows(tmp_path / "out" / FILE) == before
    server.state.come_back()
    assert _cancel(tmp_path).ended == {"lake": "cancelled"}


def test_a_prompt_that_the_server_does_not_let_go_of_stays_in_the_ledger_with_its_id(tmp_path: Path) -> None:
    with StandIn(State(generation=V0_3_40)) as server:
        _left(server, tmp_path)
        server.state.fail_next("/interrupt", 200, times=-1)

        found = _cancel(tmp_path, seconds=0.3)

        assert found.ended == {}
        assert [type(error) for error in found.errors] == [ServerStuck]
        assert [item[1] for item in server.state.memory.running] == [_look(tmp_path).submissions[0].server_prompt_id]


def test_a_picture_that_cannot_be_downloaded_now_is_had_the_next_time(server: StandIn, tmp_path: Path) -> None:
    _left(server, tmp_path).open()
    _finished(server)
    server.state.view_fault = ViewFault.TRUNCATED

    found = _cancel(tmp_path)

    assert (found.ended, len(found.errors)) == ({}, 1)
    assert len(_look(tmp_path).submissions) == 1
    server.state.view_fault = None
    assert _cancel(tmp_path).ended == {"lake": "done"}


def test_the_second_time_there_is_nothing_to_do_and_no_server_is_asked(server: StandIn, tmp_path: Path) -> None:
    _left(server, tmp_path)
    _cancel(tmp_path)
    asked = len(server.state.asked)

    assert _cancel(tmp_path) == Cancellation(None)
    assert len(server.state.asked) == asked


def test_a_prompt_of_what_a_job_no_longer_is_is_taken_back_and_the_job_waits(server: StandIn, tmp_path: Path) -> None:
    _left(server, tmp_path)
    folder = RunFolder(tmp_path / "out")
    changed = PlanRow(
        job_id="lake", position=0, recipe="lake", content_hash="new", pixel_hash="", shares="", assignments={}, requeue="changed"
    )
    folder.ledger.write_plan([changed], recipes=["lake"])
    folder.close()

    assert _cancel(tmp_path) == Cancellation(None)
    assert server.state.memory.running == []
    assert _states(tmp_path) == {"lake": "pending"}
    assert _look(tmp_path).submissions == ()


def test_a_submission_that_nobody_can_read_any_more_is_taken_back_by_its_id(server: StandIn, tmp_path: Path) -> None:
    _left(server, tmp_path)
    with closing(sqlite3.connect(tmp_path / "out" / FILE)) as connection, connection:
        connection.execute("UPDATE submissions SET parcel = 'nonsense'")

    assert _cancel(tmp_path).ended == {"lake": "cancelled"}
    assert len(server.state.requests("POST", "/interrupt")) >= 1


# Credentials


def test_credentials_come_from_the_config_file_by_the_recorded_url(server: StandIn, tmp_path: Path) -> None:
    _left(server, tmp_path)
    config = Config(servers={"studio": ServerConfig(url=server.url + "/", headers={"X-Token": "s3cr3t"})})
    before = len(server.state.asked)

    _cancel(tmp_path, config=config)

    assert {asked.headers.get("x-token") for asked in server.state.asked[before:]} == {"s3cr3t"}


@pytest.mark.parametrize("named", [True, False])
def test_a_token_for_servers_given_by_url_goes_only_to_those_that_the_user_names(
    server: StandIn, tmp_path: Path, named: bool
) -> None:
    _left(server, tmp_path)
    before = len(server.state.asked)

    found = _cancel(tmp_path, *([server.url] if named else []), config=Config(token="s3cr3t"))  # noqa: S106 - no password of anybody

    assert found.ended == {"lake": "cancelled"}
    got = {asked.headers.get("authorization") for asked in server.state.asked[before:]}
    assert got == ({"Bearer s3cr3t"} if named else {None})


@pytest.mark.parametrize("url", ["local", "ftp://gpu", "", "http://a b"])
def test_a_server_that_cannot_be_one_is_an_error_of_the_run_folder(server: StandIn, tmp_path: Path, url: str) -> None:
    _left(server, tmp_path)
    with closing(sqlite3.connect(tmp_path / "out" / FILE)) as connection, connection:
        connection.execute("UPDATE submissions SET server = ?", (url,))

    with pytest.raises(RunFolderError, match="an impossible server"):
        _cancel(tmp_path)


# Live runs


def test_a_live_run_is_asked_to_end_and_its_end_is_waited_for(server: StandIn, tmp_path: Path) -> None:
    running, _ = _running(server, tmp_path, "a", "b", "c")

    found = _cancel(tmp_path)

    assert found.asked is not None
    assert found.asked.pid == running.process.pid
    assert (found.ended, found.errors) == ({}, ())
    assert running.end().code == 130
    assert _look(tmp_path).submissions == ()
    assert server.state.memory.running == server.state.memory.pending == []
    assert not (tmp_path / "out/.cancel").exists()


def test_a_live_run_that_does_not_end_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    try:
        with pytest.raises(RunFolderError, match=r"process \d+ on .* was asked to end, but is still running"):
            _cancel(tmp_path, seconds=0.3)
    finally:
        folder.close()

    assert not (tmp_path / "out/.cancel").exists()


def test_what_is_no_run_folder_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    with pytest.raises(RunFolderError, match="is not a run folder"):
        _cancel(tmp_path)

    assert list((tmp_path / "out").iterdir()) == []
