"""``run --json`` and docs/events.md: the page and the program say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from comfy_runner import errors
from comfy_runner.cli.records import VERSION, error_record, note_record, records
from comfy_runner.errors import ComfyRunnerError, Note, RecipeError
from comfy_runner.runs import events
from tests.cli.support import Typed
from tests.standin import NodeFault, StandIn

_PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
_FAST = ("--set", "sampler.steps=2", "--set", "size={width: 64, height: 64}", "--set", "size.width=65")


def _documented() -> dict[str, set[str]]:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*?) \|", _PAGE.split("## Codes")[0], flags=re.MULTILINE)
    return {event: set(re.findall(r"`([a-z_]+)`", keys)) for event, keys in rows}


def _lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def _result(**changes: Any) -> events.JobResult:
    return events.JobResult(**{"job_id": "a", "state": "done", "files": {}, **changes})


def _samples() -> list[dict[str, Any]]:
    """One record of every kind there is."""
    samples: dict[type, events.Event] = {
        events.RunStarted: events.RunStarted(Path("x"), "", ("a",), 0, ()),
        events.JobSubmitted: events.JobSubmitted("a", "p"),
        events.JobWaiting: events.JobWaiting("a", 1),
        events.JobProgressed: events.JobProgressed("a", "First pass", 1, 2, 0.5),
        events.JobRetried: events.JobRetried("a", "server_lost", "no longer knows the prompt"),
        events.JobFinished: events.JobFinished(_result()),
        events.RunFinished: events.RunFinished((_result(),)),
    }
    assert set(samples) == set(get_args(events.Event))
    found = [record for event in samples.values() for record in records(event)]
    return [*found, note_record(Note("what")), error_record(RecipeError("what"))]


def test_the_page_lists_every_event_that_there_is() -> None:
    assert set(_documented()) == {record["event"] for record in _samples()}


def test_the_page_names_every_key_of_every_event() -> None:
    documented = _documented()

    for record in _samples():
        assert set(record) - {"v", "event"} - documented[record["event"]] == set(), record["event"]


def test_the_page_lists_every_code_with_its_exit_code() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ComfyRunnerError)]
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", _PAGE, flags=re.MULTILINE))

    assert rows == {kind.code: str(kind.exit_code) for kind in kinds}


def test_every_line_on_stdout_is_an_event_of_this_version(cli: Callable[..., Typed], server: StandIn) -> None:
    done = cli("run", "quickstart", *_FAST, "--server", server.url, "--json")

    found = _lines(done.out)
    assert (done.code, {record["v"] for record in found}) == (0, {VERSION})
    assert [record["event"] for record in found if record["event"] != "job-progress"] == [
        "run-started",
        "note",
        "job-submitted",
        "job-finished",
        "run-finished",
    ]
    assert Path(found[-1]["jobs"][0]["files"]["upscaled"][0]).is_file()


def test_an_error_before_the_run_is_an_event_too(cli: Callable[..., Typed]) -> None:
    done = cli("run", "quickstart", "--set", "upscale.denoise=7", "--json")

    (record,) = _lines(done.out)
    assert (done.code, record["event"], record["code"], record["exit_code"]) == (2, "error", "recipe", 2)
    assert record["problems"][0]["where"] == "--set upscale.denoise"


def test_a_failed_job_carries_its_code(cli: Callable[..., Typed], server: StandIn) -> None:
    server.state.node_faults["second_pass"] = NodeFault.OUT_OF_MEMORY

    done = cli("run", "quickstart", *_FAST, "--server", server.url, "--json")

    (job,) = _lines(done.out)[-1]["jobs"]
    assert (done.code, job["state"], job["error"]["code"]) == (1, "partial", "job-failed")
    assert list(job["files"]) == ["original"]
