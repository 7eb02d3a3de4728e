"""The threads that move files beside the coordinator: downloads, verification, pictures found again; pictures shared.

They decide nothing, and tell the coordinator what they did.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

from comfy_runner.collect.collector import Collected, Finish, collect
from comfy_runner.collect.dedup import share
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.found_files import find_files
from comfy_runner.engine.comfyui.outage import Outage
from comfy_runner.engine.comfyui.system_info import About
from comfy_runner.engine.comfyui.verdict import Outcome, ServerFile, Verdict
from comfy_runner.engine.submission import SubmittedJob
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import ComfyRunnerError, ServerError, Unreachable
from comfy_runner.graph.sizes import node_work
from comfy_runner.planning.draft import Draft
from comfy_runner.running.failure_messages import CutShort, failure, left_out
from comfy_runner.running.state import Again, Crashed, Done, Flight, Shared
from comfy_runner.store.run_folder import RunFolder

_THREADS = 4
_ATTEMPTS = 3


class Collectors:
    """A small pool of threads for one server.

    Args:
        folder: Where files go.
        http: The server that has them.
        timeouts: How long it may be out of order.
        report: Takes what was done, on any thread; must return at once.
        about: Its versions, for sidecars; None where it has not said them yet.
    """

    def __init__(
        self,
        folder: RunFolder,
        http: ComfyHttp,
        timeouts: Timeouts,
        report: Callable[[Done | Again | Crashed], None],
        *,
        about: About | None = None,
    ) -> None:
        self._folder, self._http, self._report = folder, http, report
        self._outage = Outage(http, timeouts)
        self._server = about.as_record() if about else {"url": http.address.url}
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="collect")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)

    def name_server(self, about: About) -> None:
        """Note the server's versions; after a restart they may be others."""
        self._server = about.as_record()

    def bear(self, timeouts: Timeouts) -> None:
        """Bear outages only so long from now on."""
        self._outage.timeouts = timeouts

    def hurry(self) -> None:
        """Wait no longer for a server that does not answer; what it has is collected by the next process."""
        self._outage.hurry()

    def collect(self, flight: Flight, verdict: Verdict, *, stopped: ComfyRunnerError | None) -> None:
        """Collect the files of every job of a submission; each is reported as `Done`.

        Args:
            flight: The submission.
            verdict: What the server says of it.
            stopped: Why we took it back, if we did.
        """
        for number, job in enumerate(flight.submission.jobs):
            if job.job_id in flight.waits_for:
                self._do(self._collect, flight, job, flight.submission.verdict_on(number, verdict), stopped)

    def recover(self, flight: Flight, error: ComfyRunnerError) -> None:
        """Look for the files of a submission that the server has forgotten; each of its jobs is reported as `Done`."""
        for job in flight.submission.jobs:
            if job.job_id in flight.waits_for:
                self._do(self._recover, flight, job, error)

    def free_for(self, job_id: str) -> None:
        """Ask the server to free its memory before a job is tried again; reported as `Again`."""
        self._do(self._free, job_id)

    def _do(self, work: Callable[..., None], *args: object) -> None:
        self._pool.submit(_guarded, self._report, work, *args)

    def _collect(self, flight: Flight, job: SubmittedJob, verdict: Verdict, stopped: ComfyRunnerError | None) -> None:
        known = flight.left_out.get(job.job_id)
        error: ComfyRunnerError | None
        if flight.submission.is_cut_short(verdict):
            error = CutShort("was ended by the failure of another job of its graph", where=job.job_id)
        else:
            error = failure(job, verdict, stopped=stopped) or left_out(job.job_id, flight.complaints, known)
        count = len(flight.submission.jobs)
        done = Done(
            flight.submission.prompt_id,
            job.job_id,
            verdict,
            Collected(flight.standing[job.job_id], ()),
            error,
            seconds=None if verdict.seconds is None else verdict.seconds / count,
            work=sum(work for node, work in node_work(job.workflow).items() if node not in verdict.cached) / count,
            server=flight.server,
        )
        self._report(self._with_files(done, flight, job, verdict))

    def _recover(self, flight: Flight, job: SubmittedJob, lost: ComfyRunnerError) -> None:
        standing = flight.standing[job.job_id]
        done = Done(flight.submission.prompt_id, job.job_id, None, Collected(standing, ()), lost, server=flight.server)
        wanted = {node_id for role, node_id in job.workflow.outputs.items() if role not in standing}
        files = self._find({node_id: prefix for node_id, prefix in job.prefixes.items() if node_id in wanted})
        if isinstance(files, ServerError):
            # One that answers, and does not tell which files it has, is no help: the job is lost.
            self._report(replace(done, error=files) if isinstance(files, Unreachable) else done)
            return
        if wanted <= files.keys():
            done = replace(done, error=None)
        verdict = Verdict(Outcome.SUCCEEDED, files, (), None, None)
        self._report(self._with_files(done, flight, job, verdict, recovered=True, lost=lost))

    def _find(self, prefixes: Mapping[str, str]) -> Mapping[str, tuple[ServerFile, ...]] | ServerError:
        problem: ServerError = Unreachable("does not tell which files it has", where=self._http.address.url)
        for _attempt in range(_ATTEMPTS):
            try:
                return find_files(self._http, prefixes)
            except ServerError as error:
                problem = error
                if not isinstance(error, Unreachable) or not self._outage.is_over():
                    break
        return problem

    def _with_files(
        self,
        done: Done,
        flight: Flight,
        job: SubmittedJob,
        verdict: Verdict,
        *,
        recovered: bool = False,
        lost: ComfyRunnerError | None = None,
    ) -> Done:
        others = tuple(job_id for job_id in flight.submission.job_ids if job_id != job.job_id)
        finish = Finish(job, flight.prompt_id, verdict, flight.standing[job.job_id], others, recovered)
        try:
            collected = collect(
                self._http, self._folder, finish, server=self._server, reason=str(done.error or ""), outage=self._outage
            )
        except ComfyRunnerError as unwritable:
            return replace(done, error=unwritable)
        # A file that was cut short is as good as none: the job is lost after all.
        error = lost if recovered and collected.errors else done.error
        return replace(done, collected=collected, error=error)

    def _free(self, job_id: str) -> None:
        # Otherwise it is tried without; whether the server is still there shows when the job is posted.
        with contextlib.suppress(ServerError):
            self._http.free()
        self._report(Again(job_id))


class Sharers:
    """A small pool of threads that give jobs the pictures of other ones; no server is needed for that.

    Args:
        folder: Where the pictures are.
        report: Takes what was done, on any thread; must return at once.
    """

    def __init__(self, folder: RunFolder, report: Callable[[Shared | Crashed], None]) -> None:
        self._folder, self._report = folder, report
        self._hurry = threading.Event()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="share")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)

    def hurry(self) -> None:
        """Share nothing more; the next process does."""
        self._hurry.set()

    def share(self, draft: Draft, leader_id: str, leader_hash: str, error: ComfyRunnerError | None) -> None:
        """Give a job another one's pictures; reported as `Shared`.

        Args:
            draft: The job.
            leader_id: The one that has pictures.
            leader_hash: What that is.
            error: Why it does not have all of them; None where it does.
        """
        self._pool.submit(_guarded, self._report, self._share, draft, leader_id, leader_hash, error)

    def _share(self, draft: Draft, leader_id: str, leader_hash: str, error: ComfyRunnerError | None) -> None:
        if self._hurry.is_set():
            self._report(Shared(draft.job_id, leader_id, None, None))
            return
        files = share(self._folder, draft, leader_id, leader_hash=leader_hash, partial=error is not None)
        self._report(Shared(draft.job_id, leader_id, files, error))


def _guarded(report: Callable[[Crashed], None], work: Callable[..., None], *args: object) -> None:
    try:
        work(*args)
    except BaseException as crash:  # a fault of ours, or a folder that takes nothing; the coordinator takes it to the caller
        report(Crashed(crash))
