"""What is tried again, as pure functions of values."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from comfy_runner.engine.submission import Attempt
from comfy_runner.engine.verdict import Conclusion, Failure, Verdict
from comfy_runner.errors import (
    ComfyRunnerError,
    FlatPicture,
    Interrupted,
    JobFailed,
    JobLost,
    RunFolderError,
    ServerRefused,
    VerificationError,
    WorkflowError,
)
from comfy_runner.retry import FlatPictureRemedy, OutOfMemoryRemedy, Retry, ServerLostRemedy
from comfy_runner.running.decide_completion import failure_kind, next_attempt

_REASONS = ("server_lost", "out_of_memory", "flat_picture")


def _failed(kind: str, message: str = "no") -> Verdict:
    failure = Failure("second_pass", "KSampler", kind, message)
    return Verdict(Conclusion.FAILED, {}, (), failure, None)


_NO_MEMORY = _failed("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory. (out of memory)")
_WRONG = _failed("RuntimeError", "mat1 and mat2 shapes cannot be multiplied")
_INTERRUPTED = Verdict(Conclusion.INTERRUPTED, {}, (), None, None)
_FINE = Verdict(Conclusion.SUCCEEDED, {}, (), None, None)


@pytest.mark.parametrize(
    ("verdict", "errors", "expected"),
    [
        (None, [JobLost("lost")], "server_lost"),
        (_NO_MEMORY, [JobFailed("no memory")], "out_of_memory"),
        (_NO_MEMORY, [JobFailed("no memory"), FlatPicture("flat")], "out_of_memory"),
        (_FINE, [FlatPicture("flat")], "flat_picture"),
        (_FINE, [FlatPicture("flat"), FlatPicture("flat")], "flat_picture"),
        (_FINE, [FlatPicture("flat"), VerificationError("not whole")], ""),
        (_FINE, [VerificationError("not whole")], ""),
        (_FINE, [RunFolderError("full")], ""),
        (_FINE, [ServerRefused("no")], ""),
        (_FINE, [], ""),
        (_WRONG, [JobFailed("shapes")], ""),
        (_WRONG, [WorkflowError("refused")], ""),
        (_INTERRUPTED, [Interrupted("interrupted")], ""),
        (None, [], ""),
    ],
)
def test_only_what_may_pass_is_a_reason_to_try_again(
    verdict: Verdict | None, errors: Sequence[ComfyRunnerError], expected: str
) -> None:
    assert failure_kind(verdict, errors) == expected


def test_without_a_reason_nothing_is_tried_again() -> None:
    assert next_attempt(Retry(), (), reason="", what="") is None


def test_by_default_the_next_try_after_running_out_of_memory_frees_it_and_decodes_in_tiles() -> None:
    assert next_attempt(Retry(), (), reason="out_of_memory", what="no memory") == (
        Attempt("out_of_memory", "no memory", freed=True, vae_decode="tiled")
    )


class Tries(RuleBasedStateMachine):
    """A job that goes wrong again and again, for any reasons, under any policy."""

    attempts: tuple[Attempt, ...] = ()

    @initialize(times=st.tuples(*[st.integers(0, 4)] * 3), tiled=st.booleans(), free=st.booleans())
    def declare(self, times: tuple[int, int, int], tiled: bool, free: bool) -> None:
        lost, memory, flat = times
        self.times = dict(zip(_REASONS, times, strict=True))
        self.retry = Retry(
            server_lost=ServerLostRemedy(times=lost),
            out_of_memory=OutOfMemoryRemedy(times=memory, free=free, vae_decode="tiled" if tiled else None),
            flat_picture=FlatPictureRemedy(times=flat, free=not free),
        )

    @rule(reason=st.sampled_from(_REASONS), what=st.text())
    def go_wrong(self, reason: str, what: str) -> None:
        tried = sum(attempt.reason == reason for attempt in self.attempts)
        attempt = next_attempt(self.retry, self.attempts, reason=reason, what=what)
        assert (attempt is None) == (tried >= self.times[reason])
        if attempt is not None:
            remedy = getattr(self.retry, reason)
            assert (attempt.reason, attempt.what, attempt.freed) == (reason, what, remedy.free)
            self.attempts = (*self.attempts, attempt)

    @rule(verdict=st.sampled_from([_WRONG, _INTERRUPTED, _FINE]), error=st.sampled_from([JobFailed, WorkflowError, RunFolderError]))
    def go_wrong_for_good(self, verdict: Verdict, error: type[ComfyRunnerError]) -> None:
        reason = failure_kind(verdict, [error("no")])
        assert next_attempt(self.retry, self.attempts, reason=reason, what="no") is None

    @invariant()
    def never_more_often_than_declared(self) -> None:
        if self.attempts:
            for reason, times in self.times.items():
                assert sum(attempt.reason == reason for attempt in self.attempts) <= times


TestTries = Tries.TestCase
