"""What the page of a run says: the facts of all jobs, and those of each job that are looked at only when it is opened.

All are values that JSON can say, but for numbers that are not finite. The scripts in `assets` read them: a name that changes here
changes there.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby

from comfy_runner._version import __version__
from comfy_runner.errors import RunFolderError
from comfy_runner.graph.literals import is_number
from comfy_runner.report.dimensions import dimensions, short_labels, usual_layout
from comfy_runner.report.failed_checks import ShownDifference
from comfy_runner.report.fixed_values import fixed_values
from comfy_runner.report.found import path_of_search
from comfy_runner.report.measures import NUMBERS, Measured
from comfy_runner.report.page.joined_facts import JoinedRun
from comfy_runner.report.page.picks_facts import judged_picture, originals_of, picks_facts
from comfy_runner.report.page.short_reasons import short_reason
from comfy_runner.report.page.thumbnails import LONG_SIDE, Thumbnail
from comfy_runner.report.run_data import Entry, Material, key, label, short_name
from comfy_runner.report.suggest import Limits, Suggestion, faults
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.local import LocalStore
from comfy_runner.text_files import url_of
from comfy_runner.wording import now

_METRICS = {
    "drift": "How far the composition has moved: 0 is that of the original",
    "local_drift": "The drift of the region that has drifted most",
    "detail": "Real detail that the plain upscale lacks: 0 is none",
    "noise": "Noise that the original does not have, in luma or colour, as a share of full scale",
    "blocks": "Steps on a regular grid: 0 is none",
    "seams": "Height of the highest straight step or line that the original does not have, in 255ths",
    "halos": "How much more contrast fine structures have gained than coarse ones",
    "colour_shift": "Distance of the mean colours (CIE76): 2.3 is just visible",
    "shift": "How far the whole picture was moved, in pixels",
    "alignment": "How far fine structures run along the original's edges: 0 is by chance, 1 is everywhere",
    "ringing": "How much more the finest waves were amplified than the next ones",
    "repetition": "How much fine structures resemble those elsewhere: 1 is a repeated tile",
    "dead_areas": "Share of the picture that is flat where the plain upscale is not",
}
_FAULTS = {
    "flat": "nearly one flat colour",
    "noise": "noise instead of detail",
    "blocks": "a grid of blocks",
    "seams": "seams between tiles",
    "halos": "halos along edges",
    "ringing": "ringing along edges",
    "repetition": "the same structure repeated over and over",
    "dead areas": "empty areas",
    "drift": "the composition has moved too far",
    "local drift": "a region has moved too far",
    "colour shift": "the colours have moved too far",
}


def overview(
    material: Material,
    measured: Mapping[str, Measured],
    suggestion: Suggestion | None,
    thumbnails: Mapping[str, Thumbnail],
    notes: Sequence[str],
    embedded: Mapping[str, str] | None = None,
    url: Callable[[str], str] | None = None,
    small: Mapping[str, str] | None = None,
    joined: Sequence[JoinedRun] = (),
) -> dict[str, object]:
    """Return the facts of a run and of all its jobs.

    Args:
        material: The run.
        measured: What became of measuring, by the entries' names; those that are missing were not measured.
        suggestion: Which value is suggested, or why none is; None where that was not asked or there is no axis.
        thumbnails: What is shown of each picture, by its path in the run folder.
        notes: What the reader has to know besides, a sentence each.
        embedded: The ids of the page's elements that hold its pictures, by the paths of these; None where they lie beside it.
        url: Where the page finds a picture, by its path; None for what its store says.
        small: Like `embedded`, what the grid shows of a picture; None for the picture itself.
        joined: The runs, where the page is of several.
    """
    limits = suggestion.limits if suggestion else Limits()
    extras = dict.fromkeys(name for each in measured.values() if each.measures for name in each.measures.extra)
    metrics = [*NUMBERS, *extras]
    known_dimensions = dimensions(material)
    across = next((axis for axis in material.axes if suggestion and axis.field == suggestion.axis), None)
    layout = usual_layout(material, known_dimensions, across)
    order = {axis.field: at for at, axis in enumerate(material.axes)}
    places = {axis.field: {key(value): index for index, value in enumerate(axis.values)} for axis in material.axes}
    originals = originals_of(material, measured, thumbnails)

    def seen(entry: Entry) -> list[Thumbnail]:
        return [thumbnails[row.path] for pictures in entry.pictures.values() for row in pictures]

    def job(entry: Entry) -> dict[str, object]:
        known = measured.get(entry.name) or Measured(measures=None)
        measures = known.measures
        return {
            "id": entry.name,
            "job": entry.job_id,
            "output": entry.output,
            "state": entry.row.state,
            "at": [place.get(key(entry.values.get(field)), -1) for field, place in places.items()],
            "pictures": {
                role: [
                    _picture(row.path, thumbnails[row.path], embedded, url or material.store.url, small or embedded)
                    for row in pictures
                ]
                for role, pictures in entry.pictures.items()
            },
            "numbers": [_rounded(getattr(measures, name, measures.extra.get(name))) for name in metrics] if measures else None,
            "faults": faults(measures, next((run.limits for run in joined if run.has(entry)), limits)) if measures else (),
            "suggested": any(run.suggests(entry) for run in joined),
            "failed": list(entry.failed),
            "problem": known.problem,
            "same": known.same_as,
            "close": known.close_to,
            "shares": entry.row.shares,
            "seconds": entry.row.seconds,
            "finished": entry.row.finished,
            "error": entry.row.error,
            "why": short_reason(entry.row.error or next(filter(None, (each.problem for each in seen(entry))), "")),
            "sha256": judged.sha256 if (judged := judged_picture(entry)) else None,
            "original": originals.get(entry.name),
            "again": f"comfy-runner run {shlex.quote(_sidecar(material, entry.job_id))} --out again",
        }

    return {
        "run": material.folder.absolute().name,
        "made": now(),
        "version": __version__,
        "counts": Counter(material.states.values()),
        "runs": [run.facts() for run in joined],
        "axes": [
            {
                "field": axis.field,
                "name": short_name(material, axis).replace("_", " "),
                "values": [label(value) for value in axis.values],
                "labels": short_labels(axis.values),
                "numbers": list(axis.values) if axis.is_numeric else None,
            }
            for axis in material.axes
        ],
        "dimensions": [
            {"name": each.name, "axes": [order[axis.field] for axis in each.axes], "labels": each.labels}
            for each in known_dimensions
        ],
        "layout": {
            "rows": [known_dimensions.index(each) for each in layout.rows],
            "columns": known_dimensions.index(layout.columns) if layout.columns else None,
        },
        "metrics": [{"key": name, "name": name.replace("_", " "), "about": _METRICS.get(name, "")} for name in metrics],
        "faults": _FAULTS,
        "jobs": [job(entry) for entry in material.entries],
        "suggestion": asdict(suggestion) if suggestion else None,
        "notes": list(notes),
        "fixed": fixed_values(material),
        "search": path_of_search(material.folder),
        "picks": picks_facts(material),
        "differences": [_difference(material, job_id, each, embedded) for job_id, each in material.differences],
        "embedded": None if embedded is None else "",
        "thumbnail": LONG_SIDE,
    }


def _sidecar(material: Material, job_id: str) -> str:
    # A page at a URL is looked at on any machine, where the sidecar lies beside it as long as somebody has fetched both.
    key = f"{job_id}/job.json"
    path = None if url_of(material.folder) else material.store.local_path(key)
    return key if path is None else str(path)


def _difference(material: Material, job_id: str, one: ShownDifference, embedded: Mapping[str, str] | None) -> dict[str, object]:
    # The copies lie in the run folder, as the page does, wherever the pictures are.
    store = LocalStore(material.folder)
    pictures = {"Actual": one.actual, "Expected": one.expected, "Difference": one.difference}
    return {
        "job": job_id,
        "name": one.role if one.number == 1 else f"{one.role} {one.number}",
        "message": one.message,
        "pictures": [
            {"what": what, "url": store.url(key) if embedded is None else embedded.get(key, "")}
            for what, key in pictures.items()
            if key
        ],
    }


def _picture(
    key: str,
    thumbnail: Thumbnail,
    embedded: Mapping[str, str] | None,
    url: Callable[[str], str],
    small: Mapping[str, str] | None,
) -> dict[str, object]:
    held = embedded.get(key, "") if embedded is not None else None
    return {
        "url": (url(key) or thumbnail.path) if held is None else held,
        "name": key,
        # Thumbnails lie in the run folder, as the page does, wherever the pictures are.
        "thumb": thumbnail.path if small is None else small.get(key, ""),
        "width": thumbnail.width,
        "height": thumbnail.height,
        "problem": thumbnail.problem,
    }


def _rounded(value: float | None) -> float | None:
    return float(f"{value:.4g}") if is_number(value) and value is not None else None


def details(material: Material, thumbnails: Mapping[str, Thumbnail]) -> Iterator[dict[str, object]]:
    """Yield the facts of each entry that are looked at only when it is opened, in the order of the plan.

    Args:
        material: The run.
        thumbnails: What is shown of each picture, by its path in the run folder.
    """
    files = JobFiles(material.store)
    for job_id, entries in groupby(material.entries, key=lambda entry: entry.job_id):
        of_job = _of_sidecar(files, job_id)
        yield from ({"signatures": _signatures(entry, thumbnails), **of_job} for entry in entries)


def _signatures(entry: Entry, thumbnails: Mapping[str, Thumbnail]) -> dict[str, object]:
    return {
        row.path: [found.columns, found.rows, found.signature]
        for pictures in entry.pictures.values()
        for row in pictures
        if (found := thumbnails[row.path]).signature
    }


def _of_sidecar(files: JobFiles, job_id: str) -> dict[str, object]:
    try:
        sidecar = files.sidecar(job_id)
    except RunFolderError as error:
        return {"problem": str(error)}
    if sidecar is None:
        return {"problem": "there is no job.json"}
    recipe = sidecar.recipe if isinstance(sidecar.recipe, Mapping) else {}
    return {
        "problem": "",
        "prompt": _text(recipe.get("prompt")),
        "negative": _text(recipe.get("negative_prompt")),
        "seed": _text(recipe.get("seed")),
        "recipe": _pretty(sidecar.recipe),
        "workflow": _pretty(sidecar.workflow),
        "server": _text(sidecar.server),
        "template": _text(sidecar.template),
        "cached": list(sidecar.cached_nodes),
        "notes": list(sidecar.notes),
        "attempts": [_text(attempt) for attempt in sidecar.attempts],
    }


def _pretty(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _text(value: object) -> str:
    """Return a value as text, because JavaScript would round large seeds."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {label(inner)}" for name, inner in value.items())
    return "" if value is None else label(value)
