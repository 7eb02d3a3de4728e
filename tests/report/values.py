"""Runs and measures as values, for tests of what is concluded from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from comfy_runner.report.measures import Measured, Measures
from comfy_runner.report.run_data import Axis, Entry, Material
from comfy_runner.store.ledger_rows import FileRow, JobRow
from comfy_runner.store.local import LocalStore
from tests.report.support import job_id_of, points

DENOISE = "upscale.denoise"
_NONE: Mapping[str, tuple[FileRow, ...]] = {}


def measures(detail: float, drift: float = 0.1, **changes: Any) -> Measures:
    """Return measures of a picture that nothing rules out."""
    usual: dict[str, Any] = {
        "detail": detail,
        "drift": drift,
        "local_drift": drift,
        "noise": 0.0,
        "blocks": 0.0,
        "seams": 0.0,
        "halos": 0.0,
        "colour_shift": 0.0,
        "shift": 0.0,
    }
    return Measures(**{**usual, **changes})


def entry_of(job_id: str, values: Mapping[str, Any], pictures: Mapping[str, tuple[FileRow, ...]] = _NONE, **row: Any) -> Entry:
    """Return a job of a run, done if nothing else is said.

    Args:
        job_id: Its id.
        values: Its place on each axis.
        pictures: Its pictures by role.
        row: What the ledger has of it besides.
    """
    usual: dict[str, Any] = dict.fromkeys(("content_hash", "pixel_hash", "shares", "reason", "error", "prompt_id"), "")
    usual |= {"position": None, "recipe": "lake", "assignments": values, "state": "done", "removed": False, "attempts": 1}
    usual |= {"seconds": 1.0, "work": None, "finished": "2026-11-27T10:00:00+00:00"}
    return Entry(row=JobRow(job_id=job_id, **{**usual, **row}), values=values, pictures=pictures)


def material(axes: Mapping[str, Sequence[Any]], folder: Path = Path("runs/lake")) -> Material:
    """Return a run of which every job is done; it has no files."""
    entries = [entry_of(job_id_of(values), values) for values in points(axes)]
    return Material(folder, tuple(entries), tuple(Axis(field, tuple(values)) for field, values in axes.items()), LocalStore(folder))


def measured(run: Material, found: Mapping[tuple[Any, ...], Measures | None]) -> dict[str, Measured]:
    """Return what was measured, by the values of all axes in their order."""
    places = {tuple(entry.values[axis.field] for axis in run.axes): entry.job_id for entry in run.entries}
    return {places[place]: Measured(measures=one, problem="" if one else "has no upscaled picture") for place, one in found.items()}
