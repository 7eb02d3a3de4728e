"""The line that each of several servers has in the live view; for the view in a terminal see `test_terminal`."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from comfy_runner.cli.live_servers import ServerLines
from comfy_runner.errors import Unreachable
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

_AWAY = Unreachable("connection refused", where="http://one:8188")


class _View:
    """ServerLines, and a clock that stands still unless it is moved."""

    def __init__(self, *servers: str) -> None:
        self.now = 0.0
        self.lines = ServerLines(lambda: self.now)
        self.lines.follow(RunStarted(Path("x"), "", (), 0, (), servers))

    def after(self, *events: Event, width: int = 80, height: int = 24) -> list[str]:
        """Return the lines after these events, the columns parted by single spaces."""
        for event in events:
            self.lines.follow(event)
        out = io.StringIO()
        Console(file=out, width=width, height=height, color_system=None, legacy_windows=False).print(self.lines)
        lines = out.getvalue().splitlines()
        assert all(len(line) <= width for line in lines)
        return [" ".join(line.split()) for line in lines]


def _finished(job_id: str, server: str) -> JobFinished:
    return JobFinished(JobResult(job_id, "done", {}, server=server))


def test_each_server_has_a_line_with_the_job_that_runs_there_and_not_the_one_behind_it() -> None:
    view = _View("one", "two")

    first, second = view.after(
        JobSubmitted("a", "p", "one"),
        JobProgressed("a", "Second pass", 1, 4, 0.5),
        JobSubmitted("b", "p", "one"),
        JobWaiting("b", 1),
    )

    assert first.startswith("one a ━")
    assert first.endswith(" 50% Second pass 1/4 0 done")
    assert second == "two idle 0 done"


def test_the_job_behind_comes_forward_when_it_is_heard_of_or_the_one_before_it_has_finished() -> None:
    view = _View("one", "two")
    view.after(JobSubmitted("a", "p", "one"), JobSubmitted("b", "p", "one"), JobProgressed("a", "Decode", 0, 0, 1.0))

    heard, _ = view.after(JobProgressed("b", "First pass", 0, 0, 0.25))
    finished, _ = view.after(_finished("a", "one"), _finished("b", "one"), JobSubmitted("c", "p", "one"))

    assert heard.startswith("one b ")
    assert finished == "one c 0% submitted 2 done"


def test_a_server_out_of_order_says_why_and_when_it_is_tried_again() -> None:
    view = _View("one", "two")
    view.after(JobSubmitted("a", "p", "one"))

    out, _ = view.after(ServerChanged("one", "http://one:8188", "out", _AWAY, 2.0))
    view.now = 3.0
    later, _ = view.after()
    back, _ = view.after(ServerChanged("one", "http://one:8188", "back"))

    assert out == "one out of order, tried again in 2 s: connection refused 0 done"
    assert later == "one out of order: connection refused 0 done"
    assert back == "one idle 0 done"


def test_a_server_that_was_tried_in_vain_counts_down_to_the_next_time() -> None:
    view = _View("one", "two")
    view.after(ServerChanged("one", "http://one:8188", "out", _AWAY, 2.0))
    view.now = 3.0

    again, _ = view.after(ServerChanged("one", "http://one:8188", "out", _AWAY, 4.0))
    view.now = 6.0
    later, _ = view.after()

    assert again == "one out of order, tried again in 4 s: connection refused 0 done"
    assert later == "one out of order, tried again in 1 s: connection refused 0 done"


def test_a_job_that_another_server_does_leaves_its_first_one() -> None:
    view = _View("one", "two")

    lines = view.after(
        JobSubmitted("a", "p", "one"),
        JobRetried("a", "server_lost", "one is out of order"),
        JobSubmitted("b", "p", "one"),
        JobSubmitted("a", "p", "two"),
        JobSubmitted("b", "p", "two"),
        _finished("a", "two"),
    )

    assert lines == ["one idle 0 done", "two b 0% submitted 1 done"]


def test_a_server_that_joins_gets_a_line_and_one_that_is_drained_loses_it_when_it_has_done_what_it_had() -> None:
    view = _View("one")

    joined = view.after(ServerChanged("two", "http://two:8188", "joined"), JobSubmitted("a", "p", "one"))
    draining = view.after(ServerChanged("one", "http://one:8188", "draining"))
    drained = view.after(_finished("a", "one"))

    assert joined == ["one a 0% submitted 0 done", "two idle 0 done"]
    assert draining == ["one a 0% submitted 0 done, draining", "two idle 0 done"]
    assert drained == ["two idle 0 done"]


def test_news_of_a_job_that_no_server_has_is_no_mistake() -> None:
    view = _View("one", "two")

    lines = view.after(JobWaiting("a", 1), JobProgressed("a", "Decode", 0, 0, 1.0), JobRetried("a", "server_lost", "lost"))

    assert lines == ["one idle 0 done", "two idle 0 done"]


def test_many_servers_fit_into_the_terminal() -> None:
    names = [f"http://gpu{number}:8188" for number in range(64)]
    view = _View(*names)

    lines = view.after(*(JobSubmitted(f"j{number}", "p", name) for number, name in enumerate(names[:40])))

    assert len(lines) == 21
    assert lines[0] == "gpu0:8188 j0 0% submitted 0 done"
    assert lines[-1] == "and 44 more servers: 20 running"
    assert view.after(height=100)[-1] == "gpu63:8188 idle 0 done"


def test_a_narrow_terminal_has_no_bars() -> None:
    view = _View("127.0.0.1:8188", "two")

    first, _ = view.after(
        JobSubmitted("lake-d050-s1", "p", "127.0.0.1:8188"),
        JobProgressed("lake-d050-s1", "Second pass", 1, 4, 0.5),
        width=40,
    )

    assert first == "127.0.0.1:8188 la…-s1 50% Secon… 0 done"


def test_a_terminal_that_is_far_too_small_is_no_mistake() -> None:
    view = _View("one", "two")

    assert view.after(JobSubmitted("a", "p", "one"), width=10, height=2)


def test_no_name_or_title_steers_the_terminal() -> None:
    view = _View("\x1b[31mone", "two")

    lines = view.after(JobSubmitted("\x1b[2Ja", "p", "\x1b[31mone"), JobProgressed("\x1b[2Ja", "\x1b]0;x\x07 [red]", 0, 0, 0.5))
    away = view.after(ServerChanged("two", "u", "out", Unreachable("\x1b[5mno"), 1.0))

    assert "\x1b" not in "".join([*lines, *away])
    assert "[red]" in lines[0]
