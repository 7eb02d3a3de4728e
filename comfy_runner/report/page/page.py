"""The page of a run: one HTML file beside the pictures, which opens without a server and never asks a network for anything.

Which facts go into it is decided in `page_content`; how they are shown is in `assets`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from jinja2.environment import TemplateStream

from comfy_runner.atomic_files import write_atomically
from comfy_runner.report.measures import Measured
from comfy_runner.report.page.embedding import EmbeddedPicture
from comfy_runner.report.page.joined_facts import JoinedRun
from comfy_runner.report.page.page_content import details, overview
from comfy_runner.report.page.thumbnails import Thumbnail, make_thumbnails
from comfy_runner.report.run_data import Material
from comfy_runner.report.suggest import Suggestion
from comfy_runner.store.local import folder_errors

PAGE = "report.html"
"""The page, in a run folder."""

_ASSETS = Path(__file__).parent / "assets"
_STYLES = ("vendor/img-comparison-slider.css", "vendor/uPlot.min.css", "page.css", "viewer.css", "picks.css")
_VENDOR = ("vendor/img-comparison-slider.js", "vendor/uPlot.iife.min.js")
# Each knows those before it.
_SCRIPTS = (
    *("base", "data", "picks", "arrange", "theme", "zoom", "differences", "compared", "joined", "address", "compare_set", "grid"),
    *(
        "crops",
        "stage",
        "panel",
        "job_diff",
        "viewer",
        "pick_controls",
        "pair_choice",
        "blind_pairs",
        "controls",
        "table",
        "search",
        "curve",
        "start",
    ),
)

_LIVE_STYLES = ("live.css",)
_LIVE_SCRIPTS = ("lanes", "live")
"""What a page has besides that is served while its run goes on."""


def write_page(
    material: Material,
    measured: Mapping[str, Measured],
    suggestion: Suggestion | None,
    *,
    notes: Sequence[str] = (),
    joined: Sequence[JoinedRun] = (),
) -> Path:
    """Write the page of a run and the thumbnails that it shows; an older page is replaced.

    Args:
        material: The run.
        measured: What became of measuring, by the entries' names; those that are missing were not measured.
        suggestion: Which value is suggested, or why none is; None where that was not asked or there is no axis.
        notes: What the reader has to know besides, a sentence each.
        joined: The runs, where the page is of several.

    Returns:
        Where it lies.

    Raises:
        RunFolderError: The folder cannot be written, or the disk is full.
    """
    path = material.folder / PAGE
    with folder_errors(path):
        thumbnails = thumbnails_of(material)
        facts = overview(material, measured, suggestion, thumbnails, notes, joined=joined)
        page = rendered(material, facts, packed(details(material, thumbnails)))
        write_atomically(path, lambda file: page.dump(file, "utf-8"))
    return path


def thumbnails_of(material: Material) -> dict[str, Thumbnail]:
    """Make the thumbnails of all pictures of a run, and return them by the pictures' paths in the run folder.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    rows = [row for entry in material.entries for pictures in entry.pictures.values() for row in pictures]
    return make_thumbnails(material.folder, rows, material.store)


def rendered(
    material: Material,
    facts: Mapping[str, object],
    known: str,
    pictures: Iterable[EmbeddedPicture] | None = None,
    *,
    live: bool = False,
) -> TemplateStream:
    """Return a page, piece by piece.

    Args:
        material: The run.
        facts: What its scripts are given (`overview`).
        known: What they unpack of it (`packed`).
        pictures: The pictures in the page, taken one by one; None for a page that has them beside it.
        live: Whether it is served, and asks its server what has changed (`watch`).
    """
    style = "\n".join(asset(name) for name in (*_STYLES, *(_LIVE_STYLES if live else ())))
    scripts = [*map(asset, _VENDOR), _own_script((*_SCRIPTS, *(_LIVE_SCRIPTS if live else ())))]
    return template("page.html.j2").stream(
        title=material.folder.absolute().name.encode("utf-8", "replace").decode(),
        policy=policy(style, scripts, alone=pictures is not None, live=live),
        style=style,
        scripts=scripts,
        data=for_html(facts),
        details=known,
        pictures=pictures,
    )


def template(name: str) -> jinja2.Template:
    """Return a page's template, in which every text is escaped.

    Args:
        name: Of one of the assets.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.FileSystemLoader(_ASSETS))
    return environment.get_template(name)


def asset(name: str) -> str:
    """Return one of the assets as text."""
    return (_ASSETS / name).read_text(encoding="utf-8")


def _own_script(names: Iterable[str]) -> str:
    """Return our scripts as one that leaves no names behind."""
    parts = "\n".join(asset(f"{name}.js") for name in names)
    return f"(() => {{\n'use strict';\n{parts}\n}})();\n"


def policy(style: str, scripts: Iterable[str] = (), *, alone: bool = False, live: bool = False) -> str:
    """Return a content security policy under which only what we wrote runs, and nothing is fetched but pictures beside the page.

    Args:
        style: The page's style sheet.
        scripts: Its scripts.
        alone: Whether there are no pictures beside it.
        live: Whether it may ask its server besides.
    """
    hashes = " ".join(map(_hash, scripts)) or "'none'"
    images = "img-src data: blob:" if alone else "img-src 'self' data: file: blob:"
    asks = "connect-src 'self'; " if live else ""
    return f"default-src 'none'; {asks}{images}; style-src {_hash(style)}; script-src {hashes}; base-uri 'none'; form-action 'none'"


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
