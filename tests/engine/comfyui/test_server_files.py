"""Finding files again by their names alone."""

from __future__ import annotations

import uuid

import pytest

from comfy_runner.engine.comfyui.server_files import ServerFiles
from comfy_runner.engine.reports import Finished, Submitted
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import ServerFile
from comfy_runner.errors import ServerError, ServerRefused, Unreachable
from tests.engine.comfyui.support import Server, following, plain_graph, prefix, sampler_graph
from tests.standin import State, ViewFault


@pytest.mark.parametrize("name", ["plain", "smörgås 漢字 🎨", "a b+c&d=e?f#g;h", "x [1] (2) 'y' 100%"])
def test_the_files_of_a_forgotten_job_are_those_that_its_history_named(server: Server, name: str) -> None:
    name = f"comfy_runner-test/{uuid.uuid4().hex[:8]} {name}"
    with following(server) as rig:
        rig.submit(sampler_graph(name))
        prompt_id = rig.until(Submitted).prompt_id
        report = rig.end()
    assert isinstance(report, Finished)
    server.http.forget([prompt_id])
    prefixes = {"save": f"{name}-original", "save_up": f"{name}-upscaled"}
    assert ServerFiles(server.http, Timeouts()).find_files(prefixes) == report.verdict.files


def test_all_pictures_of_a_batch_are_found(server: Server) -> None:
    name, graph = prefix(), plain_graph()
    graph["image"]["inputs"]["batch_size"] = 3
    graph["save"]["inputs"]["filename_prefix"] = name
    with following(server) as rig:
        files = rig.finish(graph).verdict.files
    assert len(files["save"]) == 3
    assert ServerFiles(server.http, Timeouts()).find_files({"save": name}) == files


def test_a_prefix_without_a_folder_is_looked_for_in_no_folder(server: Server) -> None:
    name = f"comfy_runner-test-{uuid.uuid4().hex}"
    with following(server) as rig:
        files = rig.finish(plain_graph(name)).verdict.files
    assert (
        ServerFiles(server.http, Timeouts()).find_files({"save": name})
        == files
        == {"save": (ServerFile(f"{name}_00001_.png", "", "output"),)}
    )


def test_what_was_never_saved_is_not_found(server: Server) -> None:
    name = prefix()
    with following(server) as rig:
        rig.finish(plain_graph(f"{name}-original"))
    prefixes = {"save": f"{name}-original", "save_up": f"{name}-upscaled", "odd": "comfy_runner-test/no/such/folder"}
    assert set(ServerFiles(server.http, Timeouts()).find_files(prefixes)) == {"save"}


def test_nothing_is_looked_for_where_there_are_no_prefixes(faulty: Server, state: State) -> None:
    assert ServerFiles(faulty.http, Timeouts()).find_files({}) == {}
    assert state.asked == []


def test_nothing_is_downloaded(faulty: Server, state: State) -> None:
    name = prefix()
    with following(faulty) as rig:
        rig.finish(plain_graph(name))
    assert set(ServerFiles(faulty.http, Timeouts()).find_files({"save": name})) == {"save"}
    assert state.requests("GET", "/view") == []


def test_files_that_outlive_a_restart_are_found_also_on_a_windows_server(faulty: Server, state: State) -> None:
    state.windows = True
    name = f"comfy_runner-test/deeper/{uuid.uuid4().hex}"
    with following(faulty) as rig:
        rig.finish(plain_graph(name))
    state.restart()
    stem = name.rpartition("/")[2]
    expected = ServerFile(f"{stem}_00001_.png", "comfy_runner-test/deeper", "output")
    assert ServerFiles(faulty.http, Timeouts()).find_files({"save": name}) == {"save": (expected,)}


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n"])
def test_a_picture_that_was_being_written_is_found_too(faulty: Server, state: State, data: bytes) -> None:
    (state.files / "output" / "torn_00001_.png").write_bytes(data)
    assert ServerFiles(faulty.http, Timeouts()).find_files({"save": "torn"}) == {
        "save": (ServerFile("torn_00001_.png", "", "output"),)
    }


def test_downloads_that_go_wrong_are_no_matter(faulty: Server, state: State) -> None:
    name = prefix()
    with following(faulty) as rig:
        files = rig.finish(plain_graph(name)).verdict.files
    state.view_fault = ViewFault.TRUNCATED
    assert ServerFiles(faulty.http, Timeouts()).find_files({"save": name}) == files


def test_a_server_that_is_gone_is_an_error_and_no_loss_of_files(faulty: Server, state: State) -> None:
    state.go_away()
    with pytest.raises(Unreachable):
        ServerFiles(faulty.http, Timeouts()).find_files({"save": prefix()})


@pytest.mark.parametrize("status", [302, 401, 403, 429, 500, 503])
def test_an_answer_that_says_neither_yes_nor_no_is_an_error(faulty: Server, state: State, status: int) -> None:
    state.fail_next("/view", status, method="HEAD")
    with pytest.raises(ServerRefused) as caught:
        ServerFiles(faulty.http, Timeouts()).find_files({"save": prefix()})
    assert caught.value.status == status


def test_a_login_page_is_no_picture(faulty: Server, state: State) -> None:
    state.fail_next("/view", 200, method="HEAD", times=-1, body="<html>please log in</html>")
    with pytest.raises(ServerError):
        ServerFiles(faulty.http, Timeouts()).find_files({"save": prefix()})
