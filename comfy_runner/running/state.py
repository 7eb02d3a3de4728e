"""What a run knows, as plain data: jobs, submissions, workers, waiting work; and what it is to do.

`comfy_runner.running.decide` changes it, on one thread; there is no I/O, thread or callable in it. Who holds a submission is
written in one place, `RunState.submissions`, and how a job stands in one place, `RunState.jobs`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from comfy_runner.engine.info import CacheMode
from comfy_runner.engine.reports import Complaint
from comfy_runner.engine.submission import Attempt, Submission, SubmittedJob
from comfy_runner.errors import ComfyRunnerError, Interrupted
from comfy_runner.graph.sizes import node_work
from comfy_runner.planning.arrange import MOST_IN_A_GRAPH
from comfy_runner.planning.capabilities import Capabilities
from comfy_runner.planning.draft import Draft
from comfy_runner.running.candidates import Answered, Candidate
from comfy_runner.running.events import JobResult
from comfy_runner.running.policy import Policy
from comfy_runner.running.progress import JobProgress
from comfy_runner.running.stats import Stats
from comfy_runner.running.waiting_jobs import WaitingJobs
from comfy_runner.scheduling.backlog import Costs
from comfy_runner.scheduling.quarantine import Quarantine
from comfy_runner.store.ledger_rows import KnownJob, OpenSubmission
from comfy_runner.store.sidecar import FileRecord
from comfy_runner.store.states import State

Files = Mapping[str, tuple[FileRecord, ...]]
"""The files of one job by output role."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a run has to do.

    Attributes:
        groups: The jobs to render, in order, in groups that are best kept on one server.
        costs: What the results of their nodes cost.
        shared: The jobs that get the pictures of another one, by that one's id; it is done already, or is to be rendered.
        awaited: The jobs that an earlier process has submitted.
        open: Submissions of earlier processes of which nobody knows how they ended; of these jobs, and of others.
        is_forced: Whether files of earlier runs are made again.
    """

    groups: Sequence[Sequence[Draft]]
    costs: Costs
    shared: Mapping[str, Sequence[Draft]] = field(default_factory=dict)
    awaited: Sequence[Draft] = ()
    open: Sequence[OpenSubmission] = ()
    is_forced: bool = False

    @property
    def drafts(self) -> dict[str, Draft]:
        """Return every job that is to get a result, by its id."""
        all_groups = (*self.groups, self.awaited, *self.shared.values())
        return {draft.job_id: draft for group in all_groups for draft in group}


@dataclass(slots=True)
class RunJob:
    """A job as a run knows it.

    Attributes:
        draft: What is asked for; None for a job that this run was not asked for, of which a server holds a submission.
        content_hash: What the job is, as the ledger has it.
        state: How it stands, as the ledger has it; None for a job that the ledger does not know.
        submission: The key of the submission that it waits for, as the ledger has it; empty where it waits for none.
        held_by: The key of a submission of what the job was before it was changed: it is posted when that has ended. Empty
            where there is none.
        is_due: Whether its turn came while it was held.
        is_alone: Whether it has to be posted in a graph of its own, since one of several jobs was refused.
        leader: The id of the job whose pictures it gets; empty where it is rendered.
        attempts: What was tried in vain.
        refusals: Why servers do not take it.
        result: How it has ended in this run; None where it has not.
    """

    draft: Draft | None
    content_hash: str = ""
    state: State | None = None
    submission: str = ""
    held_by: str = ""
    is_due: bool = False
    is_alone: bool = False
    leader: str = ""
    attempts: tuple[Attempt, ...] = ()
    refusals: tuple[ComfyRunnerError, ...] = ()
    result: JobResult | None = None

    def is_still(self, content_hash: str) -> bool:
        """Return whether this run wants the job as it was posted once; it may have changed since."""
        return self.draft is not None and self.draft.content_hash == content_hash


@dataclass(frozen=True, slots=True)
class Left:
    """A submission that an earlier process has left, and that may still be on its server.

    Attributes:
        key: The id that was minted for it.
        server: The server's URL.
        server_prompt_id: The id that the server gave it; empty where that is the same, or not known.
        job_ids: The jobs that wait for it, as the ledger has it; none where all were changed since it was posted.
        submission: What was posted; None where nobody can read it any more.
        reusable: For each of its jobs, files that are there already, by output role.
    """

    key: str
    server: str
    server_prompt_id: str
    job_ids: tuple[str, ...]
    submission: Submission | None
    reusable: Mapping[str, Files] = field(default_factory=dict)


Stage = Literal["sought", "posted", "collecting", "orphan"]
"""``sought``: its worker is asked whether it has it. ``posted``: its worker has it, or is about to. ``collecting``: nothing more is
done for it, its files are fetched. ``orphan``: its worker is out of order, nothing can be learnt of it, and others do its jobs."""


@dataclass(slots=True)
class Tracked:
    """A submission from the moment in which it is posted, or looked for, to its end.

    Attributes:
        submission: What was posted.
        worker: The name of the worker that holds it.
        stage: How far it is.
        waits_for: The jobs that are still to be collected of it, and that nobody else does.
        reusable: For each job, files of earlier runs that are still good, by output role.
        left_out: For each job, why it will be partial in any case.
        prompt_id: What the server calls it, which old servers choose themselves.
        progress: How far it is.
        complaints: What the server left out of it.
        is_attached: Whether it was looked for on the server, so that nobody knows when that began with it.
        is_outdated: Whether it is of nothing but what jobs are no longer.
        is_released: Whether its jobs were given to others, because its worker was out of order.
        is_recovered: Whether the server has forgotten it, and its files are looked for by their names.
        is_cancelled: Whether the worker was told to take it back.
        unreachable: The jobs whose pictures the server has, and could not be had.
    """

    submission: Submission
    worker: str
    stage: Stage
    waits_for: set[str]
    reusable: Mapping[str, Files]
    left_out: Mapping[str, ComfyRunnerError]
    prompt_id: str
    progress: JobProgress
    complaints: tuple[Complaint, ...] = ()
    is_attached: bool = False
    is_outdated: bool = False
    is_released: bool = False
    is_recovered: bool = False
    is_cancelled: bool = False
    unreachable: set[str] = field(default_factory=set)

    @classmethod
    def of(
        cls,
        submission: Submission,
        worker: str,
        stage: Stage,
        *,
        reusable: Mapping[str, Files],
        waits_for: Iterable[str] | None = None,
        left_out: Mapping[str, ComfyRunnerError] | None = None,
        prompt_id: str = "",
    ) -> Tracked:
        """Return a submission of which nothing is known yet; it waits for all of its jobs, or for these."""
        waiting = set(submission.job_ids if waits_for is None else waits_for)
        progress = JobProgress(node_work(submission.workflow))
        return cls(submission, worker, stage, waiting, reusable, left_out or {}, prompt_id or submission.prompt_id, progress)

    @property
    def key(self) -> str:
        """Return the id that we minted for it."""
        return self.submission.prompt_id

    @property
    def jobs(self) -> list[SubmittedJob]:
        """Return the jobs that it waits for, in order."""
        return [job for job in self.submission.jobs if job.job_id in self.waits_for]

    @property
    def job_ids(self) -> list[str]:
        """Return the ids of the jobs that it waits for, in order; also of a submission that nobody can read any more."""
        known = [job.job_id for job in self.jobs]
        return [*known, *sorted(self.waits_for.difference(known))]

    @property
    def all_job_ids(self) -> list[str]:
        """Return the ids of all its jobs, also of those that it does not wait for."""
        return list(dict.fromkeys((*self.submission.job_ids, *self.job_ids)))

    @property
    def is_active(self) -> bool:
        """Return whether its worker holds it, or may, and reports what becomes of it."""
        return self.stage in ("sought", "posted")


WorkerStage = Literal["up", "out", "draining"]
"""``up``: gets work. ``out``: is left alone for a while, or has not answered yet. ``draining``: finishes what it has."""


@dataclass(slots=True)
class Worker:
    """One engine as a run holds it: what it can do, and whether it gets work.

    Attributes:
        name: What the user calls it.
        url: Its URL.
        in_flight: How many submissions it holds at a time; None for the run's own number.
        speed: Weighted steps per second, from earlier runs; None where nothing is known.
        quarantine: When it is asked again.
        stage: Whether it gets work.
        capabilities: What it can do of the run's jobs; None where it has not answered.
        cache: How it caches results.
        reason: Why it is out; None where it is not.
        is_asked: Whether it is just being asked whether it answers again.
        gpu_failures: How many jobs running have failed there because of a broken GPU state.
    """

    name: str
    url: str
    in_flight: int | None
    speed: float | None
    quarantine: Quarantine
    stage: WorkerStage = "out"
    capabilities: Capabilities | None = None
    cache: CacheMode = "classic"
    reason: ComfyRunnerError | None = None
    is_asked: bool = False
    gpu_failures: int = 0

    @classmethod
    def of(cls, candidate: Candidate, policy: Policy) -> Worker:
        """Return a worker for a server that is to take part."""
        worker = cls(
            candidate.name, candidate.url, candidate.in_flight, candidate.speed, Quarantine(policy.backoff), reason=candidate.error
        )
        if candidate.answer is not None:
            worker.answered(candidate.answer)
        return worker

    def answered(self, answer: Answered) -> None:
        """Take what it says of itself, and count on it."""
        self.capabilities, self.cache = answer.capabilities, answer.info.cache
        self.stage, self.reason = "up", None

    @property
    def most(self) -> int:
        """Return how many jobs of a group go into one graph: several only where nothing is cached."""
        return MOST_IN_A_GRAPH if self.cache == "none" else 1


@dataclass(slots=True)
class RunState:
    """All that a run knows.

    Attributes:
        folder: The run folder.
        policy: How the workers are treated.
        jobs: Every job that this run was asked for, and those of submissions that earlier processes have left.
        submissions: Every submission that a worker holds or may hold, by its key, until its files are collected.
        workers: The workers by their names.
        waiting: The jobs that nobody has begun, and who is to get them.
        stats: What the workers had to do.
        is_forced: Whether files of earlier runs are made again.
        followers: The jobs that get the pictures of another one, by that one's id.
        now: The moment at which is decided, monotonic seconds.
        heirs: For jobs whose pictures are gone, which of their followers is rendered instead.
        stopped: Why nothing more is begun; None while it is.
        deadline: When an interrupted run ends although workers do not let go of its submissions, monotonic seconds.
        is_flawless: Whether no job has ended otherwise than well so far.
        sharing: How many jobs are just being given pictures of others.
        freeing: How many jobs wait until a server has freed its memory for them.
        is_preparing: Whether jobs are just being made ready to be posted.
        passed_over: The workers that were offered nothing since the last message.
        stuck_since: Since when nobody has had anything to do although jobs wait; None where somebody has.
        kept: Why submissions stay open that an interrupted run could not take back or collect.
    """

    folder: Path
    policy: Policy
    jobs: dict[str, RunJob]
    workers: dict[str, Worker]
    waiting: WaitingJobs
    stats: Stats
    followers: dict[str, list[str]]
    is_forced: bool
    now: float = 0.0
    submissions: dict[str, Tracked] = field(default_factory=dict)
    heirs: dict[str, str] = field(default_factory=dict)
    stopped: ComfyRunnerError | None = None
    deadline: float = math.inf
    is_flawless: bool = True
    sharing: int = 0
    freeing: int = 0
    is_preparing: bool = False
    passed_over: set[str] = field(default_factory=set)
    stuck_since: float | None = None
    kept: list[ComfyRunnerError] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        work: Work,
        candidates: Sequence[Candidate],
        *,
        left: Sequence[Left],
        folder: Path,
        policy: Policy,
        known: Mapping[str, KnownJob],
    ) -> RunState:
        """Return the state of a run that has not begun.

        Args:
            work: What it has to do.
            candidates: The servers that it begins with, at least one.
            left: The submissions that earlier processes have left.
            folder: The run folder.
            policy: How to treat the servers.
            known: The jobs of the ledger by their ids.
        """
        shared = [draft for drafts in work.shared.values() for draft in drafts]
        jobs = {job_id: _job(known.get(job_id), draft) for job_id, draft in work.drafts.items()}
        for leader_id, drafts in work.shared.items():
            jobs.setdefault(leader_id, _job(known.get(leader_id)))
            for draft in drafts:
                jobs[draft.job_id].leader = leader_id
        for each in left:
            for job_id in each.job_ids if each.submission is None else (*each.submission.job_ids, *each.job_ids):
                jobs.setdefault(job_id, _job(known.get(job_id)))
            for job_id in each.job_ids:
                jobs[job_id].submission = each.key
        rendered = [draft for group in work.groups for draft in group]
        return cls(
            folder,
            policy,
            jobs,
            {candidate.name: Worker.of(candidate, policy) for candidate in candidates},
            WaitingJobs(work.groups, [*work.awaited, *shared], work.costs),
            Stats(rendered, work.costs),
            {leader_id: [draft.job_id for draft in drafts] for leader_id, drafts in work.shared.items()},
            work.is_forced,
        )

    @property
    def results(self) -> dict[str, JobResult]:
        """Return the results so far, by job id."""
        return {job_id: job.result for job_id, job in self.jobs.items() if job.result is not None}

    @property
    def is_interrupted(self) -> bool:
        """Return whether the user wants the run to end."""
        return isinstance(self.stopped, Interrupted)

    @property
    def is_single(self) -> bool:
        """Return whether there is but one worker, so that nobody else can do its jobs."""
        return len(self.workers) == 1

    @property
    def is_busy(self) -> bool:
        """Return whether files are on their way, which is waited for whatever happens."""
        return bool(self.sharing or self.freeing) or any(each.stage == "collecting" for each in self.submissions.values())

    def held_by(self, worker: str) -> Iterator[Tracked]:
        """Yield the submissions that a worker holds, or may, oldest first."""
        return (each for each in self.submissions.values() if each.worker == worker and each.is_active)

    def orphans_of(self, worker: str) -> list[Tracked]:
        """Return the submissions of a worker of which nothing can be learnt, oldest first."""
        return [each for each in self.submissions.values() if each.worker == worker and each.stage == "orphan"]

    def places(self, worker: Worker) -> int:
        """Return how many submissions a worker holds at a time; one until it has shown that it works again."""
        return 1 if worker.quarantine.on_probation else worker.in_flight or self.policy.in_flight

    def by_url(self, url: str) -> Worker | None:
        """Return the worker with this URL; None where none has it."""
        return next((worker for worker in self.workers.values() if worker.url == url), None)


def _job(known: KnownJob | None, draft: Draft | None = None) -> RunJob:
    return RunJob(draft, known.content_hash, known.state) if known else RunJob(draft)
