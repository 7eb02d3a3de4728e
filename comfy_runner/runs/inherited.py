"""Submissions that earlier processes have left: what they were, and which jobs have to wait for their end.

Not here: following them, which is done as if they were our own (`coordinate`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comfy_runner.errors import ComfyRunnerError
from comfy_runner.folder.folder import RunFolder
from comfy_runner.folder.rows import OpenSubmission
from comfy_runner.folder.sidecar import FileRecord
from comfy_runner.runs.parcel import Parcel, Piece

_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, ComfyRunnerError)


@dataclass(frozen=True, slots=True)
class Found:
    """A submission that is to be followed to its end.

    Attributes:
        parcel: What it was.
        standing: For each job, files that are there already, by output role.
        waits_for: The jobs that are still to be collected.
    """

    parcel: Parcel
    standing: Mapping[str, Mapping[str, tuple[FileRecord, ...]]]
    waits_for: frozenset[str]


class Inherited:
    """What is known of the submissions of earlier processes.

    Args:
        folder: The run folder, whose ledger is written.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder, self._ledger = folder, folder.ledger
        self._held: dict[str, str] = {}
        self.sought: set[str] = set()
        """Those of which it is not known yet whether the server has them."""
        self._outdated: set[str] = set()

    def look_at(self, submission: OpenSubmission) -> Found | None:
        """Return what there is to follow of a submission; None where there is nothing, and its jobs are pending again."""
        key = submission.prompt_id
        try:
            parcel = Parcel.from_text(key, submission.parcel)
        except _UNREADABLE:
            # Nobody can tell any more what it was; its jobs are known.
            self._ledger.forget(key)
            return None
        pieces = parcel.pieces
        for piece in pieces:
            self._folder.drop_leftovers(piece.job_id, piece.outputs.values())
        waits_for = frozenset(piece.job_id for piece in pieces if not self._is_collected(piece))
        if not waits_for:
            self._ledger.forget(key)
            return None
        # A job that has changed since is not posted anew before what it was is gone from the server, or collected: both would
        # write the same files.
        self._held |= dict.fromkeys(waits_for.difference(submission.job_ids), key)
        self.sought.add(key)
        if not submission.job_ids:
            self._outdated.add(key)
        standing = {piece.job_id: self._folder.standing(piece.job_id, piece.content_hash, piece.outputs) for piece in pieces}
        return Found(parcel, standing, waits_for)

    def holds(self, job_id: str) -> bool:
        """Return whether a job has to wait for the end of a submission of what it was."""
        return job_id in self._held

    def releases(self, job_id: str, key: str) -> bool:
        """Note that a submission has ended for a job; return whether it was of what the job is no longer."""
        if self._held.get(job_id) != key:
            return False
        del self._held[job_id]
        if key in self._outdated and key not in self._held.values():
            self._ledger.forget(key)
        return True

    def is_unwanted(self, key: str) -> bool:
        """Note that the server has a submission; return whether no job waits for it any more."""
        self.sought.discard(key)
        return key in self._outdated

    def _is_collected(self, piece: Piece) -> bool:
        row = self._ledger.job(piece.job_id)
        return row is not None and row.state == "done" and row.content_hash == piece.content_hash
