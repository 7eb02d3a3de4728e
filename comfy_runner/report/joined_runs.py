"""Several runs read as one, with the run as an axis; and what of one run was replaced, as earlier runs beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from comfy_runner.errors import UsageError
from comfy_runner.recipe.names import slug
from comfy_runner.report.failed_checks import FailedChecks, remembered
from comfy_runner.report.joined_store import JoinedStore
from comfy_runner.report.run_data import Material, material_of, read_material
from comfy_runner.store.interface import ArtifactStore, is_key
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.ledger_rows import FileRow, JobRow
from comfy_runner.store.sidecar import Sidecar
from comfy_runner.store.status import JobStatus, status
from comfy_runner.text_files import shown, url_of

NOW = "now"
"""What a run is called beside the earlier ones that it has replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPart:
    """One of several runs.

    Attributes:
        name: What it is called: no other is called so, and it can be a part of a path.
        folder: Its run folder.
        material: What is known of it alone; None of pictures that were replaced.
        superseded: The sidecars of these, by their keys.
    """

    name: str
    folder: Path
    material: Material | None
    superseded: Mapping[str, Sidecar]


def parts_of(folders: Sequence[Path], *, superseded: bool = False) -> tuple[RunPart, ...]:
    """Return the runs of several run folders.

    Args:
        folders: The run folders.
        superseded: Whether what one of them has replaced is a run as well: ``earlier 1`` has what was replaced last of each job,
            ``earlier 2`` what was before that. There has to be one folder then.

    Raises:
        UsageError: A folder is given twice, or nothing was replaced.
        RunFolderError: One is no run folder, or cannot be read.
    """
    twice = [folder for folder, count in Counter(folder.resolve() for folder in folders).items() if count > 1]
    if twice:
        raise UsageError("is given twice", where=shown(twice[0]), hint="name each run once")
    names = _names(folders)
    found = [
        RunPart(name=name, folder=folder, material=read_material(folder), superseded={})
        for name, folder in zip(names, folders, strict=True)
    ]
    if superseded:
        (now,) = found
        earlier = list(_earlier(now))
        if not earlier:
            raise UsageError("nothing of this run was replaced", where=shown(now.folder), hint="remove --superseded")
        found = [replace(now, name=NOW), *earlier]
    return tuple(found)


def join(parts: Sequence[RunPart], folder: Path) -> Material:
    """Return several runs as one: the job ``lake-s1`` of the run ``lake`` is called ``lake/lake-s1``.

    Args:
        parts: The runs.
        folder: Where what is made of them goes.

    Raises:
        RunFolderError: A run cannot be read.
    """
    jobs: list[JobStatus] = []
    runs: dict[str, str] = {}
    checked: dict[str, FailedChecks] = {}
    stores: dict[str, ArtifactStore] = {}
    moved: dict[str, str] = {}
    for part in parts:
        if part.material is not None:
            stores[part.name] = part.material.store
            own = [job for job in status(part.folder).jobs if not job.row.removed]
            checked |= {
                f"{part.name}/{job_id}": replace(known, differences=()) for job_id, known in remembered(part.folder).items()
            }
        else:
            stores[part.name] = stores[NOW]
            own = [_replaced(key, sidecar, stores[NOW]) for key, sidecar in part.superseded.items()]
            moved |= {f"{part.name}/{sidecar.job_id}/job.json": key for key, sidecar in part.superseded.items()}
        named = [_named(job, part.name) for job in own]
        runs |= {job.row.job_id: part.name for job in named}
        jobs += named
    return material_of(folder, jobs, JobFiles(JoinedStore(folder, stores, moved)), checked, runs=runs)


def _names(folders: Sequence[Path]) -> list[str]:
    """Return a name for each run: the last parts of its path, as many as tell it apart."""
    paths = [(url_of(folder) or folder.absolute().as_posix()).rstrip("/").split("/") for folder in folders]
    longest = max(map(len, paths))
    depth = next((some for some in range(1, longest) if len({tuple(path[-some:]) for path in paths}) == len(paths)), longest)
    names: list[str] = []
    for path in paths:
        text = "-".join(path[-depth:])
        text = text if is_key(text) and text.isprintable() else slug(text) or "run"
        number = next(number for number in range(1, len(paths) + 1) if (text if number == 1 else f"{text}-{number}") not in names)
        names.append(text if number == 1 else f"{text}-{number}")
    return names


def _earlier(now: RunPart) -> Iterator[RunPart]:
    if now.material is None:
        return
    store, by_job = now.material.store, dict[str, list[tuple[str, Sidecar]]]()

    def when(found: tuple[str, Sidecar]) -> tuple[str, int]:
        stat = store.stat(found[0])
        return found[1].finished, stat.modified_ns if stat else 0  # two of one second may be known by their files

    for key, sidecar in JobFiles(store).superseded_by_key():
        by_job.setdefault(sidecar.job_id, []).append((key, sidecar))
    for found in by_job.values():
        found.sort(key=when, reverse=True)
    for number in range(max(map(len, by_job.values()), default=0)):
        of_all = dict(found[number] for found in by_job.values() if len(found) > number)
        yield RunPart(name=f"earlier {number + 1}", folder=now.folder, material=None, superseded=of_all)


def _replaced(key: str, sidecar: Sidecar, store: ArtifactStore) -> JobStatus:
    """Return a job as it was before it was replaced, with those of its pictures that are there."""
    shelf = key.rpartition("/")[0]
    files = tuple(
        FileRow(role, number, f"{shelf}/{record.path}", record.size_bytes, 0, record.sha256)
        for role, records in sidecar.files.items()
        for number, record in enumerate(records)
        if store.stat(f"{shelf}/{record.path}") is not None
    )
    row = JobRow(
        job_id=sidecar.job_id,
        position=None,
        recipe=sidecar.recipe_name or sidecar.job_id,
        content_hash=sidecar.content_hash,
        pixel_hash="",
        shares=sidecar.shares,
        assignments=sidecar.assignments,
        state="partial" if sidecar.state == "partial" else "done",
        removed=False,
        reason="",
        error=sidecar.reason,
        attempts=1,
        seconds=sidecar.seconds,
        work=None,
        finished=sidecar.finished,
        prompt_id=sidecar.prompt_id,
    )
    return JobStatus(row, files)


def _named(job: JobStatus, run: str) -> JobStatus:
    shares = job.row.shares and f"{run}/{job.row.shares}"
    files = tuple(replace(file, path=f"{run}/{file.path}") for file in job.files)
    return JobStatus(replace(job.row, job_id=f"{run}/{job.row.job_id}", shares=shares), files)
