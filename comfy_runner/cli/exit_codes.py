"""What an exit code says: the one table of outcomes, and which of several outcomes a command ends with.

Each class of errors has a code from this table (`comfy_runner.errors`); a job's outcome is its error's, or 0 where it has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Final

from comfy_runner.errors import ComfyRunnerError, InputError, VerificationError

if TYPE_CHECKING:
    from comfy_runner.check.results import CheckedRun
    from comfy_runner.running.events import JobResult

MEANINGS: Final[Mapping[int, str]] = {
    0: "ok",
    1: "a job failed or is partial, or stdout cannot be written",
    2: "recipe, template or command line wrong; nothing was rendered",
    3: "server unreachable, lost the job, or accepts work but does none",
    4: "what was collected is wrong: broken, of another size, flat, or not as expected",
    5: "the run folder cannot be used: locked, damaged, full, read-only",
    130: "interrupted",
}
"""What each exit code says, as the README has it."""

# An interruption, the run folder, the server, then failed jobs, then their pictures.
_MOST_TELLING_FIRST: Final = (130, 5, 3, 2, 1, 4)


def of_errors(errors: Iterable[ComfyRunnerError]) -> int:
    """Return the most telling exit code of errors; 0 where there is none."""
    return _most_telling({error.exit_code for error in errors})


def of_results(results: Sequence[JobResult]) -> int:
    """Return the exit code of a run.

    That nothing was rendered is said only where it is so: what a server refuses once it has rendered others is a job that failed.
    """
    codes = {result.error.exit_code for result in results if result.error is not None}
    if InputError.exit_code in codes and any(result.server for result in results):
        codes = codes - {InputError.exit_code} | {ComfyRunnerError.exit_code}
    return _most_telling(codes)


def of_check(checked: CheckedRun) -> int:
    """Return the exit code of a run that was checked against what is expected: that a job could not be done goes first."""
    failed = {VerificationError.exit_code} if checked.failures else set[int]()
    return _most_telling({job.exit_code for job in checked.jobs} | failed)


def _most_telling(codes: Set[int]) -> int:
    return next((code for code in _MOST_TELLING_FIRST if code in codes), 0)
