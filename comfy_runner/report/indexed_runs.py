"""What a gallery of run folders says of each: how its jobs stand, what was swept, how large it is, a few of its pictures.

Only ledgers are read, so that a thousand run folders are read in seconds; nothing in them is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from comfy_runner.errors import RunFolderError
from comfy_runner.report.dimensions import short_labels
from comfy_runner.report.page.thumbnails import thumbnail_key
from comfy_runner.report.run_data import RECIPE, UPSCALED, Axis, axis_of
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import FileRow, JobRow
from comfy_runner.store.local import LocalStore
from comfy_runner.store.media_types import PICTURES, suffix_of
from comfy_runner.store.status import Summary, list_runs

_MOST_SHOWN = 4
_MOST_VALUES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedRun:
    """A run folder in a gallery of them.

    Attributes:
        summary: How it stands.
        swept: What its jobs differ in, a few words for each field, such as ``denoise 0.4, 0.5, 0.6``.
        jobs: How many jobs it has, without removed ones.
        pictures: How many pictures these have.
        size_bytes: How large these and their other files are.
        shown: Paths of a few of its pictures, from all over the run: thumbnails where a report has made them.
        problem: Why nothing is known of it; empty where something is.
    """

    summary: Summary
    swept: tuple[str, ...] = ()
    jobs: int = 0
    pictures: int = 0
    size_bytes: int = 0
    shown: tuple[Path, ...] = ()
    problem: str = ""


def read_index(folder: Path) -> tuple[tuple[IndexedRun, ...], Mapping[Path, str]]:
    """Return the run folders below a folder, those first in which something happened last, and what could not be looked into.

    Args:
        folder: The folder; at most three levels below it are looked at.

    Returns:
        The runs, damaged ones last; and why other folders could not be read.

    Raises:
        UsageError: The folder itself cannot be read.
    """
    unreadable: dict[Path, str] = {}
    found = [_indexed(summary) for summary in list_runs(folder, unreadable=unreadable.__setitem__)]
    found.sort(
        key=lambda run: (not run.problem, (run.summary.last_activity and run.summary.last_activity.timestamp()) or 0), reverse=True
    )
    return tuple(found), unreadable


def _indexed(summary: Summary) -> IndexedRun:
    if summary.problem:
        return IndexedRun(summary=summary, problem=summary.problem)
    try:
        with Ledger(summary.folder / FILE, readonly=True) as ledger:
            rows, files = list(ledger.jobs(removed=False)), ledger.files_by_job()
    except RunFolderError as error:
        return IndexedRun(summary=summary, problem=error.problems[0].what)
    of_all = [file for found in files.values() for file in found]
    return IndexedRun(
        summary=summary,
        swept=tuple(map(_told, _axes(rows))),
        jobs=len(rows),
        pictures=sum(suffix_of(file.path) in PICTURES for file in of_all),
        size_bytes=sum(file.size_bytes for file in of_all),
        shown=_shown(summary.folder, [chosen for found in files.values() if (chosen := _chosen(found))]),
    )


def _axes(rows: Sequence[JobRow]) -> list[Axis]:
    fields = dict.fromkeys(name for row in rows for name in row.assignments)
    found = [axis_of(RECIPE, (row.recipe for row in rows))]
    found += [axis_of(name, (row.assignments[name] for row in rows if name in row.assignments)) for name in fields]
    return [axis for axis in found if axis is not None]


def _told(axis: Axis) -> str:
    name, labels = axis.field.rpartition(".")[2].replace("_", " "), short_labels(axis.values)
    if len(labels) <= _MOST_VALUES:
        return f"{name} {', '.join(labels)}"
    return f"{name} {labels[0]} to {labels[-1]} ({len(labels)})" if axis.is_numeric else f"{name} ({len(labels)})"


def _chosen(files: Sequence[FileRow]) -> FileRow | None:
    """Return the picture that stands for a job: the upscaled one, or else the last."""
    pictures = [file for file in files if suffix_of(file.path) in PICTURES]
    return next((file for file in pictures if file.role == UPSCALED), pictures[-1] if pictures else None)


def _shown(folder: Path, files: Sequence[FileRow]) -> tuple[Path, ...]:
    count = min(_MOST_SHOWN, len(files))
    spread = [files[at * (len(files) - 1) // max(1, count - 1)] for at in range(count)]
    store = LocalStore(folder)
    keys = (next((key for key in (thumbnail_key(file.sha256), file.path) if store.stat(key)), None) for file in spread)
    return tuple(folder / key for key in dict.fromkeys(keys) if key)
