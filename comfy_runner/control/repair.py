"""Repairing a run folder: its ledger is made anew from the pictures' sidecars, by whoever holds its lock."""

from __future__ import annotations

from pathlib import Path

from comfy_runner.errors import RunFolderError
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rebuild import Rebuilt, lacks_ledger, rebuild
from comfy_runner.store.local import folder_errors
from comfy_runner.store.lock import LOCK, FolderLock
from comfy_runner.store.plan_record import recorded
from comfy_runner.store.registry import local_part
from comfy_runner.store.run_folder import FolderView
from comfy_runner.text_files import shown, url_of


def repair(path: Path | str) -> Rebuilt:
    """Make a run folder's ledger anew from its sidecars, whatever it is like; the old one is moved aside.

    Args:
        path: The run folder.

    Raises:
        RunFolderError: It is no run folder, a run is live there, it cannot be written; or the ledger is sound and knows of prompts
            that a server may still have, which would be lost from sight.
    """
    folder = local_part(path)
    view = FolderView(folder)
    with folder_errors(folder):
        is_run = any((folder / name).is_file() for name in (FILE, LOCK, "run.json")) or lacks_ledger(folder)
        is_run = is_run or (bool(url_of(folder)) and (next(view.job_ids(), None) is not None or bool(recorded(view.store))))
    if not is_run:
        hint = "`comfy-runner runs DIR` lists the run folders below a folder"
        raise RunFolderError("is not a run folder", where=shown(folder), hint=hint)
    with folder_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
    try:
        waiting = _open_submissions(folder)
        if waiting:
            what = f"is intact, and knows of prompts that servers may still have ({waiting})"
            hint = f"continue the run, or end it with `comfy-runner cancel {shown(folder)}`"
            raise RunFolderError(what, where=shown(folder / FILE), hint=hint)
        with folder_errors(folder):
            return rebuild(folder, view)
    finally:
        lock.close()


def _open_submissions(folder: Path) -> int:
    """Return how many submissions a sound ledger knows of that nobody has settled; none for one that is damaged."""
    try:
        with Ledger(folder / FILE, readonly=True) as ledger:
            ledger.check()
            return len(ledger.open_submissions())
    except RunFolderError:
        return 0
