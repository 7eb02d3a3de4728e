"""Which exit code a run ends with."""

from __future__ import annotations

import pytest

from comfy_runner import errors
from comfy_runner.cli import exit_codes
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.running.events import JobResult
from comfy_runner.store.states import State


def _result(state: State, error: type[ComfyRunnerError] | None = None, *, was_done: bool = False, server: str = "") -> JobResult:
    return JobResult("x", state, {}, error("x") if error else None, was_done=was_done, server=server)


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ([], 0),
        ([errors.VerificationError], 4),
        ([errors.VerificationError, errors.JobFailed], 1),
        ([errors.JobFailed, errors.WorkflowError], 2),
        ([errors.WorkflowError, errors.Unreachable], 3),
        ([errors.Unreachable, errors.RunFolderError], 5),
        ([errors.RunFolderError, errors.Interrupted, errors.JobFailed], 130),
    ],
)
def test_the_most_telling_exit_code_wins_in_any_order(kinds: list[type[ComfyRunnerError]], code: int) -> None:
    for several in (kinds, kinds[::-1]):
        assert exit_codes.of_results([_result("done"), *(_result("failed", kind) for kind in several)]) == code


def test_that_nothing_was_rendered_is_said_only_where_it_is_so() -> None:
    refused = _result("failed", errors.WorkflowError)

    assert exit_codes.of_results([refused, _result("done", was_done=True)]) == 2
    assert exit_codes.of_results([refused, _result("done", server="a")]) == 1
    assert exit_codes.of_results([refused, _result("failed", errors.VerificationError, server="a")]) == 1
    assert exit_codes.of_results([refused, _result("done", server="a"), _result("failed", errors.Unreachable)]) == 3
