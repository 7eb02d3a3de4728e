from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.store.states import ENDED, STATES, Event, IllegalTransition, State, after

_BEFORE: tuple[State | None, ...] = (None, *STATES)

# Written out, so that a change of the rules has to be made twice.
_LEGAL: dict[tuple[State | None, Event], State] = {
    (None, Event.PLANNED): "pending",
    ("pending", Event.SUBMITTED): "submitted",
    ("pending", Event.DONE): "done",
    ("pending", Event.PARTIAL): "partial",
    ("pending", Event.FAILED): "failed",
    ("pending", Event.CANCELLED): "cancelled",
    ("submitted", Event.LOST): "pending",
    ("submitted", Event.DONE): "done",
    ("submitted", Event.PARTIAL): "partial",
    ("submitted", Event.FAILED): "failed",
    ("submitted", Event.CANCELLED): "cancelled",
    ("done", Event.REQUEUED): "pending",
    ("done", Event.DONE): "done",
    ("partial", Event.REQUEUED): "pending",
    ("partial", Event.PARTIAL): "partial",
    ("failed", Event.REQUEUED): "pending",
    ("failed", Event.FAILED): "failed",
    ("cancelled", Event.REQUEUED): "pending",
    ("cancelled", Event.CANCELLED): "cancelled",
}


def _outcome(state: State | None, event: Event) -> State | None:
    try:
        return after(state, event)
    except IllegalTransition:
        return None


@pytest.mark.parametrize(("state", "event"), list(product(_BEFORE, Event)), ids=str)
def test_each_event_leads_to_one_state_or_is_illegal(state: State | None, event: Event) -> None:
    assert _outcome(state, event) == _LEGAL.get((state, event))


def test_an_illegal_event_is_an_error_that_names_state_and_event() -> None:
    with pytest.raises(IllegalTransition, match="SUBMITTED cannot happen to a job that is done"):
        after("done", Event.SUBMITTED)


def test_a_job_that_is_not_known_is_named_so() -> None:
    with pytest.raises(IllegalTransition, match="DONE cannot happen to a job that is not known"):
        after(None, Event.DONE)


@pytest.mark.parametrize("state", STATES)
def test_no_job_can_be_on_a_server_twice(state: State) -> None:
    assert _outcome(state, Event.SUBMITTED) in (None, "submitted")
    assert state == "pending" or _outcome(state, Event.SUBMITTED) is None


@given(st.lists(st.sampled_from(list(Event))))
def test_a_job_that_has_ended_stays_as_it_is_until_it_is_asked_for_again(events: list[Event]) -> None:
    state: State | None = None
    for event in events:
        found = _outcome(state, event)
        if state in ENDED and event is not Event.REQUEUED:
            assert found in (None, state)
        state = found or state
