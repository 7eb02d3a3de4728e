"""What an agent is told of a run: how its jobs stand, their numbers, small pictures of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from comfy_runner.errors import ComfyRunnerError, UsageError
from comfy_runner.report.measure_run import measure_all, require_metrics
from comfy_runner.report.measures import NUMBERS, Measured
from comfy_runner.report.page.thumbnails import make_thumbnail
from comfy_runner.report.run_data import Entry, Material, read_material
from comfy_runner.report.suggest import Suggestion
from comfy_runner.store.local import folder_errors
from comfy_runner.store.run_log import is_written
from comfy_runner.store.status import status
from comfy_runner.wording import counted, did_you_mean

_MOST_ERRORS = 20
_MOST_JOBS = 50
_MOST_PICTURES = 16
_DIGITS = 4


def run_status(folder: Path) -> dict[str, Any]:
    """Return how a run stands: whether it goes on, its jobs by state, what went wrong.

    Args:
        folder: The run folder.

    Raises:
        RunFolderError: It is no run folder.
    """
    found = status(folder, states=("failed", "partial"))
    # After its last job, the process of the run writes the report.
    is_live = found.holder is not None or is_written(folder)
    counts = {state: count for state, count in found.counts.items() if count}
    return {
        "folder": str(folder),
        "is_live": is_live,
        "jobs": sum(counts.values()),
        "ended": sum(counts.get(state, 0) for state in ("done", "partial", "failed", "cancelled")),
        "counts": counts,
        "problems": {job.row.job_id: job.row.error or job.row.state for job in found.jobs[:_MOST_ERRORS]},
    }


def job_results(folder: Path, jobs: Collection[str], most: int) -> tuple[dict[str, Any], list[bytes]]:
    """Return the results of jobs that have ended: their values and numbers, and thumbnails of their pictures (WebP).

    Args:
        folder: The run folder.
        jobs: Patterns of ids; empty for all.
        most: Of how many jobs thumbnails are made, at most; no more than 16.

    Raises:
        UsageError: No job is called so.
        RunFolderError: It is no run folder, or thumbnails cannot be written.
    """
    material = read_material(folder)
    entries = [entry for entry in material.entries if not jobs or any(fnmatchcase(entry.job_id, each) for each in jobs)]
    if not entries:
        hint = did_you_mean(next(iter(jobs), ""), [entry.job_id for entry in material.entries])
        raise UsageError("there is no such job", where=", ".join(jobs), hint=hint)
    measured, notes = _measured(material)
    listed = [_job(folder, entry, measured) for entry in entries[:_MOST_JOBS]]
    told: dict[str, Any] = {"folder": str(folder), "job_count": len(entries), "jobs": listed}
    if len(entries) > _MOST_JOBS:
        notes = (*notes, f"the first {_MOST_JOBS} of {counted(len(entries), 'job')}; name others by their ids or by patterns")
    if notes:
        told["notes"] = list(notes)
    shown = [entry for entry in entries if entry.pictures][: min(most, _MOST_PICTURES)]
    told["thumbnails_of"] = [entry.name for entry in shown]
    with folder_errors(folder):
        return told, list(_thumbnails(material, shown))


def suggestion(folder: Path, found: Suggestion) -> dict[str, Any]:
    """Return what a suggestion says, without its details, and whether the run goes on, after which it may say something else.

    Args:
        folder: The run folder.
        found: The suggestion.
    """
    stands = run_status(folder)
    goes_on = [f"the run goes on: {stands['ended']} of {counted(stands['jobs'], 'job')} ended"] if stands["is_live"] else []
    return {
        "axis": found.axis,
        "best": found.chosen.value if found.chosen else None,
        "reason": found.reason,
        "sureness": found.sureness,
        "limits": found.limits.most(),
        "values": [
            {"value": point.value, "passes": point.passes, "detail": _rounded(point.detail), "drift": _rounded(point.drift)}
            | ({"why": point.why} if point.why else {})
            for point in found.points
        ],
        "notes": [*goes_on, *found.notes],
    }


def _measured(material: Material) -> tuple[dict[str, Measured], tuple[str, ...]]:
    try:
        require_metrics()
    except UsageError as error:
        return {}, (str(error),)
    return measure_all(material)


def _job(folder: Path, entry: Entry, measured: dict[str, Measured]) -> dict[str, Any]:
    told: dict[str, Any] = {"job": entry.name, "state": entry.row.state, "values": dict(entry.values)}
    if entry.row.error:
        told["error"] = entry.row.error
    if entry.pictures:
        told["files"] = {role: [str(folder / row.path) for row in rows] for role, rows in entry.pictures.items()}
    found = measured.get(entry.name)
    if found is not None and found.measures is not None:
        told["metrics"] = {name: _rounded(getattr(found.measures, name)) for name in NUMBERS}
        told["vetoes"] = list(found.measures.vetoes)
    elif found is not None and found.problem:
        told["not_measured"] = found.problem
    return told


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, _DIGITS)


def _thumbnails(material: Material, entries: Collection[Entry]) -> Iterator[bytes]:
    """Yield the thumbnail of one picture of each entry: the upscaled one, where it has one."""
    for entry in entries:
        row = entry.picture("upscaled") or next(iter(entry.pictures.values()))[0]
        made = make_thumbnail(material.folder, row, material.store)
        if not made.path:
            raise ComfyRunnerError(made.problem, where=row.path)
        yield (material.folder / made.path).read_bytes()
