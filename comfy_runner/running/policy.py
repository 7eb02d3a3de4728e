"""How a run treats its servers and their failures: everything that a caller can choose, as one value.

If a recipe sets retries, they take precedence.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from comfy_runner.engine.timeouts import STALL_SECONDS, Timeouts
from comfy_runner.retry import Retry

IN_FLIGHT = 2
"""Jobs on a server at a time: one runs and one waits, so the GPU is never idle."""

FLEET_OUTAGE_SECONDS = 15.0
"""Seconds for which one of several servers may not answer. A single one has `Timeouts.outage`: no other server can do its jobs."""

LATECOMER_SECONDS = 5.0
"""Seconds to wait for servers that do not answer at the start: enough for a long list of nodes; a hanging server takes minutes."""

_MOST_STEPS = 20
"""Sampling steps per second that all servers together report to a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses between attempts to reach a server that is out of order, in seconds: each is twice as long as the previous one.

    After the server has done a job, the pauses begin at `first` again.

    Attributes:
        first: The pause before the first attempt.
        longest: The longest pause.
    """

    first: float = 2.0
    longest: float = 60.0

    def pause(self, failures: int) -> float:
        """Return the pause in seconds after `failures` failures in a row, at least 1."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 30))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a run treats its servers.

    Attributes:
        websocket: Whether to listen on the websocket; without it the results are the same, but progress is not shown.
        in_flight: How many graphs a server may have at a time, at least 1, unless its own settings have a number.
        stall: Seconds for which a running job may show no progress; time spent in the queue does not count.
        total: Seconds that a job may take after its submission, including all waiting; None for no limit.
        allow_partial: Whether to render the part of a job that the server accepts if it refuses the rest.
        fail_fast: Whether to start nothing more once a job has ended without being done.
        previews: Whether to ask servers for previews, which are sent as `JobPreviewed`; servers older than 0.5 send some only if
            they were started with previews enabled.
        max_cost: The most that paid services may cost in US dollars, including what the run folder has already spent; None for no
            limit. A job that could cost more, or whose price is not known, is not posted.
        retry: What to try again if the recipe does not say; None for the value in the config file.
        outage: Seconds for which a server may not answer, or answer only with transient errors, before its jobs go to other servers
            or to the next run; None for the value in the config file or, if it has none, those of `timeouts` and `fleet_outage`.
        timeouts: All other time limits.
        fleet_outage: Seconds for which one of several servers may not answer before its jobs go to the others.
        latecomers: Seconds to wait at the start for the remaining servers, counted from the last answer of another one; servers
            that answer later join the run then.
        backoff: Pauses between attempts to reach a server that is out of order.
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
        """Return the time limits of each of `servers` servers."""
        # Nobody can see more steps than these, however many servers there are; handling every step of many servers would be most
        # of the run's own work.
        timeouts = replace(self.timeouts, steps=max(self.timeouts.steps, (servers - 1) / _MOST_STEPS))
        if self.outage is not None:
            return replace(timeouts, outage=self.outage)
        return timeouts if servers == 1 else replace(timeouts, outage=min(timeouts.outage, self.fleet_outage))
