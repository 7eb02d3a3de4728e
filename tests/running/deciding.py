"""A run whose servers, ledger and folder are the test: it is told what has happened, and says what it does about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from comfy_runner.engine import reports
from comfy_runner.engine.info import EngineInfo
from comfy_runner.engine.interface import Engine
from comfy_runner.engine.submission import SubmittedJob
from comfy_runner.engine.verdict import Conclusion, Failure, Verdict
from comfy_runner.errors import ComfyRunnerError, Unreachable
from comfy_runner.graph.workflow import parse_workflow
from comfy_runner.planning.draft import Draft, Plan
from comfy_runner.running import actions as do
from comfy_runner.running.candidates import Answered, Candidate
from comfy_runner.running.decide import decide, goes_on
from comfy_runner.running.events import JobFinished, JobResult
from comfy_runner.running.in_flight import Left
from comfy_runner.running.messages import Begin, Cancel, Examined, Finish, FleetChange, Message, Prepared
from comfy_runner.running.policy import Policy
from comfy_runner.running.prepare import Ready
from comfy_runner.running.state import RunState, Work
from comfy_runner.store.control_files import FleetRequest
from comfy_runner.store.ledger_rows import KnownJob
from comfy_runner.store.sidecar import FileRecord
from tests.running.support import plan_of, sweep

A = TypeVar("A")

SILENT = Unreachable("is silent")
FILE = {"upscaled": (FileRecord("upscaled.png", "", 1, 1, 1, ""),)}


@cache
def _plan(count: int) -> Plan:
    return plan_of(sweep({"seed": {"start": 1, "count": count}}))


class _Able:
    """What a server can do: everything."""

    everything = True

    def can(self, _draft: Draft) -> bool:
        return True

    can_whole = can


class _Address:
    def __init__(self, url: str) -> None:
        self.url = url


def candidate(name: str, *, is_silent: bool = False, cache: str = "classic") -> Candidate:
    """Return a server that can do everything, if it answers."""
    answer = Answered(EngineInfo("", "", "", "", (), cast(Any, cache)), cast(Any, _Able()))
    return Candidate(name, cast(Engine, _Address(name)), answer=None if is_silent else answer, error=SILENT if is_silent else None)


def posted_job(job_id: str, content_hash: str) -> SubmittedJob:
    """Return a job as it is posted: its graph shares nothing with others."""
    save = {"class_type": "SaveImage", "inputs": {"images": ["make", 0], "filename_prefix": job_id}, "_meta": {"role": "upscaled"}}
    workflow = parse_workflow({"save": save, "make": {"class_type": "EmptyImage", "inputs": {"name": job_id}}})
    return SubmittedJob(job_id, content_hash, {"upscaled": "save"}, {}, workflow, {}, {})


class Desk:
    """A run of jobs that cost the same, in one group.

    Args:
        jobs: How many.
        servers: Those that it begins with.
        policy: How it treats them.
        left: What earlier processes have left; `known` says how the ledger has its jobs.
        known: The jobs that the ledger has.
        awaited: How many of the last jobs wait for what is left, rather than to be posted.
        take_back: Whether that is only to be taken back.
    """

    def __init__(
        self,
        jobs: int = 2,
        servers: Sequence[Candidate] = (candidate("a"),),
        *,
        policy: Policy | None = None,
        left: Sequence[Left] = (),
        known: Mapping[str, KnownJob] | None = None,
        awaited: int = 0,
        take_back: Cancel | None = None,
    ) -> None:
        plan = _plan(max(jobs, 1))
        drafts = list(plan.drafts[:jobs])
        self.ids = [draft.job_id for draft in drafts]
        rendered = drafts[: jobs - awaited]
        work = Work([rendered] if rendered else [], plan.steps, awaited=drafts[jobs - awaited :])
        pending = {draft.job_id: KnownJob(draft.content_hash, "pending") for draft in drafts}
        self.state = RunState.of(
            work, servers, left=left, folder=Path("out"), policy=policy or Policy(), known=pending | dict(known or {})
        )
        self.now = 0.0
        self._keys = 0
        self.begun = self.tell(Begin(tuple(left), take_back))

    def tell(self, *messages: Message, after: float = 0.0) -> list[do.Action]:
        """Tell what has happened, some seconds later; return what is done about it, with all that is prepared at once."""
        self.now += after
        done: list[do.Action] = []
        waiting = list(messages)
        while waiting:
            for action in decide(self.state, waiting.pop(0), self.now):
                done.append(action)
                if isinstance(action, do.Prepare):
                    self._keys += 1
                    ready = (Ready(posted_job(draft.job_id, draft.content_hash), {}, None) for draft in action.drafts)
                    waiting.append(Prepared(action.worker, f"key-{self._keys}", tuple(ready), ()))
        return done

    def goes_on(self, *, after: float = 0.0) -> bool:
        """Return whether the run goes on."""
        self.now += after
        return goes_on(self.state, self.now)

    def finish(self) -> dict[str, JobResult]:
        """Return how each job has ended."""
        self.tell(Finish())
        return self.state.results

    # What is told

    def examined(self, name: str, error: ComfyRunnerError | None = None) -> Examined:
        return Examined(name, None if error else candidate(name).answer, error)

    def changes(self, action: Any, name: str) -> FleetChange:
        return FleetChange(FleetRequest(Path("out"), action, name), candidate(name, is_silent=True))

    def collected(self, key: str, *errors: ComfyRunnerError, error: ComfyRunnerError | None = None) -> reports.Collected:
        """Say that the first job of a submission was collected; with its picture, unless something went wrong."""
        (job_id, *_) = self.state.submissions[key].submission.job_ids
        failed = bool(errors or error)
        return reports.Collected(key, job_id, None if failed else verdict(), {} if failed else FILE, errors, error)


def verdict(outcome: Conclusion = Conclusion.SUCCEEDED, failure: Failure | None = None) -> Verdict:
    """Return how a submission ended."""
    return Verdict(outcome, {}, (), failure, 1.0)


def of(kind: type[A], actions: Sequence[do.Action]) -> list[A]:
    """Return the actions of one kind, or the events."""
    return [each for each in (a.event if isinstance(a, do.Emit) else a for a in actions) if isinstance(each, kind)]


def told(actions: Sequence[do.Action]) -> dict[str, str]:
    """Return how jobs are told to have ended."""
    return {each.result.job_id: each.result.state for each in of(JobFinished, actions)}
