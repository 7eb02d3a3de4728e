"""Submissions from the moment in which they are posted, or looked for on a server, to their end, and how far they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from comfy_runner.engine.reports import Complaint
from comfy_runner.engine.submission import Submission, SubmittedJob
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.graph.sizes import node_work
from comfy_runner.store.sidecar import FileRecord

Files = Mapping[str, tuple[FileRecord, ...]]
"""The files of one job by output role."""


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
        is_confirmed: Whether the server has said that it has it.
        is_attached: Whether it was looked for on the server, so that nobody knows when that began with it.
        is_outdated: Whether it is of nothing but what jobs are no longer.
        is_released: Whether its jobs were given to others, because its worker was out of order.
        is_recovered: Whether the server has forgotten it, and its files are looked for by their names.
        is_cancelled: Whether the worker was told to take it back.
        names_files: Whether its server chooses names of its files, so that a later submission may overwrite them: while it is in
            flight or collected, nothing more is posted there.
        is_followed: Whether something was posted to its server after it, or may have been.
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
    is_confirmed: bool = False
    is_attached: bool = False
    is_outdated: bool = False
    is_released: bool = False
    is_recovered: bool = False
    is_cancelled: bool = False
    names_files: bool = False
    is_followed: bool = False
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


class JobProgress:
    """The share of one job's work that is done.

    Args:
        work: Work by node id, for the nodes that cost noticeable time (`comfy_runner.graph.sizes.node_work`).
    """

    def __init__(self, work: Mapping[str, float]) -> None:
        self._work = dict(work)
        self._done: dict[str, float] = {}
        self._current = ""
        self._fraction = 0.0

    def cached(self, nodes: Iterable[str]) -> None:
        """These nodes need not run; their work counts for nothing."""
        for node in nodes:
            self._work.pop(node, None)
        self._advance()

    def at(self, node: str, step: int, steps: int) -> None:
        """A node runs; what ran before it is finished."""
        if self._current != node:
            self._finish(self._current)
            self._current = node
        if node in self._work and steps > 0:
            self._done[node] = self._work[node] * min(max(step, 0), steps) / steps
        self._advance()

    @property
    def begun(self) -> bool:
        """Return whether the server has told of any node that it runs."""
        return bool(self._current)

    @property
    def fraction(self) -> float:
        """Return the share that is done, 0 to 1; it never goes back, whatever the server says."""
        return self._fraction

    def _advance(self) -> None:
        total = sum(self._work.values())
        if total:
            now = sum(self._done.get(node, 0.0) for node in self._work) / total
            self._fraction = min(1.0, max(self._fraction, now))

    def _finish(self, node: str) -> None:
        if node in self._work:
            self._done[node] = self._work[node]
