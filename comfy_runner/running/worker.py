"""One server of the fleet as a run holds it: what it is and can do, its lane, its collectors, what it has of us.

Not here: what is done with it (`coordinate`), and when it is left alone (`roster`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from comfy_runner.engine.comfyui.worker import Lane
from comfy_runner.engine.reports import Report
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.planning.arrange import MOST_IN_A_GRAPH
from comfy_runner.running.collectors import Collectors
from comfy_runner.running.policy import Policy
from comfy_runner.running.prepare import Preparer
from comfy_runner.running.probe import Answered, Door
from comfy_runner.running.state import Again, Crashed, Done, Flight
from comfy_runner.scheduling.quarantine import Quarantine
from comfy_runner.store.run_folder import RunFolder

Stage = Literal["up", "out", "draining"]
"""``up``: gets work. ``out``: is left alone for a while, or has not answered yet. ``draining``: finishes what it has."""


class Member:
    """A server that takes part in a run.

    Args:
        door: The server.
        folder: Where its pictures go.
        policy: How to treat it.
        report: Takes what its lane and its collectors report, on any thread; must return at once.
        force: Whether files of earlier runs are made again.

    Attributes:
        stage: Whether it gets work.
        active: The keys of what it has of us, as far as anybody knows.
        strays: What it may still have, although others do it now; by key.
        recovering: How many jobs that it has forgotten are being looked for.
        gpu_failures: How many jobs running have failed there because of a broken GPU state.
        reason: Why it is out; None where it is not.
    """

    def __init__(
        self,
        door: Door,
        folder: RunFolder,
        policy: Policy,
        report: Callable[[Report | Done | Again | Crashed], None],
        *,
        force: bool = False,
    ) -> None:
        self.door, self._folder, self._policy = door, folder, policy
        self._timeouts, self._report, self._force = policy.timeouts, report, force
        self.stage: Stage = "out"
        self.active: set[str] = set()
        self.strays: dict[str, Flight] = {}
        self.recovering = 0
        self.gpu_failures = 0
        self.reason: ComfyRunnerError | None = door.error
        self.quarantine = Quarantine(policy.backoff)
        self.collectors = Collectors(folder, door.http, self._timeouts, report)
        self._lane: Lane | None = None
        self._preparer: Preparer | None = None
        if door.answer is not None:
            self.answered(door.answer)

    @property
    def name(self) -> str:
        """Return what the user calls it."""
        return self.door.name

    @property
    def url(self) -> str:
        """Return its URL."""
        return self.door.url

    @property
    def places(self) -> int:
        """Return how many graphs it holds at a time; one until it has shown that it works again."""
        return 1 if self.quarantine.on_probation else self.door.in_flight or self._policy.in_flight

    @property
    def most(self) -> int:
        """Return how many jobs of a group go into one graph: several only where nothing is cached."""
        return MOST_IN_A_GRAPH if self.door.answer and self.door.answer.about.cache == "none" else 1

    @property
    def lane(self) -> Lane:
        """Return its lane, which is opened when it is needed."""
        if self._lane is None:
            policy = self._policy
            self._lane = Lane(
                self.door.http,
                self._report,
                with_socket=policy.websocket,
                stall=policy.stall,
                total=policy.total,
                timeouts=self._timeouts,
            )
        return self._lane

    @property
    def preparer(self) -> Preparer:
        """Return what makes jobs ready for it."""
        if self._preparer is None:
            raise ValueError(f"{self.name} has not answered")
        return self._preparer

    def answered(self, answer: Answered) -> None:
        """Take what it says of itself, and count on it."""
        self.door = replace(self.door, answer=answer, error=None)
        allow_partial = self._policy.allow_partial
        self._preparer = Preparer(self._folder, answer.info, allow_partial=allow_partial, force=self._force)
        self.collectors.name_server(answer.about)
        self.stage, self.reason = "up", None

    def bear(self, timeouts: Timeouts) -> None:
        """Bear its outages only so long from now on."""
        self._timeouts = timeouts
        self.collectors.bear(timeouts)
        if self._lane is not None:
            self._lane.bear(timeouts)

    def closing(self) -> threading.Thread:
        """Return a started thread that closes its lane; what runs on the server goes on running."""
        thread = threading.Thread(target=self._close, name=f"closing {self.url}", daemon=True)
        thread.start()
        return thread

    def _close(self) -> None:
        if self._lane is not None:
            self._lane.close()
