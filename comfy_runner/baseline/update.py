"""Making a baseline of a run, or renewing it: what has the same pixels stays as it is, byte for byte.

A job that is not done is never written, nor one whose pictures are no longer those that were collected.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from comfy_runner.baseline.folder import (
    Baseline,
    BaselineJob,
    BaselinePicture,
    picture_path,
    remove_picture,
    write_baseline,
    write_picture,
)
from comfy_runner.baseline.renewing import renewing
from comfy_runner.errors import InputError, VerificationError
from comfy_runner.recipe.sweep.ids import select
from comfy_runner.report.pixels import DecodedPicture, read_pixels
from comfy_runner.report.run_data import sidecar_of
from comfy_runner.store.about import about_sidecar
from comfy_runner.store.environment import environment_of
from comfy_runner.store.interface import Artifact, ArtifactStore
from comfy_runner.store.media_types import PICTURES, suffix_of
from comfy_runner.store.registry import local_part
from comfy_runner.store.run_folder import FolderView
from comfy_runner.store.sidecar import FileRecord, Sidecar
from comfy_runner.store.status import JobStatus, status

_MOST_AT_ONCE = 4  # pictures that are decoded and encoded, which of 16 megapixels takes some hundred MiB each


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineUpdate:
    """What became of a baseline.

    Attributes:
        folder: Its folder.
        added: The jobs that it has now and had not.
        changed: The jobs of which it has another picture, recipe or environment now.
        unchanged: The jobs that it has as before.
        removed: The jobs that it has no longer.
        orphans: The jobs that it has and the run does not; only pruning removes them.
        skipped: The jobs that were not written, each with why.
    """

    folder: Path
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


def update_baseline(
    run_folder: Path | str,
    to: Path | str,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    prune: bool = False,
    store: ArtifactStore | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BaselineUpdate:
    """Make the pictures of a run what later runs are held against.

    Args:
        run_folder: The folder of a run, which may be in use: its jobs that are done are taken.
        to: The folder of the baseline, or its URL; made if it is not there. Files in it that are not the baseline's stay.
        only: Patterns such as ``*-s42``: only jobs whose id matches one of them; empty for all.
        skip: Patterns such as ``*-s42``: no jobs whose id matches one of them.
        prune: Whether jobs are removed that the run no longer has.
        store: Where the run's pictures and sidecars are; None for the run folder itself.
        progress: Called with how many jobs have been looked at, and how many there are.

    Raises:
        InputError: A pattern matches no job, or the folder is no place for a baseline, or has a damaged one.
        RunFolderError: It is no run folder, or one of the folders cannot be read or written.
    """
    folder, target = local_part(run_folder), local_part(to)
    jobs = {job.row.job_id: job for job in status(folder).jobs if not job.row.removed}
    chosen = select(list(jobs), only, skip) if only or skip else list(jobs)
    view = FolderView(folder, store)
    with renewing(target) as old:
        found, skipped = _entries(old, [jobs[job_id] for job_id in chosen], view, progress)
        orphans = [job_id for job_id in old.jobs if job_id not in jobs]
        removed = orphans if prune else []
        _write(old, {**{job_id: job for job_id, job in old.jobs.items() if job_id not in removed}, **found})
    return BaselineUpdate(
        folder=target,
        added=tuple(job_id for job_id in found if job_id not in old.jobs),
        changed=tuple(job_id for job_id, job in found.items() if job_id in old.jobs and job != old.jobs[job_id]),
        unchanged=tuple(job_id for job_id, job in found.items() if job == old.jobs.get(job_id)),
        removed=tuple(removed),
        orphans=() if prune else tuple(orphans),
        skipped=skipped,
    )


def add_missing(folder: Path, pictures: Mapping[str, Collection[tuple[str, int]]], view: FolderView) -> None:
    """Add pictures that a baseline lacks; what it has stays, also what somebody else has added meanwhile.

    Args:
        folder: The folder of the baseline.
        pictures: The role and number of each of them, by job.
        view: The run that has them.

    Raises:
        InputError: A file that is not the baseline's lies in the place of one, or the baseline is damaged.
        RunFolderError: The folder cannot be written, or a sidecar is damaged.
    """
    with renewing(folder) as baseline:
        jobs, owned = dict(baseline.jobs), _paths(baseline.jobs)
        for job_id, missing in pictures.items():
            sidecar = view.sidecar(job_id)
            if sidecar is None:
                continue
            entry = jobs.get(job_id) or _entry(sidecar, ())
            lacked = {key for key in missing if entry.picture(*key) is None}
            added = _pictures(baseline, sidecar, view, owned, only=lacked)
            jobs[job_id] = entry.model_copy(update={"pictures": (*entry.pictures, *added)})
        _write(baseline, jobs)


def pictures_of(sidecar: Sidecar) -> Iterator[tuple[str, int, FileRecord]]:
    """Yield what of a job's files is compared: role, number from 1, and record of each picture; no films, sounds and texts."""
    for role, records in sidecar.files.items():
        pictures = (record for record in records if suffix_of(record.path) in PICTURES and not record.problem)
        yield from ((role, number, record) for number, record in enumerate(pictures, start=1))


def _entries(
    old: Baseline, jobs: Sequence[JobStatus], view: FolderView, progress: Callable[[int, int], None] | None
) -> tuple[dict[str, BaselineJob], dict[str, str]]:
    """Write the pictures of jobs, and return what the baseline is to say of each, and why of others nothing."""
    owned = _paths(old.jobs)

    def look(job: JobStatus) -> BaselineJob | str:
        if job.row.state != "done":
            return str(job.row.state)
        sidecar = sidecar_of(view, job.row.job_id)
        if sidecar is None:
            return "no readable sidecar"
        if not all(view.has(record) for _, _, record in pictures_of(sidecar)):
            return "a picture has changed since it was collected"
        try:
            return _entry(sidecar, tuple(_pictures(old, sidecar, view, owned)))
        except VerificationError as error:
            return str(error.problems[0])

    found, skipped = dict[str, BaselineJob](), dict[str, str]()
    pool = ThreadPoolExecutor(min(_MOST_AT_ONCE, os.cpu_count() or 1), thread_name_prefix="baseline")
    try:
        for number, (job, entry) in enumerate(zip(jobs, pool.map(look, jobs), strict=True), start=1):
            if isinstance(entry, str):
                skipped[job.row.job_id] = entry
            elif entry.pictures:
                found[job.row.job_id] = entry
            else:
                skipped[job.row.job_id] = "no picture"
            if progress is not None:
                progress(number, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)
    return found, skipped


def _pictures(
    old: Baseline,
    sidecar: Sidecar,
    view: FolderView,
    owned: Collection[str],
    *,
    only: Collection[tuple[str, int]] | None = None,
) -> Iterator[BaselinePicture]:
    """Write those of a job's pictures that a baseline has not, and yield what it is to say of all, or of some only."""
    known = old.jobs.get(sidecar.job_id)
    for role, number, record in pictures_of(sidecar):
        if only is not None and (role, number) not in only:
            continue
        decoded = read_pixels(Artifact(view.store, record.path))
        before = known.picture(role, number) if known else None
        if before is not None and before.pixels == decoded.sha256 and _is_whole(old, before):
            yield before
            continue
        path = picture_path(sidecar.job_id, role, number, decoded)
        told = _told(role, number, path, decoded)
        if path in owned or not old.has(path):
            write_picture(old, path, decoded)
        # Who was interrupted while it was written has left the very same one.
        elif decoded.frames > 1 or not _is_whole(old, told):
            hint = "move it away, or choose another folder with --to"
            raise InputError(
                "is in the place of a picture, but does not belong to a baseline", where=old.store.location(path), hint=hint
            )
        yield told


def _told(role: str, number: int, path: str, picture: DecodedPicture) -> BaselinePicture:
    width, height = picture.image.size
    return BaselinePicture(
        role=role, number=number, path=path, pixels=picture.sha256, width=width, height=height, frames=picture.frames
    )


def _entry(sidecar: Sidecar, pictures: tuple[BaselinePicture, ...]) -> BaselineJob:
    about = about_sidecar(sidecar)
    environment = environment_of(sidecar)
    return BaselineJob(
        content_hash=sidecar.content_hash,
        # Which client rendered it changes no pixel, and would change every line with each of its versions.
        environment={name: text for name, text in environment.items() if name not in ("comfy_runner", "template")},
        recipe=about.get("recipe", {}),
        template=about.get("template", {}),
        inputs=tuple(about.get("inputs", ())),
        pictures=pictures,
    )


def _is_whole(baseline: Baseline, picture: BaselinePicture) -> bool:
    try:
        baseline.read(picture)
    except VerificationError:
        return False
    return True


def _write(old: Baseline, jobs: Mapping[str, BaselineJob]) -> None:
    """Write what a baseline says of its jobs, then remove the pictures that nobody names any more."""
    write_baseline(replace(old, jobs=jobs))
    for path in sorted(_paths(old.jobs) - _paths(jobs)):
        remove_picture(old, path)


def _paths(jobs: Mapping[str, BaselineJob]) -> set[str]:
    return {picture.path for job in jobs.values() for picture in job.pictures}
