"""What each server of a run does, told from the run's events: its jobs in the order in which it took them, and how far they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from comfy_runner.errors import ComfyRunnerError
from comfy_runner.running import events


@dataclass(slots=True)
class JobOnServer:
    """How far a job is.

    Attributes:
        node: The title of the node that runs; empty while none has begun.
        step: Its step; 0 where it has reported none.
        steps: All of its steps, likewise.
        fraction: The share of the job's work that is done, 0 to 1.
        ahead: How many prompts wait before it; None where the server has not said, or it runs.
    """

    node: str = ""
    step: int = 0
    steps: int = 0
    fraction: float = 0.0
    ahead: int | None = None


@dataclass(slots=True)
class ServerJobs:
    """What is known of a server.

    Attributes:
        name: What the user calls it.
        jobs: What it has of the run, in the order in which it took them, by job id.
        running: The job that last showed progress; empty where none has.
        done: How many jobs it has done.
        stage: ``up``, ``out`` of order, or ``draining``: it gets nothing more.
        error: Why it is out of order; None where it is not, or nobody knows.
        until: Until when it is left alone, by the clock.
    """

    name: str
    jobs: dict[str, JobOnServer] = field(default_factory=dict)
    running: str = ""
    done: int = 0
    stage: str = "up"
    error: ComfyRunnerError | None = None
    until: float = 0.0

    @property
    def current(self) -> str:
        """Return the job that runs; empty where there is none."""
        return self.running if self.running in self.jobs else next(iter(self.jobs), "")


class FleetJobs:
    """What all servers of a run do; `follow` takes the run's events.

    Args:
        clock: Tells the time in seconds.

    Attributes:
        servers: The servers by name, in the order in which they came.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.servers: dict[str, ServerJobs] = {}
        self._server_of: dict[str, ServerJobs] = {}

    def follow(self, event: events.Event) -> None:
        """Take an event of the run."""
        match event:
            case events.RunStarted():
                for name in event.servers:
                    self._server(name)
            case events.ServerChanged():
                self._changed(event)
            case events.JobSubmitted(job_id, _, name):
                self._remove(job_id)
                server = self._server_of[job_id] = self._server(name)
                server.jobs[job_id] = JobOnServer()
            case events.JobWaiting(job_id, ahead) if job_id in self._server_of:
                before = self._server_of[job_id].jobs[job_id]
                self._server_of[job_id].jobs[job_id] = JobOnServer(fraction=before.fraction, ahead=ahead)
            case events.JobProgressed(job_id, node, step, steps, fraction) if job_id in self._server_of:
                server = self._server_of[job_id]
                server.running, server.jobs[job_id] = job_id, JobOnServer(node, step, steps, fraction)
            case events.JobRetried(job_id):
                self._remove(job_id)
            case events.JobFinished(result):
                self._remove(result.job_id)
                if result.server and result.state == "done":
                    self._server(result.server).done += 1

    def _server(self, name: str) -> ServerJobs:
        return self.servers.setdefault(name, ServerJobs(name))

    def _changed(self, event: events.ServerChanged) -> None:
        server = self._server(event.server)
        server.stage = event.stage if event.stage in ("out", "draining") else "up"
        server.error = event.error
        if event.stage == "out":
            server.until = self._clock() + event.seconds
            for job_id in list(server.jobs):  # others do them
                self._remove(job_id)

    def _remove(self, job_id: str) -> None:
        server = self._server_of.pop(job_id, None)
        if server is not None:
            del server.jobs[job_id]
