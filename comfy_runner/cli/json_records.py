"""JSON objects for programs: values as JSON has them, and the events of ``run --json``, one per line (docs/events.md).

Each object says its version. A name or a meaning never changes within a version; new keys and new events may come, so readers
ignore what they do not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_runner.errors import ComfyRunnerError, Note
from comfy_runner.running import events
from comfy_runner.text_files import place

if TYPE_CHECKING:
    from comfy_runner.check.results import CheckedRun

VERSION = 1

_EVENTS: Mapping[type[events.Event], str] = {
    events.RunStarted: "run-started",
    events.ServerChanged: "server-changed",
    events.JobSubmitted: "job-submitted",
    events.JobWaiting: "job-waiting",
    events.JobProgressed: "job-progress",
    events.JobRetried: "job-retried",
    events.JobFinished: "job-finished",
    events.RunFinished: "run-finished",
}
_JOB_NAMES = {"job_id": "job", "job_ids": "jobs", "results": "jobs", "node_id": "node"}
_BOUNDS = {"minimum": "min", "maximum": "max", "excludes_minimum": "excludes_min", "least": "min", "most": "max"}
_RENAMED = _JOB_NAMES | _BOUNDS
_PLAIN = frozenset((str, int, float, bool, type(None)))
DIGITS: Mapping[str, int] = {"fraction": 4, "latency_seconds": 6, "start_sigma": 4, "weighted": 2, "work": 2}
"""To how many decimals the numbers of fields are rounded in all objects."""


def to_json(value: Any, digits: Mapping[str, int] = DIGITS) -> Any:
    """Return a value as JSON has it: of a dataclass its fields, by the names that they have there, of an error what it says.

    Args:
        value: The value; what else than mappings, sequences, paths and times it holds has to be JSON's already.
        digits: To how many decimals the numbers of fields are rounded, by their names.
    """
    if type(value) in _PLAIN:
        return value
    if names := _names(value.__class__):
        found = {}
        for name, told in names:
            inner = getattr(value, name)
            if name in digits and inner is not None:
                inner = round(inner, digits[name])
            # Most are plain, and there may be a hundred thousand jobs.
            found[told] = inner if type(inner) in _PLAIN else to_json(inner, digits)
        return found
    if isinstance(value, ComfyRunnerError):
        return {"code": value.code, "exit_code": value.exit_code, "problems": to_json(value.problems)}
    if isinstance(value, (dict, Mapping)):
        return {name: to_json(inner, digits) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(inner, digits) for inner in value]
    if isinstance(value, Path):
        return place(value)
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else value


@cache
def _names(kind: type) -> list[tuple[str, str]]:
    """Return the fields of a dataclass with the names that they have in JSON; none of anything else."""
    return [(field.name, _RENAMED.get(field.name, field.name)) for field in fields(kind)] if is_dataclass(kind) else []


def records(event: events.Event) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of an event; notes are objects of their own, and previews are none."""
    if isinstance(event, events.JobPreviewed):  # a picture; nobody has asked for it here
        return
    found = to_json(event)
    found.pop("notes", None)
    yield _record(_EVENTS[type(event)], **found.get("result", found))
    if isinstance(event, events.RunStarted):
        yield from map(note_record, event.notes)


def note_record(note: Note) -> dict[str, Any]:
    """Return a note as a JSON object."""
    return event_record("note", note)


def checked_record(checked: CheckedRun) -> dict[str, Any]:
    """Return what became of checking the run against what is expected as a JSON object."""
    return event_record("run-checked", checked)


def error_record(error: ComfyRunnerError) -> dict[str, Any]:
    """Return an error that ended the command as a JSON object."""
    return event_record("error", error)


def event_record(event: str, value: object) -> dict[str, Any]:
    """Return a value as the JSON object of an event.

    Args:
        event: What the event is called, such as ``find-step``.
        value: A dataclass with what is told of it.
    """
    return _record(event, **to_json(value))


def _record(event: str, **values: Any) -> dict[str, Any]:
    return {"v": VERSION, "event": event, **values}
