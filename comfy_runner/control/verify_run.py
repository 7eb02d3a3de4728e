"""Whether a run folder still has what was collected: each file held against its sidecar, each sidecar against the ledger.

It only reads, and works beside a live run, of which it looks at the jobs that have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from comfy_runner.control.garbage import DAMAGED, INTERNAL
from comfy_runner.control.readable_ledger import ReadableLedger
from comfy_runner.control.verify_job import Discrepancy, DiscrepancyKind, VerifiedJob, verify_job
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.job_files import SUPERSEDED
from comfy_runner.store.local import LocalStore
from comfy_runner.store.lock import Holder, holder
from comfy_runner.store.refresh import refresh
from comfy_runner.store.registry import local_part
from comfy_runner.store.remote import listed_once
from comfy_runner.store.run_folder import COMPARISON_FILES, REPORT, REPORT_FILES, SERVER_LOGS, FolderView
from comfy_runner.store.states import ENDED

_THREADS = 8  # checksums are made outside of the interpreter's lock, and disks take several reads at a time
_AT_ONCE = 256
"""Jobs whose rows are held in memory."""

_ORDER: Sequence[DiscrepancyKind] = ("missing", "changed", "conflicting", "unreadable")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRun:
    """What there is to say of a run folder's files.

    Attributes:
        folder: The run folder.
        jobs: How many jobs were looked at.
        files: How many files were read.
        size_bytes: Their lengths together.
        discrepancies: What is not as it was collected, files before records.
        extra: The files that nothing records, as keys of the store; not looked for beside a live run.
        superseded: How many replaced files there are, which are not looked at.
        leftovers: How many half-written files there are of clients that were killed; not counted beside a live run.
        unfinished: How many jobs were not looked at, since a live run may be about to write their files.
        holder: The process that works there; None where none does.
    """

    folder: Path
    jobs: int
    files: int
    size_bytes: int
    discrepancies: tuple[Discrepancy, ...]
    extra: tuple[str, ...]
    superseded: int
    leftovers: int
    unfinished: int
    holder: Holder | None


def verify(
    run_folder: Path | str, *, store: ArtifactStore | None = None, progress: Callable[[int, int], None] | None = None
) -> VerifiedRun:
    """Hold every file of a run folder against its checksum and its sidecar, and every sidecar against the ledger.

    Nothing is changed. Without a ledger that can be read, the sidecars alone are what files are held against.

    Args:
        run_folder: The folder of a run, which may be in use: then only jobs that have ended are looked at.
        store: Where its pictures and sidecars are; None for the folder itself.
        progress: Called with how many jobs have been looked at, and how many there are; None for nothing.

    Raises:
        RunFolderError: It is no run folder.
    """
    folder = local_part(run_folder)
    elsewhere = refresh(folder)
    user = holder(folder) or elsewhere
    view = FolderView(folder, store)
    with ReadableLedger(folder, check=user is None) as ledger:
        job_ids = list(dict.fromkeys([*ledger.known, *view.job_ids()]))
        looked = [job_id for job_id in job_ids if user is None or ledger.has_ended(job_id)]
        keys, files, size_bytes, doubtful = set[str](), 0, 0, dict[str, list[Discrepancy]]()
        listing = listed_once(view.store) if user is None else nullcontext()
        with listing, ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as pool:
            try:
                for number, found in enumerate(_verified(looked, ledger, view, pool), start=1):
                    keys |= found.keys
                    files, size_bytes = files + found.files, size_bytes + found.size_bytes
                    if found.wrong:
                        doubtful[found.job_id] = found.wrong
                    if progress is not None:
                        progress(number, len(looked))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        extra, superseded = _others(view.store, keys)
        leftovers = sum(1 for _ in LocalStore(folder).leftovers())
        user = user or holder(folder) or refresh(folder)
        if user is not None:
            # A run that has begun meanwhile may have replaced what was being looked at.
            extra, leftovers = (), 0
            doubtful = {job_id: _verified_again(job_id, ledger, view) for job_id in doubtful}
        wrong = sorted((each for several in doubtful.values() for each in several), key=lambda each: _ORDER.index(each.kind))
        of_ledger = [Discrepancy("unreadable", "", "", each.where, each.what, each.hint) for each in ledger.problems]
    return VerifiedRun(
        folder=folder,
        jobs=len(looked),
        files=files,
        size_bytes=size_bytes,
        discrepancies=(*wrong, *of_ledger),
        extra=extra,
        superseded=superseded,
        leftovers=leftovers,
        unfinished=len(job_ids) - len(looked),
        holder=user,
    )


def _verified(job_ids: Sequence[str], ledger: ReadableLedger, view: FolderView, pool: ThreadPoolExecutor) -> Iterator[VerifiedJob]:
    """Yield what there is to say of each job, in order; the ledger is read in this thread."""
    waiting = iter(job_ids)
    while batch := list(islice(waiting, _AT_ONCE)):
        rows = [ledger.files(job_id) for job_id in batch]
        known = [ledger.known.get(job_id) for job_id in batch]
        yield from pool.map(partial(verify_job, view, is_read=ledger.is_read), batch, known, rows)


def _verified_again(job_id: str, ledger: ReadableLedger, view: FolderView) -> list[Discrepancy]:
    """Return what is wrong with a job that a live run may have changed since it was looked at; nothing while it goes on."""
    known = ledger.again(job_id)
    if known is not None and known.state not in ENDED:
        return []
    return verify_job(view, job_id, known, ledger.files(job_id), is_read=ledger.is_read).wrong


def _others(store: ArtifactStore, recorded: Set[str]) -> tuple[tuple[str, ...], int]:
    """Return the keys that nothing records, hidden ones left out, and how many replaced files there are."""
    extra, superseded = list[str](), 0
    for key in store.list():
        top, _, name = key.rpartition("/")
        if key.startswith(f"{SUPERSEDED}/"):
            superseded += 1
        elif key not in recorded and not name.startswith(".") and not key.startswith(".") and not _is_own(key, top):
            extra.append(key)
    return tuple(sorted(extra)), superseded


def _is_own(key: str, folder: str) -> bool:
    """Return whether a file is one that run folders have for themselves, or of a report or a comparison."""
    if folder:
        return key.startswith((f"{REPORT_FILES}/", f"{COMPARISON_FILES}/", f"{SERVER_LOGS}/"))
    return key in INTERNAL or key in REPORT or DAMAGED.fullmatch(key) is not None
