"""How a run treats its servers and their failures: all that a caller may choose, as one value.

What a recipe says of retries goes first, where it says anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from comfy_runner.engine.timeouts import STALL_SECONDS, Timeouts
from comfy_runner.retry import Retry

IN_FLIGHT = 2
"""Jobs that a server holds at a time: one runs and one waits, so that the GPU never does."""

FLEET_OUTAGE_SECONDS = 15.0
"""For how long one of several servers may be silent; a single one has `Timeouts.outage`, since nobody else can do its jobs."""

LATECOMER_SECONDS = 5.0
"""For how long those that are silent at the start are waited for: a long list of nodes takes as much, a hanging server minutes."""

_MOST_STEPS = 20
"""Steps of sampling a second, of all servers together, that a run hears of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """For how long a server that is out of order is left alone, in seconds: longer each time, until it has done a job.

    Attributes:
        first: Before the first try.
        longest: At most; each pause is twice the one before it until then.
    """

    first: float = 2.0
    longest: float = 60.0

    def pause(self, failures: int) -> float:
        """Return the pause after so many failures in a row, at least one."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 30))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a run treats its servers.

    Attributes:
        websocket: Whether to listen on the websocket too; results are the same without, progress is not shown.
        in_flight: How many graphs a server holds at a time, at least 1, where its own settings say nothing.
        stall: Seconds that a running job may show no progress; waiting behind others in the queue is no stall.
        total: Seconds that a job may take from its submission on, with all waiting; None for no limit.
        allow_partial: Whether the part of a job that the server takes is rendered where it does not take the whole.
        fail_fast: Whether nothing more is begun once a job is not done.
        previews: Whether servers are asked for previews of what they render, which `JobPreviewed` tells; those older than 0.5 give
            some only where they were started so.
        max_cost: The most that paid services may cost, US dollars, with all that the run folder has spent already; None for no
            limit. Nothing is posted that could cost more, or of which the price is not known.
        retry: What is tried again where the recipe does not say; None for what the config file says.
        outage: Seconds that a server may answer nobody, or only with errors that may pass, before its jobs go to others, or to the
            next run; None for what the config file says, and without a word there for `timeouts` and `fleet_outage`.
        timeouts: All other waiting.
        fleet_outage: Seconds that one of several servers may answer nobody before its jobs go to the others.
        latecomers: Seconds after the last answer for which servers that have not answered are waited for at the start, if any
            has; who takes longer takes part later.
        backoff: For how long a server that was out of order is left alone.
    """

    websocket: bool = True
    in_flight: int = IN_FLIGHT
    stall: float = STALL_SECONDS
    total: float | None = None
    allow_partial: bool = False
    fail_fast: bool = False
    previews: bool = False
    max_cost: float | None = None
    retry: Retry | None = None
    outage: float | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    fleet_outage: float = FLEET_OUTAGE_SECONDS
    latecomers: float = LATECOMER_SECONDS
    backoff: Backoff = field(default_factory=Backoff)

    def timeouts_with(self, servers: int) -> Timeouts:
        """Return all other waiting for one of so many servers."""
        # However many they are, nobody can see more steps than these; with many servers, what follows from each would be most of
        # what a run costs.
        timeouts = replace(self.timeouts, steps=max(self.timeouts.steps, (servers - 1) / _MOST_STEPS))
        if self.outage is not None:
            return replace(timeouts, outage=self.outage)
        return timeouts if servers == 1 else replace(timeouts, outage=min(timeouts.outage, self.fleet_outage))
