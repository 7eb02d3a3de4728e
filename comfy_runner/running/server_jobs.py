"""What each server of a run is doing, derived from the run's events: its jobs in the order of submission, and their progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from comfy_runner.errors import ComfyRunnerError
from comfy_runner.running import events


@dataclass(slots=True)
class JobOnServer:
    """The progress of a job.

    Attributes:
        node: The title of the node that is running; empty until one has started.
        step: The node's current step; 0 if it has not reported one.
        steps: The number of the node's steps; 0 if it has not reported one.
        fraction: The share of the job's work that is done, 0 to 1.
        ahead: How many prompts are ahead of the job in the queue; None if the job is running or the server has not reported it.
    """

    node: str = ""
    step: int = 0
    steps: int = 0
    fraction: float = 0.0
    ahead: int | None = None


@dataclass(slots=True)
class ServerJobs:
    """The state of a server and its jobs.

    Attributes:
        name: The server's name in the config file, or its URL.
        jobs: The run's jobs on the server by job id, in the order of submission.
        running: The id of the job that last showed progress; empty if none has.
        done: How many jobs the server has done.
        stage: ``up``, ``out`` of order, or ``draining``: it gets no more jobs.
        error: Why the server is out of order; None if it is not, or the reason is not known.
        until: When the next attempt to reach the server is made, in seconds of the clock.
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
        """Return the id of the job that is running; empty if there is none."""
        return self.running if self.running in self.jobs else next(iter(self.jobs), "")


class FleetJobs:
    """What all servers of a run are doing, derived from the events passed to `follow`.

    Args:
        clock: Returns the time in seconds.

    Attributes:
        servers: The servers by name, in the order in which they first appeared.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.servers: dict[str, ServerJobs] = {}
        self._server_of: dict[str, ServerJobs] = {}

    def follow(self, event: events.Event) -> None:
        """Update the servers with an event of the run."""
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
