"""How far a run is, and how long it will still take: told from its events alone, by the work that is done and the time it took.

Work is counted in weighted steps (docs/plan.md), so that a large picture counts for more than a small one, and a job that runs for
what is done of it. Time counts while a server works on a job of the run: waiting behind others' prompts, or for a server that is
out of order, says nothing of how fast it is. What others have in a server's queue is nobody's to know, and not reckoned with.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from comfy_runner.running import events

# A server's earlier jobs count for less and less: its first one has loaded the models, and others may use it from now on.
_KEPT = 0.9
_ENDED_WELL = ("done", "partial")


@dataclass(slots=True)
class _Prompt:
    """What was posted at once: mostly one job.

    Attributes:
        work: What its jobs cost that have not ended, by their ids, weighted steps.
        fraction: The share of it that is done.
        begun: Since when it runs, in seconds; None where it does not.
        waits: Whether the server has said that others come first.
    """

    work: dict[str, float] = field(default_factory=dict)
    fraction: float = 0.0
    begun: float | None = None
    waits: bool = False

    @property
    def done(self) -> float:
        return sum(self.work.values()) * self.fraction


@dataclass(slots=True)
class _Server:
    """What is known of a server.

    Attributes:
        prompts: What it has, in the order in which it took it.
        worked: What it has done, weighted steps; what was long ago counts for less.
        busy: How long it has worked on that, up to `at`, seconds; likewise.
        at: When that was last looked at.
        gets_work: Whether it is given jobs.
    """

    prompts: dict[str, _Prompt] = field(default_factory=dict)
    worked: float = 0.0
    busy: float = 0.0
    at: float = 0.0
    gets_work: bool = True

    @property
    def works(self) -> bool:
        return any(prompt.begun is not None for prompt in self.prompts.values())

    @property
    def left(self) -> float:
        return sum(sum(prompt.work.values()) - prompt.done for prompt in self.prompts.values())

    def look(self, now: float) -> None:
        """Count the time until now, as far as it works."""
        if self.works:
            self.busy += now - self.at
        self.at = now

    def begin_next(self, now: float) -> None:
        """Take it that it works on its oldest prompt, unless it has said anything else: servers do not tell all that they do."""
        if self.prompts and not self.works:
            first = next(iter(self.prompts.values()))
            if not first.waits:
                first.begun = now

    def pace(self, usual: float, before: float | None) -> float | None:
        """Return how fast it is, weighted steps per second; None where nothing is known.

        Args:
            usual: What a usual job costs, weighted steps.
            before: How fast it is by earlier runs; None where nothing is known. It counts for as much as one job of this run.
        """
        worked, busy = self.worked + sum(prompt.done for prompt in self.prompts.values()), self.busy
        if before is not None and usual:
            worked, busy = worked + usual, busy + usual / before
        return worked / busy if worked > 0 and busy > 0 else None


class RunProgress:
    """How far a run is, told from its events, which `follow` takes.

    Args:
        clock: Tells the time in seconds.

    Attributes:
        jobs: How many jobs the run has.
        finished: How many of them have ended, those that were done before among them.
        began: When the first event came, by the clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._work: dict[str, float] = {}
        self._servers: dict[str, _Server] = {}
        self._where: dict[str, tuple[str, str]] = {}
        self._all_work = self._ended_work = self._usual = 0.0
        self._before: float | None = None
        self.jobs = self.finished = 0
        self.began = clock()

    def follow(self, event: events.Event) -> None:
        """Take an event of the run."""
        now = self._clock()
        for server in self._servers.values():
            server.look(now)
        match event:
            case events.RunStarted():
                self._start(event, now)
            case events.ServerChanged(name, _, stage):
                server = self._server(name, now)
                server.gets_work = stage in ("back", "joined")
                if stage == "out":  # others do what it has
                    server.prompts.clear()
            case events.JobSubmitted(job_id, prompt_id, name):
                self._remove(job_id, now)
                posted = self._server(name, now).prompts.setdefault(prompt_id, _Prompt())
                posted.work[job_id] = self._work.get(job_id, 0.0)
                self._where[job_id] = name, prompt_id
                self._servers[name].begin_next(now)
            case events.JobWaiting(job_id, ahead):
                if prompt := self._prompt(job_id):
                    prompt.waits, prompt.begun = ahead > 0, None
                    self._servers[self._where[job_id][0]].begin_next(now)
            case events.JobProgressed(job_id, fraction=fraction):
                if prompt := self._prompt(job_id):
                    prompt.begun = now if prompt.begun is None else prompt.begun
                    prompt.waits, prompt.fraction = False, max(prompt.fraction, fraction)
            case events.JobRetried(job_id):
                self._remove(job_id, now)
            case events.JobFinished(result):
                self._finish(result, now)

    @property
    def share(self) -> float:
        """The share of the run's work that is done, 0 to 1."""
        if not self._all_work:
            return self.finished / self.jobs if self.jobs else 0.0
        running = sum(prompt.done for server in self._servers.values() for prompt in server.prompts.values())
        return min(1.0, (self._ended_work + running) / self._all_work)

    @property
    def seconds_left(self) -> float | None:
        """How long the run will still take, if all goes on as it does now; None where nothing tells."""
        now = self._clock()
        for server in self._servers.values():
            server.look(now)
        present = [server for server in self._servers.values() if server.gets_work or server.prompts]
        paces = [server.pace(self._usual, self._before) for server in present]
        known = [pace for pace in paces if pace is not None]
        if not known:
            return None
        usual = statistics.median(known)
        # Near the end others have nothing more to do, and the last jobs take as long as their own servers need.
        own = [server.left / (pace or usual) for server, pace in zip(present, paces, strict=True)]
        return max(self._all_work * (1 - self.share) / sum(pace or usual for pace in paces), *own)

    def running_seconds(self, job_id: str) -> float | None:
        """Return for how long a job runs, without the time that it has waited; None where it does not."""
        prompt = self._prompt(job_id)
        return None if prompt is None or prompt.begun is None else self._clock() - prompt.begun

    def _start(self, event: events.RunStarted, now: float) -> None:
        self.jobs, self.finished = len(event.jobs), event.done
        self._work = dict(zip(event.jobs, event.job_work, strict=bool(event.job_work)))
        if not any(self._work.values()):  # nothing is known of what they cost
            self._work = dict.fromkeys(event.jobs, 1.0)
        costly = [work for work in self._work.values() if work]
        self._all_work = sum(costly) if any(event.job_work) else float(self.jobs - self.finished)
        self._usual = statistics.median(costly) if costly else 0.0
        for name in event.servers:
            self._server(name, now)
        if event.seconds and self._servers:
            self._before = self._all_work / event.seconds / len(self._servers)

    def _server(self, name: str, now: float) -> _Server:
        return self._servers.setdefault(name, _Server(at=now))

    def _prompt(self, job_id: str) -> _Prompt | None:
        name, prompt_id = self._where.get(job_id, ("", ""))
        return self._servers[name].prompts.get(prompt_id) if job_id in self._where else None

    def _remove(self, job_id: str, now: float) -> float:
        """Take a job from its server; return what of its work is done."""
        prompt = self._prompt(job_id)
        name, prompt_id = self._where.pop(job_id, ("", ""))
        if prompt is None:
            return 0.0
        done = prompt.work.pop(job_id, 0.0) * prompt.fraction
        if not prompt.work:
            del self._servers[name].prompts[prompt_id]
            self._servers[name].begin_next(now)
        return done

    def _finish(self, result: events.JobResult, now: float) -> None:
        work = self._work.get(result.job_id, 0.0)
        if result.state not in ("pending", "submitted"):
            self.finished += 1
            self._ended_work += work
        name, _ = self._where.get(result.job_id, ("", ""))
        done = self._remove(result.job_id, now)
        if server := self._servers.get(name):
            server.worked += work if result.state in _ENDED_WELL else done
            server.worked, server.busy = server.worked * _KEPT, server.busy * _KEPT
