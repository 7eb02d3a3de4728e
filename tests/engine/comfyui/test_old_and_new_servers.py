"""Servers of other generations: what they cannot do is noticed from their answers, never assumed from a version.

Mostly on the stand-in: of the other generations there is a real ComfyUI only of early 2024.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from comfy_runner.engine.local import LocalServer
from comfy_runner.engine.reports import Broken, Cancelled, Finished, Refused, Submitted
from comfy_runner.engine.verdict import Conclusion
from comfy_runner.errors import JobLost, ServerRefused
from tests.engine.comfyui.support import Server, following, names, plain_graph, prefix, sampler_graph
from tests.standin import EARLY_2024, V0_3_40, V0_3_75, V0_33, V0_38, Generation, StandIn, State

EVERY = {"early 2024": EARLY_2024, "0.3.40": V0_3_40, "0.3.75": V0_3_75, "0.33": V0_33, "0.38": V0_38}


@pytest.fixture(params=list(EVERY.values()), ids=list(EVERY))
def imitated(request: pytest.FixtureRequest) -> Iterator[Server]:
    with StandIn(State(generation=request.param)) as server:
        yield Server(server.url, server.state)


@pytest.fixture(params=[*EVERY, pytest.param("real early 2024", marks=pytest.mark.real)])
def any_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param in EVERY:
        with StandIn(State(generation=EVERY[request.param])) as server:
            yield Server(server.url, server.state)
    else:
        yield Server(request.getfixturevalue("early_2024_server").url)


@pytest.fixture(params=[EARLY_2024, V0_3_40], ids=["early 2024", "0.3.40"])
def old_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with StandIn(State(generation=request.param)) as server:
        yield Server(server.url, server.state)


@pytest.fixture
def old(old_server: Server) -> State:
    assert old_server.state is not None
    return old_server.state


@pytest.mark.parametrize("with_socket", [True, False])
def test_a_job_ends_with_both_its_pictures_on_every_generation(any_server: Server, with_socket: bool) -> None:
    name = prefix()
    with following(any_server, with_socket=with_socket) as rig:
        report = rig.finish(sampler_graph(name))
    stem = name.rpartition("/")[2]
    assert report.verdict.outcome is Conclusion.SUCCEEDED
    assert names(report) == {"save": [f"{stem}-original_00001_.png"], "save_up": [f"{stem}-upscaled_00001_.png"]}


def test_out_of_memory_is_told_on_every_generation(imitated: Server) -> None:
    assert imitated.state is not None
    imitated.state.failing_sampler = 2
    with following(imitated) as rig:
        verdict = rig.finish(sampler_graph()).verdict
    assert verdict.failure is not None
    assert verdict.failure.out_of_memory
    assert set(verdict.files) == {"save"}


def test_a_running_job_is_interrupted_on_every_generation(any_server: Server) -> None:
    with following(any_server) as rig:
        rig.submit(sampler_graph(steps=10000))
        rig.until_node("first")
        rig.thread.cancel(["job"])
        report = rig.end()
    assert isinstance(report, Finished)
    assert report.verdict.outcome is Conclusion.INTERRUPTED


@pytest.mark.parametrize("generation", [V0_3_40, V0_3_75, V0_38])
def test_an_unknown_class_is_refused_by_name(generation: Generation) -> None:
    with StandIn(State(generation=generation)) as server, following(Server(server.url, server.state)) as rig:
        report = rig.run({**plain_graph(), "odd": {"class_type": "NoSuchNode", "inputs": {}}})
    assert isinstance(report, Refused)
    assert "NoSuchNode" in str(report.complaints[0])


def test_what_an_old_server_answers_with_a_bare_500_breaks_its_job_only(early_2024_server: LocalServer) -> None:
    with following(Server(early_2024_server.url)) as rig:
        report = rig.run({**plain_graph(), "odd": {"class_type": "NoSuchNode", "inputs": {}}}, "odd")
        rig.finish(plain_graph(), "good")
    assert isinstance(report, Broken)
    assert isinstance(report.error, ServerRefused)
    assert report.error.status == 500


def test_an_id_that_an_old_server_chooses_itself_is_adopted(early_2024_server: LocalServer, old_server: Server) -> None:
    for server in (old_server, Server(early_2024_server.url)):
        with following(server) as rig:
            job = rig.submit(plain_graph())
            adopted = rig.until(Submitted).prompt_id
            assert isinstance(rig.end(), Finished)
        assert adopted != job.prompt_id
        assert server.http.history(adopted) is not None


def test_a_reply_that_an_old_server_loses_is_settled_by_our_file_prefix_while_the_job_waits(old_server: Server, old: State) -> None:
    gate = old.hold("foreign_sampler")
    old.add_foreign()
    old.lose_replies()
    with following(old_server) as rig:
        rig.submit(plain_graph())
        adopted = rig.until(Submitted).prompt_id
        gate.open()
        assert isinstance(rig.end(), Finished)
    assert adopted in old.memory.history
    assert len(old.requests("POST", "/prompt")) == 1


def test_a_reply_that_an_old_server_loses_is_settled_by_our_file_prefix_after_the_job_has_ended(
    old_server: Server, old: State
) -> None:
    old.lose_replies()
    # While the queue cannot be asked, the job runs and ends.
    old.fail_next("/queue", 503, method="GET", times=4)
    with following(old_server) as rig:
        report = rig.run(plain_graph("mine"))
    assert isinstance(report, Finished)
    assert names(report) == {"save": ["mine_00001_.png"]}
    assert len(old.requests("POST", "/prompt")) == 1


def test_a_lost_reply_is_not_settled_by_the_same_prefix_of_another_run(old_server: Server, old: State) -> None:
    name = prefix()
    with following(old_server) as earlier:
        earlier.finish(plain_graph(name, color=1))
    old.fail_next("/prompt", None)
    with following(old_server) as rig:
        report = rig.finish(plain_graph(name, color=2))
    assert [file.filename for file in report.verdict.files["save"]] == [f"{name.rpartition('/')[2]}_00002_.png"]


def test_a_global_interrupt_is_not_sent_while_somebody_elses_prompt_runs(old_server: Server, old: State) -> None:
    gate = old.hold("foreign_sampler")
    foreign = old.add_foreign()
    gate.wait()
    with following(old_server) as rig:
        rig.submit(plain_graph())
        rig.until(Submitted)
        rig.thread.cancel(["job"])
        assert isinstance(rig.end(), Cancelled)
        gate.open()
        rig.finish(plain_graph(), "next")
    assert old.requests("POST", "/interrupt") == []
    assert old.memory.history[foreign[0]]["status"]["status_str"] == "success"


def test_a_restart_of_an_old_server_is_noticed(old_server: Server, old: State) -> None:
    gate = old.hold("save")
    with following(old_server) as rig:
        rig.submit(plain_graph())
        gate.wait()
        old.restart()
        report = rig.end()
    assert isinstance(report, Broken)
    assert isinstance(report.error, JobLost)


@pytest.mark.parametrize("running", [True, False])
def test_a_new_server_takes_one_job_back_at_once_and_nothing_else(running: bool) -> None:
    with StandIn(State(generation=V0_33)) as server, following(Server(server.url, server.state)) as rig:
        gate = server.state.hold("save" if running else "foreign_sampler")
        foreign = [] if running else server.state.add_foreign()
        if foreign:
            gate.wait()
        job = rig.submit(plain_graph())
        rig.until(Submitted)
        if running:
            gate.wait()
        rig.thread.cancel(["job"])
        report = rig.end()
        gate.open()
        rig.finish(plain_graph(), "next")
        asked = {asked.path for asked in server.state.asked if asked.method == "POST"}
    assert isinstance(report, Finished if running else Cancelled)
    assert not isinstance(report, Finished) or report.verdict.outcome is Conclusion.INTERRUPTED
    assert asked == {"/prompt", f"/jobs/{job.prompt_id}/cancel"}
    assert [server.state.memory.history[each]["status"]["status_str"] for each in foreign] == ["success"] * len(foreign)


def test_a_server_is_asked_only_once_whether_it_takes_one_job_back(faulty: Server, state: State) -> None:
    state.hold("save")
    with following(faulty) as rig:
        for key in ("one", "two"):
            rig.submit(plain_graph(), key)
            rig.until_node("save", key)
            rig.thread.cancel([key])
            rig.end(key)
    assert len([asked for asked in state.asked if asked.path.startswith("/jobs/")]) == 1
    assert len(state.requests("POST", "/interrupt")) == 2


def test_a_new_server_is_given_ids_that_it_takes() -> None:
    with StandIn(State(generation=V0_38)) as server, following(Server(server.url, server.state)) as rig:
        job = rig.submit(plain_graph())
        assert rig.until(Submitted).prompt_id == job.prompt_id
        rig.end()
