"""The states of a job, and the one function that defines the legal transitions between them.

`comfy_runner.running.decide` decides what happens to a job, and `ledger` keeps its state.

    (new) ──PLANNED──► pending ──SUBMITTED──► submitted
                        ▲   ▲ │                 │  │
                        │   └─┼──────LOST───────┘  │
                        │     └──────────┬─────────┘
                     REQUEUED            ▼
                        └── done, partial, failed, cancelled
"""

from __future__ import annotations

from enum import Enum
from typing import Literal, get_args

State = Literal["pending", "submitted", "done", "partial", "failed", "cancelled"]
"""``pending``: not yet submitted. ``submitted``: a server may have the job. In all other states the job has ended."""

STATES: tuple[State, ...] = get_args(State)
ENDED: frozenset[State] = frozenset({"done", "partial", "failed", "cancelled"})
"""The states in which nothing more happens to a job unless the user asks for it."""


class Change(Enum):
    """What can happen to a job.

    Attributes:
        PLANNED: The job is in a plan for the first time.
        REQUEUED: An ended job is to be rendered again: it was changed, forced, never finished, or its files are gone.
        SUBMITTED: The job is about to be posted. This is recorded before the POST, so the server may not have the job yet.
        LOST: The job's submission will give no result: the server does not know it, it is tried again, or the job has changed.
        DONE: All pictures of the job are in the run folder.
        PARTIAL: Some pictures of the job are in the run folder.
        FAILED: The job ended without a picture.
        CANCELLED: The user cancelled the job.
    """

    PLANNED = "planned"
    REQUEUED = "requeued"
    SUBMITTED = "submitted"
    LOST = "lost"
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class IllegalTransition(ValueError):
    """A change that is not possible in the job's state: a fault of the program, never of a user.

    Args:
        state: The job's state; None for a job that is not known.
        change: The change.
    """

    def __init__(self, state: State | None, change: Change) -> None:
        super().__init__(f"{change.name} cannot happen to a job that is {state or 'not known'}")


# A job that waits may end at once: it shares another job's picture, its files are there already or recovered from a server
# that had lost it, or no server can render it.
#
# Each end may be told again, but no other end. The jobs of a submission end one after the other, each in a transaction of its own;
# a client that was killed between two of them takes the whole submission in once more, and finds what it found before. What it
# must never do is make less of what a job has: a picture that was collected, and is gone from the server now, stays done.
#
# SUBMITTED twice would be a job rendered twice, LOST twice a prompt taken back that is a newer one's; neither is legal.
_LEGAL: dict[Change, tuple[frozenset[State | None], State]] = {
    Change.PLANNED: (frozenset({None}), "pending"),
    Change.REQUEUED: (frozenset(ENDED), "pending"),
    Change.SUBMITTED: (frozenset({"pending"}), "submitted"),
    Change.LOST: (frozenset({"submitted"}), "pending"),
    Change.DONE: (frozenset({"pending", "submitted", "done"}), "done"),
    Change.PARTIAL: (frozenset({"pending", "submitted", "partial"}), "partial"),
    Change.FAILED: (frozenset({"pending", "submitted", "failed"}), "failed"),
    Change.CANCELLED: (frozenset({"pending", "submitted", "cancelled"}), "cancelled"),
}


def after(state: State | None, change: Change) -> State:
    """Return the state of a job after a change.

    Args:
        state: The state before the change; None for a job that is not known yet.
        change: What happens to the job.

    Raises:
        IllegalTransition: The change is not possible in this state.
    """
    before, then = _LEGAL[change]
    if state not in before:
        raise IllegalTransition(state, change)
    return then
