"""The ledger that this machine has of a run at a URL, made anew from the store where it is not that of the last who wrote there.

A ledger is local. What another machine has done since shows in the store: by the number of the last lease, which is noted beside
the ledger when it was made or written. What sidecars do not tell (why jobs failed, and what servers still have) only the machine
knows on which a run was made; a ledger that knows of prompts that servers may still have is kept for that.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from comfy_runner.atomic_files import open_plain, write_atomically
from comfy_runner.errors import RunFolderError
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.lease import LEASE_SECONDS, Lease, LeaseRecord, is_live, newest_lease
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rebuild import rebuild
from comfy_runner.store.local import folder_errors
from comfy_runner.store.lock import FolderLock, Holder, holder
from comfy_runner.store.plan_record import recorded
from comfy_runner.store.registry import open_store
from comfy_runner.store.remote import RemoteStore, listed_once
from comfy_runner.store.sidecar import UNREADABLE
from comfy_runner.text_files import is_file, shown, url_of

_NOTE = ".store.json"
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class _Note:
    """What is known of a local part.

    Attributes:
        id: By which leases know it.
        lease: The number of the last lease that the ledger takes account of.
    """

    id: str
    lease: int = 0


def take_lease(folder: Path, files: JobFiles, *, before: LeaseRecord | None = None) -> Lease | None:
    """Take the lease of a run at a URL, and bring its ledger up to date; None for a run whose files one machine alone can reach.

    From now on the store is not asked any more what is there: nobody else writes.

    Args:
        folder: The local part, which the caller has locked.
        files: Its files.
        before: The last lease, where the caller has just asked for it; None to ask for it here.

    Raises:
        RunFolderError: Another process holds the lease, or the store or the folder cannot be used.
    """
    store = files.store
    if not isinstance(store, RemoteStore):
        return None
    store.clear_spool()
    note = _noted(folder)
    if not note.lease:
        # It may be new. If this process is killed right behind the lease, the next one has to know that it was of here.
        _write(folder, note)
    lease = Lease(store, note.id, before=before)
    try:
        store.keep_listing()
        if not _is_current(folder, note, lease.before):
            _rebuild(folder, files)
        _write(folder, replace(note, lease=lease.number))
    except BaseException:
        lease.close()
        raise
    return lease


def refresh(folder: Path) -> Holder | None:
    """Bring the ledger of a run at a URL up to date, to be read; nothing for local run folders.

    Args:
        folder: The local part, which need not be there. Where the store has neither jobs nor a plan, it is not made.

    Returns:
        The process of another machine that works there now, as far as it is known; None where none does.

    Raises:
        RunFolderError: The store cannot be read, or the folder cannot be written.
    """
    if not url_of(folder):
        return None
    files = JobFiles(open_store(folder))
    store = files.store
    latest = newest_lease(store)
    if holder(folder) is not None:
        return None  # a run of this machine, or somebody who does the same just now
    note = _noted(folder)
    if not _is_current(folder, note, latest):
        with listed_once(store):
            if next(files.job_ids(), None) is not None or recorded(store):
                # Of a lease that is not given up yet, more may come.
                _take_over(folder, files, replace(note, lease=latest.number if latest and latest.released else 0))
    is_elsewhere = latest is not None and latest.folder != note.id and isinstance(store, RemoteStore) and is_live(store, latest)
    return latest.holder if latest is not None and is_elsewhere else None


def require_reachable(folder: Path) -> None:
    """Make sure that a run, if it is live, can be asked something from here; the ledger of one at a URL is brought up to date.

    Args:
        folder: The run folder, or the local part of a run at a URL.

    Raises:
        RunFolderError: It is live on another machine; or its store cannot be read, or its folder not be written.
    """
    elsewhere = refresh(folder)
    if elsewhere is None:
        return
    who = str(elsewhere) or "on another machine"
    what = f"is used by another comfy-runner: {who}; a live run can only be asked on its own machine"
    raise RunFolderError(what, where=shown(folder), hint=f"run the same command there; if it was killed, wait {LEASE_SECONDS:g} s")


def _take_over(folder: Path, files: JobFiles, note: _Note) -> None:
    """Make the ledger of a run that was written elsewhere, and note of which lease it is."""
    with folder_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
    try:
        _rebuild(folder, files)
        _write(folder, note)
    finally:
        lock.close()


def _is_current(folder: Path, note: _Note, latest: LeaseRecord | None) -> bool:
    if not is_file(folder / FILE):
        return False
    if latest is None or latest.folder == note.id:
        return True
    return latest.released and latest.number == note.lease


def _rebuild(folder: Path, files: JobFiles) -> None:
    """Make a ledger anew, unless there is one with prompts that servers may still have."""
    with contextlib.suppress(RunFolderError), Ledger(folder / FILE, readonly=True) as ledger:
        if ledger.open_submissions():
            return
    aside = rebuild(folder, files).aside
    if aside is not None:
        # It is no damaged one, and the store tells more than it did.
        with folder_errors(aside):
            aside.unlink(missing_ok=True)


def _noted(folder: Path) -> _Note:
    """Return what is noted of a local part; a new id where nothing is."""
    with contextlib.suppress(OSError, *UNREADABLE), open_plain(folder / _NOTE) as file:
        found = json.loads(file.read(_MOST_BYTES))
        return _Note(str(uuid.UUID(found["id"])), int(found["lease"]))
    return _Note(str(uuid.uuid4()))


def _write(folder: Path, note: _Note) -> None:
    with folder_errors(folder):
        write_atomically(folder / _NOTE, (json.dumps({"format": 1, **asdict(note)}) + "\n").encode())
