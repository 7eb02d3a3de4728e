"""What a report is about, read from a run folder: its jobs with their pictures, and the axes along which they differ.

Only the ledger is read, and a sidecar where the ledger does not say a job's value; nothing is changed, no server is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.graph.literals import is_number
from comfy_runner.recipe.layers import value_at
from comfy_runner.report.failed_checks import FailedChecks, ShownDifference, remembered
from comfy_runner.store.interface import Artifact, ArtifactStore
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.ledger_rows import FileRow, JobRow
from comfy_runner.store.media_types import PICTURES, suffix_of
from comfy_runner.store.remote import RemoteStore
from comfy_runner.store.run_folder import FolderView
from comfy_runner.store.sidecar import Sidecar
from comfy_runner.store.status import JobStatus, status
from comfy_runner.wording import did_you_mean

RECIPE = "recipe"
"""The axis of runs of several recipes."""

OUTPUT = "output"
"""The axis of jobs that have several pictures to compare with one original. A sweep never has it: outputs cannot be swept."""

PICTURE = "picture"
"""The axis of jobs that make several pictures of each output at once, numbered from 1. A sweep never has it, as `OUTPUT`."""

RUN = "run"
"""The axis of several runs that are shown together. A sweep never has it: recipes have no such field."""

DENOISE = "upscale.denoise"
"""The field that this program is about, and the axis that is meant where none is named."""

ORIGINAL, UPSCALED = "original", "upscaled"
"""The roles that are compared with each other."""

_Pictures = Mapping[str, tuple[FileRow, ...]]


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
    """A job of the run, with what it has given; or a part of that: one of several outputs, or of several pictures of each.

    Attributes:
        row: What the ledger has of the job.
        values: Its place on each axis of the `Material`, by field.
        pictures: Its pictures by output role, in order, as they lie in the run folder; no other files. Those of its `output` are
            the ``upscaled`` ones, whatever the graph calls them.
        output: The role that is compared with the original.
        number: Which one of the pictures that the job has made of each output at once, from 1.
        failed: What the last check of the run found wrong with it, a few words each; nothing where it was not checked.
    """

    row: JobRow
    values: Mapping[str, Any]
    pictures: Mapping[str, tuple[FileRow, ...]]
    output: str = UPSCALED
    number: int = 1
    failed: tuple[str, ...] = ()

    @property
    def job_id(self) -> str:
        """The job."""
        return self.row.job_id

    @property
    def name(self) -> str:
        """What no other entry is called: the job's id, an output that is not ``upscaled``, and a number above 1."""
        # A job's id and an output have no slash in them.
        if self.number > 1:
            return f"{self.job_id}/{self.output}/{self.number}"
        return self.job_id if self.output == UPSCALED else f"{self.job_id}/{self.output}"

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
        entries: The jobs in the order of the plan, without those that their recipes no longer have; see `OUTPUT` and `PICTURE` for
            those that have several entries.
        axes: The fields in which they differ, in the order in which the sweeps name them; none where nothing was swept.
        store: Where their pictures are.
        differences: Pictures that the last check found to differ from a baseline, with their jobs.
    """

    folder: Path
    entries: tuple[Entry, ...]
    axes: tuple[Axis, ...]
    store: ArtifactStore
    differences: tuple[tuple[str, ShownDifference], ...] = ()

    def artifact(self, row: FileRow) -> Artifact:
        """Return a picture, to be read."""
        return Artifact(self.store, row.path)

    @property
    def states(self) -> dict[str, str]:
        """The state of each job, once, by its id."""
        return {entry.job_id: entry.row.state for entry in self.entries}


def read_material(folder: Path, store: ArtifactStore | None = None) -> Material:
    """Read a run folder; it may be in use.

    Args:
        folder: The run folder.
        store: Where its pictures and sidecars are; None for the folder itself.

    Raises:
        RunFolderError: It is not a run folder, or its ledger cannot be read.
    """
    view = FolderView(folder, store)
    if isinstance(view.store, RemoteStore) and store is None:
        view.store.keep_listing()  # what is read is the run as it is now
    jobs = [job for job in status(folder).jobs if not job.row.removed]
    return material_of(folder, jobs, view, remembered(folder))


def material_of(
    folder: Path,
    jobs: Sequence[JobStatus],
    view: JobFiles,
    checked: Mapping[str, FailedChecks],
    *,
    runs: Mapping[str, str] = MappingProxyType({}),
) -> Material:
    """Return what a report of jobs is made from.

    Args:
        folder: Where the report goes.
        jobs: The jobs, in the order of the plan.
        view: Their files.
        checked: What the last check found wrong with jobs, by their ids.
        runs: The run of each job, by its id, where they are of several; these are the last axis.
    """
    fields = list(dict.fromkeys(name for job in jobs for name in job.row.assignments))
    pictures = [_by_role(job.files) for job in jobs]
    outputs = _outputs(jobs, pictures, view)
    values = [dict(_values(job.row, fields, view)) | ({RUN: runs[job.row.job_id]} if runs else {}) for job in jobs]
    names = [RECIPE, *fields]
    if runs:
        # Where each run has a recipe of its own, it says no more than the run.
        apart = {(runs[job.row.job_id], job.row.recipe) for job in jobs}
        names = [*(names if len(apart) > len(set(runs.values())) else fields), RUN]
    axes = tuple(axis for axis in (axis_of(name, (place.get(name) for place in values)) for name in names) if axis)
    known = {axis.field for axis in axes}
    # A job that has only a part of its outputs would put them out of order.
    compared = axis_of(OUTPUT, (role for roles in sorted(outputs, key=len, reverse=True) for role in roles))
    batches = _batches(jobs, pictures)
    numbered = axis_of(PICTURE, range(1, max(map(len, batches), default=0) + 1))
    entries = tuple(
        Entry(
            row=job.row,
            values={name: value for name, value in place.items() if name in known}
            | ({OUTPUT: role} if compared else {})
            | ({PICTURE: number} if numbered else {}),
            pictures=found if role == UPSCALED else _pair_of(found, role),
            output=role,
            number=number,
            failed=_failed(checked.get(job.row.job_id), job.row, role),
        )
        for job, place, batch, roles in zip(jobs, values, batches, outputs, strict=True)
        for role in roles
        for number, found in enumerate(batch, start=1)
    )
    differences = tuple((job.row.job_id, each) for job in jobs for each in _differences(checked.get(job.row.job_id), job.row))
    return Material(folder, entries, (*axes, *filter(None, (numbered, compared))), view.store, differences)


def find_axis(material: Material, name: str, where: str = "") -> Axis:
    """Return the axis that a user means: by its field, or by the end of it (``denoise``), as long as only one ends so.

    Args:
        material: The run.
        name: What the user wrote; letter case and blanks around it do not count.
        where: What it was written for, such as ``--columns``, for the error.

    Raises:
        UsageError: No axis is called so, or several are.
    """
    wanted = name.strip().casefold()
    fields = {axis.field.casefold(): axis for axis in material.axes}
    if wanted in fields:
        return fields[wanted]
    found = [axis for field, axis in fields.items() if wanted and f".{field}".endswith((f".{wanted}", f".{wanted}.name"))]
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(axis.field for axis in found)
        raise UsageError(f"could be several axes (got {name})", where=where, hint=f"write {names}")
    if not material.axes:
        raise UsageError(f"is not an axis of this run, whose jobs do not differ (got {name})", where=where)
    known = [axis.field for axis in material.axes]
    short = [short_name(material, axis) for axis in material.axes]
    # Somebody who misspells a short name is nearer to the short one than to the full one.
    hint = did_you_mean(name, dict.fromkeys([*short, *known]))
    raise UsageError(f"is not an axis of this run (got {name})", where=where, hint=hint.replace("known are", "its axes are"))


def main_axis(material: Material) -> Axis | None:
    """Return the axis that is looked at where none is named: `DENOISE`, else the last one; None where nothing was swept."""
    return next((axis for axis in material.axes if axis.field == DENOISE), material.axes[-1] if material.axes else None)


def short_name(material: Material, axis: Axis) -> str:
    """Return the last part of an axis' field, or all of it where another axis ends in the same; of a name, what has it."""
    last = _last_part(axis)
    others = [_last_part(other) for other in material.axes if other.field != axis.field]
    # The last part of a list's item is a number, which says nothing.
    return axis.field if last in others or last.isdecimal() else last


def _last_part(axis: Axis) -> str:
    # `sampler.name` is the sampler; a parameter that is called so is a name.
    field = axis.field.removesuffix(".name")
    return axis.field.rpartition(".")[2] if field == "params" else field.rpartition(".")[2]


def key(value: object) -> str:
    """Return a text that is equal for equal values of an axis, whatever they are."""
    # 1 and 1.0 are one value; two seeds above 2**53 are not, which as floats they might be.
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return json.dumps(whole, sort_keys=True)


def label(value: object) -> str:
    """Return a value of an axis as people read it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sidecar_of(files: JobFiles, job_id: str) -> Sidecar | None:
    """Return a job's sidecar; None where it has none that can be read, for its pictures can be looked at all the same."""
    try:
        return files.sidecar(job_id)
    except RunFolderError:
        return None


def axis_of(field: str, values: Iterable[Any]) -> Axis | None:
    """Return the axis that jobs' values of a field make; None where these do not differ.

    Args:
        field: Its dotted name, or `RECIPE`.
        values: The value of each job, in the order of the plan.
    """
    different: dict[str, Any] = {}
    for value in values:
        different.setdefault(key(value), value)
    found = list(different.values())
    if len(found) < 2:
        return None
    return Axis(field, tuple(sorted(found) if all(map(is_number, found)) else found))


def _values(row: JobRow, fields: Iterable[str], files: JobFiles) -> Iterator[tuple[str, Any]]:
    yield RECIPE, row.recipe
    missing = [name for name in fields if name not in row.assignments]
    sidecar = sidecar_of(files, row.job_id) if missing else None
    recipe = sidecar.recipe if sidecar else None
    for name in fields:
        yield name, row.assignments[name] if name in row.assignments else value_at(recipe, name.split("."))


def _by_role(files: Iterable[FileRow]) -> dict[str, tuple[FileRow, ...]]:
    found: dict[str, tuple[FileRow, ...]] = {}
    for row in files:
        # Films, sounds, texts and latents are not looked at.
        if suffix_of(row.path) in PICTURES:
            found[row.role] = (*found.get(row.role, ()), row)
    return found


def _batches(jobs: Sequence[JobStatus], pictures: Sequence[_Pictures]) -> list[list[_Pictures]]:
    """Return the pictures of each job as they belong together: of each output the first ones, then the second ones.

    What all of these belong to, such as the one original of several upscaled ones, is in each. Outputs with other numbers of
    pictures do not belong together so. A job that has no pictures keeps as many places as others of its recipe have.
    """
    most: dict[str, int] = {}
    found: list[list[_Pictures]] = []
    for job, roles in zip(jobs, pictures, strict=True):
        count = max(map(len, roles.values()), default=0)
        if any(len(rows) not in (1, count) for rows in roles.values()):
            count = 1
            found.append([roles])
        else:
            found.append([{role: rows[number : number + 1] or rows for role, rows in roles.items()} for number in range(count)])
        most[_batch_of(job.row)] = max(count, most.get(_batch_of(job.row), 1))
    return [batch or [{}] * most[_batch_of(job.row)] for job, batch in zip(jobs, found, strict=True)]


def _outputs(jobs: Sequence[JobStatus], pictures: Sequence[_Pictures], files: JobFiles) -> list[tuple[str, ...]]:
    """Return, for each job, which roles are compared with its original, in the order of its graph: ``upscaled``, or all others.

    A job that has none, because it failed or waits, keeps a place for each that other jobs of its recipe have.
    """
    several: dict[str, dict[str, None]] = {}
    for job, found in sorted(zip(jobs, pictures, strict=True), key=lambda each: len(each[1]), reverse=True):
        if ORIGINAL in found and UPSCALED not in found and len(found) > 1:
            sidecar = sidecar_of(files, job.row.job_id)
            if sidecar is None or not _is_promised(UPSCALED, sidecar.workflow):
                # The ledger has the roles by name; the sidecar as they stand in the graph.
                roles = dict.fromkeys((*(sidecar.files if sidecar else ()), *found))
                several.setdefault(_graph_of(job.row), {}).update({role: None for role in roles if role in found})
    outputs = []
    for job, found in zip(jobs, pictures, strict=True):
        known = [role for role in several.get(_graph_of(job.row), ()) if role != ORIGINAL]
        own = [role for role in dict.fromkeys((*known, *found)) if role in found and role != ORIGINAL]
        outputs.append(tuple(own or known) if known and UPSCALED not in found else (UPSCALED,))
    return outputs


def _differences(known: FailedChecks | None, row: JobRow) -> tuple[ShownDifference, ...]:
    return known.differences if known is not None and known.finished == row.finished else ()


def _failed(known: FailedChecks | None, row: JobRow, output: str) -> tuple[str, ...]:
    return known.of(output) if known is not None and known.finished == row.finished else ()


def _graph_of(row: JobRow) -> str:
    """Return what is equal for jobs whose graphs have about the same outputs."""
    return key([row.recipe, row.assignments.get("template")])


def _batch_of(row: JobRow) -> str:
    """Return what is equal for jobs that make about as many pictures of each output."""
    return key([row.recipe, row.assignments.get("template"), row.assignments.get("batch_size")])


def _is_promised(role: str, workflow: Any) -> bool:
    """Return whether a graph, as a sidecar has it, saves an output; where that is missing, it has failed."""
    nodes = workflow.items() if isinstance(workflow, Mapping) else ()
    metas = ((name, node.get("_meta") if isinstance(node, Mapping) else None) for name, node in nodes)
    return any(role in (name, meta.get("role") if isinstance(meta, Mapping) else None) for name, meta in metas)


def _pair_of(found: _Pictures, output: str) -> _Pictures:
    roles = {ORIGINAL: ORIGINAL, UPSCALED: output}
    return {role: found[its] for role, its in roles.items() if its in found}
