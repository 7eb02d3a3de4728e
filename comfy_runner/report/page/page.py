"""The page of a run: one HTML file beside the pictures, which opens without a server and never asks a network for anything.

Which facts go into it is decided here; how they are shown is in `assets`. What is measured (`metrics`) and suggested (`suggest`)
is given.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2

from comfy_runner._version import __version__
from comfy_runner.atomic_files import write_atomically
from comfy_runner.clock import now
from comfy_runner.errors import RunFolderError
from comfy_runner.report.axes import short_name
from comfy_runner.report.measures import NUMBERS, Measured
from comfy_runner.report.page.thumbnails import Thumbnail, make_thumbnails
from comfy_runner.report.run_data import Axis, Entry, Material, is_number, key, label
from comfy_runner.report.suggest import faults
from comfy_runner.report.suggestion import Limits, Suggestion
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.local import folder_errors
from comfy_runner.store.sidecar import Sidecar

PAGE = "report.html"
"""The page, in a run folder."""

_ASSETS = Path(__file__).parent / "assets"
_STYLES = ("vendor/img-comparison-slider.css", "vendor/uPlot.min.css", "page.css", "viewer.css")
_VENDOR = ("vendor/img-comparison-slider.js", "vendor/uPlot.iife.min.js")
# Each knows those before it.
_SCRIPTS = (
    "base",
    "data",
    "arrange",
    "theme",
    "zoom",
    "differences",
    "grid",
    "stage",
    "panel",
    "viewer",
    "controls",
    "table",
    "curve",
    "start",
)

_METRICS = {
    "drift": "How far the composition has moved: 0 is the original's",
    "local_drift": "The drift of the region that has drifted most",
    "detail": "Real detail that the plain upscale lacks: 0 is none",
    "noise": "Noise that the original has not, in luma or colour, of full scale",
    "blocks": "Steps on a regular grid: 0 is none",
    "seams": "Height of the highest straight step or line that the original has not, in 255ths",
    "halos": "How much more contrast fine structures have gained than coarse ones",
    "colour_shift": "Distance of the mean colours (CIE76): 2.3 is just visible",
    "shift": "How far the whole picture was moved, in pixels",
}
_FAULTS = {
    "flat": "nearly one flat colour",
    "noise": "noise instead of detail",
    "blocks": "a grid of blocks",
    "seams": "seams between tiles",
    "halos": "halos beside edges",
    "drift": "the composition has moved too far",
    "local drift": "a region has moved too far",
    "colour shift": "the colours have moved too far",
}


def write_page(
    material: Material, measured: Mapping[str, Measured], suggestion: Suggestion | None, *, notes: Sequence[str] = ()
) -> Path:
    """Write the page of a run and the thumbnails that it shows; an older page is replaced.

    Args:
        material: The run.
        measured: What became of measuring, by the entries' names; those that are missing were not measured.
        suggestion: Which value is suggested, or why none is; None where that was not asked or there is no axis.
        notes: What the reader has to know besides, a sentence each.

    Returns:
        Where it lies.

    Raises:
        RunFolderError: The folder cannot be written, or the disk is full.
    """
    path = material.folder / PAGE
    with folder_errors(path):
        rows = [row for entry in material.entries for pictures in entry.pictures.values() for row in pictures]
        thumbnails = make_thumbnails(material.folder, rows, material.store)
        write_atomically(path, _page(material, measured, suggestion, thumbnails, notes).encode())
    return path


def _page(
    material: Material,
    measured: Mapping[str, Measured],
    suggestion: Suggestion | None,
    thumbnails: Mapping[str, Thumbnail],
    notes: Sequence[str],
) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.FileSystemLoader(_ASSETS))
    style = "\n".join(_asset(name) for name in _STYLES)
    scripts = [*map(_asset, _VENDOR), _own_script()]
    return environment.get_template("page.html.j2").render(
        title=_printable(material.folder.absolute().name),
        policy=_policy(style, scripts),
        style=style,
        scripts=scripts,
        data=for_html(_data(material, measured, suggestion, thumbnails, notes)),
        details=packed(_details(material, thumbnails)),
    )


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _own_script() -> str:
    """Return our scripts as one that leaves no names behind."""
    parts = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f"(() => {{\n'use strict';\n{parts}\n}})();\n"


def _policy(style: str, scripts: Iterable[str]) -> str:
    """Return a content security policy under which only what we wrote runs, and nothing is fetched but pictures beside the page."""
    hashes = " ".join(map(_hash, scripts))
    images = "img-src 'self' data: file: blob:"
    return f"default-src 'none'; {images}; style-src {_hash(style)}; script-src {hashes}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def for_html(value: object) -> str:
    """Return a value as JSON that can stand in a script element: plain ASCII, with nothing that HTML could take for its own."""
    text = json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def packed(lines: Iterable[object]) -> str:
    """Return values as base64 of gzip of JSON, a line each, so that a reader need not parse them all."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
        for line in lines:
            file.write(json.dumps(_plain(line), separators=(",", ":"), allow_nan=False).encode() + b"\n")
    return base64.b64encode(buffer.getvalue()).decode()


def _plain(value: Any) -> Any:
    """Return a value without numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and value - value != 0 else value


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _data(
    material: Material,
    measured: Mapping[str, Measured],
    suggestion: Suggestion | None,
    thumbnails: Mapping[str, Thumbnail],
    notes: Sequence[str],
) -> dict[str, object]:
    limits = suggestion.limits if suggestion else Limits()
    extras = dict.fromkeys(name for each in measured.values() if each.measures for name in each.measures.extra)
    metrics = [*NUMBERS, *extras]
    places = {axis.field: {key(value): index for index, value in enumerate(axis.values)} for axis in material.axes}
    return {
        "run": material.folder.absolute().name,
        "made": now(),
        "version": __version__,
        "counts": Counter(material.states.values()),
        "axes": [_axis(axis, material) for axis in material.axes],
        "metrics": [{"key": name, "name": name.replace("_", " "), "about": _METRICS.get(name, "")} for name in metrics],
        "faults": _FAULTS,
        "jobs": [
            _job(entry, measured.get(entry.name), limits, metrics, places, thumbnails, material) for entry in material.entries
        ],
        "suggestion": asdict(suggestion) if suggestion else None,
        "notes": list(notes),
    }


def _axis(axis: Axis, material: Material) -> dict[str, object]:
    return {
        "field": axis.field,
        "name": short_name(material, axis).replace("_", " "),
        "values": [label(value) for value in axis.values],
        "numbers": list(axis.values) if axis.is_numeric else None,
    }


def _job(
    entry: Entry,
    measured: Measured | None,
    limits: Limits,
    metrics: Sequence[str],
    places: Mapping[str, Mapping[str, int]],
    thumbnails: Mapping[str, Thumbnail],
    material: Material,
) -> dict[str, object]:
    measures = measured.measures if measured else None
    return {
        "id": entry.name,
        "job": entry.job_id,
        "output": entry.output,
        "state": entry.state,
        "at": [place.get(key(entry.values.get(field)), -1) for field, place in places.items()],
        "pictures": {
            role: [_picture(material, row.path, thumbnails[row.path]) for row in pictures]
            for role, pictures in entry.pictures.items()
        },
        "numbers": [_rounded(getattr(measures, name, measures.extra.get(name))) for name in metrics] if measures else None,
        "faults": faults(measures, limits) if measures else (),
        "problem": measured.problem if measured else "",
        "same": measured.same_as if measured else "",
        "close": measured.close_to if measured else "",
        "shares": entry.shares,
        "seconds": entry.seconds,
        "finished": entry.finished,
        "error": entry.error,
        "again": f"comfy-runner run {shlex.quote(str(material.folder / entry.job_id / 'job.json'))} --out again",
    }


def _picture(material: Material, key: str, thumbnail: Thumbnail) -> dict[str, object]:
    return {
        "url": material.store.url(key),
        "name": key,
        # Thumbnails lie in the run folder, as the page does, wherever the pictures are.
        "thumb": thumbnail.path,
        "width": thumbnail.width,
        "height": thumbnail.height,
        "problem": thumbnail.problem,
    }


def _rounded(value: float | None) -> float | None:
    return float(f"{value:.4g}") if is_number(value) and value is not None else None


def _details(material: Material, thumbnails: Mapping[str, Thumbnail]) -> Iterator[dict[str, object]]:
    """Yield, for each entry, what is looked at only when it is opened."""
    files = JobFiles(material.store)
    for job_id, entries in groupby(material.entries, key=lambda entry: entry.job_id):
        told = _of_sidecar(files, job_id)
        yield from ({"signatures": _signatures(entry, thumbnails), **told} for entry in entries)


def _signatures(entry: Entry, thumbnails: Mapping[str, Thumbnail]) -> dict[str, object]:
    return {
        row.path: [found.columns, found.rows, found.signature]
        for pictures in entry.pictures.values()
        for row in pictures
        if (found := thumbnails[row.path]).signature
    }


def _of_sidecar(files: JobFiles, job_id: str) -> dict[str, object]:
    sidecar, problem = _sidecar(files, job_id)
    if sidecar is None:
        return {"problem": problem}
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


def _sidecar(files: JobFiles, job_id: str) -> tuple[Sidecar | None, str]:
    """Return a job's sidecar, and why there is none."""
    try:
        found = files.sidecar(job_id)
    except RunFolderError as error:
        return None, str(error)
    return found, "" if found else "there is no job.json"


def _pretty(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _text(value: object) -> str:
    """Return a value as a text, for JavaScript would round large seeds."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {label(inner)}" for name, inner in value.items())
    return "" if value is None else label(value)
