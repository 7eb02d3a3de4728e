"""What the front end made of workflows, as it lies in the cache folder: ``NAME.ui.json``, ``NAME.api.json``, ``NAME.note.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from comfy_runner.atomic_files import write_atomically
from comfy_runner.engine.local import LocalOptions
from tests.truth.front_end import Export
from tests.truth.official_templates import BUNDLE, FRONT_END, installed
from tests.truth.variants import Variant


@dataclass(frozen=True, slots=True)
class Truth:
    """One workflow and what the page exports for it.

    Attributes:
        name: What it is called in reports.
        workflow: The workflow as JSON text.
        asked: What the page was given: the same but for nodes that it does not know.
        graph: The graph in API format.
    """

    name: str
    workflow: str
    asked: str
    graph: dict[str, Any]


def truth_folder(options: LocalOptions) -> Path:
    """Return the folder of the truths of the front end and the templates that an engine has."""
    front_end, bundle = (installed(options.venv, name).version for name in (FRONT_END, BUNDLE))
    return platformdirs.user_cache_path("comfy-runner") / "truth" / f"{front_end}-{bundle}"


def is_made(folder: Path, name: str) -> bool:
    """Return whether there is a truth of a name in a folder, or the page is known to fail at it."""
    return (folder / f"{name}.note.json").exists()


def write_truth(folder: Path, name: str, variant: Variant, export: Export, seed: str) -> None:
    """Write one truth; its note is the last, so that it is whole where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{name}.ui.json", variant.workflow)
    if variant.asked is not None:
        _write(folder / f"{name}.asked.json", variant.asked)
    if export.graph is not None:
        _write(folder / f"{name}.api.json", export.graph)
    note = {
        "template": variant.template,
        "seed": seed,
        "error": export.error,
        "missing": export.missing,
        "repeats": export.repeats,
        "complaints": export.complaints[:40],
    }
    _write(folder / f"{name}.note.json", json.dumps(note, indent=1))


def truths(folder: Path) -> Iterator[Truth]:
    """Yield the truths of a folder by name, without those at which the page failed."""
    for note in sorted(folder.glob("*.note.json")):
        name = note.name.removesuffix(".note.json")
        graph = folder / f"{name}.api.json"
        if not graph.exists():
            continue
        workflow = (folder / f"{name}.ui.json").read_text(encoding="utf-8")
        asked = folder / f"{name}.asked.json"
        given = asked.read_text(encoding="utf-8") if asked.exists() else workflow
        yield Truth(name, workflow, given, json.loads(graph.read_text(encoding="utf-8")))


def _write(path: Path, text: str) -> None:
    write_atomically(path, text.encode("utf-8"), durable=False)
