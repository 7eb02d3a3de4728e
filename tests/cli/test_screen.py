"""What is shown at the bottom of a terminal, and printed above it meanwhile, as the emulator of a terminal shows it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.text import Text

from comfy_runner.cli.follow import follower
from comfy_runner.cli.interruption import _shout
from comfy_runner.cli.output import print_json, say
from comfy_runner.cli.report import measuring
from comfy_runner.cli.screen import live
from comfy_runner.running.events import Event, JobFinished, JobProgressed, JobResult, JobSubmitted, JobWaiting, RunStarted
from tests.cli.terminal import Terminal, needs_terminal, on_terminal

pytestmark = [needs_terminal, pytest.mark.usefixtures("plain_terminal")]

_BAR = re.compile("[━╸╺]")


def _events(servers: tuple[str, ...], jobs: int) -> Iterator[Event]:
    """Yield the events of a run whose servers have two jobs each at a time."""
    ids = tuple(f"job-{number}" for number in range(jobs))
    yield RunStarted(Path("x"), "", ids, 0, (), servers, (1.0,) * jobs)
    for number, job_id in enumerate(ids):
        server = servers[number % len(servers)]
        yield JobSubmitted(job_id, f"prompt-{number}", server)
        yield JobWaiting(job_id, 1)
        if number >= 2 * len(servers):
            before = ids[number - 2 * len(servers)]
            yield JobProgressed(before, "Second pass", 1, 2, 0.5)
            yield JobFinished(JobResult(before, "done", {}, seconds=1.0, server=server))
    for job_id in ids[-2 * len(servers) :]:
        yield JobFinished(JobResult(job_id, "done", {}, seconds=1.0))


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "servers"), [(80, ("one", "two", "three")), (120, ("one",))])
def test_of_900_jobs_no_line_is_lost_and_no_bar_stays(columns: int, servers: tuple[str, ...]) -> None:
    with on_terminal(Terminal(columns)) as terminal, follower(quiet=False, verbose=0) as follow:
        for event in _events(servers, 900):
            follow(event)
        say("the end")

    lines = terminal.lines()
    told = [f"job-{number}: done in 1.0 s" for number in range(900)]
    assert sorted(lines[1:-1]) == sorted(told)
    assert lines[-1] == "the end"
    assert terminal.has_cursor


def test_threads_that_print_at_once_lose_nothing() -> None:
    def print_lines(name: str) -> None:
        for number in range(100):
            say(f"{name} {number}")

    with on_terminal(Terminal()) as terminal, live(Text("━━━ shown\n━━━ below")):
        threads = [threading.Thread(target=print_lines, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        shown = terminal.wait_until(lambda lines: lines[-2:] == ["━━━ shown", "━━━ below"])

    assert sorted(shown[:-2]) == sorted(f"{name} {number}" for name in "abc" for number in range(100))
    assert terminal.lines() == shown[:-2]
    assert terminal.has_cursor


def test_what_is_printed_stands_above_what_is_shown_and_long_lines_are_whole() -> None:
    long = "word " * 30
    with on_terminal(Terminal(40, 10)) as terminal, live(Text("━" * 60)) as is_shown:
        say(long)
        say("short")
        seen = terminal.wait_until(lambda lines: any(map(_BAR.search, lines)))

    assert is_shown
    assert " ".join(seen[:-2]) == long.strip()
    assert seen[-2:] == ["short", "━" * 39 + "…"]


def test_a_terminal_that_becomes_narrower_keeps_no_bars() -> None:
    with on_terminal(Terminal(100)) as terminal, live(Text("━" * 100), Text("━" * 90)):
        say("before")
        terminal.wait_until(lambda lines: len(lines) == 3)
        terminal.resize(50, 24)
        terminal.wait_until(lambda lines: len(lines[-1]) == 50)
        say("after")

    assert terminal.lines() == ["before", "after"]


def test_a_terminal_that_is_too_low_shows_what_there_is_room_for() -> None:
    with on_terminal(Terminal(20, 4)) as terminal, live(Text("━1\n━2\n━3\n━4\n━5")):
        for number in range(10):
            say(str(number))
        terminal.wait_until(lambda lines: lines[-3:] == ["━1", "━2", "━3"])

    assert terminal.lines() == [str(number) for number in range(10)]


def test_what_is_shown_inside_of_another_stands_below_it_and_goes_first() -> None:
    with on_terminal(Terminal()) as terminal, live(Text("outer")):
        with live(Text("inner")) as is_shown:
            terminal.wait_until(lambda lines: lines == ["outer", "inner"])
        terminal.wait_until(lambda lines: lines == ["outer"])

    assert is_shown
    assert terminal.lines() == []


def test_stdout_on_the_same_terminal_is_above_what_is_shown_too() -> None:
    with on_terminal(Terminal(), stdout=True) as terminal, live(Text("━━━")):
        terminal.wait_until(lambda lines: lines == ["━━━"])
        print_json({"a": 1})
        say("said")
        sys.stderr.write("begun, ")
        sys.stderr.write("and ended\nleft")
        terminal.wait_until(lambda lines: len(lines) == 4)

    assert terminal.lines() == ['{"a": 1}', "said", "begun, and ended", "left"]


def test_a_stdout_that_is_no_terminal_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with on_terminal(Terminal()) as terminal, live(Text("━━━")):
        print_json({"a": 1})

    assert capsys.readouterr().out == '{"a": 1}\n'
    assert terminal.lines() == []


def test_a_signal_handler_that_knows_nothing_of_it_writes_above_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_terminal(Terminal()) as terminal, live(Text("━━━\n━━━")):
        say("before")
        terminal.wait_until(lambda lines: len(lines) == 3)
        monkeypatch.setattr("comfy_runner.cli.interruption._STDERR", terminal.stream.fileno())
        _shout("interrupting")
        terminal.wait_until(lambda lines: lines == ["before", "interrupting", "━━━", "━━━"])

    assert terminal.lines() == ["before", "interrupting"]


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with on_terminal(Terminal()) as terminal, follower(quiet=False, verbose=0) as follow:
        for event in _events(("one",), 2):
            follow(event)

    assert terminal.lines()[1:3] == ["job-0: submitted", "job-0: waits behind 1"]


def test_a_pipe_gets_plain_lines_also_where_colours_are_forced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with live(Text("━━━")) as is_shown:
        say("said")

    assert not is_shown
    assert capsys.readouterr().err == "said\n"


def test_colours_are_shown_unless_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for no_colours in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_colours)
        with on_terminal(Terminal()) as terminal, live(Text("green", style="green")):
            terminal.wait_until(lambda lines: lines == ["green"])
            assert terminal.has_colours is (not no_colours)


def test_where_nothing_is_shown_the_terminal_is_left_alone() -> None:
    with on_terminal(Terminal()) as terminal:
        with live():
            say("said")
        terminal.wait_until(lambda lines: lines == ["said"])

    assert terminal.raw == b"said\r\n"


@pytest.mark.slow
def test_ctrl_z_leaves_the_terminal_to_the_shell_and_what_was_shown_comes_back() -> None:
    code = (
        "import time; from rich.text import Text; from comfy_runner.cli.screen import live\n"
        "with live(Text('shown')): time.sleep(60)"
    )
    # Of a process group of its own, as shells start programs.
    with (
        Terminal() as terminal,
        subprocess.Popen((sys.executable, "-c", code), stderr=terminal.stream, process_group=0) as process,
    ):
        try:
            terminal.wait_until(lambda lines: lines == ["shown"])
            assert not terminal.has_cursor
            process.send_signal(signal.SIGTSTP)
            os.waitpid(process.pid, os.WUNTRACED)
            terminal.wait_until(lambda lines: lines == [])
            assert terminal.has_cursor
            process.send_signal(signal.SIGCONT)
            terminal.wait_until(lambda lines: lines == ["shown"])
        finally:
            process.kill()


def test_measuring_is_a_bar_that_goes_away_and_elsewhere_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with on_terminal(Terminal(40)) as terminal, measuring(verb="merging", noun="job") as progress:
        progress(3, 7)
        say("said")
        progress(4, 20)
        terminal.wait_until(lambda lines: any(re.match("merging .* 4/20", line) for line in lines))
    with measuring(verb="merging", noun="job") as progress:
        for number in range(1, 21):
            progress(number, 20)

    assert terminal.lines() == ["said"]
    assert capsys.readouterr().err == "merging 20 jobs\n"
