"""The commands that look at run folders: status of one, a list of all below a folder. They change nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from comfy_runner.cli.output import put, put_json, say
from comfy_runner.errors import ComfyRunnerError

if TYPE_CHECKING:
    from comfy_runner.store.ledger_rows import JobRow
    from comfy_runner.store.lock import Holder
    from comfy_runner.store.states import State
    from comfy_runner.store.status import Job, Status, Summary

_Command = TypeVar("_Command", bound=Callable[..., Any])
_VERSION = 1
_STATES: tuple[State, ...] = ("done", "partial", "failed", "cancelled", "submitted", "pending")
_UNFINISHED: tuple[State, ...] = ("failed", "partial")
_MOST_NAMED = 8


def run_argument(command: _Command) -> _Command:
    """Add the run folder that a command is about."""
    return click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))(command)


@click.command()
@run_argument
@click.option("--failed", is_flag=True, help="Only jobs that have failed or are partial.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every job (docs/runs.md).")
def status(folder: Path, *, failed: bool, as_json: bool) -> None:
    """Tell how the jobs of the run folder RUN stand, who works there, and what servers have of it.

    No server is asked and nothing is changed; it works beside a live run.
    """
    from comfy_runner.store.status import status as look

    with errors_as_json(as_json):
        found = look(folder, states=_UNFINISHED if failed or not as_json else None)
    if as_json:
        put_json(json.dumps(status_record(found)))
        return
    for line in () if failed else describe(found):
        put(line)
    for job in found.jobs:
        put(_unfinished(job.row))
    if failed and not found.jobs:
        say("no job has failed")


@click.command()
@click.argument("folder", metavar="[DIR]", default=Path("runs"), type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (docs/runs.md).")
def runs(folder: Path, *, as_json: bool) -> None:
    """List the run folders below DIR (runs): how their jobs stand, when something happened last, what runs now."""
    from comfy_runner.store.status import list_runs

    with errors_as_json(as_json):
        found = list_runs(folder)
    if as_json:
        put_json(json.dumps({"v": _VERSION, "runs": [_summary_record(summary) for summary in found]}))
        return
    for line in _table([_summary_row(summary, folder) for summary in found]):
        put(line)
    if not found:
        say(f"there are no run folders below {folder}")


@contextmanager
def errors_as_json(as_json: bool) -> Iterator[None]:
    """Print an error that ends the command as a JSON object, too, where JSON is wanted."""
    try:
        yield
    except ComfyRunnerError as error:
        if as_json:
            from comfy_runner.cli.event_json import error_record

            put_json(json.dumps(error_record(error)))
        raise


def counted(counts: Mapping[State, int]) -> str:
    """Return how many jobs are in which state, such as ``70 done, 2 failed``."""
    return ", ".join(f"{counts[state]} {state}" for state in _STATES if counts.get(state)) or "no jobs"


def describe(found: Status) -> list[str]:
    """Return how a run stands, a line each."""
    lines = [f"{found.folder}: {counted(found.counts)}"]
    if found.removed:
        lines.append(f"{found.removed} removed from the recipe, kept")
    lines.append(f"runs now: {_holder(found.holder)}" if found.holder else "nobody works on it now")
    servers: dict[str, list[str]] = {}
    prompts: dict[str, int] = {}
    for submission in found.submissions:
        servers.setdefault(submission.server, []).extend(submission.job_ids)
        prompts[submission.server] = prompts.get(submission.server, 0) + 1
    for server, jobs in servers.items():
        count = f"{prompts[server]} prompt{'' if prompts[server] == 1 else 's'}"
        lines.append(f"on {server}: {count} ({named(jobs) or 'of jobs that have changed since'})")
    return lines


def named(names: Sequence[str]) -> str:
    """Return names in a line, the first few of many."""
    more = [f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return ", ".join([*names[:_MOST_NAMED], *more])


def status_record(found: Status) -> dict[str, Any]:
    """Return the status of a run as a JSON object."""
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
        "v": _VERSION,
        "folder": str(found.folder),
        "counts": dict(found.counts),
        "removed": found.removed,
        "holder": _holder_record(found.holder),
        "submissions": submissions,
        "jobs": [_job_record(job, found.folder) for job in found.jobs],
    }


def _job_record(job: Job, folder: Path) -> dict[str, Any]:
    row = job.row
    files: dict[str, list[str]] = {}
    for file in job.files:
        files.setdefault(file.role, []).append(str(folder / file.path))
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


def _summary_record(summary: Summary) -> dict[str, Any]:
    return {
        "folder": str(summary.folder),
        "counts": dict(summary.counts),
        "removed": summary.removed,
        "holder": _holder_record(summary.holder),
        "last_activity": summary.last_activity.isoformat(timespec="seconds") if summary.last_activity else None,
        "problem": summary.problem,
    }


def _holder_record(holder: Holder | None) -> dict[str, Any] | None:
    if holder is None:
        return None
    return {"pid": holder.pid, "host": holder.host, "since": holder.since, "version": holder.version}


def _holder(holder: Holder) -> str:
    return str(holder) or "another comfy-runner"


def _unfinished(row: JobRow) -> str:
    # Each problem of an error is a line of its own.
    first, *rest = (row.error or "nobody knows why").splitlines() or [""]
    told = first.removeprefix(f"{row.job_id}: ")
    return "\n".join([f"{row.job_id}: {row.state}: {told}", *(f"    {line}" for line in rest)])


def _summary_row(summary: Summary, below: Path) -> tuple[str, ...]:
    name = summary.folder.relative_to(below).as_posix()
    when = summary.last_activity.astimezone().strftime("%Y-%m-%d %H:%M") if summary.last_activity else ""
    jobs = f"damaged: {summary.problem}" if summary.problem else counted(summary.counts)
    removed = f", {summary.removed} removed" if summary.removed else ""
    return (
        str(summary.folder) if name == "." else name,
        jobs + removed,
        when,
        f"runs now: {_holder(summary.holder)}" if summary.holder else "",
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
