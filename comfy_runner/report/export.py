"""What was measured, for programs: ``metrics.json``, and ``metrics.csv`` for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from comfy_runner.report.measures import NUMBERS, Measured
from comfy_runner.report.run_data import ORIGINAL, UPSCALED, Entry, Material, label
from comfy_runner.report.suggest import Limits, Point, Suggestion, faults, ranking

FORMAT: Final = 1
"""Of ``metrics.json``."""

_TEXTS: Final = ("problem", "same_as", "close_to")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def metrics_json(
    material: Material, measured: Mapping[str, Measured], suggestion: Suggestion | None, limits: Limits
) -> dict[str, Any]:
    """Return ``metrics.json`` as a JSON object; docs/metrics.md describes it."""
    ranks = {name: rank for rank, name in enumerate(ranking(material, measured, limits), start=1)}
    return {
        "format": FORMAT,
        "run": material.folder.absolute().name,
        "limits": asdict(limits),
        "axes": {axis.field: list(axis.values) for axis in material.axes},
        "jobs": [_job(entry, measured[entry.name], ranks.get(entry.name), limits) for entry in material.entries],
        "suggestion": None if suggestion is None else suggestion_json(suggestion),
    }


def suggestion_json(suggestion: Suggestion) -> dict[str, Any]:
    """Return a suggestion as a JSON object."""
    chosen = None if suggestion.chosen is None else suggestion.chosen.value
    points = [_point(point) for point in suggestion.points]
    return asdict(suggestion) | {"chosen": chosen, "points": points, "notes": list(suggestion.notes)}


def metrics_csv(told: Mapping[str, Any]) -> str:
    """Return ``metrics.csv``: a row per entry in the order of the plan, a column per axis and metric.

    Args:
        told: What is in `metrics_json`.
    """
    jobs, fields = told["jobs"], list(told["axes"])
    extras = sorted({name for job in jobs for name in job["measures"] or ()} - set(NUMBERS))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["job", "state", *map(_cell, fields), "rank", *NUMBERS, *map(_cell, extras), "faults", *_TEXTS])
    for job in jobs:
        places = [_cell(label(job["values"][field])) if field in job["values"] else "" for field in fields]
        numbers = [(job["measures"] or {}).get(name) for name in (*NUMBERS, *extras)]
        texts = [_cell(job[name]) for name in _TEXTS]
        writer.writerow([job["job"], job["state"], *places, job["rank"], *numbers, "; ".join(job["faults"]), *texts])
    return out.getvalue()


def dumped(data: Mapping[str, Any]) -> bytes:
    """Return a JSON object as the bytes of a file; half an emoji, which a recipe may have, as its backslash escape."""
    return (json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")


def _job(entry: Entry, one: Measured, rank: int | None, limits: Limits) -> dict[str, Any]:
    found = one.measures
    paths = {role: row.path if (row := entry.picture(role)) else None for role in (ORIGINAL, UPSCALED)}
    return {
        "job": entry.name,
        "state": entry.row.state,
        "output": entry.output,
        "values": dict(entry.values),
        **paths,
        "measures": None if found is None else {name: _rounded(getattr(found, name)) for name in NUMBERS} | dict(found.extra),
        "vetoes": [] if found is None else list(found.vetoes),
        "faults": [] if found is None else faults(found, limits),
        "rank": rank,
        "problem": one.problem,
        "same_as": one.same_as,
        "close_to": one.close_to,
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        name: _rounded(value) if isinstance(value, float) and name != "value" else value for name, value in asdict(point).items()
    }


def _rounded(number: float) -> float:
    return round(number, 5)


def _cell(text: str) -> str:
    """Return a text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
