"""What a search for the best value (`comfy-runner find`) has written down in its run folder, which the report tells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final

from comfy_runner.atomic_files import open_plain, write_atomically
from comfy_runner.graph.literals import is_number
from comfy_runner.report.run_data import label
from comfy_runner.store.local import folder_errors, refuse_links
from comfy_runner.store.run_folder import REPORT_FILES
from comfy_runner.text_files import on_one_line

FILE: Final = "find.json"
"""Its file, beside those of the report."""

_VERSION: Final = 1
_MOST_AT_ONCE: Final = 10_000
_MOST_BYTES: Final = 16 * 1024 * 1024
_LONGEST: Final = 1000


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a search began, which its later calls keep to.

    Attributes:
        had: The jobs that were done before it.
        at_once: How many jobs it asks for at a time, at least 1.
    """

    had: Sequence[str]
    at_once: int


def write_search(
    folder: Path,
    key: str,
    begun: Beginning,
    *,
    found: str = "",
    chosen: Mapping[str, Any] | None = None,
    path: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write down a search.

    Args:
        folder: The run folder.
        key: What is equal for calls that search for the same in the same way.
        begun: How it began.
        found: What it has found, a sentence; empty before its end.
        chosen: The values that it has found, by field; None where it has not.
        path: The jobs that it has rendered, in order, each with its ``values`` by field; empty before its end.

    Raises:
        RunFolderError: It cannot be written.
    """
    target = folder / REPORT_FILES / FILE
    refuse_links(folder, target.parent)
    with folder_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        told = {"v": _VERSION, "key": key, "had": list(begun.had), "at_once": begun.at_once}
        told |= {"found": found, "chosen": chosen, "path": list(path)}
        write_atomically(target, json.dumps(told, indent=1).encode())


def read_search(folder: Path, key: str) -> Beginning | None:
    """Return how a search began; None where it has not begun yet, or nothing tells."""
    known = _read(folder)
    had, at_once = known.get("had"), known.get("at_once")
    if known.get("key") != key or not isinstance(had, list) or not all(isinstance(name, str) for name in had):
        return None
    if type(at_once) is not int or not 1 <= at_once <= _MOST_AT_ONCE:
        return None
    return Beginning(had, at_once)


def told_by_search(folder: Path) -> str:
    """Return what the last search has found, on one line; empty where there was none or it has not ended."""
    found = _read(folder).get("found")
    return on_one_line(f"find: {found}", longest=_LONGEST) if isinstance(found, str) and found else ""


def path_of_search(folder: Path) -> dict[str, Any] | None:
    """Return by which way the last search has found it, as the page shows it: what it was over, and its jobs in order.

    None where there was none, or it has not ended.
    """
    known = _read(folder)
    path, chosen = known.get("path"), known.get("chosen")
    steps = [step for step in path if isinstance(step, Mapping)] if isinstance(path, list) else []
    rows = [(step, values) for step in steps if isinstance(values := step.get("values"), Mapping)]
    if not known.get("found") or not rows:
        return None
    fields = [*dict.fromkeys(field for _, values in rows for field in values)]
    return {
        "fields": [on_one_line(field) for field in fields],
        "steps": [
            {
                "job": on_one_line(str(step.get("job_id"))),
                "values": [on_one_line(label(values.get(field))) for field in fields],
                "detail": _number(step.get("detail")),
                "drift": _number(step.get("drift")),
                "allowed": step.get("allowed") is True,
                "chosen": values == chosen,
            }
            for step, values in rows
        ],
    }


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and is_number(value) and isfinite(value) else None


def _read(folder: Path) -> Mapping[str, Any]:
    try:
        with open_plain(folder / REPORT_FILES / FILE) as file:
            content = file.read(_MOST_BYTES + 1)
        known = json.loads(content) if len(content) <= _MOST_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, Mapping) and known.get("v") == _VERSION else {}
