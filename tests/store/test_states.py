from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.store.states import ENDED, STATES, Change, IllegalTransition, State, after

_BEFORE: tuple[State | None, ...] = (None, *STATES)

# Written out, so that a change of the rules has to be made twice.
_LEGAL: dict[tuple[State | None, Change], State] = {
    (None, Change.PLANNED): "pending",
    ("pending", Change.SUBMITTED): "submitted",
    ("pending", Change.DONE): "done",
    ("pending", Change.PARTIAL): "partial",
    ("pending", Change.FAILED): "failed",
    ("pending", Change.CANCELLED): "cancelled",
    ("submitted", Change.LOST): "pending",
    ("submitted", Change.DONE): "done",
    ("submitted", Change.PARTIAL): "partial",
    ("submitted", Change.FAILED): "failed",
    ("submitted", Change.CANCELLED): "cancelled",
    ("done", Change.REQUEUED): "pending",
    ("done", Change.DONE): "done",
    ("partial", Change.REQUEUED): "pending",
    ("partial", Change.PARTIAL): "partial",
    ("failed", Change.REQUEUED): "pending",
    ("failed", Change.FAILED): "failed",
    ("cancelled", Change.REQUEUED): "pending",
    ("cancelled", Change.CANCELLED): "cancelled",
}


def _outcome(state: State | None, event: Change) -> State | None:
    try:
        return after(state, event)
    except IllegalTransition:
        return None


@pytest.mark.parametrize(("state", "event"), list(product(_BEFORE, Change)), ids=str)
def test_each_event_leads_to_one_state_or_is_illegal(state: State | None, event: Change) -> None:
    assert _outcome(state, event) == _LEGAL.get((state, event))


def test_an_illegal_event_is_an_error_that_names_state_and_event() -> None:
    with pytest.raises(IllegalTransition, match="SUBMITTED cannot happen to a job that is done"):
        after("done", Change.SUBMITTED)


def test_a_job_that_is_not_known_is_named_so() -> None:
    with pytest.raises(IllegalTransition, match="DONE cannot happen to a job that is not known"):
        after(None, Change.DONE)


@pytest.mark.parametrize("state", STATES)
def test_no_job_can_be_on_a_server_twice(state: State) -> None:
    assert _outcome(state, Change.SUBMITTED) in (None, "submitted")
    assert state == "pending" or _outcome(state, Change.SUBMITTED) is None


@given(st.lists(st.sampled_from(list(Change))))
def test_a_job_that_has_ended_stays_as_it_is_until_it_is_asked_for_again(events: list[Change]) -> None:
    state: State | None = None
    for event in events:
        found = _outcome(state, event)
        if state in ENDED and event is not Change.REQUEUED:
            assert found in (None, state)
        state = found or state
