"""Jobs that would give the very same pixels are rendered once; the others get the same pictures, with sidecars that say whose."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial as partially
from pathlib import PurePosixPath

from comfy_runner._version import __version__
from comfy_runner.collect.a1111_text import parameters_of
from comfy_runner.collect.download import FetchedFile, retold
from comfy_runner.collect.metadata import PictureMetadata
from comfy_runner.collect.picture_texts import TextChanges
from comfy_runner.errors import RunFolderError, VerificationError
from comfy_runner.planning.draft import Draft
from comfy_runner.store.about import metadata_of
from comfy_runner.store.interface import Artifact, ArtifactStore
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.local import folder_errors, write_spool
from comfy_runner.store.sidecar import FileRecord, Sidecar
from comfy_runner.wording import now

_CHUNK = 1024 * 1024


def share(
    files: JobFiles, draft: Draft, leader_id: str, *, leader_hash: str, partial: bool = False
) -> Mapping[str, tuple[FileRecord, ...]] | None:
    """Give a job the pictures of another one, and write its sidecar.

    Args:
        files: Those of both.
        draft: The job.
        leader_id: The one that has pictures.
        leader_hash: What that is.
        partial: Whether it is shared, too, that some of them are missing.

    Returns:
        Its files by output role; None where the other job does not have them, whole and as they were recorded.

    Raises:
        RunFolderError: The store cannot be written.
    """
    planned, leader = draft.planned(), None
    with contextlib.suppress(RunFolderError):  # a damaged one: nothing can be shared, and the job is rendered
        leader = files.sidecar(leader_id)
    if leader is None or leader.content_hash != leader_hash or (leader.state != "done" and not partial):
        return None
    good = {role for role, records in leader.files.items() if not any(record.problem for record in records)}
    shared = {
        role: tuple(replace(record, path=_path(path, leader.files[role][0].path, record.path)) for record in leader.files[role])
        for role, path in planned.outputs.items()
        if role in good
    }
    complete = shared.keys() >= {*leader.expected(planned.workflow)}
    if not complete and not (shared and partial):
        return None
    files.remove_leftovers(draft.job_id, planned.outputs.values())
    if not all(files.has(other) for role in shared for other in leader.files[role]):
        return None
    recipe = planned.repeatable
    metadata = PictureMetadata.of(recipe, lambda: planned.about, planned.workflow.to_api, parameters_of(planned))
    if metadata.kinds != metadata_of(leader.recipe):
        return None
    made: list[FetchedFile] = []
    try:
        for role, records in shared.items():
            changes = metadata.changes(role, before=metadata.kinds, is_anothers=True)
            for record, other in zip(records, leader.files[role], strict=True):
                made.append(_copy(files.store, other, record, changes))
            shared[role] = tuple(file.record for file in made[-len(records) :])
        there = {file.record.path for file in made if files.has(file.record)}
        # Before the sidecar says that all is done: whoever is killed behind that is followed by nobody who would clear up.
        for file in made:
            if file.record.path in there:
                file.discard()
        files.archive(draft.job_id, [file.record.path for file in made if file.record.path not in there], keep=there)
        sidecar = Sidecar(
            job_id=draft.job_id,
            content_hash=draft.content_hash,
            state="done" if complete else "partial",
            reason="" if complete else leader.reason,
            files=shared,
            recipe=recipe,
            workflow=planned.workflow.to_api(),
            template={"name": planned.template.name, "sha256": planned.template.sha256},
            server=leader.server,
            prompt_id=leader.prompt_id,
            cached_nodes=(),
            seconds=None,
            finished=now(),
            comfy_runner=__version__,
            notes=tuple(str(note) for note in planned.notes),
            recipe_name=draft.recipe_name,
            assignments=draft.assignments,
            shares=leader_id,
            inputs=tuple(file.to_json() for file in planned.inputs),
            filled_from=planned.job.filled_from,
        )
        files.put(sidecar, [file.spooled for file in made if file.record.path not in there])
    except VerificationError:
        return None  # it cannot be told whose it is; the job is rendered
    finally:
        for file in made:
            file.discard()
    return shared


def _copy(store: ArtifactStore, source: FileRecord, record: FileRecord, changes: TextChanges | None) -> FetchedFile:
    """Return a copy of a file, to be put where it belongs: a picture says whose it is."""
    artifact = Artifact(store, source.path)
    if changes is not None and record.width is not None:
        return retold(store, artifact, record, changes, is_verified=True)
    with folder_errors(artifact), artifact.open() as file:
        return FetchedFile(write_spool(store, record.path, iter(partially(file.read, _CHUNK), b"")), record)


def _path(planned: str, first: str, path: str) -> str:
    """Return where a file goes: as planned, with the kind of file and the number that the leader's has."""
    stem = PurePosixPath(path).stem.removeprefix(PurePosixPath(first).stem)
    target = PurePosixPath(planned)
    return str(target.with_name(target.stem + stem + PurePosixPath(path).suffix))
