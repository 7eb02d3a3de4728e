"""Whether a job that went wrong is tried again, and what is done differently then. Pure functions of values.

Never tried again: a graph that the server refuses, a node that fails of anything but memory, what the user interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence

from comfy_runner.engine.submission import Attempt
from comfy_runner.engine.verdict import Outcome, Verdict
from comfy_runner.errors import ComfyRunnerError, FlatPicture, JobLost, ServerRefused
from comfy_runner.retry import Remedy, Retry


def failure_kind(verdict: Verdict | None, errors: Sequence[ComfyRunnerError]) -> str:
    """Return the kind of what went wrong, a field of `Retry`; empty for what is never tried again, or where nothing did.

    Args:
        verdict: What the server said; None where it said nothing.
        errors: What was found wrong.
    """
    if any(isinstance(error, JobLost) or _is_missing(error) for error in errors):
        return "server_lost"
    if verdict is not None and verdict.failure is not None and verdict.failure.gpu_is_broken:
        # It is the server that has failed, not the job.
        return "server_lost"
    if verdict is not None and verdict.outcome is Outcome.FAILED and verdict.failure is not None and verdict.failure.out_of_memory:
        return "out_of_memory"
    if errors and all(isinstance(error, FlatPicture) for error in errors):
        return "flat_picture"
    return ""


def next_attempt(retry: Retry, attempts: Sequence[Attempt], *, reason: str, what: str) -> Attempt | None:
    """Return what to try next, or None where it has been tried as often as it may be.

    Args:
        retry: What may be tried again.
        attempts: What has been tried, by this process.
        reason: The kind of what went wrong, a field of `Retry`; empty for none.
        what: The same for people.
    """
    if not reason:
        return None
    remedy: Remedy = getattr(retry, reason)
    if sum(attempt.reason == reason for attempt in attempts) >= remedy.times:
        return None
    return Attempt(reason, what, remedy.free, remedy.vae_decode or "")


def _is_missing(error: ComfyRunnerError) -> bool:
    """Return whether the server says that it does not have a file which it has told of."""
    return isinstance(error, ServerRefused) and error.status == 404


def decodes_tiled(attempts: Sequence[Attempt]) -> bool:
    """Return whether pictures are to be decoded in tiles: once that was needed it stays so."""
    return any(attempt.vae_decode == "tiled" for attempt in attempts)
