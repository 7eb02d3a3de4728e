"""What earlier processes have left in the ledger and in the run folder, read for a run that goes on with it."""

from __future__ import annotations

import contextlib
import sqlite3

from comfy_runner.engine.submission import Submission, SubmittedJob
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.running.state import Files, Left
from comfy_runner.store.ledger_rows import OpenSubmission
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import UNREADABLE


def read_left(folder: RunFolder, submission: OpenSubmission) -> Left:
    """Return a submission that an earlier process has left, with the files of its jobs that are there already.

    What that process was writing when it ended is cleared away.

    Args:
        folder: The run folder.
        submission: As its ledger has it.
    """
    reusable: dict[str, Files] = {}
    found = _read(submission)
    if found is not None and not set(submission.job_ids) <= set(found.job_ids):
        found = None
    for job in found.jobs if found else ():
        folder.remove_leftovers(job.job_id, job.outputs.values())
        reusable[job.job_id] = folder.reusable_files(job.job_id, job.content_hash, job.outputs)
    return Left(submission.prompt_id, submission.server, submission.server_prompt_id, submission.job_ids, found, reusable)


def retake_given_away(folder: RunFolder) -> None:
    """Have jobs wait for the servers that were given them, which an earlier process had taken back since these did not answer.

    What such a server has finished need not be made again.

    Args:
        folder: The run folder, whose ledger is written.
    """
    for submission in folder.ledger.open_submissions():
        with contextlib.suppress(*UNREADABLE, sqlite3.Error, ComfyRunnerError):
            jobs = Submission.from_text(submission.prompt_id, submission.text).jobs
            pending = [job.job_id for job in jobs if _waits_as_posted(folder, job)]
            if pending:
                folder.ledger.retake(submission.prompt_id, pending)


def _waits_as_posted(folder: RunFolder, job: SubmittedJob) -> bool:
    row = folder.ledger.job(job.job_id)
    return row is not None and row.state == "pending" and row.content_hash == job.content_hash


def _read(submission: OpenSubmission) -> Submission | None:
    """Return what was posted; None where nobody can read it any more."""
    with contextlib.suppress(*UNREADABLE, ComfyRunnerError):
        return Submission.from_text(submission.prompt_id, submission.text)
    return None
