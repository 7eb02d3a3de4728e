"""One engine of the fleet as a run holds it: what it is and can do, and which submissions it has.

What is done with it is decided by the coordinator, and when it is left alone by the roster (`workers`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from comfy_runner.engine.interface import Engine, EngineOptions
from comfy_runner.engine.reports import Report
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.planning.arrange import MOST_IN_A_GRAPH
from comfy_runner.running.policy import Policy
from comfy_runner.running.prepare import Preparer
from comfy_runner.running.probe import Answered, Candidate
from comfy_runner.running.state import Flight
from comfy_runner.scheduling.quarantine import Quarantine
from comfy_runner.store.run_folder import RunFolder

Stage = Literal["up", "out", "draining"]
"""``up``: gets work. ``out``: is left alone for a while, or has not answered yet. ``draining``: finishes what it has."""


class Worker:
    """An engine that takes part in a run.

    Args:
        candidate: The server.
        folder: Where its pictures go.
        policy: How to treat it.
        report: Takes what its engine reports, on any thread; must return at once.
        force: Whether files of earlier runs are made again.

    Attributes:
        engine: The engine, which is open.
        stage: Whether it gets work.
        active: The keys of the submissions that it has, as far as anybody knows.
        strays: Submissions that it may still have, although others do them now; by key.
        recovering: How many jobs that it has forgotten are being looked for.
        gpu_failures: How many jobs running have failed there because of a broken GPU state.
        reason: Why it is out; None where it is not.
    """

    def __init__(
        self,
        candidate: Candidate,
        folder: RunFolder,
        policy: Policy,
        report: Callable[[Report], None],
        *,
        force: bool = False,
    ) -> None:
        self.candidate, self._folder, self._policy, self._force = candidate, folder, policy, force
        self.stage: Stage = "out"
        self.active: set[str] = set()
        self.strays: dict[str, Flight] = {}
        self.recovering = 0
        self.gpu_failures = 0
        self.reason: ComfyRunnerError | None = candidate.error
        self.quarantine = Quarantine(policy.backoff)
        self._preparer: Preparer | None = None
        self.engine: Engine = candidate.engine
        self.engine.open(
            report,
            folder,
            EngineOptions(
                websocket=policy.websocket,
                stall=policy.stall,
                total=policy.total,
                allow_partial=policy.allow_partial,
                timeouts=policy.timeouts,
            ),
        )
        if candidate.answer is not None:
            self.answered(candidate.answer)

    @property
    def name(self) -> str:
        """Return what the user calls it."""
        return self.candidate.name

    @property
    def url(self) -> str:
        """Return its URL."""
        return self.candidate.url

    @property
    def places(self) -> int:
        """Return how many graphs it holds at a time; one until it has shown that it works again."""
        return 1 if self.quarantine.on_probation else self.candidate.in_flight or self._policy.in_flight

    @property
    def most(self) -> int:
        """Return how many jobs of a group go into one graph: several only where nothing is cached."""
        return MOST_IN_A_GRAPH if self.candidate.answer and self.candidate.answer.info.cache == "none" else 1

    @property
    def preparer(self) -> Preparer:
        """Return what makes jobs ready for it."""
        if self._preparer is None:
            raise ValueError(f"{self.name} has not answered")
        return self._preparer

    def answered(self, answer: Answered) -> None:
        """Take what it says of itself, and count on it."""
        self.candidate = replace(self.candidate, answer=answer, error=None)
        allow_partial = self._policy.allow_partial
        self._preparer = Preparer(self._folder, answer.nodes, allow_partial=allow_partial, force=self._force)
        self.stage, self.reason = "up", None

    def closing(self) -> threading.Thread:
        """Return a started thread that closes its engine; what runs there goes on running."""
        thread = threading.Thread(target=self.engine.close, name=f"closing {self.url}", daemon=True)
        thread.start()
        return thread
