"""What a run knows, as plain data: jobs, submissions, workers, waiting work; and what it is to do.

`comfy_runner.running.decide` changes it, on one thread; there is no I/O, thread or callable in it. Who holds a submission is
written in one place, `RunState.submissions`, and how a job stands in one place, `RunState.jobs`.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from comfy_runner.engine.info import CacheMode
from comfy_runner.engine.submission import Attempt
from comfy_runner.engine.verdict import Conclusion, Verdict
from comfy_runner.errors import ComfyRunnerError, Interrupted
from comfy_runner.graph.cost import node_kinds
from comfy_runner.graph.workflow import Workflow
from comfy_runner.planning.arrange import MOST_IN_A_GRAPH
from comfy_runner.planning.capabilities import Capabilities
from comfy_runner.planning.draft import Draft
from comfy_runner.planning.estimate import WithBoundedLoads
from comfy_runner.planning.passes import new_results
from comfy_runner.running.candidates import Answered, Candidate
from comfy_runner.running.events import JobResult, Spent
from comfy_runner.running.in_flight import Left, Tracked
from comfy_runner.running.policy import Policy
from comfy_runner.scheduling.backlog import Backlog, Costs
from comfy_runner.scheduling.placement import Placement
from comfy_runner.store.ledger_rows import KnownJob, OpenSubmission
from comfy_runner.store.states import State


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
        number: What it is called where jobs are placed; -1 where there is no draft.
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
    number: int = -1
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
        stage: Whether it gets work.
        failures: How often it was found out of order since it has done a job.
        until: When it is asked again, monotonic seconds.
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
    stage: WorkerStage = "out"
    failures: int = 0
    until: float = 0.0
    capabilities: Capabilities | None = None
    cache: CacheMode = "classic"
    reason: ComfyRunnerError | None = None
    is_asked: bool = False
    gpu_failures: int = 0

    @classmethod
    def of(cls, candidate: Candidate) -> Worker:
        """Return a worker for a server that is to take part."""
        worker = cls(candidate.name, candidate.url, candidate.in_flight, candidate.speed, reason=candidate.error)
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


class Stats:
    """The loads and first passes of one run.

    Args:
        rendered: The jobs that are to be rendered, in the plan's order.
        costs: What the results of their nodes are.
    """

    def __init__(self, rendered: Sequence[Draft], costs: Costs) -> None:
        self._rendered, self._costs = rendered, costs
        self._kinds: Counter[str] = Counter()
        self._done: set[str] = set()
        self._jobs: Counter[str] = Counter()

    def ran(self, workflow: Workflow, verdict: Verdict) -> None:
        """Count what a server ran of a graph."""
        if verdict.outcome is Conclusion.SUCCEEDED:
            kinds = node_kinds(workflow)
            self._kinds.update(kind for node_id, kind in kinds.items() if node_id not in verdict.cached)

    def finished(self, job_id: str, server: str) -> None:
        """Count a job that a server has done."""
        self._done.add(job_id)
        self._jobs[server] += 1

    def spent(self, splits: int) -> Spent | None:
        """Return the sums; None where nothing was rendered."""
        if not self._jobs:
            return None
        done = (draft.steps for draft in self._rendered if draft.job_id in self._done)
        fewest = Counter(self._costs.kind(step) for new in new_results(done) for step in new)
        kinds = self._kinds
        return Spent(kinds["load"], kinds["first"], fewest["load"], fewest["first"], splits, dict(self._jobs))


@dataclass(slots=True)
class RunState:
    """All that a run knows.

    Attributes:
        folder: The run folder.
        policy: How the workers are treated.
        jobs: Every job that this run was asked for, and those of submissions that earlier processes have left.
        submissions: Every submission that a worker holds or may hold, by its key, until its files are collected.
        workers: The workers by their names.
        drafts: What is asked for, by the numbers of jobs.
        waiting: The jobs that nobody has begun, by their numbers, and who is to get them.
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
        naming: The classes of outputs that were seen to name their files by themselves although they take a file prefix.
        kept: Why submissions stay open that an interrupted run could not take back or collect.
        spent: What all that was posted into this run folder costs at most, US dollars.
    """

    folder: Path
    policy: Policy
    jobs: dict[str, RunJob]
    workers: dict[str, Worker]
    drafts: Sequence[Draft]
    waiting: Placement
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
    naming: set[str] = field(default_factory=set)
    kept: list[ComfyRunnerError] = field(default_factory=list)
    spent: float = 0.0

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
        spent: float = 0.0,
    ) -> RunState:
        """Return the state of a run that has not begun.

        Args:
            work: What it has to do.
            candidates: The servers that it begins with, at least one.
            left: The submissions that earlier processes have left.
            folder: The run folder.
            policy: How to treat the servers.
            known: The jobs of the ledger by their ids.
            spent: What all that was posted before costs at most, US dollars.
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
        drafts, backlog = backlog_of(work.groups, work.costs, others=[*work.awaited, *shared])
        for number, draft in enumerate(drafts):
            jobs[draft.job_id].number = number
        return cls(
            folder,
            policy,
            jobs,
            {candidate.name: Worker.of(candidate) for candidate in candidates},
            drafts,
            Placement(backlog),
            Stats([draft for group in work.groups for draft in group], work.costs),
            {leader_id: [draft.job_id for draft in drafts] for leader_id, drafts in work.shared.items()},
            work.is_forced,
            spent=spent,
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

    def follow(self, tracked: Tracked) -> None:
        """Hold a submission; what its worker has already is followed by it from now on."""
        tracked.names_files = self.names_files(tracked.submission.workflow)
        for other in self.submissions.values():
            other.is_followed |= other.worker == tracked.worker
        self.submissions[tracked.key] = tracked

    def names_files(self, workflow: Workflow) -> bool:
        """Return whether any output of a graph chooses the names of its files, as far as is known."""
        nodes = workflow.nodes.values()
        return any(node.names_its_files or (node.is_output and node.class_type in self.naming) for node in nodes)

    def held_by(self, worker: str) -> Iterator[Tracked]:
        """Yield the submissions that a worker holds, or may, oldest first."""
        return (each for each in self.submissions.values() if each.worker == worker and each.is_active)

    def orphans_of(self, worker: str) -> list[Tracked]:
        """Return the submissions of a worker of which nothing can be learnt, oldest first."""
        return [each for each in self.submissions.values() if each.worker == worker and each.stage == "orphan"]

    def places(self, worker: Worker) -> int:
        """Return how many submissions a worker holds at a time; one until it has shown that it works again."""
        return 1 if worker.failures else worker.in_flight or self.policy.in_flight

    def posted(self, tracked: Tracked) -> None:
        """Note that a worker has a submission, as far as it is of jobs that this run was asked for."""
        numbers = [number for job_id in tracked.submission.job_ids if (number := self.jobs[job_id].number) >= 0]
        if numbers:
            self.waiting.posted(tracked.worker, tracked.key, numbers, self.now)

    def by_url(self, url: str) -> Worker | None:
        """Return the worker with this URL; None where none has it."""
        return next((worker for worker in self.workers.values() if worker.url == url), None)


def _job(known: KnownJob | None, draft: Draft | None = None) -> RunJob:
    return RunJob(draft, content_hash=known.content_hash, state=known.state) if known else RunJob(draft)


def backlog_of(groups: Sequence[Sequence[Draft]], costs: Costs, *, others: Iterable[Draft] = ()) -> tuple[Sequence[Draft], Backlog]:
    """Return drafts by their numbers, and the backlog that knows them by these.

    Args:
        groups: The jobs that wait, in groups, in order.
        costs: What the results of their nodes cost.
        others: Jobs that do not wait now, but may have to.
    """
    together = [*groups, *([draft] for draft in others)]
    drafts = [draft for group in together for draft in group]
    numbers = itertools.count()
    numbered = [[next(numbers) for _ in group] for group in together]
    steps = [draft.steps for draft in drafts]
    return drafts, Backlog(numbered, steps, WithBoundedLoads.of(costs, steps), waiting=len(groups))
