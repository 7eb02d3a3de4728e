"""Following a run where stderr is no terminal; for terminals see `test_terminal`."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.cli.console import follower
from comfy_runner.errors import Note
from comfy_runner.runs.events import Event, JobFinished, JobProgressed, JobResult, JobSubmitted, JobWaiting, RunFinished, RunStarted

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


def _told(capsys: pytest.CaptureFixture[str], *, quiet: bool = False, verbose: int = 0) -> list[str]:
    with follower(quiet=quiet, verbose=verbose) as follow:
        for event in _EVENTS:
            follow(event)
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_each_thing_that_happens_is_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert _told(capsys) == [
        "warning: x.yaml:1: y: is blurred",
        "2 jobs, 1 done already on http://x, run folder runs/lake",
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
