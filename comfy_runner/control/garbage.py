"""What of a run folder's files nobody needs any more, and taking it away.

Whatever the ledger or a sidecar counts as a picture of a job stays, whatever it is called and wherever it lies. Symbolic links are
neither followed nor removed. Not here: what lies on servers (`abroad`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from comfy_runner.atomic_files import is_leftover
from comfy_runner.errors import Problem, RunFolderError
from comfy_runner.store.job_files import SUPERSEDED
from comfy_runner.store.ledger import FILE
from comfy_runner.store.ledger_rows import End, JobRow
from comfy_runner.store.local import is_plain_inside
from comfy_runner.store.lock import HOLDER, LOCK
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import Sidecar
from comfy_runner.store.states import ENDED, Change
from comfy_runner.text_files import shown

GarbageKind = Literal["superseded", "leftovers", "removed", "damaged"]

_DAMAGED = re.compile(re.escape(FILE) + r"\.damaged-\d+(-journal|-wal|-shm)?")
_INTERNAL = (FILE, *(f"{FILE}-{kind}" for kind in ("journal", "wal", "shm")), "run.json", LOCK, HOLDER)
_ENDS = {"done": Change.DONE, "partial": Change.PARTIAL, "failed": Change.FAILED, "cancelled": Change.CANCELLED}


@dataclass(frozen=True, slots=True)
class Heap:
    """Files of one kind that can go.

    Attributes:
        kind: ``superseded``: replaced pictures with their sidecars; ``leftovers``: half files of clients that were killed;
            ``removed``: pictures and sidecars of jobs that their recipes no longer have; ``damaged``: ledgers that a repair
            has moved aside.
        paths: The files, each before what tells of it.
        size_bytes: Their lengths together.
    """

    kind: GarbageKind
    paths: tuple[Path, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Rubbish:
    """What can go.

    Attributes:
        heaps: The files by kind; only kinds of which there are any.
        jobs: The jobs that their recipes no longer have, as the ledger has them.
    """

    heaps: tuple[Heap, ...]
    jobs: tuple[JobRow, ...]


def find_rubbish(folder: RunFolder, sidecars: Mapping[str, Sidecar | None]) -> Rubbish:
    """Look for what can go; removes nothing.

    Args:
        folder: The run folder, locked.
        sidecars: Every sidecar by its job, from `all_sidecars`; None for one that cannot be read.
    """
    root = folder.path
    gone, kept = _by_removal(folder.ledger.jobs(), sidecars)
    kept_files = {*_INTERNAL, *(_key(path) for path in _recorded(folder, kept, sidecars))}
    removed = list(dict.fromkeys(_recorded(folder, gone, sidecars)))
    found: list[tuple[GarbageKind, Iterable[str], Collection[str]]] = [
        ("superseded", _below(root, SUPERSEDED), {*kept_files, *map(_key, removed)}),
        (
            "leftovers",
            (path for path in _below(root, "", skip=SUPERSEDED) if is_leftover(path.rpartition("/")[2])),
            {*kept_files, *map(_key, removed)},
        ),
        ("removed", removed, kept_files),
        ("damaged", sorted(name for name in os.listdir(root) if _DAMAGED.fullmatch(name)), kept_files),  # noqa: PTH208 - names
    ]
    heaps = []
    for kind, names, current in found:
        paths = [root / name for name in names if _key(name) not in current and is_plain_inside(root, root / name)]
        if paths:
            heaps.append(Heap(kind, tuple(paths), sum(path.lstat().st_size for path in paths)))
    return Rubbish(tuple(heaps), tuple(gone.values()))


def remove(folder: RunFolder, heap: Heap, jobs: Iterable[JobRow]) -> None:
    """Remove files, and the folders that are empty then.

    Args:
        folder: The run folder, locked since the files were found.
        heap: The files.
        jobs: For ``removed``: the jobs that they belong to; the ledger gives up their pictures.

    Raises:
        RunFolderError: A file cannot be removed; those before it are.
    """
    for path in heap.paths:
        try:
            if is_plain_inside(folder.path, path):
                path.unlink()
        except OSError as error:
            raise RunFolderError(f"cannot be removed: {(error.strerror or str(error)).lower()}", where=shown(path)) from error
    for parent in sorted(
        {parent for path in heap.paths for parent in _parents(folder.path, path)}, key=lambda path: -len(path.parts)
    ):
        try:
            parent.rmdir()
        except OSError:
            continue  # something else is in it
    if heap.kind == "removed":
        folder.ledger.settle_all(_without_files(row) for row in jobs if row.state in ENDED)


def all_sidecars(folder: RunFolder) -> tuple[dict[str, Sidecar | None], list[Problem]]:
    """Return every sidecar by its job, None for one that cannot be read, and why those cannot."""
    found: dict[str, Sidecar | None] = {}
    problems: list[Problem] = []
    for job_id in dict.fromkeys([*folder.job_ids(), *(row.job_id for row in folder.ledger.jobs())]):
        try:
            sidecar = folder.sidecar(job_id)
            if sidecar is not None:
                found[job_id] = sidecar
        except RunFolderError as error:
            problems += error.problems
            found[job_id] = None
    return found, problems


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
        yield f"{job_id}/job.json"


def _key(path: str) -> str:
    # Some disks take these for the same; to keep a file too many is no harm.
    return os.path.normpath(path).replace("\\", "/").casefold()


def _below(root: Path, start: str, *, skip: str = "") -> Iterator[str]:
    """Yield all files below a folder as paths from the root, past no symbolic link."""
    top = root / start
    if top.resolve() != root.resolve() / start:
        return
    for folder, folders, files in os.walk(top):
        inside = Path(folder).relative_to(root)
        folders[:] = sorted(name for name in folders if (inside / name).as_posix() != skip)
        yield from ((inside / name).as_posix() for name in sorted(files))


def _parents(root: Path, path: Path) -> Iterator[Path]:
    parent = path.parent
    while parent != root:
        yield parent
        parent = parent.parent


def _without_files(row: JobRow) -> End:
    return End(
        job_id=row.job_id,
        event=_ENDS[row.state],
        files=(),
        error=row.error,
        seconds=row.seconds,
        work=row.work,
        finished=row.finished,
    )
