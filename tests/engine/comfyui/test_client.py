"""The HTTP routes, on the stand-in and on a real ComfyUI alike; faults on the stand-in only."""

from __future__ import annotations

import io
import socket
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from PIL import Image

from comfy_runner._version import __version__
from comfy_runner.engine.comfyui.address import Address, parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp, HttpAnswer
from comfy_runner.engine.comfyui.connections import credentials, proxy_of
from comfy_runner.engine.reports import Finished, Submitted
from comfy_runner.engine.timeouts import RequestTimeouts
from comfy_runner.engine.verdict import Conclusion
from comfy_runner.errors import ComfyRunnerError, ServerRefused, Unreachable, WorkflowError
from comfy_runner.graph.object_info import ObjectInfo
from tests.engine.comfyui.support import Server, following, http, plain_graph, prefix
from tests.standin import StandIn, State, ViewFault


def submit(client: ComfyHttp, graph: Any) -> HttpAnswer:
    return client.submit(graph, prompt_id=str(uuid.uuid4()), client_id="me")


def download(client: ComfyHttp, filename: str, *, subfolder: str = "", kind: str = "output") -> bytes:
    with client.view(filename, subfolder=subfolder, kind=kind) as chunks:
        return b"".join(chunks)


@pytest.fixture
def saved(server: Server) -> tuple[str, str]:
    """The name and folder of a picture of 64 x 48 pixels on the server."""
    with following(server) as rig:
        (file,) = rig.finish(plain_graph(f"comfy_runner-test/smörgås [1] {uuid.uuid4().hex[:6]}")).verdict.files["save"]
    return file.filename, file.subfolder


# On both


def test_system_stats_name_the_system_and_the_devices(server: Server) -> None:
    found = server.http.system_stats()
    assert found["system"]["python_version"]
    assert found["devices"]


def test_object_info_describes_classes(server: Server) -> None:
    assert server.http.object_info()["SaveImage"]["output_node"] is True


def test_an_unknown_prompt_has_no_history(server: Server) -> None:
    assert server.http.history(str(uuid.uuid4())) is None


@pytest.mark.parametrize("prompt_id", ["../queue", "a/b", "x?clear=true", "#", "%2e%2e", "ä"])
def test_an_odd_prompt_id_stays_within_its_route(server: Server, prompt_id: str) -> None:
    assert server.http.history(prompt_id) is None


def test_a_refusal_of_a_workflow_is_an_answer_and_no_error(server: Server) -> None:
    answer = submit(server.http, {})
    assert answer.status == 400
    assert answer.body["error"]["type"] == "prompt_no_outputs"


def test_a_download_is_the_file(server: Server, saved: tuple[str, str]) -> None:
    data = download(server.http, saved[0], subfolder=saved[1])
    assert Image.open(io.BytesIO(data)).size == (64, 48)


def test_a_file_that_is_not_there_is_refused_with_404(server: Server) -> None:
    with pytest.raises(ServerRefused) as caught:
        download(server.http, "no such file.png")
    assert caught.value.status == 404


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "a..b.png"])
def test_a_name_that_view_does_not_take_is_refused(server: Server, name: str) -> None:
    with pytest.raises(ServerRefused) as caught:
        download(server.http, name)
    assert caught.value.status == 400


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "a\0b.png"])
def test_a_name_that_no_disk_takes_is_refused(server: Server, name: str) -> None:
    with pytest.raises(ServerRefused):
        download(server.http, name)


def test_a_file_exists_where_it_can_be_downloaded(server: Server, saved: tuple[str, str]) -> None:
    name, subfolder = saved
    size = len(download(server.http, name, subfolder=subfolder))
    assert server.http.size_of(name, subfolder=subfolder, kind="output") == size
    assert server.http.size_of(f"no {name}", subfolder=subfolder, kind="output") is None
    assert server.http.size_of(name, subfolder=subfolder, kind="temp") is None


def test_whether_a_file_exists_whose_name_view_does_not_take_is_not_told(server: Server) -> None:
    with pytest.raises(ServerRefused) as caught:
        server.http.size_of("a..b.png", subfolder="", kind="output")
    assert caught.value.status == 400


def test_a_forgotten_prompt_has_no_history_and_keeps_its_files(server: Server) -> None:
    with following(server) as rig:
        rig.submit(plain_graph())
        prompt_id = rig.until(Submitted).prompt_id
        report = rig.end()
    assert isinstance(report, Finished)
    server.http.forget([prompt_id, str(uuid.uuid4())])
    (file,) = report.verdict.files["save"]
    assert server.http.history(prompt_id) is None
    assert server.http.size_of(file.filename, subfolder=file.subfolder, kind=file.kind)


def test_memory_is_given_back_and_jobs_run_on(server: Server) -> None:
    server.http.free()
    with following(server) as rig:
        assert rig.finish(plain_graph()).verdict.outcome is Conclusion.SUCCEEDED


def test_a_subfolder_outside_the_output_folder_is_refused(server: Server) -> None:
    with pytest.raises(ServerRefused) as caught:
        download(server.http, "passwd", subfolder="../../../../../../etc")
    assert caught.value.status == 403


def test_deleting_and_interrupting_what_is_not_there_does_nothing(server: Server) -> None:
    unknown = str(uuid.uuid4())
    server.http.delete_pending([unknown])
    server.http.interrupt(unknown)
    assert server.http.queue() == {"queue_running": [], "queue_pending": []}


def test_a_saved_picture_holds_the_text_that_was_given_with_its_job(modern: Server) -> None:
    name, client = prefix(), modern.http
    prompt_id = str(uuid.uuid4())
    client.submit(plain_graph(name), prompt_id=prompt_id, client_id="me", pnginfo={"comfy_runner": {"job_id": "a-1"}})
    while (entry := client.history(prompt_id)) is None:
        pass
    (image,) = entry["outputs"]["save"]["images"]
    picture = Image.open(io.BytesIO(download(client, image["filename"], subfolder=image["subfolder"])))
    assert picture.info["comfy_runner"] == '{"job_id": "a-1"}'


def test_the_newest_history_entries_can_be_asked_for(modern: Server) -> None:
    with following(modern) as rig:
        rig.finish(plain_graph(), "one")
        newest = rig.submit(plain_graph(), "two")
        rig.end("two")
    assert list(modern.http.recent_history(1)) == [newest.prompt_id]


# On the stand-in only: what a real server does not do by itself


def test_every_request_carries_the_headers_of_the_address(standin: StandIn, state: State) -> None:
    address = parse_address(standin.url.replace("http://", "http://ann:secret@"), headers={"X-Token": "t"})
    client = ComfyHttp(address)
    client.queue()
    submit(client, plain_graph())
    assert all(asked.headers["x-token"] == "t" for asked in state.asked)
    assert all(asked.headers["authorization"].startswith("Basic ") for asked in state.asked)


def test_every_request_carries_the_query_of_the_address_beside_its_own(standin: StandIn, state: State) -> None:
    client = ComfyHttp(parse_address(standin.url, query={"token": "s3cret&x"}))
    client.recent_history(3)
    submit(client, plain_graph())
    with pytest.raises(ServerRefused) as caught:
        download(client, "no such file.png")
    assert [asked.query["token"] for asked in state.asked] == ["s3cret&x"] * 3
    assert state.asked[0].query["max_items"] == "3"
    assert state.asked[2].query["filename"] == "no such file.png"
    assert "s3cret" not in str(caught.value)


def test_a_server_is_told_our_name_and_version_unless_it_has_a_name_for_us(standin: StandIn, state: State) -> None:
    http(standin.url).queue()
    ComfyHttp(parse_address(standin.url, headers={"user-agent": "Mozilla/5.0"})).queue()
    assert [asked.headers["user-agent"] for asked in state.asked] == [f"comfy-runner/{__version__}", "Mozilla/5.0"]


def test_no_origin_is_sent(standin: StandIn, state: State) -> None:
    http(standin.url).queue()
    assert "origin" not in state.asked[0].headers


def test_the_path_of_the_address_comes_before_every_route(standin: StandIn, state: State) -> None:
    http(f"{standin.url}/api").queue()
    assert state.requests("GET", "/queue")


@pytest.mark.parametrize("status", [302, 401, 403])
def test_a_status_of_a_login_is_refused_with_a_hint_at_headers(faulty: Server, state: State, status: int) -> None:
    state.fail_next("/queue", status, method="GET")
    with pytest.raises(ServerRefused, match=str(status)) as caught:
        faulty.http.queue()
    assert "headers" in caught.value.problems[0].hint


@pytest.mark.parametrize(("status", "body"), [(404, ""), (403, "no"), (405, ""), (200, "<html>a page for every route</html>")])
def test_who_does_not_tell_of_replacements_has_none(faulty: Server, state: State, status: int, body: str) -> None:
    state.fail_next("/node_replacements", status, method="GET", body=body)
    found = ObjectInfo(faulty.http.object_info(), source="x", replacements=faulty.http.node_replacements())
    assert found.replacement("ImageBatch") is None


def test_who_cannot_tell_of_replacements_just_now_is_to_be_asked_again(faulty: Server, state: State) -> None:
    state.fail_next("/node_replacements", 503, method="GET")
    with pytest.raises(ServerRefused, match="answered with status 503"):
        faulty.http.node_replacements()


def test_all_of_the_memory_is_given_back(faulty: Server, state: State) -> None:
    faulty.http.free()
    assert [asked.body for asked in state.requests("POST", "/free")] == [{"unload_models": True, "free_memory": True}]


def test_a_login_page_is_no_file_that_exists(faulty: Server, state: State) -> None:
    state.fail_next("/view", 200, method="HEAD", body="<html>please log in</html>")
    with pytest.raises(Unreachable, match="not like ComfyUI") as caught:
        faulty.http.size_of("a.png", subfolder="", kind="output")
    assert "login" in caught.value.problems[0].hint


def test_a_redirect_is_not_followed(faulty: Server, state: State) -> None:
    state.login_page = True
    with pytest.raises(ServerRefused):
        faulty.http.system_stats()
    assert [asked.path for asked in state.asked] == ["/system_stats"]


@pytest.mark.parametrize("body", ["<html>please log in</html>", "plain", "[]", "3", "null", '{"system": 3}'])
def test_an_answer_that_is_not_comfyuis_is_unreachable(faulty: Server, state: State, body: str) -> None:
    state.fail_next("/system_stats", 200, method="GET", body=body)
    with pytest.raises(Unreachable, match="not like ComfyUI"):
        faulty.http.system_stats()


@pytest.mark.parametrize("body", ["<html>please log in</html>", "{}", '{"prompt_id": 7}', "[]"])
def test_a_200_without_a_prompt_id_is_no_acceptance(faulty: Server, state: State, body: str) -> None:
    state.fail_next("/prompt", 200, body=body)
    with pytest.raises(Unreachable, match="not like ComfyUI"):
        submit(faulty.http, plain_graph())


def test_a_400_that_is_not_json_is_not_about_the_graph(faulty: Server, state: State) -> None:
    state.fail_next("/prompt", 400, body="Bad Request")
    with pytest.raises(ServerRefused, match="400"):
        submit(faulty.http, plain_graph())


def test_a_workflow_that_is_too_large_is_refused_with_a_hint(faulty: Server, state: State) -> None:
    state.fail_next("/prompt", 413)
    with pytest.raises(ServerRefused) as caught:
        submit(faulty.http, plain_graph())
    assert "--max-upload-size" in caught.value.problems[0].hint
    assert "client_max_body_size" in caught.value.problems[0].hint


_NGINX = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<center>nginx/1.24.0</center>\r\n</html>"
_AIOHTTP = "Maximum request body size 1048576 exceeded, actual body size 1053076"


@pytest.mark.parametrize(("body", "way_out"), [(_NGINX, "client_max_body_size"), (_AIOHTTP, "--max-upload-size")])
def test_whoever_takes_no_more_is_named(faulty: Server, state: State, body: str, way_out: str) -> None:
    state.fail_next("/prompt", 413, body=body)
    with pytest.raises(ServerRefused) as caught:
        submit(faulty.http, plain_graph())
    found = {each for each in ("client_max_body_size", "--max-upload-size") if each in caught.value.problems[0].hint}
    assert found == {way_out}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_a_workflow_that_is_no_json_is_an_error_before_anything_is_sent(faulty: Server, state: State, value: Any) -> None:
    with pytest.raises(WorkflowError):
        submit(faulty.http, {"a": {"class_type": "A", "inputs": {"x": value}}})
    assert state.asked == []


def test_a_closed_connection_is_unreachable(faulty: Server, state: State) -> None:
    state.fail_next("/queue", None, method="GET")
    with pytest.raises(Unreachable):
        faulty.http.queue()


def test_a_download_that_breaks_off_is_unreachable_and_not_a_short_file(faulty: Server, state: State) -> None:
    with following(faulty) as rig:
        (file,) = rig.finish(plain_graph("cut")).verdict.files["save"]
    state.view_fault = ViewFault.TRUNCATED
    with pytest.raises(Unreachable, match="broke off"):
        download(faulty.http, file.filename)


def test_a_slow_download_is_whole(faulty: Server, state: State) -> None:
    with following(faulty) as rig:
        (file,) = rig.finish(plain_graph("slow")).verdict.files["save"]
    whole = download(faulty.http, file.filename)
    state.view_fault = ViewFault.SLOW
    assert download(faulty.http, file.filename) == whole


def test_subfolders_of_a_windows_server_are_given_back_as_they_came() -> None:
    with StandIn(State(windows=True)) as server, following(Server(server.url, server.state)) as rig:
        (file,) = rig.finish(plain_graph("one/two/three")).verdict.files["save"]
        assert file.subfolder == "one\\two"
        assert download(http(server.url), file.filename, subfolder=file.subfolder)[:4] == b"\x89PNG"


def test_an_error_of_the_caller_passes_through_a_download_unchanged(faulty: Server) -> None:
    with following(faulty) as rig:
        (file,) = rig.finish(plain_graph("mine")).verdict.files["save"]

    def write() -> None:
        with faulty.http.view(file.filename, subfolder="", kind="output"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


def test_a_server_that_never_answers_is_unreachable_in_time(deaf_port: int) -> None:
    client = ComfyHttp(Address(f"http://127.0.0.1:{deaf_port}"), timeouts=RequestTimeouts(connect=1.0, read=0.05))
    with pytest.raises(Unreachable, match="in time"):
        client.queue()


def test_a_port_where_nobody_listens_is_unreachable_with_a_hint(deaf_port: int) -> None:
    client = http(f"http://127.0.0.1:{deaf_port}")
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        free = other.getsockname()[1]
    client = http(f"http://127.0.0.1:{free}")
    with pytest.raises(Unreachable, match="nobody answers") as caught:
        client.queue()
    assert "--server local" in caught.value.problems[0].hint


@pytest.mark.parametrize(
    "address",
    [
        Address("http://a..b:1"),
        Address("http://" + "x" * 70 + ":1"),
        Address("http://127.0.0.1:1", {"X-Token": "\N{SNOWMAN}"}),
        Address("http://127.0.0.1:1", {"X-Token": "a\nb"}),
        Address("gopher://127.0.0.1:1"),
        Address("127.0.0.1"),
    ],
)
def test_what_cannot_be_asked_at_all_is_an_error_of_ours_and_no_traceback(address: Address) -> None:
    with pytest.raises(ComfyRunnerError):
        ComfyHttp(address).queue()


def test_tls_that_is_none_is_unreachable(standin: StandIn) -> None:
    with pytest.raises(Unreachable):
        http(standin.url.replace("http://", "https://")).queue()


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert http(standin.url).queue() == {"queue_running": [], "queue_pending": []}


@pytest.mark.parametrize("excepted", ["10.0.0.0/8", "10.1.2.3", "*", "example.org,10.1.2.3"])
def test_whom_no_proxy_names_is_asked_without_one(monkeypatch: pytest.MonkeyPatch, excepted: str) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://ann:p%40ss@proxy.example:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("no_proxy", excepted)
    assert proxy_of(Address("http://10.1.2.3:8188")) is None
    if excepted != "*":
        proxy = proxy_of(Address("http://11.1.2.3:8188"))
        assert proxy is not None
        assert (proxy.host, proxy.port, credentials(proxy)) == ("proxy.example", 3128, ("ann", "p@ss"))


def test_a_proxy_of_the_environment_is_asked_for_other_machines(monkeypatch: pytest.MonkeyPatch, deaf_port: int) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{deaf_port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    client = ComfyHttp(Address("http://gpu.example"), timeouts=RequestTimeouts(connect=1.0, read=0.05))
    with pytest.raises(Unreachable, match="did not answer in time"):
        client.queue()


def test_credentials_of_a_netrc_file_are_not_sent(
    standin: StandIn, state: State, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password secret\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    http(standin.url).queue()
    assert "authorization" not in state.asked[0].headers
