"""What a run says at its end; for runs in a terminal see `test_terminal`."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.cli.closing import Stdout, last_line, print_errors, print_last_line, summary
from comfy_runner.errors import JobFailed, Problem
from comfy_runner.running.events import JobResult
from comfy_runner.store.states import State
from tests.cli.terminal import Terminal, needs_terminal, on_terminal


def _result(state: State, *, was_done: bool = False, pictures: int = 0) -> JobResult:
    return JobResult("x", state, {"upscaled": (Path("x.png"),) * pictures}, was_done=was_done)


@pytest.mark.parametrize(
    ("results", "text"),
    [
        ([], ""),
        ([_result("done")], "1 done"),
        ([_result("done"), _result("done", was_done=True)], "2 done (1 already)"),
        ([_result("failed"), _result("done"), _result("partial"), _result("failed")], "1 done, 1 partial, 2 failed"),
        ([_result("submitted"), _result("done")], "1 done, 1 on the server (the same command collects it)"),
        (
            [_result("submitted"), _result("pending"), _result("submitted")],
            "2 on the server (the same command collects them), 1 not begun",
        ),
        ([_result("pending"), _result("cancelled")], "1 cancelled, 1 not begun"),
    ],
)
def test_the_summary_counts_how_jobs_ended(results: list[JobResult], text: str) -> None:
    assert summary(results) == text


def test_the_last_line_tells_how_long_it_took_and_how_many_pictures_there_are_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    results = [_result("done", pictures=2), _result("done", was_done=True, pictures=1)]

    print_last_line(results, 754.0, Path("runs/lake/report.html"))
    print_last_line([], 1.0, Path("runs/lake"))

    assert capsys.readouterr().err == "2 done (1 already), 3 pictures in 13 min: runs/lake/report.html\n"
    assert last_line([_result("failed")], 3.0) == "1 failed in 3 s"


def test_errors_that_several_jobs_have_in_common_are_told_once_with_the_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    shared = JobFailed("stopped", hint="go on")
    errors = [shared, shared, *(JobFailed("failed", where=f"job-{number}", hint="look") for number in range(20)), JobFailed("odd")]

    print_errors([JobResult("x", "failed", {}, error) for error in errors])

    assert capsys.readouterr().err.splitlines() == [
        "error: stopped",
        "hint: go on",
        "error: " + "; ".join(f"job-{number}" for number in range(14)) + " and 6 more: failed",
        "hint: look",
        "error: odd",
    ]


def test_of_one_place_all_that_is_wrong_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    error = JobFailed.of([Problem("is red", "a"), Problem("is blue", "a")])

    print_errors([JobResult("a", "failed", {}, error), JobResult("b", "failed", {}, JobFailed("is red", where="b"))])

    assert capsys.readouterr().err.splitlines() == ["error: a; b: is red", "error: a: is blue"]


@needs_terminal
def test_on_a_terminal_many_pictures_are_the_folder_and_for_programs_each_is_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    few, many = [_result("done", pictures=2)], [_result("done", pictures=2)] * 20
    with on_terminal(Terminal(), stdout=True) as terminal:
        for results in (few, many):
            Stdout().print_pictures(Path("runs/lake"), results)
    Stdout().print_pictures(Path("runs/lake"), many)

    assert terminal.lines() == ["x.png", "x.png", str(Path("runs/lake"))]
    assert capsys.readouterr().out.splitlines() == ["x.png"] * 40
