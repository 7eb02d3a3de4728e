"""Submissions that earlier processes have left: what they were, and which jobs have to wait for their end.

Not here: following them, which is done as if they were our own (`coordinate`).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace

from comfy_runner.engine.submission import Submission, SubmittedJob
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.store.ledger_rows import OpenSubmission
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import UNREADABLE, FileRecord
from comfy_runner.store.states import State


@dataclass(frozen=True, slots=True)
class Found:
    """A submission that is to be followed to its end.

    Attributes:
        submission: What it was.
        standing: For each job, files that are there already, by output role.
        waits_for: The jobs that are still to be collected.
        given_away: Those of them that another server was given since, because this one was out of order.
    """

    submission: Submission
    standing: Mapping[str, Mapping[str, tuple[FileRecord, ...]]]
    waits_for: frozenset[str]
    given_away: frozenset[str] = frozenset()


def unpack(folder: RunFolder, submission: OpenSubmission) -> Found | None:
    """Return what there is to follow of a submission; None where nobody can tell any more what it was.

    What the process that posted it was writing when it ended is cleared away.

    Args:
        folder: The run folder.
        submission: As its ledger has it.
    """
    try:
        posted = Submission.from_text(submission.prompt_id, submission.parcel)
    except (*UNREADABLE, sqlite3.Error, ComfyRunnerError):
        return None
    if not set(submission.job_ids) <= set(posted.job_ids):
        return None
    for job in posted.jobs:
        folder.remove_leftovers(job.job_id, job.outputs.values())
    standing = {job.job_id: folder.reusable_files(job.job_id, job.content_hash, job.outputs) for job in posted.jobs}
    waits_for = frozenset(job.job_id for job in posted.jobs if not _is_collected(folder, job))
    others = (job for job in posted.jobs if job.job_id in waits_for.difference(submission.job_ids))
    return Found(posted, standing, waits_for, frozenset(job.job_id for job in others if _is_as_posted(folder, job)))


def reclaim(folder: RunFolder) -> None:
    """Have jobs wait for the servers that were given them, which an earlier process had taken back since these did not answer.

    What such a server has finished need not be made again.

    Args:
        folder: The run folder, whose ledger is written.
    """
    for submission in folder.ledger.open_submissions():
        with contextlib.suppress(*UNREADABLE, sqlite3.Error, ComfyRunnerError):
            jobs = Submission.from_text(submission.prompt_id, submission.parcel).jobs
            pending = [job.job_id for job in jobs if _is_as_posted(folder, job, state="pending")]
            if pending:
                folder.ledger.retake(submission.prompt_id, pending)


def _is_as_posted(folder: RunFolder, job: SubmittedJob, *, state: State | None = None) -> bool:
    row = folder.ledger.job(job.job_id)
    return row is not None and row.content_hash == job.content_hash and (state is None or row.state == state)


def _is_collected(folder: RunFolder, job: SubmittedJob) -> bool:
    row = folder.ledger.job(job.job_id)
    return row is not None and row.state == "done" and row.content_hash == job.content_hash


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
        found = unpack(self._folder, submission)
        if found is not None and found.given_away:
            # Others do these jobs: the server is asked all the same, for it may have finished them.
            found = replace(found, waits_for=found.waits_for - found.given_away)
        elif found is None or not found.waits_for:
            self._ledger.forget(key)
            return None
        # A job that has changed since is not posted anew before what it was is gone from the server, or collected: both would
        # write the same files.
        self._held |= dict.fromkeys(found.waits_for.difference(submission.job_ids), key)
        self.sought.add(key)
        if not submission.job_ids and not found.given_away:
            self._outdated.add(key)
        return found

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
