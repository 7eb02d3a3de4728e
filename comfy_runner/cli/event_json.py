"""Events as JSON objects, for ``run --json``: one per line, versioned, documented in docs/events.md.

A name or a meaning never changes within a version; new keys and new events may come, so readers ignore what they do not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from comfy_runner.errors import ComfyRunnerError, Note
from comfy_runner.running.events import (
    Event,
    JobFinished,
    JobProgressed,
    JobResult,
    JobRetried,
    JobSubmitted,
    JobWaiting,
    RunFinished,
    RunStarted,
    ServerChanged,
)

VERSION = 1


def records(event: Event) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of an event; notes are objects of their own."""
    match event:
        case RunStarted():
            yield _record(
                "run-started",
                folder=str(event.folder),
                server=event.server,
                servers=list(event.servers),
                jobs=list(event.jobs),
                done=event.done,
            )
            for note in event.notes:
                yield note_record(note)
        case ServerChanged(server, url, stage, error, seconds):
            told = None if error is None else error_body(error)
            yield _record("server-changed", server=server, url=url, stage=stage, error=told, seconds=seconds)
        case JobSubmitted(job_id, prompt_id, server):
            yield _record("job-submitted", job=job_id, prompt_id=prompt_id, server=server)
        case JobWaiting(job_id, ahead):
            yield _record("job-waiting", job=job_id, ahead=ahead)
        case JobProgressed(job_id, node, step, steps, fraction):
            yield _record("job-progress", job=job_id, node=node, step=step, steps=steps, fraction=round(fraction, 4))
        case JobRetried(job_id, reason, what):
            yield _record("job-retried", job=job_id, reason=reason, what=what)
        case JobFinished(result):
            yield _record("job-finished", **_result(result))
        case RunFinished(results, spent):
            yield _record(
                "run-finished",
                jobs=[_result(result) for result in results],
                spent=None if spent is None else {**asdict(spent), "jobs": dict(spent.jobs)},
            )


def note_record(note: Note) -> dict[str, Any]:
    """Return a note as a JSON object."""
    return _record("note", level=note.level, where=note.where, what=note.what)


def error_record(error: ComfyRunnerError) -> dict[str, Any]:
    """Return an error that ended the command as a JSON object."""
    return _record("error", **error_body(error))


def error_body(error: ComfyRunnerError) -> dict[str, Any]:
    """Return what there is to say of an error, as it is within other JSON objects."""
    return {"code": error.code, "exit_code": error.exit_code, "problems": [asdict(problem) for problem in error.problems]}


def _record(event: str, **values: Any) -> dict[str, Any]:
    return {"v": VERSION, "event": event, **values}


def _result(result: JobResult) -> dict[str, Any]:
    return {
        "job": result.job_id,
        "state": result.state,
        "was_done": result.was_done,
        "server": result.server,
        "seconds": result.seconds,
        "cached_nodes": list(result.cached_nodes),
        "files": {role: [str(path) for path in paths] for role, paths in result.files.items()},
        "error": None if result.error is None else error_body(result.error),
    }
