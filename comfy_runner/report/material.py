"""What a report is about, read from a run folder: its jobs with their pictures, and the axes along which they differ.

Only the ledger is read, and a sidecar where the ledger does not say a job's value; nothing is changed, no server is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_runner.errors import RunFolderError
from comfy_runner.folder.rows import FileRow, JobRow
from comfy_runner.folder.status import status
from comfy_runner.folder.view import FolderView

RECIPE = "recipe"
"""The axis of runs of several recipes."""

ORIGINAL, UPSCALED = "original", "upscaled"
"""The roles that are held against each other."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A recipe field in which jobs differ.

    Attributes:
        field: Its dotted name, or `RECIPE`.
        values: Its values: numbers by size, others in the order of the plan.
    """

    field: str
    values: tuple[Any, ...]

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers, so that they can lie on a scale."""
        return all(is_number(value) for value in self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A job of the run, with what it has given.

    Attributes:
        job_id: The job.
        state: Its state.
        recipe: The recipe that it belongs to.
        values: Its place on each axis of the `Material`, by field.
        pictures: Its files by output role, in order, as they lie in the run folder.
        shares: The job whose pictures it shares; empty where it has its own.
        seconds: How long the server worked on it; None where that is not known.
        finished: When it ended, ISO 8601 with offset; None where it has not.
        error: Why it is not done; empty where nothing went wrong.
    """

    job_id: str
    state: str
    recipe: str
    values: Mapping[str, Any]
    pictures: Mapping[str, tuple[FileRow, ...]]
    shares: str
    seconds: float | None
    finished: str | None
    error: str

    def picture(self, role: str) -> FileRow | None:
        """Return the first picture of a role; None where there is none."""
        return next(iter(self.pictures.get(role, ())), None)

    def pair(self) -> tuple[FileRow, ...]:
        """Return the first original and the first upscaled picture; nothing where one of them is missing."""
        found = [row for role in (ORIGINAL, UPSCALED) if (row := self.picture(role)) is not None]
        return tuple(found) if len(found) == 2 else ()


@dataclass(frozen=True, slots=True)
class Material:
    """All that a report is made from.

    Attributes:
        folder: The run folder.
        entries: The jobs in the order of the plan, without those that their recipes no longer have.
        axes: The fields in which they differ, in the order in which the sweeps name them; none where nothing was swept.
    """

    folder: Path
    entries: tuple[Entry, ...]
    axes: tuple[Axis, ...]


def read_material(folder: Path) -> Material:
    """Read a run folder; it may be in use.

    Raises:
        RunFolderError: It is no run folder, or its ledger cannot be read.
    """
    jobs = [job for job in status(folder).jobs if not job.row.removed]
    fields = list(dict.fromkeys(name for job in jobs for name in job.row.assignments))
    view = FolderView(folder)
    values = [dict(_values(job.row, fields, view)) for job in jobs]
    axes = tuple(axis for axis in (_axis(name, (place.get(name) for place in values)) for name in (RECIPE, *fields)) if axis)
    known = {axis.field for axis in axes}
    entries = tuple(
        Entry(
            job_id=job.row.job_id,
            state=job.row.state,
            recipe=job.row.recipe,
            values={name: value for name, value in place.items() if name in known},
            pictures=_by_role(job.files),
            shares=job.row.shares,
            seconds=job.row.seconds,
            finished=job.row.finished,
            error=job.row.error,
        )
        for job, place in zip(jobs, values, strict=True)
    )
    return Material(folder, entries, axes)


def is_number(value: object) -> bool:
    """Return whether a value is a number to a person, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def key(value: object) -> str:
    """Return a text that is equal for equal values of an axis, whatever they are."""
    # 1 and 1.0 are one value; two seeds above 2**53 are not, which as floats they might be.
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return json.dumps(whole, sort_keys=True)


def label(value: object) -> str:
    """Return a value of an axis as people read it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _axis(field: str, values: Iterable[Any]) -> Axis | None:
    different = {key(value): value for value in reversed(list(values))}
    found = list(reversed(different.values()))
    if len(found) < 2:
        return None
    return Axis(field, tuple(sorted(found) if all(map(is_number, found)) else found))


def _values(row: JobRow, fields: Iterable[str], view: FolderView) -> Iterator[tuple[str, Any]]:
    yield RECIPE, row.recipe
    missing = [name for name in fields if name not in row.assignments]
    recipe: Any = None
    if missing:
        try:
            sidecar = view.sidecar(row.job_id)
        except RunFolderError:
            sidecar = None  # its pictures can be looked at all the same
        recipe = sidecar.recipe if sidecar else None
    for name in fields:
        yield name, row.assignments[name] if name in row.assignments else _found(recipe, name)


def _found(recipe: Any, field: str) -> Any:
    """Return the value of a dotted field of a recipe; None where it has none."""
    for step in field.split("."):
        if isinstance(recipe, Mapping):
            recipe = recipe.get(step)
        elif isinstance(recipe, list) and step.isdecimal() and int(step) < len(recipe):
            recipe = recipe[int(step)]
        else:
            return None
    return recipe


def _by_role(files: Iterable[FileRow]) -> dict[str, tuple[FileRow, ...]]:
    found: dict[str, tuple[FileRow, ...]] = {}
    for row in files:
        found[row.role] = (*found.get(row.role, ()), row)
    return found
