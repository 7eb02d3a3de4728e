"""``comfy-runner runs``: the run folders below a folder, a line each, or as JSON (docs/runs.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.formatting import aligned
from comfy_runner.cli.output import errors_as_json, print_json, print_line, say
from comfy_runner.cli.status import VERSION, holder_name, holder_record, state_counts

if TYPE_CHECKING:
    from comfy_runner.store.status import Summary


@click.command()
@click.argument("folder", metavar="[DIR]", default=Path("runs"), type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (docs/runs.md).")
def runs(folder: Path, *, as_json: bool) -> None:
    """List the run folders below DIR (runs): how their jobs stand, when something happened last, what runs now."""
    from comfy_runner.store.status import list_runs

    with errors_as_json(as_json):
        found = list_runs(folder)
    if as_json:
        print_json(json.dumps({"v": VERSION, "runs": [_summary_record(summary) for summary in found]}))
        return
    for line in aligned([_summary_row(summary, folder) for summary in found]):
        print_line(line)
    if not found:
        say(f"there are no run folders below {folder}")


def _summary_record(summary: Summary) -> dict[str, Any]:
    return {
        "folder": str(summary.folder),
        "counts": dict(summary.counts),
        "removed": summary.removed,
        "holder": holder_record(summary.holder),
        "last_activity": summary.last_activity.isoformat(timespec="seconds") if summary.last_activity else None,
        "problem": summary.problem,
    }


def _summary_row(summary: Summary, below: Path) -> tuple[str, ...]:
    name = summary.folder.relative_to(below).as_posix()
    when = summary.last_activity.astimezone().strftime("%Y-%m-%d %H:%M") if summary.last_activity else ""
    jobs = f"damaged: {summary.problem}" if summary.problem else state_counts(summary.counts)
    removed = f", {summary.removed} removed" if summary.removed else ""
    return (
        str(summary.folder) if name == "." else name,
        jobs + removed,
        when,
        f"runs now: {holder_name(summary.holder)}" if summary.holder else "",
    )
