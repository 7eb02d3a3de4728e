"""How a job has ended, told from what was collected of it. Pure functions of values."""

from __future__ import annotations

from comfy_runner.engine.reports import Collected
from comfy_runner.engine.verdict import Outcome
from comfy_runner.errors import ComfyRunnerError, JobLost, RunFolderError, Unreachable
from comfy_runner.store.states import Event


def errors_of(done: Collected) -> list[ComfyRunnerError]:
    """Return all that went wrong with a job, what the server said first."""
    return [error for error in (done.error, *done.errors) if error is not None]


def outage(done: Collected) -> ComfyRunnerError | None:
    """Return why its pictures could not be had, or kept, although the server may still have them; None where that is not so."""
    return next((error for error in errors_of(done) if isinstance(error, Unreachable | RunFolderError)), None)


def change(done: Collected) -> Event:
    """Return what has happened to the job; `LOST` where it is as if it had not been submitted."""
    error = next(iter(errors_of(done)), None)
    if error is None:
        return Event.DONE
    if isinstance(error, JobLost) and not done.files:
        return Event.LOST
    was_interrupted = done.verdict is not None and done.verdict.outcome is Outcome.INTERRUPTED
    return Event.CANCELLED if was_interrupted else Event.FAILED
