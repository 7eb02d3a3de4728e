"""Finished pictures whose recipe wants them in another format now, or with other metadata: written anew without a server.

They are made of what lies in the run folder: another format only of what a server gave, never of a copy that has lost something
already; other metadata of any. The old pictures go to ``superseded/``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from comfy_runner.collect.a1111_text import parameters_of
from comfy_runner.collect.download import FetchedFile, converted, retold
from comfy_runner.collect.metadata import PictureMetadata
from comfy_runner.collect.reencode import Encoding
from comfy_runner.errors import VerificationError
from comfy_runner.planning.draft import Draft
from comfy_runner.planning.survey import metadata_in
from comfy_runner.store.about import metadata_of
from comfy_runner.store.media_types import PICTURES, has_media_type, suffix_of, was_reencoded
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import FileRecord, Sidecar

_THREADS = 4


def reformat(folder: RunFolder, drafts: Iterable[Draft]) -> None:
    """Write the pictures of finished jobs anew where that is all that they need; a survey finds them done then.

    Args:
        folder: The run folder.
        drafts: The jobs that are to be as their recipes want them.

    Raises:
        RunFolderError: The folder cannot be written, or a sidecar that matters is damaged. Nothing is lost.
    """
    concerned = list(_concerned(folder, drafts))
    if not concerned:
        return
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="reformat")
    try:
        for _ in pool.map(lambda draft: _reformat(folder, draft), concerned):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _concerned(folder: RunFolder, drafts: Iterable[Draft]) -> Iterator[Draft]:
    known = folder.ledger.known()
    for draft in drafts:
        found = known.get(draft.job_id)
        if found is None or found.content_hash != draft.content_hash:
            continue
        if found.state == "pending":
            # An earlier run that had other jobs to do may have found that this one is to be made again.
            if folder.store.stat(folder.sidecar_key(draft.job_id)) is not None:
                yield draft
            continue
        if found.state != "done":
            continue
        suffix = draft.variant.loaded.recipe.output.suffix
        if metadata_in(found.pixel_hash) != metadata_in(draft.pixel_hash):
            yield draft
        elif suffix != ".png":
            paths = [row.path for row in folder.ledger.files(draft.job_id)]
            if any(not path.endswith(suffix) and suffix_of(path) in PICTURES for path in paths):
                yield draft


def _reformat(folder: RunFolder, draft: Draft) -> None:
    sidecar = folder.sidecar(draft.job_id)
    if sidecar is None or sidecar.content_hash != draft.content_hash:
        return
    planned = draft.planned()
    expected = sidecar.expected(planned.workflow)
    outputs = {role: path for role, path in planned.outputs.items() if role in expected}
    if not sidecar.files.keys() >= outputs.keys():
        return
    recipe, said = planned.repeatable, metadata_of(sidecar.recipe)
    metadata = PictureMetadata.of(recipe, lambda: planned.about, lambda: sidecar.workflow, parameters_of(planned))
    records = ((record, path) for role, path in outputs.items() for record in sidecar.files[role])
    if said == metadata.kinds and all(has_media_type(record, path) for record, path in records):
        return  # by what is recorded, so that no picture is read for that
    if said != metadata.kinds:
        for record in (record for role in outputs for record in sidecar.files[role]):
            if not folder.has(record):
                folder.restore(draft.job_id, record)
    # As they lie there, in whatever format.
    lie = {role: path.rpartition(".")[0] + suffix_of(sidecar.files[role][0].path) for role, path in outputs.items()}
    reusable = folder.reusable_files(draft.job_id, draft.content_hash, lie)
    if reusable.keys() < outputs.keys():
        return
    folder.remove_leftovers(draft.job_id, outputs.values())
    made: dict[str, FetchedFile] = {}
    try:
        for role, path in outputs.items():
            changes = metadata.changes(role, before=said) if said != metadata.kinds else None
            for record in reusable[role]:
                source = folder.artifact(record)
                if not has_media_type(record, path):
                    if was_reencoded(record):
                        return
                    suffix, encoding = draft.variant.loaded.recipe.output.suffix, Encoding.of(recipe)
                    made[record.path] = converted(folder.store, source, record, suffix, encoding, changes)
                elif changes is not None and record.width is not None:
                    made[record.path] = retold(folder.store, source, record, changes)
        if made:
            _replace(folder, sidecar, reusable, made, recipe)
    except (VerificationError, OSError):
        return  # it cannot be read; a server can make it again
    finally:
        for new in made.values():
            new.discard()


def _replace(
    folder: RunFolder,
    sidecar: Sidecar,
    reusable: Mapping[str, tuple[FileRecord, ...]],
    made: Mapping[str, FetchedFile],
    recipe: Mapping[str, object],
) -> None:
    """Put new pictures in the place of old ones; what the sidecar tells of is whole at any instant, here or in ``superseded/``."""
    job_id = sidecar.job_id
    files = {
        role: tuple(made[record.path].record if record.path in made else record for record in records)
        for role, records in reusable.items()
    }
    old = [record.path for records in sidecar.files.values() for record in records]
    in_place = [path for path, new in made.items() if new.record.path == path]
    folder.archive(job_id, [new.record.path for new in made.values()], keep=old)
    if in_place:
        folder.archive_copies(job_id, in_place)
    notes = (*sidecar.notes, *(note for new in made.values() for note in new.notes))
    folder.put(replace(sidecar, files=files, recipe=recipe, notes=notes), [new.spooled for new in made.values()])
    folder.archive(job_id, list(made), keep=[record.path for records in files.values() for record in records])
