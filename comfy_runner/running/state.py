"""What a run has to do, as values; and the reports that its threads send to the coordinator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from comfy_runner.engine.reports import Complaint
from comfy_runner.engine.submission import Submission
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.graph.sizes import node_work
from comfy_runner.planning.draft import Draft
from comfy_runner.running.probe import Answered
from comfy_runner.running.progress import JobProgress
from comfy_runner.scheduling.backlog import Costs
from comfy_runner.store.ledger_rows import OpenSubmission
from comfy_runner.store.sidecar import FileRecord


@dataclass(frozen=True, slots=True)
class Work:
    """What a run has to do.

    Attributes:
        groups: The jobs to render, in order, in groups that are best kept on one server.
        costs: What the results of their nodes cost.
        shared: The jobs that get the pictures of another one, by that one's id; it is done already, or is to be rendered.
        awaited: The jobs that an earlier process has submitted.
        open: Submissions of earlier processes of which nobody knows how they ended; of these jobs, and of others.
    """

    groups: Sequence[Sequence[Draft]]
    costs: Costs
    shared: Mapping[str, Sequence[Draft]] = field(default_factory=dict)
    awaited: Sequence[Draft] = ()
    open: Sequence[OpenSubmission] = ()

    @property
    def drafts(self) -> dict[str, Draft]:
        """Return every job that is to get a result, by its id."""
        all_groups = (*self.groups, self.awaited, *self.shared.values())
        return {draft.job_id: draft for group in all_groups for draft in group}


@dataclass(slots=True)
class Flight:
    """A submission that was handed to the server.

    Attributes:
        submission: What was posted.
        standing: For each job, files of earlier runs that are still good, by output role.
        left_out: For each job, why it will be partial in any case.
        progress: How far it is.
        prompt_id: What the server calls it, which old servers choose themselves.
        waits_for: The jobs that have not been collected yet, and that nobody else does.
        complaints: What the server left out of it.
        server: The name of the server in the fleet.
        landed: Whether the server has nothing more to do for it.
        attached: Whether it was looked for on the server, so that nobody knows when that began with it.
        released: Whether its jobs were given to others, because the server was out of order.
        away: The jobs whose pictures the server has, and could not be had.
    """

    submission: Submission
    standing: Mapping[str, Mapping[str, tuple[FileRecord, ...]]]
    left_out: Mapping[str, ComfyRunnerError]
    progress: JobProgress
    prompt_id: str
    waits_for: set[str]
    complaints: tuple[Complaint, ...] = ()
    server: str = ""
    landed: bool = False
    attached: bool = False
    released: bool = False
    away: set[str] = field(default_factory=set)

    @classmethod
    def of(
        cls,
        submission: Submission,
        standing: Mapping[str, Mapping[str, tuple[FileRecord, ...]]],
        *,
        server: str,
        left_out: Mapping[str, ComfyRunnerError] | None = None,
        waits_for: Iterable[str] | None = None,
    ) -> Flight:
        """Return a submission of which nothing is known yet; it waits for all of its jobs, or for these."""
        waiting = set(submission.job_ids if waits_for is None else waits_for)
        return cls(
            submission,
            standing,
            left_out or {},
            JobProgress(node_work(submission.workflow)),
            submission.prompt_id,
            waiting,
            server=server,
        )


@dataclass(frozen=True, slots=True)
class Shared:
    """A job has got another one's pictures.

    Attributes:
        job_id: The job.
        leader_id: The other one.
        files: They, by output role; None where they are not there any more.
        error: Why the other one does not have all of them; None where it does.
    """

    job_id: str
    leader_id: str
    files: Mapping[str, tuple[FileRecord, ...]] | None
    error: ComfyRunnerError | None


class Cancel:
    """The user wants the run to end."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A server was asked what it is.

    Attributes:
        server: Its name in the fleet.
        answer: What it said; None where it did not answer, or is still out of order.
        error: Why not; None where it did.
    """

    server: str
    answer: Answered | None
    error: ComfyRunnerError | None
