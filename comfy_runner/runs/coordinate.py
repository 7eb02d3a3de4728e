"""The coordinator: the one thread that decides what happens to jobs next. Lanes report to it, collectors report to it.

Submitting and following is a lane's business, files are `collect`'s; a caller that reads events slowly holds neither up.
"""

from __future__ import annotations

import queue
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from comfy_runner import __version__
from comfy_runner.comfyui.advice import advice
from comfy_runner.comfyui.http import ComfyHttp
from comfy_runner.comfyui.lane import Lane, Submission
from comfy_runner.comfyui.patience import STALL_SECONDS, Patience
from comfy_runner.comfyui.refusal import Complaint
from comfy_runner.comfyui.reports import (
    Broken,
    CachedNodes,
    Cancelled,
    Finished,
    NodeProgress,
    Refused,
    Report,
    Submitted,
    TakenInPart,
    Waiting,
)
from comfy_runner.comfyui.verdict import Outcome, Verdict
from comfy_runner.errors import (
    ComfyRunnerError,
    Interrupted,
    JobFailed,
    JobLost,
    Problem,
    RunFolderError,
    ServerError,
    WorkflowError,
)
from comfy_runner.recipe.names import slug
from comfy_runner.runs.collect import Collected, Finish, collect
from comfy_runner.runs.events import (
    Event,
    JobFinished,
    JobProgressed,
    JobResult,
    JobSubmitted,
    JobWaiting,
    State,
)
from comfy_runner.runs.folder import RunFolder
from comfy_runner.runs.plan import PlannedJob
from comfy_runner.runs.progress import JobProgress
from comfy_runner.runs.sidecar import FileRecord
from comfy_runner.workflow.graph import Workflow
from comfy_runner.workflow.pixels import node_work

IN_FLIGHT = 2
"""Jobs that a server holds at a time: one runs and one waits, so that the GPU never does."""

_DOWNLOADS = 4
_CANCEL_SECONDS = 30.0
_PREFIX_LENGTH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a run treats its server.

    Attributes:
        websocket: Whether to listen on the websocket too; results are the same without, progress is not shown.
        in_flight: How many jobs the server holds at a time, at least 1.
        stall: Seconds that a running job may show no progress; waiting behind others in the queue is no stall.
        total: Seconds that a job may take from its submission on, with all waiting; None for no limit.
        allow_partial: Whether the part of a job that the server takes is rendered where it does not take the whole.
        patience: All other waiting.
    """

    websocket: bool = True
    in_flight: int = IN_FLIGHT
    stall: float = STALL_SECONDS
    total: float | None = None
    allow_partial: bool = False
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class Task:
    """A job that is to be rendered.

    Attributes:
        planned: The job, its graph fitted to the server.
        standing: Files of earlier runs that are still good, by output role; only the rest is rendered.
    """

    planned: PlannedJob
    standing: Mapping[str, tuple[FileRecord, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Done:
    key: str
    verdict: Verdict
    collected: Collected
    error: ComfyRunnerError | None


@dataclass(frozen=True, slots=True)
class _Crashed:
    error: BaseException


class _Cancel:
    pass


@dataclass(slots=True)
class _Job:
    task: Task
    workflow: Workflow
    prompt_id: str
    progress: JobProgress
    left_out: tuple[Complaint, ...] = ()


class Coordinator:
    """Renders jobs on one server.

    Args:
        folder: The run folder, locked by the caller.
        tasks: The jobs, in order.
        http: The server.
        server: URL and versions, for sidecars.
        emit: Takes events; must return at once.
        policy: How to treat the server.
    """

    def __init__(
        self,
        folder: RunFolder,
        tasks: Sequence[Task],
        *,
        http: ComfyHttp,
        server: Mapping[str, str],
        emit: Callable[[Event], None],
        policy: Policy | None = None,
    ) -> None:
        self._folder, self._http, self._server, self._emit = folder, http, server, emit
        self._jobs = {task.planned.job_id: self._prepared(task) for task in tasks}
        self._backlog = list(reversed(self._jobs))
        self._policy = policy or Policy()
        self._active: set[str] = set()
        self._collecting: set[str] = set()
        self._results: dict[str, JobResult] = {}
        self._inbox: queue.SimpleQueue[Report | _Done | _Crashed | _Cancel] = queue.SimpleQueue()
        self._stopped: ComfyRunnerError | None = None

    def cancel(self) -> None:
        """Take our jobs back from the server and end the run; may be called from a signal handler."""
        self._inbox.put(_Cancel())

    def on_server(self) -> list[str]:
        """Return the prompt ids that the server has of us now."""
        return [self._jobs[key].prompt_id for key in list(self._active)]

    def run(self) -> dict[str, JobResult]:
        """Render all jobs and return the result of each by its id."""
        policy = self._policy
        self._finish_what_cannot_go_on()
        lane = Lane(
            self._http,
            self._inbox.put,
            with_socket=policy.websocket,
            stall=policy.stall,
            total=policy.total,
            patience=policy.patience,
        )
        with ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="collect") as pool:
            try:
                self._fill(lane)
                while self._active or self._collecting:
                    # An interruption waits for the server only so long; for the files that are on their way it does.
                    hurries = isinstance(self._stopped, Interrupted) and not self._collecting
                    try:
                        message = self._inbox.get(timeout=_CANCEL_SECONDS if hurries else None)
                    except queue.Empty:
                        break
                    self._handle(message, lane, pool)
                    self._fill(lane)
            finally:
                lane.close()
        for key in [*self._active, *reversed(self._backlog)]:
            state: State = "cancelled" if isinstance(self._stopped, Interrupted) else "pending"
            self._finish(JobResult(key, state, self._paths(self._jobs[key].task.standing), self._stopped))
        return self._results

    def _prepared(self, task: Task) -> _Job:
        planned, prompt_id = task.planned, str(uuid.uuid4())
        outputs = planned.workflow.outputs
        wanted = [node_id for role, node_id in outputs.items() if role not in task.standing]
        workflow = planned.workflow.keep(planned.workflow.ancestors(wanted)) if task.standing else planned.workflow
        # A prefix of its own makes the server save a new file, however much of the rest it has in its cache.
        start = "/".join(("comfy_runner", slug(self._folder.path.name)[:_PREFIX_LENGTH] or "run", planned.job_id[:_PREFIX_LENGTH]))
        prefixes = {role: f"{start}-{prompt_id[:8]}-{slug(role)[:_PREFIX_LENGTH]}" for role in workflow.outputs}
        workflow = workflow.with_prefixes(prefixes)
        return _Job(task, workflow, prompt_id, JobProgress(node_work(workflow)))

    def _finish_what_cannot_go_on(self) -> None:
        """Jobs whose missing pictures the server cannot make stay as they are."""
        for key in [key for key in self._backlog if not self._jobs[key].workflow.nodes]:
            self._backlog.remove(key)
            job = self._jobs[key]
            self._finish(JobResult(key, "partial", self._paths(job.task.standing), self._left_out(job)))

    def _fill(self, lane: Lane) -> None:
        while self._backlog and len(self._active) < self._policy.in_flight and self._stopped is None:
            key = self._backlog.pop()
            job = self._jobs[key]
            self._active.add(key)
            pnginfo = {"comfy_runner": {"version": __version__, "job_id": key, "content_hash": job.task.planned.content_hash}}
            workflow = job.workflow.to_api()
            lane.submit(Submission(key, job.prompt_id, workflow, pnginfo, allow_partial=self._policy.allow_partial))

    def _handle(self, message: Report | _Done | _Crashed | _Cancel, lane: Lane, pool: ThreadPoolExecutor) -> None:
        match message:
            case Submitted(key, prompt_id):
                self._jobs[key].prompt_id = prompt_id
                self._emit(JobSubmitted(key, prompt_id))
            case Waiting(key, ahead):
                self._emit(JobWaiting(key, ahead))
            case CachedNodes(key, nodes):
                self._jobs[key].progress.cached(nodes)
            case NodeProgress(key, node, step, steps):
                self._progressed(key, node, step, steps)
            case Finished(key, verdict):
                self._active.discard(key)
                self._collecting.add(key)
                pool.submit(self._collect, key, verdict)
            case Refused(key, complaints):
                self._end_active(key, "failed", self._refusal(key, complaints))
            case TakenInPart(key, complaints):
                self._jobs[key].left_out = complaints
            case Cancelled(key):
                self._end_active(key, "cancelled", self._stopped)
            case Broken(key, error):
                self._end_active(key, "failed", error)
                if isinstance(error, ServerError) and not isinstance(error, JobLost) and self._stopped is None:
                    self._stopped = error
            case _Done():
                self._collected(message)
            case _Crashed(error):
                raise error
            case _Cancel():
                if not isinstance(self._stopped, Interrupted):
                    self._stopped = Interrupted("interrupted", hint="run the same command again to go on")
                    lane.cancel(self._active)

    def _progressed(self, key: str, node_id: str, step: int, steps: int) -> None:
        job = self._jobs[key]
        job.progress.at(node_id, step, steps)
        node = job.workflow.nodes.get(node_id)
        title = node.title if node else node_id
        self._emit(JobProgressed(key, title, step, steps, job.progress.fraction))

    def _collect(self, key: str, verdict: Verdict) -> None:
        """Runs beside the coordinator: files are moved here, decisions are made there."""
        job = self._jobs[key]
        error = self._failure(job, verdict)
        try:
            finish = Finish(job.task.planned, job.workflow, job.prompt_id, verdict, job.task.standing)
            collected = collect(self._http, self._folder, finish, server=self._server, reason=str(error or ""))
            self._inbox.put(_Done(key, verdict, collected, error))
        except ComfyRunnerError as problem:
            self._inbox.put(_Done(key, verdict, Collected(job.task.standing, ()), problem))
        except BaseException as crash:  # a fault of ours; the coordinator's thread takes it to the caller
            self._inbox.put(_Crashed(crash))

    def _collected(self, done: _Done) -> None:
        self._collecting.discard(done.key)
        files = done.collected.files
        error = done.error or next(iter(done.collected.errors), None)
        if isinstance(error, RunFolderError) and self._stopped is None:
            self._stopped = error  # what could not be kept must not be rendered
        if error is None:
            state: State = "done"
        elif done.verdict.outcome is Outcome.INTERRUPTED and not files:
            state = "cancelled"
        else:
            state = "partial" if files else "failed"
        self._finish(
            JobResult(
                done.key,
                state,
                self._paths(files),
                error,
                seconds=done.verdict.seconds,
                cached_nodes=done.verdict.cached,
            )
        )

    def _end_active(self, key: str, state: State, error: ComfyRunnerError | None) -> None:
        self._active.discard(key)
        standing = self._jobs[key].task.standing
        self._finish(JobResult(key, "partial" if standing else state, self._paths(standing), error))

    def _finish(self, result: JobResult) -> None:
        self._results[result.job_id] = result
        self._emit(JobFinished(result))

    def _paths(self, files: Mapping[str, tuple[FileRecord, ...]]) -> dict[str, tuple[Path, ...]]:
        return {role: tuple(self._folder.path / record.path for record in records) for role, records in files.items()}

    def _failure(self, job: _Job, verdict: Verdict) -> ComfyRunnerError | None:
        if verdict.outcome is Outcome.SUCCEEDED:
            return self._left_out(job)
        if verdict.outcome is Outcome.INTERRUPTED:
            return self._stopped or JobFailed("was interrupted by somebody", where=job.task.planned.job_id)
        failure = verdict.failure
        if failure is None:
            return JobFailed("failed on the server, which gives no reason", where=job.task.planned.job_id)
        node = job.workflow.nodes.get(failure.node)
        title = node.title if node else failure.class_type
        what = f'node "{failure.node}" ({title}, {failure.class_type}) failed: {failure.exception}: {failure.message}'
        return JobFailed(what, where=job.task.planned.job_id, hint=advice(failure))

    def _left_out(self, job: _Job) -> ComfyRunnerError | None:
        """Return what is missing of a job that was allowed to be partial; None where nothing is."""
        planned = job.task.planned
        roles = [role for role in planned.outputs if role not in job.workflow.outputs and role not in job.task.standing]
        reasons = [*(f"the server would refuse {role}" for role in roles), *map(str, job.left_out)]
        return JobFailed(f"left out: {'; '.join(reasons)}", where=planned.job_id) if reasons else None

    def _refusal(self, key: str, complaints: Sequence[Complaint]) -> ComfyRunnerError:
        planned = self._jobs[key].task.planned
        problems = [
            Problem(str(complaint), planned.locate(complaint.node, complaint.input) or f"{self._http.address.url}: {key}")
            for complaint in complaints
        ]
        return WorkflowError.of(problems or [Problem("the server refuses the workflow", f"{self._http.address.url}: {key}")])
