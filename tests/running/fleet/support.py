"""What the tests of a fleet share: several stand-ins, runs on all of them with short timeouts, and what they left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.running.events import Event, RunFinished
from comfy_runner.running.handle import Run
from comfy_runner.running.policy import Backoff, Policy
from comfy_runner.store.ledger import Ledger
from comfy_runner.store.ledger_rows import JobRow, OpenSubmission
from tests.standin import StandIn, State

SHORT = Timeouts(outage=20.0, idle=0.4, queue=0.05, repost=(0.02, 0.05, 0.1), reconnect=0.2, poll_longest=0.2)
"""Where the whole fleet is away, seconds are waited; for a single dead server, as `POLICY` says, less than one."""

BACKOFF = Backoff(first=0.1, longest=0.4)
OUTAGE = 0.4


def policy(**changes: Any) -> Policy:
    """Return a policy of short timeouts."""
    values: dict[str, Any] = {"timeouts": SHORT, "fleet_outage": OUTAGE, "backoff": BACKOFF}
    return Policy(**{**values, **changes})


@contextmanager
def fleet_of(*states: State) -> Iterator[list[StandIn]]:
    """Serve stand-ins, one for each state."""
    with ExitStack() as stack:
        yield [stack.enter_context(StandIn(state)) for state in states]


def begin(servers: Sequence[StandIn], out: Path, *recipes: Any, **options: Any) -> Run:
    """Begin to render recipes on these servers; what is no argument of a run is one of its policy."""
    ours = {name: options.pop(name) for name in ("config", "force") if name in options}
    ours.setdefault("config", Config())
    return api.run(recipes, server=[server.url for server in servers], out=out, policy=policy(**options), **ours)


def rows_in(out: Path) -> dict[str, JobRow]:
    """Return what the ledger says of each job."""
    with Ledger(out / "ledger.sqlite", readonly=True) as ledger:
        return {row.job_id: row for row in ledger.jobs()}


def open_in(out: Path) -> list[OpenSubmission]:
    """Return the submissions of which the ledger does not know the end."""
    with Ledger(out / "ledger.sqlite", readonly=True) as ledger:
        return ledger.open_submissions()


def ours_on(server: StandIn) -> list[str]:
    """Return the prompts in a server's queue that are not somebody else's."""
    memory = server.state.memory
    return [item[1] for item in [*memory.running, *memory.pending] if item[3].get("client_id") != "somebody-else"]


def finished(events: Sequence[Event]) -> RunFinished:
    """Return the last event."""
    last = events[-1]
    assert isinstance(last, RunFinished)
    return last
