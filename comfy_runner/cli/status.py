"""``comfy-runner status``: the state of a run folder's jobs, as lines or as JSON (docs/runs.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.options import run_argument
from comfy_runner.cli.output import errors_as_json, print_json, print_line, say
from comfy_runner.wording import counted, named

if TYPE_CHECKING:
    from comfy_runner.store.interface import ArtifactStore
    from comfy_runner.store.ledger_rows import JobRow
    from comfy_runner.store.lock import Holder
    from comfy_runner.store.states import State
    from comfy_runner.store.status import JobStatus, Status

VERSION = 1
_STATES: tuple[State, ...] = ("done", "partial", "failed", "cancelled", "submitted", "pending")
_UNFINISHED: tuple[State, ...] = ("failed", "partial")


@click.command()
@run_argument
@click.option("--failed", is_flag=True, help="Only jobs that have failed or are partial.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every job (docs/runs.md).")
def status(folder: Path, *, failed: bool, as_json: bool) -> None:
    """Show the state of the jobs in the run folder RUN, who works there, and what servers have of it.

    No server is asked and nothing is changed; it works beside a live run.
    """
    from comfy_runner.store.status import status as look

    with errors_as_json(as_json):
        found = look(folder, states=_UNFINISHED if failed or not as_json else None)
    if as_json:
        print_json(json.dumps(status_record(found)))
        return
    for line in () if failed else describe(found):
        print_line(line)
    for job in found.jobs:
        print_line(_unfinished(job.row))
    if failed and not found.jobs:
        say("no job has failed")


def state_counts(counts: Mapping[State, int]) -> str:
    """Return how many jobs are in which state, such as ``70 done, 2 failed``."""
    return ", ".join(f"{counts[state]} {state}" for state in _STATES if counts.get(state)) or "no jobs"


def describe(found: Status) -> list[str]:
    """Return how a run stands, a line each."""
    lines = [f"{found.folder}: {state_counts(found.counts)}"]
    if found.removed:
        lines.append(f"{found.removed} removed from the recipe, kept")
    lines.append(f"runs now: {holder_name(found.holder)}" if found.holder else "no run is active")
    servers: dict[str, list[str]] = {}
    prompts: dict[str, int] = {}
    for submission in found.submissions:
        servers.setdefault(submission.server, []).extend(submission.job_ids)
        prompts[submission.server] = prompts.get(submission.server, 0) + 1
    for server, jobs in servers.items():
        count = counted(prompts[server], "prompt")
        lines.append(f"on {server}: {count} ({named(jobs) or 'of jobs that have changed since'})")
    return lines


def holder_name(holder: Holder) -> str:
    """Return the process that works on a run folder as it is named in a line."""
    return str(holder) or "another comfy-runner"


def holder_record(holder: Holder | None) -> dict[str, Any] | None:
    """Return the process that works on a run folder as a JSON object."""
    if holder is None:
        return None
    return {"pid": holder.pid, "host": holder.host, "since": holder.since, "version": holder.version}


def status_record(found: Status) -> dict[str, Any]:
    """Return the status of a run as a JSON object."""
    from comfy_runner.store.registry import open_store

    store = open_store(found.folder)
    submissions = [
        {
            "server": submission.server,
            "prompt_id": submission.server_prompt_id or submission.prompt_id,
            "jobs": list(submission.job_ids),
            "since": submission.minted,
        }
        for submission in found.submissions
    ]
    return {
        "v": VERSION,
        "folder": str(found.folder),
        "counts": dict(found.counts),
        "removed": found.removed,
        "holder": holder_record(found.holder),
        "submissions": submissions,
        "jobs": [_job_record(job, store) for job in found.jobs],
    }


def _job_record(job: JobStatus, store: ArtifactStore) -> dict[str, Any]:
    row = job.row
    files: dict[str, list[str]] = {}
    for file in job.files:
        files.setdefault(file.role, []).append(str(store.local_path(file.path) or store.url(file.path)))
    return {
        "job": row.job_id,
        "state": row.state,
        "removed": row.removed,
        "assignments": dict(row.assignments),
        "reason": row.reason,
        "error": row.error,
        "seconds": row.seconds,
        "finished": row.finished,
        "files": files,
        "shares": row.shares,
        "prompt_id": row.prompt_id,
    }


def _unfinished(row: JobRow) -> str:
    # Each problem of an error is a line of its own.
    first, *rest = (row.error or "for an unknown reason").splitlines() or [""]
    told = first.removeprefix(f"{row.job_id}: ")
    return "\n".join([f"{row.job_id}: {row.state}: {told}", *(f"    {line}" for line in rest)])
