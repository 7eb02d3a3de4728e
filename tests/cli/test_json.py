"""``run --json`` and docs/events.md: the page and the program say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

from comfy_runner import errors
from comfy_runner.check.results import CheckedRun
from comfy_runner.cli.json_records import VERSION, checked_record, error_record, note_record, records
from comfy_runner.errors import ComfyRunnerError, Note, RecipeError, ServerStuck
from comfy_runner.running import events
from tests.cli.support import Typed, recipe_file
from tests.standin import NodeFault, StandIn, Trouble

_PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
# Values and other events that the page names beside the keys.
_NOT_KEYS = {"changed", "warning", "server_lost", "out_of_memory", "flat_picture"}
_FAST = ("--set", "sampler.steps=2", "--set", "size={width: 64, height: 64}", "--set", "size.width=65")


def _documented() -> dict[str, set[str]]:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*?) \|", _PAGE.split("## Codes")[0], flags=re.MULTILINE)
    return {event: set(re.findall(r"`([a-z_]+)`", keys)) for event, keys in rows}


def _paragraph(beginning: str) -> str:
    return next(paragraph for paragraph in _PAGE.split("\n\n") if paragraph.startswith(beginning))


def _lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def _result(**changes: Any) -> events.JobResult:
    return events.JobResult(**{"job_id": "a", "state": "done", "files": {}, **changes})


def _samples() -> list[dict[str, Any]]:
    """One record of every kind there is."""
    samples: dict[type, events.Event] = {
        events.RunStarted: events.RunStarted(Path("x"), "", ("a",), 0, ()),
        events.ServerChanged: events.ServerChanged("one", "http://one", "out", ServerStuck("hangs"), 2.0),
        events.JobSubmitted: events.JobSubmitted("a", "p", "one"),
        events.JobWaiting: events.JobWaiting("a", 1),
        events.JobProgressed: events.JobProgressed("a", "First pass", 1, 2, 0.5),
        events.JobRetried: events.JobRetried("a", "server_lost", "no longer knows the prompt"),
        events.JobFinished: events.JobFinished(_result()),
        events.RunFinished: events.RunFinished((_result(),), events.Spent(1, 1, 1, 1, 0, {"one": 1})),
    }
    assert set(samples) | {events.JobPreviewed} == set(get_args(events.Event))
    assert list(records(events.JobPreviewed("a", b"a picture"))) == []
    found = [record for event in samples.values() for record in records(event)]
    return [
        *found,
        checked_record(CheckedRun(folder=Path("x"), jobs=())),
        note_record(Note("what")),
        error_record(RecipeError("what")),
    ]


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


def test_of_several_servers_every_record_says_which(cli: Callable[..., Typed], server: StandIn, tmp_path: Path) -> None:
    recipe = str(recipe_file(tmp_path, sweep={"seed": list(range(1, 9))}))
    with StandIn() as broken:
        broken.state.troubles.append(Trouble("broken gpu", node="first_pass", until_free=False))
        done = cli("run", recipe, "--server", broken.url, "--server", server.url, "--json")

    found = _lines(done.out)
    documented = _documented()
    assert done.code == 0
    assert all(set(record) - {"v", "event"} == documented[record["event"]] - _NOT_KEYS for record in found)
    assert (found[0]["server"], found[0]["servers"]) == (broken.url, [broken.url, server.url])
    assert {record["server"] for record in found if record["event"] == "job-submitted"} == {broken.url, server.url}
    (out,) = [record for record in found if record["event"] == "server-changed" and record["stage"] == "out"]
    assert (out["server"], out["url"], out["error"]["code"]) == (broken.url, broken.url, "server-stuck")
    assert out["seconds"] > 0
    assert {job["server"] for job in found[-1]["jobs"]} == {server.url}
    assert found[-1]["spent"]["jobs"] == {server.url: 8}
    assert set(found[-1]["spent"]) == set(re.findall(r"`([a-z_]+)`", _paragraph("`spent` "))) - {"spent"}


def test_the_page_names_every_stage_of_a_server() -> None:
    stages = get_args(get_type_hints(events.ServerChanged)["stage"])

    assert set(re.findall(r"`([a-z_]+)`", _paragraph("`stage` "))) - {"stage", "seconds", "error"} == set(stages)


def test_where_nothing_is_rendered_no_server_is_named_and_nothing_was_spent(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path
) -> None:
    recipe = str(recipe_file(tmp_path))
    cli("run", recipe, "--server", server.url)

    found = _lines(cli("run", recipe, "--server", server.url, "--json").out)

    assert (found[0]["server"], found[0]["servers"], found[-1]["spent"]) == ("", [], None)
    assert found[-1]["jobs"][0]["server"] == ""


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
