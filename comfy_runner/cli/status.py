"""``comfy-runner status`` and ``runs``: how jobs and run folders stand, as lines or as JSON (docs/runs.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.formatting import aligned
from comfy_runner.cli.json_records import to_json
from comfy_runner.cli.options import LocalPath, json_option, run_argument
from comfy_runner.cli.output import print_json, print_lines, say
from comfy_runner.text_files import place
from comfy_runner.wording import counted, named

if TYPE_CHECKING:
    from comfy_runner.store.interface import ArtifactStore
    from comfy_runner.store.ledger_rows import JobRow
    from comfy_runner.store.lock import Holder
    from comfy_runner.store.states import State
    from comfy_runner.store.status import JobStatus, Status, Summary

VERSION = 1
_STATES: tuple[State, ...] = ("done", "partial", "failed", "cancelled", "submitted", "pending")
_UNFINISHED: tuple[State, ...] = ("failed", "partial")
_SHOWN = ("job", "state", "removed", "assignments", "reason", "error", "seconds", "finished", "shares", "prompt_id")


@click.command()
@run_argument
@click.option("--failed", is_flag=True, help="Only jobs that have failed or are partial.")
@json_option("Print one JSON object with every job (docs/runs.md).")
def status(folder: Path, *, failed: bool, as_json: bool) -> None:
    """Show the state of the jobs in the run folder RUN, which process uses it, and which of its prompts servers have.

    No server is asked and nothing is changed; you can use it during a live run.
    """
    from comfy_runner.store.status import status as look

    found = look(folder, states=_UNFINISHED if failed or not as_json else None)
    if as_json:
        print_json(_status_record(found))
        return
    print_lines([*(() if failed else _described(found)), *(_unfinished(job.row) for job in found.jobs)])
    if failed and not found.jobs:
        say("no job has failed")


@click.command()
@click.argument("folder", metavar="[DIR]", default=Path("runs"), type=LocalPath())
@json_option("Print one JSON object (docs/runs.md).")
def runs(folder: Path, *, as_json: bool) -> None:
    """List the run folders below DIR (runs): the state of their jobs, their last activity, what runs now."""
    from comfy_runner.store.status import list_runs

    found = list_runs(folder)
    if as_json:
        print_json({"v": VERSION, "runs": to_json(found)})
        return
    print_lines(aligned([_summary_row(summary, folder) for summary in found]))
    if not found:
        say(f"there are no run folders below {folder}")


def _state_counts(counts: Mapping[State, int]) -> str:
    return ", ".join(f"{counts[state]} {state}" for state in _STATES if counts.get(state)) or "no jobs"


def _described(found: Status) -> list[str]:
    lines = [f"{place(found.folder)}: {_state_counts(found.counts)}"]
    if found.shard is not None:
        lines.append(f"of these, shard {found.shard} has {_state_counts(found.shard_counts)}")
    if found.removed:
        lines.append(f"{found.removed} removed from the recipe, kept")
    lines.append(f"runs now: {_holder_name(found.holder)}" if found.holder else "no run is active")
    servers: dict[str, list[str]] = {}
    prompts: dict[str, int] = {}
    for submission in found.submissions:
        servers.setdefault(submission.server, []).extend(submission.job_ids)
        prompts[submission.server] = prompts.get(submission.server, 0) + 1
    for server, jobs in servers.items():
        count = counted(prompts[server], "prompt")
        lines.append(f"on {server}: {count} ({named(jobs) or 'of jobs that have changed since'})")
    return lines


def _holder_name(holder: Holder) -> str:
    return str(holder) or "another comfy-runner"


def _status_record(found: Status) -> dict[str, Any]:
    from comfy_runner.store.registry import open_store

    store = open_store(found.folder)
    submissions = [
        {"server": one.server, "prompt_id": one.server_prompt_id or one.prompt_id, "jobs": list(one.job_ids), "since": one.minted}
        for one in found.submissions
    ]
    jobs = [_job_record(job, store) for job in found.jobs]
    return {"v": VERSION, **to_json(replace(found, submissions=(), jobs=())), "submissions": submissions, "jobs": jobs}


def _job_record(job: JobStatus, store: ArtifactStore) -> dict[str, Any]:
    files: dict[str, list[str]] = {}
    for file in job.files:
        files.setdefault(file.role, []).append(str(store.local_path(file.path) or store.location(file.path)))
    row = to_json(job.row)
    return {name: row[name] for name in _SHOWN} | {"files": files}


def _unfinished(row: JobRow) -> str:
    # Each problem of an error is a line of its own.
    first, *rest = (row.error or "for an unknown reason").splitlines() or [""]
    told = first.removeprefix(f"{row.job_id}: ")
    return "\n".join([f"{row.job_id}: {row.state}: {told}", *(f"    {line}" for line in rest)])


def _summary_row(summary: Summary, below: Path) -> tuple[str, ...]:
    name = summary.folder.relative_to(below).as_posix()
    when = summary.last_activity.astimezone().strftime("%Y-%m-%d %H:%M") if summary.last_activity else ""
    jobs = f"damaged: {summary.problem}" if summary.problem else _state_counts(summary.counts)
    removed = f", {summary.removed} removed" if summary.removed else ""
    return (
        str(summary.folder) if name == "." else name,
        jobs + removed,
        when,
        f"runs now: {_holder_name(summary.holder)}" if summary.holder else "",
    )
