"""Following a run where stderr is no terminal; for terminals see `test_terminal`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from comfy_runner.cli.follow import follower, spent_lines
from comfy_runner.errors import Note, ServerStuck, Unreachable
from comfy_runner.running.events import (
    Event,
    JobFinished,
    JobProgressed,
    JobResult,
    JobSubmitted,
    JobWaiting,
    RunFinished,
    RunStarted,
    ServerChanged,
    Spent,
)
from tests.running.fleet.support import begin, fleet_of
from tests.running.support import small
from tests.standin import State

_DONE = JobResult("lake", "done", {}, seconds=1.26, cached_nodes=("a", "b"))
_EVENTS: tuple[Event, ...] = (
    RunStarted(Path("runs/lake"), "http://x", ("lake", "hill"), 1, (Note("is blurred", "x.yaml:1: y"),)),
    JobSubmitted("lake", "an-id"),
    JobWaiting("lake", 3),
    JobProgressed("lake", "First pass", 0, 0, 0.0),
    JobProgressed("lake", "First pass", 1, 2, 0.1),
    JobProgressed("lake", "First pass", 2, 2, 0.2),
    JobProgressed("lake", "Decode", 0, 0, 0.25),
    JobFinished(_DONE),
    RunFinished((_DONE,)),
)


_SPENT = Spent(loads=3, first=5, fewest_loads=2, fewest_first=4, splits=2, jobs={"one": 5, "two": 1})
_FLEET = ("one", "two")


def _told(
    capsys: pytest.CaptureFixture[str], events: Iterable[Event] = _EVENTS, *, quiet: bool = False, verbose: int = 0
) -> list[str]:
    with follower(quiet=quiet, verbose=verbose) as follow:
        for event in events:
            follow(event)
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_each_thing_that_happens_is_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert _told(capsys) == [
        "warning: x.yaml:1: y: is blurred",
        "2 jobs, 1 already done on http://x, run folder runs/lake",
        "lake: submitted",
        "lake: waits behind 3",
        "lake: First pass (0%)",
        "lake: Decode (25%)",
        "lake: done in 1.3 s, 2 nodes from the cache",
    ]


def test_verbose_tells_every_step_and_the_prompt_id(capsys: pytest.CaptureFixture[str]) -> None:
    told = _told(capsys, verbose=1)

    assert "lake: submitted as an-id" in told
    assert [line for line in told if "First pass" in line] == [
        "lake: First pass (0%)",
        "lake: First pass 1/2 (10%)",
        "lake: First pass 2/2 (20%)",
    ]


def test_quiet_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert _told(capsys, quiet=True) == []


# Several servers


def _started(*servers: str) -> RunStarted:
    return RunStarted(Path("runs/lake"), "http://x", ("lake", "hill"), 0, (), servers)


def test_of_several_servers_the_first_line_names_all_and_each_submission_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    events = (_started("one", "two", "three"), JobSubmitted("lake", "an-id", "two"), RunFinished((_DONE,), _SPENT))

    assert _told(capsys, events, verbose=1) == [
        "2 jobs on one, two and three, run folder runs/lake",
        "lake: submitted on two as an-id",
        "5 jobs on one, 1 job on two and none on three",
        "3 model loads and 5 first passes, 1 and 1 more than on one server; 2 groups were split to finish earlier",
    ]


def test_many_servers_are_counted_in_the_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert _told(capsys, [_started(*"abcdefgh")]) == ["2 jobs on 8 servers, run folder runs/lake"]


def test_a_single_server_is_named_in_no_other_line_than_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    events = (_started("one"), JobSubmitted("lake", "an-id", "one"), RunFinished((_DONE,), replace(_SPENT, jobs={"one": 2})))

    assert _told(capsys, events) == ["2 jobs on http://x, run folder runs/lake", "lake: submitted"]


def test_a_server_that_takes_part_in_another_way_than_before_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    away = Unreachable("connection refused", where="http://two")
    events = (
        ServerChanged("two", "http://two", "out", away, 2.04),
        ServerChanged("two", "http://two", "back"),
        ServerChanged("three", "http://three", "joined"),
        ServerChanged("one", "http://one", "draining"),
    )

    assert _told(capsys, events) == [
        "two is out of order, tried again in 2 s: connection refused",
        "two answers again",
        "three has joined",
        "one gets no more jobs",
    ]


def test_a_server_that_stays_out_of_order_for_the_same_reason_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    away, stuck = Unreachable("connection refused", where="http://two"), ServerStuck("runs none", where="http://two")
    outs = [ServerChanged("two", "u", "out", error, pause) for error, pause in ((away, 2), (away, 4), (stuck, 8), (stuck, 16))]

    assert _told(capsys, [*outs, ServerChanged("two", "u", "back"), outs[-1]]) == [
        "two is out of order, tried again in 2 s: connection refused",
        "two is out of order, tried again in 8 s: runs none",
        "two answers again",
        "two is out of order, tried again in 16 s: runs none",
    ]


def test_where_a_server_has_joined_submissions_name_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    events = (_started("one"), ServerChanged("two", "http://two", "joined"), JobSubmitted("lake", "an-id", "two"))

    assert _told(capsys, events)[-1] == "lake: submitted on two"


def test_quiet_tells_nothing_of_several_servers_either(capsys: pytest.CaptureFixture[str]) -> None:
    events = (_started(*_FLEET), ServerChanged("two", "u", "out", ServerStuck("hangs"), 2.0), RunFinished((), _SPENT))

    assert _told(capsys, events, quiet=True) == []


def test_a_server_that_goes_away_in_mid_run_is_told_of(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipes = [small(name=f"j{number}", seed=number) for number in range(6)]
    with fleet_of(State(), State()) as (dying, other), follower(quiet=False, verbose=0) as follow:
        gate = dying.state.hold("first_pass")
        with begin([dying, other], tmp_path, *recipes) as rendering:
            gate.wait()
            dying.state.go_away()
            for event in rendering:
                follow(event)
        dying.state.come_back()

    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"6 jobs on {dying.url} and {other.url}, run folder {tmp_path}"
    assert any(line.startswith(f"{dying.url} is out of order, tried again in 1 s: ") for line in told)
    assert any(line.endswith(f": submitted on {other.url}") for line in told)
    assert told[-2] == f"none on {dying.url} and 6 jobs on {other.url}"


def test_a_server_that_does_not_answer_at_the_start_is_told_of_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with fleet_of(State(), State()) as (silent, other), follower(quiet=False, verbose=0) as follow:
        silent.state.go_away()
        gate = other.state.hold("first_pass")
        with begin([silent, other], tmp_path, small()) as rendering:
            outs = 0
            for event in rendering:
                follow(event)
                outs += isinstance(event, ServerChanged)
                if outs == 3:
                    gate.open()
        silent.state.come_back()

    told = capsys.readouterr().err.splitlines()
    assert len([line for line in told if "out of order" in line or "not answer" in line or "nobody answers" in line]) == 1


# What it took


def _spent(loads: int, first: int, splits: int = 0) -> Spent:
    """Return what servers had to do where one would have needed two loads and four first passes."""
    return replace(_SPENT, loads=loads, first=first, splits=splits)


@pytest.mark.parametrize(
    ("spent", "told"),
    [
        (_spent(3, 5, 1), "3 model loads and 5 first passes, 1 and 1 more than on one server; 1 group was split to finish earlier"),
        (_spent(3, 4), "3 model loads and 4 first passes, 1 load more than on one server"),
        (_spent(2, 6), "2 model loads and 6 first passes, 2 first passes more than on one server"),
        (_spent(2, 4), "2 model loads and 4 first passes, no more than one server would need"),
        (_spent(1, 0), "1 model load and 0 first passes, no more than one server would need"),
        (_spent(4, 3), "4 model loads and 3 first passes, 2 loads more than on one server"),
    ],
)
def test_what_several_servers_had_to_do_is_held_against_one_and_never_less_than_nothing(spent: Spent, told: str) -> None:
    assert spent_lines(spent, _FLEET) == ["5 jobs on one and 1 job on two", told]


def test_nothing_is_said_where_nothing_was_rendered_or_by_one_server() -> None:
    assert spent_lines(None, _FLEET) == []
    assert spent_lines(_SPENT, ["one"]) == []


def test_the_jobs_of_many_servers_are_summed_up() -> None:
    names = [f"s{number}" for number in range(64)]
    spent = replace(_SPENT, jobs={name: 1 + number % 3 for number, name in enumerate(names[1:])})

    assert spent_lines(spent, names)[0] == "126 jobs on 64 servers, 0 to 3 on each"
