"""What may pass is waited for, whatever was asked and however far a job is: no picture is lost, and nothing is rendered twice."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.config import Config
from comfy_runner.engine.comfyui.responses import seconds_of
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import TRANSIENT_STATUSES, JobLost, ServerError, ServerRefused, ServerStuck, Unreachable
from comfy_runner.running.policy import Policy
from tests.running.support import begin, files_in, posted, rendered, small, states
from tests.running.test_runs_with_uploads import draw, recipe, room
from tests.standin import StandIn, State, ViewFault

__all__ = ["room"]

_QUICK = Timeouts(outage=20.0, queue=0.02, repost=(0.01, 0.01, 0.02, 0.02, 0.05), poll_longest=0.02)
_STATUSES = sorted(TRANSIENT_STATUSES)
_EACH_JOB = [("POST", "/prompt"), ("GET", "/queue"), ("GET", "/history/*"), ("GET", "/view"), ("POST", "/upload/image")]
_ONCE = [("GET", "/system_stats"), ("GET", "/object_info"), ("GET", "/node_replacements")]
_CALLS = [
    *[pytest.param(method, path, 0, id=f"first {path}") for method, path in (*_EACH_JOB, *_ONCE)],
    *[pytest.param(method, path, 1, id=f"later {path}") for method, path in _EACH_JOB],
]


@pytest.mark.slow
@pytest.mark.parametrize("status", _STATUSES)
@pytest.mark.parametrize(("method", "path", "after"), _CALLS)
def test_an_answer_that_may_pass_costs_no_picture(room: Path, status: int, method: str, path: str, after: int) -> None:
    draw(room / "b.png", 2)
    source = recipe(room, more="sweep: {params.image: [a.png, b.png]}\n")
    with StandIn(State()) as server:
        gate = server.state.hold("scale")
        server.state.fail_next(path, status, method=method, times=3, after=after)
        options: dict[str, Any] = {"templates": [room / "templates"], "timeouts": _QUICK, "websocket": False}
        with begin(server, room / "run", source, **options) as rendering:
            gate.wait()
            if path == "/queue":
                server.state.until_asked("GET", "/queue", after + 4)
            gate.open()
            results = rendering.results()
        (fault,) = server.state.reply_faults

        assert fault.times == 0
        assert set(states(results).values()) == {"done"}
        assert len([name for name in files_in(room / "run") if name.endswith("/scaled.png")]) == len(results) == 2
        saved = [ran.prompt_id for ran in server.state.ran if ran.node_id == "save"]
        assert len(saved) == len(set(saved)) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_picture_that_cannot_be_had_now_is_left_for_the_next_run_which_renders_nothing(
    server: StandIn, tmp_path: Path, status: int
) -> None:
    server.state.fail_next("/view", status, method="GET", times=-1)
    first = rendered(server, tmp_path, small(), timeouts=Timeouts(outage=0.2, repost=(0.01,)))
    server.state.reply_faults.clear()

    second = rendered(server, tmp_path, small())

    (error,) = [result.error for result in first]
    assert states(first) == {"lake": "submitted"}
    assert error is not None
    assert error.exit_code == 3
    assert states(second) == {"lake": "done"}
    assert len(server.state.requests("POST", "/prompt")) == len(server.state.memory.history) == 1


@pytest.mark.slow
def test_an_interruption_waits_seconds_and_not_minutes_for_a_picture_that_does_not_come(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("GET /view")
    with begin(server, tmp_path, small(), websocket=False) as rendering:
        server.state.until_asked("GET", "/view", 1)
        began = time.monotonic()
        rendering.cancel()
        first = rendering.results()
    seconds = time.monotonic() - began
    gate.open()

    assert states(first) == {"lake": "submitted"}
    assert seconds < 12.0
    assert states(rendered(server, tmp_path, small())) == {"lake": "done"}
    assert len(posted(server)) == 1


@pytest.mark.parametrize("status", [200, 204, 302, 401, 407, 511])
def test_a_login_in_front_of_a_picture_costs_no_second_rendering(server: StandIn, tmp_path: Path, status: int) -> None:
    server.state.fail_next("/view", status, method="GET", times=-1, body="<html>please log in</html>")
    first = rendered(server, tmp_path, small(), timeouts=Timeouts(outage=0.2, repost=(0.01,)))
    server.state.reply_faults.clear()

    second = rendered(server, tmp_path, small())

    assert (states(first), states(second)) == ({"lake": "submitted"}, {"lake": "done"})
    assert [result.error.exit_code for result in first if result.error] == [3]
    assert len(posted(server)) == 1


@pytest.mark.parametrize("fault", [ViewFault.GARBAGE, ViewFault.CUT, ViewFault.HTML])
def test_a_picture_that_comes_broken_is_asked_for_by_the_next_run_and_not_rendered_again(
    server: StandIn, tmp_path: Path, fault: ViewFault
) -> None:
    server.state.view_fault = fault
    jobs, timeouts = (small(), small(name="b", seed=2)), Timeouts(outage=0.2, repost=(0.01,))
    first = rendered(server, tmp_path, *jobs, timeouts=timeouts)
    names = [name for name in files_in(tmp_path) if name.endswith(".png")]
    server.state.view_fault = None

    second = rendered(server, tmp_path, *jobs)

    assert states(first) == {"lake": "submitted", "b": "submitted"}
    assert ([result.error.exit_code for result in first if result.error], names) == ([3, 3], [])
    assert states(second) == {"lake": "done", "b": "done"}
    assert len(posted(server)) == 2
    assert [name for name in files_in(tmp_path) if name.endswith(".broken")] == []


def test_a_picture_that_is_broken_on_its_server_is_rendered_again_once_that_is_certain(server: StandIn, tmp_path: Path) -> None:
    timeouts = Timeouts(repost=(0.01,))
    server.state.view_fault = ViewFault.CUT
    runs = [rendered(server, tmp_path, small(), timeouts=timeouts) for _ in range(2)]
    server.state.view_fault = None

    last = rendered(server, tmp_path, small())

    assert [states(run) for run in (*runs, last)] == [{"lake": "submitted"}, {"lake": "failed"}, {"lake": "done"}]
    assert [result.error.exit_code for run in runs for result in run if result.error] == [3, 4]
    assert len(posted(server)) == 2


def test_for_how_long_a_server_may_be_silent_can_be_set_and_what_it_has_is_collected_later(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("first_pass")
    began = time.monotonic()
    with begin(server, tmp_path, small(), timeouts=Timeouts(outage=600.0), config=Config(outage_timeout=0.3)) as rendering:
        gate.wait()
        server.state.go_away()
        first = rendering.results()
    seconds = time.monotonic() - began
    gate.open()
    server.state.come_back()

    second = rendered(server, tmp_path, small())

    assert (states(first), states(second)) == ({"lake": "submitted"}, {"lake": "done"})
    assert len(posted(server)) == 1
    assert seconds < 60.0


def test_for_how_long_a_server_may_be_silent_is_the_same_in_a_fleet_once_it_is_set() -> None:
    assert [Policy().timeouts_with(servers).outage for servers in (1, 2)] == [60.0, 15.0]
    assert [Policy(outage=300.0).timeouts_with(servers).outage for servers in (1, 2)] == [300.0, 300.0]


def test_the_more_servers_there_are_the_fewer_steps_does_each_tell_of() -> None:
    pauses = [Policy(outage=outage).timeouts_with(servers).steps for outage in (None, 300.0) for servers in (1, 5, 21)]
    assert pauses == [0.0, 0.2, 1.0] * 2
    assert Policy(timeouts=Timeouts(steps=0.5)).timeouts_with(5).steps == 0.5


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/prompt", 429),
        *[
            pytest.param(method, path, status, marks=pytest.mark.slow)
            for method, path, status in [("GET", "/view", 429), ("GET", "/view", 200), ("GET", "/history/*", 429)]
        ],
    ],
)
def test_a_server_is_left_alone_for_as_long_as_it_asks_for(
    server: StandIn, tmp_path: Path, method: str, path: str, status: int
) -> None:
    server.state.fail_next(path, status, method=method, retry_after="1", body="<html>too busy</html>")
    began = time.monotonic()

    assert states(rendered(server, tmp_path, small(), timeouts=_QUICK)) == {"lake": "done"}

    assert time.monotonic() - began >= 1.0


def test_what_may_pass_is_one_property_of_the_error() -> None:
    passing = {status for status in range(100, 600) if _refused(status).is_transient}

    assert passing == TRANSIENT_STATUSES == {408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 530}
    assert Unreachable("gone").is_transient
    assert not any(kind("no").is_transient for kind in (ServerError, JobLost, ServerStuck))


def test_a_question_is_asked_again_while_it_may_pass_and_for_as_long_as_an_outage_may_last() -> None:
    timeouts = Timeouts(outage=60.0, repost=(0.2, 0.5))

    def pause(error: ServerError, failures: int, failing_for: float = 0.0) -> float | None:
        return timeouts.pause_before_retry(error, failures=failures, failing_for=failing_for)

    assert [pause(_refused(503), failures) for failures in (1, 2, 3, 99)] == [0.2, 0.5, 0.5, 0.5]
    assert pause(_refused(503), 99, failing_for=60.1) is None
    assert [pause(_refused(500), failures) for failures in (1, 2, 3)] == [0.2, 0.5, None]
    assert pause(_refused(403), 1) is None
    assert [pause(_refused(429, retry_after=seconds), 1) for seconds in (0.1, 7.0, 3600.0)] == [0.2, 7.0, 30.0]


@pytest.mark.parametrize("text", ["", "soon", "-3", "1.5", "²", "Wed, 99 Foo 2026 00:00:00 GMT", "x" * 5000, "9" * 5000])
def test_any_retry_after_is_a_number_of_seconds(text: str) -> None:
    assert 0.0 <= seconds_of(text) < float("inf")


def test_a_retry_after_is_a_number_or_a_date() -> None:
    assert seconds_of(" 120 ") == 120.0
    there = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
    date, later, earlier = (format_datetime(there + timedelta(seconds=seconds), usegmt=True) for seconds in (0, 60, -86400))
    assert seconds_of(later, date=date) == 60.0
    assert seconds_of(earlier, date=date) == 0.0
    assert seconds_of(later) == 0.0


def _refused(status: int, *, retry_after: float = 0.0) -> ServerRefused:
    error = ServerRefused("no")
    error.status, error.retry_after = status, retry_after
    return error
