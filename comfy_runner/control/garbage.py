"""What of a run's files nobody needs any more, and removing it.

Whatever the ledger or a sidecar counts as a picture of a job stays, whatever it is called and wherever it lies. Symbolic links are
neither followed nor removed. What lies on servers is found by `remote_files`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from comfy_runner.errors import Problem, RunFolderError
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.job_files import SUPERSEDED
from comfy_runner.store.ledger import FILE
from comfy_runner.store.ledger_rows import JobRow, JobUpdate
from comfy_runner.store.local import LocalStore
from comfy_runner.store.lock import BRIEF, HOLDER, LOCK
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.run_log import LOG, LOG_LOCK
from comfy_runner.store.sidecar import Sidecar
from comfy_runner.store.states import ENDED, Change

GarbageKind = Literal["superseded", "leftovers", "removed", "damaged"]

DAMAGED = re.compile(re.escape(FILE) + r"\.damaged-\d+(-journal|-wal|-shm)?")
"""What a repair calls the ledgers that it moves aside."""

INTERNAL = (FILE, *(f"{FILE}-{kind}" for kind in ("journal", "wal", "shm")), "run.json", LOCK, HOLDER, BRIEF, LOG, LOG_LOCK)
"""What a run folder has for itself."""


@dataclass(frozen=True, slots=True)
class GarbageFiles:
    """Files of one kind that can go.

    Attributes:
        kind: ``superseded``: replaced pictures with their sidecars; ``leftovers``: half files of clients that were killed;
            ``removed``: pictures and sidecars of jobs that their recipes no longer have; ``damaged``: ledgers that a repair
            has moved aside.
        keys: The files, each before the sidecar that tells of it: keys of the store for ``superseded`` and ``removed``, and for
            the others paths relative to the run folder.
        size_bytes: Their lengths together.
    """

    kind: GarbageKind
    keys: tuple[str, ...]
    size_bytes: int


def find_garbage(folder: RunFolder, sidecars: Mapping[str, Sidecar | None]) -> tuple[tuple[GarbageFiles, ...], tuple[JobRow, ...]]:
    """Return the files that can go, and the jobs that their recipes no longer have, as the ledger has them; removes nothing.

    Args:
        folder: The run folder, locked.
        sidecars: Every sidecar by its job, from `all_sidecars`; None for one that cannot be read.
    """
    local = LocalStore(folder.path)
    gone, kept = _by_removal(folder.ledger.jobs(), sidecars)
    kept_files = {*INTERNAL, *(_plain(key) for key in _recorded(folder, kept, sidecars))}
    removed = list(dict.fromkeys(_recorded(folder, gone, sidecars)))
    recorded = {*kept_files, *map(_plain, removed)}
    stored = dict.fromkeys(folder.store.list())
    superseded = sorted((key for key in stored if key.startswith(f"{SUPERSEDED}/")), key=lambda key: key.endswith("/job.json"))
    found: list[GarbageFiles | None] = [
        _files("superseded", folder.store, (key for key in superseded if _plain(key) not in recorded)),
        _files("leftovers", local, (key for key in local.leftovers() if _plain(key) not in recorded)),
        _files("removed", folder.store, (key for key in removed if key in stored and _plain(key) not in kept_files)),
        _files("damaged", local, (name for name in sorted(os.listdir(folder.path)) if DAMAGED.fullmatch(name))),  # noqa: PTH208
    ]
    return tuple(files for files in found if files is not None), tuple(gone.values())


def remove(folder: RunFolder, files: GarbageFiles, jobs: Iterable[JobRow]) -> None:
    """Remove files.

    Args:
        folder: The run folder, locked since the files were found.
        files: The files.
        jobs: For ``removed``: the jobs that they belong to; the ledger gives up their pictures.

    Raises:
        RunFolderError: A file cannot be removed; those before it are.
    """
    store = folder.store if files.kind in ("superseded", "removed") else LocalStore(folder.path)
    for key in files.keys:
        store.remove(key)
    if files.kind == "removed":
        folder.ledger.settle(*(_without_files(row) for row in jobs if row.state in ENDED))


def all_sidecars(folder: RunFolder) -> tuple[dict[str, Sidecar | None], list[Problem]]:
    """Return every sidecar by its job, None for one that cannot be read, and why those cannot.

    They are without recipes and graphs, which are nearly all of their length: a large run folder has gigabytes of them.
    """
    found: dict[str, Sidecar | None] = {}
    problems: list[Problem] = []
    for job_id in dict.fromkeys([*folder.job_ids(), *(row.job_id for row in folder.ledger.jobs())]):
        try:
            sidecar = folder.sidecar(job_id)
            if sidecar is not None:
                found[job_id] = replace(sidecar, recipe={}, workflow={})
        except RunFolderError as error:
            problems += error.problems
            found[job_id] = None
    return found, problems


def _files(kind: GarbageKind, store: ArtifactStore, keys: Iterable[str]) -> GarbageFiles | None:
    sizes = {key: found.size_bytes for key in keys if (found := store.stat(key)) is not None}
    return GarbageFiles(kind, tuple(sizes), sum(sizes.values())) if sizes else None


def _by_removal(
    rows: Iterable[JobRow], sidecars: Mapping[str, Sidecar | None]
) -> tuple[dict[str, JobRow], dict[str, JobRow | None]]:
    """Return the jobs that can go, and all others, also those that only a sidecar knows."""
    gone: dict[str, JobRow] = {}
    kept: dict[str, JobRow | None] = dict.fromkeys(sidecars)
    for row in rows:
        unreadable = row.job_id in sidecars and sidecars[row.job_id] is None
        if row.removed and row.state != "submitted" and not unreadable:
            gone[row.job_id] = row
            kept.pop(row.job_id, None)
        else:
            kept[row.job_id] = row
    return gone, kept


def _recorded(folder: RunFolder, job_ids: Iterable[str], sidecars: Mapping[str, Sidecar | None]) -> Iterator[str]:
    """Yield the pictures of jobs as ledger and sidecars know them, each job's sidecar last."""
    for job_id in job_ids:
        yield from (row.path for row in folder.ledger.files(job_id))
        sidecar = sidecars.get(job_id)
        if sidecar is not None:
            yield from (record.path for records in sidecar.files.values() for record in records)
        yield folder.sidecar_key(job_id)


def _plain(key: str) -> str:
    # Some disks take these for the same; to keep a file too many is no harm.
    return os.path.normpath(key).replace("\\", "/").casefold()


def _without_files(row: JobRow) -> JobUpdate:
    end = Change(row.state)
    return JobUpdate(row.job_id, end, files=(), error=row.error, seconds=row.seconds, work=row.work, finished=row.finished)
