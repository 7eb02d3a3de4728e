"""What was measured, for programs: ``metrics.json``, and ``metrics.csv`` for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from comfy_runner.report.measures import NUMBERS, Measured
from comfy_runner.report.run_data import ORIGINAL, UPSCALED, Entry, Material, label
from comfy_runner.report.suggest import Limits, Point, Suggestion, faults, ranking

FORMAT: Final = 1
"""Of ``metrics.json``."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def metrics_json(
    material: Material, measured: Mapping[str, Measured], suggestion: Suggestion | None, limits: Limits
) -> dict[str, Any]:
    """Return ``metrics.json`` as a JSON object; docs/metrics.md describes it."""
    ranks = _ranks(material, measured, limits)
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
    return {
        "axis": suggestion.axis,
        "chosen": None if suggestion.chosen is None else suggestion.chosen.value,
        "reason": suggestion.reason,
        "sureness": suggestion.sureness,
        "series": suggestion.series,
        "votes": dict(suggestion.votes),
        "apart": {field: dict(values) for field, values in suggestion.apart.items()},
        "limits": asdict(suggestion.limits),
        "points": [_point(point) for point in suggestion.points],
    }


def metrics_csv(material: Material, measured: Mapping[str, Measured], limits: Limits) -> str:
    """Return ``metrics.csv``: a row per entry in the order of the plan, a column per axis and metric."""
    ranks = _ranks(material, measured, limits)
    extras = sorted({name for one in measured.values() if one.measures for name in one.measures.extra})
    fields = [axis.field for axis in material.axes]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [*map(_cell, ["job", "state", *fields]), "rank", *NUMBERS, *map(_cell, extras), "faults", "problem", "same_as", "close_to"]
    )
    for entry in material.entries:
        one = measured[entry.name]
        numbers: Sequence[Any] = ["" for _ in (*NUMBERS, *extras)]
        if one.measures is not None:
            found = one.measures
            numbers = [*(_rounded(getattr(found, name)) for name in NUMBERS), *(found.extra.get(name, "") for name in extras)]
        places = [_cell(label(entry.values[field]) if field in entry.values else "") for field in fields]
        wrong = faults(one.measures, limits) if one.measures else []
        told = [" ".join(wrong), _cell(one.problem), one.same_as, one.close_to]
        writer.writerow([entry.name, entry.state, *places, ranks.get(entry.name, ""), *numbers, *told])
    return out.getvalue()


def dumped(data: Mapping[str, Any]) -> bytes:
    """Return a JSON object as the bytes of a file; half an emoji, which a recipe may have, as its backslash escape."""
    return (json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")


def _ranks(material: Material, measured: Mapping[str, Measured], limits: Limits) -> dict[str, int]:
    return {job_id: rank for rank, job_id in enumerate(ranking(material, measured, limits), start=1)}


def _job(entry: Entry, one: Measured, rank: int | None, limits: Limits) -> dict[str, Any]:
    found = one.measures
    paths = {role: row.path if (row := entry.picture(role)) else None for role in (ORIGINAL, UPSCALED)}
    return {
        "job": entry.name,
        "state": entry.state,
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
