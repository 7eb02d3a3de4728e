"""What is shown of a run while it goes on, as text; for whole runs in a terminal see `test_screen` and `test_terminal`."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from comfy_runner.cli.live_view import RunView
from comfy_runner.running.events import (
    Event,
    JobFinished,
    JobProgressed,
    JobResult,
    JobRetried,
    JobSubmitted,
    JobWaiting,
    RunStarted,
    ServerChanged,
)

_IDS = ("lake-d050-s1", "lake-d050-s2", "lake-d060-s1", "lake-d060-s2")


class _View:
    """A RunView, and a clock that stands still unless it is moved."""

    def __init__(self, *jobs: str, servers: tuple[str, ...] = ("one",)) -> None:
        self.now = 0.0
        self.view = RunView(lambda: self.now)
        self.view.follow(RunStarted(Path("x"), "", jobs, 0, (), servers, (1.0,) * len(jobs)))

    def after(self, *events: Event, seconds: float = 0.0, width: int = 80) -> list[str]:
        """Return what is shown so many seconds after these events."""
        for event in events:
            self.view.follow(event)
        self.now += seconds
        out = io.StringIO()
        Console(file=out, width=width, height=24, color_system=None, legacy_windows=False).print(self.view)
        lines = out.getvalue().splitlines()
        assert all(len(line) <= width for line in lines)
        return [" ".join(line.replace("━", "").replace("╸", "").split()) for line in lines]


def _submitted(*job_ids: str) -> list[Event]:
    return [JobSubmitted(job_id, f"prompt-{job_id}", "one") for job_id in job_ids]


def test_a_run_is_the_line_of_all_jobs_and_one_for_each_that_the_server_has() -> None:
    view = _View(*_IDS)
    view.after(*_submitted(*_IDS[:2]), JobWaiting(_IDS[1], 1), seconds=30.0)

    assert view.after(JobProgressed(_IDS[0], "Second pass", 2, 4, 0.5), seconds=0.0) == [
        "all jobs 12% 0 of 4, 30 s, about 4 min left",
        "lake-d050-s1 50% Second pass 2/4, 30 s",
        "lake-d050-s2 0% waits behind 1",
    ]
    assert view.after(JobFinished(JobResult(_IDS[0], "done", {})), seconds=1.0) == [
        "all jobs 25% 1 of 4, 31 s, about 2 min left",
        "lake-d050-s2 0% waits behind 1",
    ]


def test_of_a_single_job_its_own_line_says_how_long_it_still_takes() -> None:
    view = _View("lake")

    assert view.after(*_submitted("lake")) == ["lake 0% submitted"]
    view.now = 60.0
    assert view.after(JobProgressed("lake", "Pass", 1, 4, 0.25)) == ["lake 25% Pass 1/4, 60 s, about 3 min left"]


def test_a_narrow_terminal_has_no_bars_and_the_words_that_there_is_room_for() -> None:
    view = _View(*_IDS)
    events = (*_submitted(*_IDS[:1]), JobProgressed(_IDS[0], "Second pass", 2, 4, 0.5))
    view.now = 30.0

    assert view.after(*events, seconds=600.0, width=40) == ["all jobs 0 of 4, 70 min left", "lake-d050-s1 Second pass 2/4, 10 min"]
    assert view.after(width=20) == ["all jobs 0 of 4", "la…50-s1 Second pas…"]
    assert view.after(width=3)


def test_nothing_moves_sideways_when_another_node_runs() -> None:
    view = _View(*_IDS)
    out = []
    for node in ("A", "A node with a title that is much longer than there is room for"):
        view.after(*_submitted(_IDS[0]), JobProgressed(_IDS[0], node, 0, 0, 0.5))
        file = io.StringIO()
        Console(file=file, width=80, height=24, color_system=None, legacy_windows=False).print(view.view)
        out.append([line.index("%") for line in file.getvalue().splitlines()])

    assert out[0] == out[1]


def test_several_servers_have_a_line_each_below_that_of_all_jobs() -> None:
    view = _View(*_IDS, servers=("one", "two"))

    assert view.after(*_submitted(_IDS[0]), JobProgressed(_IDS[0], "Pass", 0, 0, 0.5), seconds=1.0) == [
        "all jobs 12% 0 of 4, 1 s, about 4 s left",
        "one lake-d050-s1 50% Pass 0 done",
        "two idle 0 done",
    ]


def test_a_server_that_joins_makes_them_several() -> None:
    view = _View(*_IDS)

    assert len(view.after(ServerChanged("two", "u", "joined"))) == 3


def test_a_job_that_is_tried_again_or_news_of_one_that_nobody_has_leaves_no_line() -> None:
    view = _View(*_IDS)

    lines = view.after(*_submitted(_IDS[0]), JobRetried(_IDS[0], "server_lost", "lost"), JobWaiting("x", 1))

    assert lines == ["all jobs 0% 0 of 4, 1 s"]


def test_before_the_run_begins_nothing_is_shown() -> None:
    out = io.StringIO()
    Console(file=out).print(RunView(), end="")

    assert out.getvalue() == ""


def test_no_title_steers_the_terminal() -> None:
    view = _View("lake")

    (line,) = view.after(*_submitted("lake"), JobProgressed("lake", "\x1b]0;x\x07 [red]", 0, 0, 0.5))

    assert "\ufffd]0;x\ufffd [red]" in line
