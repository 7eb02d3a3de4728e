"""Whole runs in imagined time: the decisions are the program's own, servers, engines, ledger and folder are made up here.

A run is driven as the coordinator drives it, through `decide`; what it orders is done by servers that die, come back with or
without what they had, refuse, lose files and are drained. The process itself is killed between any two actions, and begun anew
from what the ledger and the folder have. What must hold is checked after every message, and at the end.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from comfy_runner.engine.info import EngineInfo
from comfy_runner.engine.interface import Engine, JobToCollect
from comfy_runner.engine.reports import Broken, Cancelled, Collected, Complaint, Finished, Freed, NodeProgress, Refused, Submitted
from comfy_runner.engine.submission import Submission, SubmittedJob
from comfy_runner.engine.verdict import Conclusion, Failure, Verdict
from comfy_runner.errors import ComfyRunnerError, JobLost, ServerRefused, Unreachable
from comfy_runner.graph.workflow import Workflow, parse_workflow
from comfy_runner.planning.draft import Draft
from comfy_runner.retry import Retry
from comfy_runner.running import actions as do
from comfy_runner.running.candidates import Answered, Candidate
from comfy_runner.running.decide import decide, goes_on
from comfy_runner.running.events import JobFinished
from comfy_runner.running.in_flight import Left
from comfy_runner.running.messages import Begin, Cancel, Examined, Finish, FleetChange, Message, Prepared, Shared, Tick
from comfy_runner.running.perform import write
from comfy_runner.running.policy import Policy
from comfy_runner.running.prepare import Ready, Settled
from comfy_runner.running.state import RunState, Work
from comfy_runner.store.control_files import FleetRequest
from comfy_runner.store.ledger import Ledger
from comfy_runner.store.ledger_rows import KnownJob, PlanRow
from comfy_runner.store.sidecar import FileRecord
from comfy_runner.store.states import ENDED, Change, State, after
from tests.running.support import plan_of, sweep

OUTAGE = 15.0  # seconds after which an engine gives a silent server up, as `Policy.fleet_outage`
MOST_JOBS = 140
_FOLDER = Path("out")
_NODE_FAILURES = {"memory": "torch.OutOfMemoryError", "gpu": "AcceleratorError", "fails": "ValueError"}
_INFO = EngineInfo("", "", "", "", (), "classic")


def _workflow(job_id: str) -> Workflow:
    """Return a graph that shares nothing with that of another job."""
    save = {"class_type": "SaveImage", "inputs": {"images": ["make", 0], "filename_prefix": job_id}, "_meta": {"role": "upscaled"}}
    return parse_workflow({"save": save, "make": {"class_type": "EmptyImage", "inputs": {"name": job_id}}})


class Wrong(AssertionError):
    """Something happened that must not."""


class Killed(Exception):
    """The process is killed."""


@cache
def real_drafts() -> tuple[Draft, ...]:
    """Return jobs of a real plan, which each scenario gives other results of nodes."""
    return plan_of(sweep({"seed": {"start": 1, "count": MOST_JOBS}})).drafts


@dataclass(slots=True)
class _Row:
    content_hash: str
    state: State = "pending"
    submission: str = ""
    ends: int = 0


@dataclass(slots=True)
class _Open:
    submission: Submission
    server: str
    server_prompt_id: str = ""
    is_open: bool = True


class Books:
    """A ledger in memory, with the rules of the real one."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self.rows = {job_id: _Row(content_hash) for job_id, content_hash in hashes.items()}
        self._submissions: dict[str, _Open] = {}

    def write(self, action: do.LedgerAction) -> None:
        match action:
            case do.Record(submission, url):
                self._submissions[submission.prompt_id] = _Open(submission, url)
                for row in self._rows(submission.job_ids):
                    row.state, row.submission = after(row.state, Change.SUBMITTED), submission.prompt_id
            case do.Accept(key, prompt_id):
                self._submissions[key].server_prompt_id = prompt_id
            case do.Settle(job_id, change, key):
                self._settle(job_id, change, key)
            case do.Forget(key):
                for job_id in self._waiting(key):
                    self._settle(job_id, Change.LOST, None)
                self._submissions[key].is_open = False
            case do.Release(key):
                for row in self._rows(self._waiting(key)):
                    row.state, row.submission = after(row.state, Change.LOST), ""
            case do.Retake(key, job_ids):
                if not self._submissions[key].is_open:
                    raise Wrong(f"{key} is closed")
                for row in self._rows(job_ids):
                    pending = after(row.state, Change.LOST) if row.state == "submitted" else row.state
                    row.state, row.submission = after(pending, Change.SUBMITTED), key

    def requeue(self, job_id: str) -> None:
        row = self.rows[job_id]
        row.state, row.submission = after(row.state, Change.REQUEUED), ""

    def known(self) -> dict[str, KnownJob]:
        return {job_id: KnownJob(row.content_hash, row.state) for job_id, row in self.rows.items()}

    def open_submissions(self) -> list[tuple[_Open, list[str]]]:
        return [(each, self._waiting(key)) for key, each in self._submissions.items() if each.is_open]

    def _settle(self, job_id: str, change: Change, key: str | None) -> None:
        row = self.rows[job_id]
        old, row.state = row.submission, after(row.state, change)
        row.submission = "" if row.state == "pending" else key or old
        row.ends += row.state in ENDED
        for each in {old, row.submission} - {""}:
            if not self._waiting(each):
                self._submissions[each].is_open = False

    def _waiting(self, key: str) -> list[str]:
        job_ids = self._submissions[key].submission.job_ids
        return [job_id for job_id in job_ids if self.rows[job_id].submission == key and self.rows[job_id].state == "submitted"]

    def _rows(self, job_ids: Iterable[str]) -> list[_Row]:
        return [self.rows[job_id] for job_id in job_ids]


class CheckedBooks(Books):
    """A ledger in memory, and the real one beside it, which is to say the same at any time.

    Args:
        ledger: The real one, empty.
        hashes: The jobs, and what they are.
    """

    def __init__(self, ledger: Ledger, hashes: Mapping[str, str]) -> None:
        super().__init__(hashes)
        self._ledger = ledger
        self._plan({})

    def _plan(self, requeued: Mapping[str, str]) -> None:
        rows = [
            PlanRow(
                job_id=job_id,
                position=number,
                recipe="lake",
                content_hash=row.content_hash,
                pixel_hash="",
                shares="",
                assignments={},
                requeue=requeued.get(job_id, ""),
            )
            for number, (job_id, row) in enumerate(self.rows.items())
        ]
        self._ledger.write_plan(rows, recipes=["lake"])

    def write(self, action: do.LedgerAction) -> None:
        super().write(action)
        write(self._ledger, action, rows_of=lambda _files: ())

    def requeue(self, job_id: str) -> None:
        super().requeue(job_id)
        self._plan({job_id: "is tried again"})

    def open_submissions(self) -> list[tuple[_Open, list[str]]]:
        found = super().open_submissions()
        here = {each.submission.prompt_id: set(job_ids) for each, job_ids in found}
        there = {each.prompt_id: set(each.job_ids) for each in self._ledger.open_submissions()}
        states = {job_id: known.state for job_id, known in self._ledger.known().items()}
        if here != there or states != {job_id: row.state for job_id, row in self.rows.items()}:
            raise Wrong("the ledgers differ")
        return found


class _Able:
    """What a server can do, by the ids of the jobs that it cannot."""

    def __init__(self, unable: Collection[str]) -> None:
        self._unable = frozenset(unable)
        self.everything = not unable

    def can(self, draft: Draft) -> bool:
        return draft.job_id not in self._unable

    def can_whole(self, draft: Draft) -> bool:
        return self.can(draft)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to a server, or to the run.

    Attributes:
        at: When, in seconds.
        what: ``silent``: it answers nobody, and works on. ``restart``: it loses its queue and its history, not its files.
            ``loses``: as ``restart``, with its files. ``busy``: it answers 429 to every POST. ``drain``, ``add``, ``cancel``.
        name: The server; empty for the run.
        seconds: How long it lasts.
    """

    at: float
    what: str
    name: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Maker:
    """A server as it is.

    Attributes:
        name: Its name.
        speed: Weighted steps per second.
        places: How many submissions it holds at a time.
        unable: The jobs that it cannot do, and says so.
        refuses: The jobs that it cannot do, and does not say so.
        cache: How it caches.
        is_late: Whether it takes part only after it was added.
    """

    name: str
    speed: float
    places: int
    unable: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()
    cache: str = "classic"
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run, with all that happens to it.

    Attributes:
        number: Its number.
        drafts: The jobs, in the plan's order.
        groups: The jobs by groups, as numbers.
        costs: What the results of their nodes cost.
        makers: The servers.
        troubles: What happens.
        failing: For some jobs, how their first tries end: ``memory``, ``gpu``, ``fails`` (which is not tried again) or ``view``
            (the picture cannot be had at first).
        followers: For some jobs, whose pictures they get.
        kills: After how many actions the process is killed, each time counted anew.
    """

    number: int
    drafts: Sequence[Draft]
    groups: Sequence[Sequence[int]]
    costs: Any
    makers: Sequence[Maker]
    troubles: Sequence[Trouble] = ()
    failing: Mapping[str, Sequence[str]] = field(default_factory=dict)
    followers: Mapping[str, str] = field(default_factory=dict)
    kills: Sequence[int] = ()


@dataclass(slots=True, eq=False)
class Server:
    """A server, and the engine that follows it for the process that runs now."""

    maker: Maker
    silent_until: float = 0.0
    busy_until: float = 0.0
    queue: dict[str, Submission] = field(default_factory=dict)
    history: dict[str, Verdict] = field(default_factory=dict)
    files: set[tuple[str, str]] = field(default_factory=set)
    cached: frozenset[int] = frozenset()
    token: int = 0
    ran: int = 0
    followed: dict[str, str] = field(default_factory=dict)  # by key: posting, seeking, waiting
    cancelling: set[str] = field(default_factory=set)
    silent_since: float | None = None

    @property
    def name(self) -> str:
        return self.maker.name


class World:
    """Runs a scenario.

    Args:
        scenario: What happens.
        draw: For what is left to chance.
        books: The ledger.
    """

    def __init__(self, scenario: Scenario, draw: random.Random, books: Books | None = None) -> None:
        self.scenario, self._draw = scenario, draw
        self.books = books or Books({draft.job_id: draft.content_hash for draft in scenario.drafts})
        self.servers = {maker.name: Server(maker) for maker in scenario.makers}
        self.folder: dict[str, FileRecord] = {}  # what is in its place, by job
        self.ran: Counter[str] = Counter()  # how often a job was rendered to its end
        self.excuses: Counter[str] = Counter()  # how often it may have been for more than once
        self.takers: defaultdict[int, set[str]] = defaultdict(set)
        self.splits = 0
        self.story: list[str] = []
        self.now = 0.0
        self.processes = 0
        self.messages = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._state: RunState | None = None
        self._inbox: deque[Message] = deque()
        self._prepared: deque[Prepared] = deque()
        self._actions_left = 0
        self._kills = deque(scenario.kills)
        self._tries: Counter[str] = Counter()
        self._drained: set[str] = set()
        self._added: set[str] = set()
        self._group = {scenario.drafts[number].job_id: g for g, group in enumerate(scenario.groups) for number in group}
        self._drafts = {draft.job_id: draft for draft in scenario.drafts}
        for trouble in scenario.troubles:
            self._at(trouble.at, lambda trouble=trouble: self._happen(trouble))  # type: ignore[misc]

    # The world

    def run(self) -> None:
        """Run until everything is done that can be, however often the process has to be begun anew."""
        while not self._is_complete():
            self.processes += 1
            if self.processes > 60 + len(self.scenario.kills):
                self.fail("it does not come to an end")
            try:
                self._process()
            except Killed:
                self._tell("is killed")
            self._abandon()
            # The user begins the same command again a little later, and sooner or later all servers are well.
            self._pass(self._draw.choice([0.0, 1.0, 30.0]))
        self._check_end()

    def _process(self) -> None:
        self._actions_left = self._kills.popleft() if self._kills else 10**9
        begin = self._started()
        if begin is None:
            self._pass(20.0)
            return
        self._carry_out(begin)
        while goes_on(self._run, self.now):
            if not self._inbox and not self._step(self.now + 1.0):
                self._inbox.append(Tick())
            while self._inbox and goes_on(self._run, self.now):
                together = self._draw.choice([1, 1, 2, 8])
                self._carry_out(*(self._inbox.popleft() for _ in range(min(together, len(self._inbox)))))
        self._carry_out(Finish())
        self.splits += self._run.waiting.splits
        self._check_results()

    def _abandon(self) -> None:
        """Forget what only the process knew."""
        self._state = None
        self._inbox.clear()
        self._prepared.clear()
        for server in self.servers.values():
            server.followed.clear()
            server.cancelling.clear()

    def _step(self, until: float) -> bool:
        """Let the next thing happen, not after a moment; return whether anything did."""
        if not self._events or self._events[0][0] > until:
            self.now = max(self.now, until)
            return False
        self.now, _, what = heapq.heappop(self._events)
        what()
        return True

    def _pass(self, seconds: float) -> None:
        until = self.now + seconds
        while self._step(until):
            pass

    def _at(self, moment: float, what: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (moment, self._number, what))

    def _soon(self, what: Callable[[], None]) -> None:
        """Do something after a moment, unless the process that asked for it is gone by then."""
        process = self.processes

        def unless_gone() -> None:
            if self.processes == process and self._state is not None:
                what()

        self._at(self.now + self._draw.choice([0.0, 0.01, 0.3]), unless_gone)

    def _report(self, message: Message) -> None:
        self._inbox.append(message)

    @property
    def _run(self) -> RunState:
        assert self._state is not None
        return self._state

    # The process

    def _started(self) -> Begin | None:
        """Begin a process: what `begin` reads and writes before the coordinator begins; None where no server answers."""
        books = self.books
        for each, _ in books.open_submissions():
            pending = [
                job.job_id
                for job in each.submission.jobs
                if books.rows[job.job_id].state == "pending" and books.rows[job.job_id].content_hash == job.content_hash
            ]
            if pending:
                books.write(do.Retake(each.submission.prompt_id, tuple(pending)))
        take_back = Cancel("cancelled") if self._draw.random() < 0.1 and self.processes > 1 else None
        candidates = [self._candidate(server) for server in self.servers.values() if self._takes_part(server)]
        if not any(candidate.answer for candidate in candidates):
            return None
        self._drained.clear()
        if take_back is not None:
            return self._only_taken_back(candidates, take_back)
        for job_id, row in books.rows.items():
            if row.state in ENDED and row.state != "done":
                books.requeue(job_id)
        pending_groups, shared = [], defaultdict[str, list[Draft]](list)
        for group in self.scenario.groups:
            rendered = []
            for draft in (self.scenario.drafts[number] for number in group):
                leader = self.scenario.followers.get(draft.job_id)
                if books.rows[draft.job_id].state != "pending":
                    continue
                if leader is not None and books.rows[leader].state in ("pending", "submitted", "done"):
                    shared[leader].append(draft)
                else:
                    rendered.append(draft)
            if rendered:
                pending_groups.append(rendered)
        awaited = [draft for draft in self.scenario.drafts if books.rows[draft.job_id].state == "submitted"]
        work = Work(pending_groups, self.scenario.costs, dict(shared), awaited)
        return self._set_up(work, candidates, None)

    def _only_taken_back(self, candidates: list[Candidate], take_back: Cancel) -> Begin:
        """Take back what is on one server that answers, as ``cancel`` does where no process is left."""
        (chosen,) = self._draw.sample([candidate for candidate in candidates if candidate.answer], 1)
        return self._set_up(Work((), self.scenario.costs), [replace(chosen, answer=None)], take_back)

    def _set_up(self, work: Work, candidates: Sequence[Candidate], take_back: Cancel | None) -> Begin:
        urls = {candidate.url for candidate in candidates}
        left = tuple(
            Left(
                each.submission.prompt_id,
                each.server,
                each.server_prompt_id,
                tuple(job_ids),
                each.submission,
                {job.job_id: self._reusable(job.job_id) for job in each.submission.jobs},
            )
            for each, job_ids in self.books.open_submissions()
            if take_back is None or each.server in urls
        )
        for each in left:
            if self.servers[each.server].silent_until > self.now:
                self._excuse([each.key])
        policy = Policy(retry=Retry())
        self._state = RunState.of(work, candidates, left=left, folder=_FOLDER, policy=policy, known=self.books.known())
        self._tell(f"begins: {len(work.drafts)} jobs, {len(left)} submissions left")
        return Begin(left, take_back)

    def _candidate(self, server: Server) -> Candidate:
        engine = cast(Engine, _Address(server.name))
        if server.silent_until > self.now:
            return Candidate(server.name, engine, server.maker.places, error=Unreachable("is silent", where=server.name))
        return Candidate(server.name, engine, server.maker.places, self._answer(server))

    def _answer(self, server: Server) -> Answered:
        info = replace(_INFO, cache=cast(Any, server.maker.cache))
        return Answered(info, cast(Any, _Able(server.maker.unable)))

    def _takes_part(self, server: Server) -> bool:
        return not server.maker.is_late or server.name in self._added

    def _reusable(self, job_id: str) -> Mapping[str, tuple[FileRecord, ...]]:
        return {"upscaled": (self.folder[job_id],)} if job_id in self.folder else {}

    def _carry_out(self, *messages: Message) -> None:
        """Do all that follows from messages, as the coordinator does: what the ledger is to know gets there together.

        Before that the process may be killed, and then nothing of it is there.
        """
        unwritten: list[do.LedgerAction] = []
        for action in self._actions(messages):
            if self._actions_left == 0:
                raise Killed
            self._actions_left -= 1
            if isinstance(action, do.LedgerAction):
                unwritten.append(action)
                continue
            if not isinstance(action, do.Prepare | do.Collect | do.Emit):
                self._write(unwritten)
            found = self._perform(action)
            if found is not None:
                self._prepared.append(found)
        self._write(unwritten)
        self._check_state()

    def _actions(self, messages: Iterable[Message]) -> Iterator[do.Action]:
        for message in messages:
            self.messages += 1
            yield from decide(self._run, message, self.now)
            while self._prepared:
                yield from decide(self._run, self._prepared.popleft(), self.now)

    def _write(self, actions: list[do.LedgerAction]) -> None:
        for action in actions:
            self._tell(str(action)[:150])
            if isinstance(action, do.Release):
                self._excuse([action.key])
            self.books.write(action)
        actions.clear()

    def _perform(self, action: do.Action) -> Prepared | None:
        match action:
            case do.Prepare():
                return self._prepare(action)
            case do.Submit(worker, submission):
                self._submit(self.servers[worker], submission)
            case do.Attach(worker, submission):
                self._follow(self.servers[worker], submission.prompt_id, "seeking", submission)
            case do.CancelOn(worker, keys):
                server = self.servers[worker]
                server.cancelling.update(key for key in keys if key in server.followed)
                self._soon(lambda: self._cancel_on(server))
            case do.Collect(worker, submission, verdict, jobs):
                for job in jobs:
                    self._soon(lambda job=job: self._collect(self.servers[worker], submission, verdict, job))  # type: ignore[misc]
            case do.Free(_, job_id):
                self._soon(lambda: self._report(Freed(job_id)))
            case do.Share():
                self._soon(lambda: self._share(action))
            case do.Examine(worker):
                self._soon(lambda: self._examine(self.servers[worker]))
            case do.Emit(event):
                if isinstance(event, JobFinished):
                    self._tell(f"tells {event.result.job_id}: {event.result.state}")
            case do.Enlist() | do.StopWaiting() | do.Answer():
                pass
        return None

    def _prepare(self, action: do.Prepare) -> Prepared:
        self._number += 1
        key = f"{self._number:08}"
        ready, settled = [], []
        for draft in action.drafts:
            reusable = self._reusable(draft.job_id)
            if reusable:
                settled.append(Settled(draft.job_id, Change.DONE, None, reusable))
            else:
                outputs = {"upscaled": f"{draft.job_id}/upscaled.png"}
                job = SubmittedJob(draft.job_id, draft.content_hash, outputs, {}, _workflow(draft.job_id), {}, {})
                ready.append(Ready(job, {}, None))
        return Prepared(action.worker, key, tuple(ready), tuple(settled))

    # Servers and their engines

    def _submit(self, server: Server, submission: Submission) -> None:
        for job_id in submission.job_ids:
            row = self.books.rows[job_id]
            if (row.state, row.submission) != ("submitted", submission.prompt_id):
                self.fail(f"{job_id} is posted and not in the ledger")
            self.takers[self._group[job_id]].add(server.name)
        if sum(1 for stage in server.followed.values() if stage != "seeking") >= server.maker.places + len(server.cancelling):
            self.fail(f"{server.name} gets more than it has places")
        self._follow(server, submission.prompt_id, "posting", submission)

    def _follow(self, server: Server, key: str, stage: str, submission: Submission) -> None:
        server.followed[key] = stage
        self._soon(lambda: self._try(server, key, submission, self.now))

    def _try(self, server: Server, key: str, submission: Submission, since: float) -> None:
        """Post a submission, or look for it, as soon as the server answers; give up where it does not for too long."""
        stage = server.followed.get(key)
        if stage not in ("posting", "seeking"):
            return
        is_busy = stage == "posting" and server.busy_until > self.now
        if server.silent_until > self.now or is_busy:
            if self.now - since > OUTAGE:
                what = _too_many(server.name) if is_busy else Unreachable("is silent", where=server.name)
                self._break(server, key, what)
            else:
                process = self.processes
                self._at(self.now + 2.0, lambda: self._try(server, key, submission, since) if self.processes == process else None)
            return
        if stage == "posting":
            if key in server.cancelling:
                self._end(server, key, Cancelled(key))
                return
            if any(job_id in server.maker.refuses for job_id in submission.job_ids):
                self._end(server, key, Refused(key, (Complaint("make", "EmptyImage", "", "is not there"),)))
                return
            server.queue[key] = submission
            if len(server.queue) == 1:
                self._run_next(server)
        elif key not in server.queue and key not in server.history:
            self._end(server, key, Broken(key, JobLost("is not there", where=key)))
            return
        server.followed[key] = "waiting"
        self._report(Submitted(key, key))
        self._cancel_on(server)
        if key in server.history and key in server.followed:
            self._end(server, key, Finished(key, server.history[key]))

    def _end(self, server: Server, key: str, report: Message) -> None:
        del server.followed[key]
        server.cancelling.discard(key)
        self._report(report)

    def _break(self, server: Server, key: str, error: ComfyRunnerError) -> None:
        self._excuse([key])
        self._end(server, key, Broken(key, error))

    def _excuse(self, keys: Iterable[str]) -> None:
        """Note that jobs may be rendered once more: nothing could be learnt of them."""
        for key in keys:
            known = self.books._submissions.get(key)
            for job_id in known.submission.job_ids if known else ():
                self.excuses[job_id] += 1

    def _run_next(self, server: Server) -> None:
        key, submission = next(iter(server.queue.items()))
        steps = frozenset(step for job_id in submission.job_ids for step in self._drafts[job_id].steps)
        cost = sum(self.scenario.costs.cost(step) for step in steps - server.cached)
        server.cached = steps if server.maker.cache == "classic" else frozenset()
        server.token += 1
        token = server.token
        self._at(self.now + max(cost, 0.01) / server.maker.speed, lambda: self._ran(server, key, token))
        if server.followed.get(key) == "waiting" and server.silent_until <= self.now:
            self._report(NodeProgress(key, "make", 1, 2))

    def _ran(self, server: Server, key: str, token: int) -> None:
        if token != server.token or key not in server.queue:
            return
        submission = server.queue.pop(key)
        verdict = Verdict(Conclusion.SUCCEEDED, {}, (), None, 1.0)
        failing = [n for n, job_id in enumerate(submission.job_ids) if self._next_failure(job_id) in _NODE_FAILURES]
        if failing:
            # Only one node fails, and that is the end of all.
            job_id = submission.job_ids[failing[0]]
            node, exception = submission.ids[failing[0]]["make"], _NODE_FAILURES[self._next_failure(job_id)]
            verdict = Verdict(Conclusion.FAILED, {}, (), Failure(node, "EmptyImage", exception, ""), 1.0)
            self._tries[job_id] += 1
        else:
            for job_id in submission.job_ids:
                self.ran[job_id] += 1
                server.files.add((key, job_id))
        server.ran += 1
        self._land(server, key, verdict)

    def _next_failure(self, job_id: str) -> str:
        hows = self.scenario.failing.get(job_id, ())
        return hows[self._tries[job_id]] if self._tries[job_id] < len(hows) else ""

    def _land(self, server: Server, key: str, verdict: Verdict) -> None:
        server.history[key] = verdict
        self._tell(f"{server.name} ends {key}: {verdict.outcome.value}")
        if server.followed.get(key) == "waiting" and server.silent_until <= self.now:
            self._end(server, key, Finished(key, verdict))
        if server.queue:
            self._run_next(server)

    def _cancel_on(self, server: Server) -> None:
        if server.silent_until > self.now:
            return
        for key in sorted(server.cancelling):
            if server.followed.get(key) != "waiting" or key in server.history:
                continue
            if next(iter(server.queue), None) == key:
                del server.queue[key]
                self._land(server, key, Verdict(Conclusion.INTERRUPTED, {}, (), None, None))
            elif key in server.queue:
                del server.queue[key]
                self._end(server, key, Cancelled(key))

    def _collect(self, server: Server, submission: Submission, verdict: Verdict | None, job: JobToCollect) -> None:
        key, job_id = submission.prompt_id, job.job_id
        told = verdict and submission.verdict_on(submission.job_ids.index(job_id), verdict)
        if server.silent_until > self.now or self._next_failure(job_id) == "view":
            self._tries[job_id] += self._next_failure(job_id) == "view"
            self._excuse([key])
            error = Unreachable("does not give it", where=server.name)
            self._report(Collected(key, job_id, told, job.reusable, (error,), job.error))
            return
        files, error_left = dict(job.reusable), job.error
        if (key, job_id) in server.files and not files:
            self.folder.setdefault(job_id, FileRecord(f"{job_id}/upscaled.png", "", 1, 1, 1, ""))
            files = {"upscaled": (self.folder[job_id],)}
        if files and verdict is None:
            error_left = None
        missing = not files and error_left is None
        errors: tuple[ComfyRunnerError, ...] = (JobLost("is gone", where=job_id),) if missing else ()
        self._report(Collected(key, job_id, told, files, errors, error_left, 1.0 if verdict else None))

    def _examine(self, server: Server) -> None:
        is_out = server.silent_until > self.now or server.busy_until > self.now
        error = Unreachable("is silent", where=server.name) if is_out else None
        self._report(Examined(server.name, None if error else self._answer(server), error))

    def _share(self, action: do.Share) -> None:
        record = self.folder.get(action.leader_id)
        if record is not None:
            self.folder[action.draft.job_id] = record
        files = None if record is None else {"upscaled": (record,)}
        self._report(Shared(action.draft.job_id, action.leader_id, files, action.error))

    # What happens

    def _happen(self, trouble: Trouble) -> None:
        self._tell(f"{trouble.what} {trouble.name} {trouble.seconds:.1f} s")
        server = self.servers.get(trouble.name)
        if trouble.what == "cancel":
            if self._state is not None:
                self._report(Cancel())
            return
        if server is None:
            return
        if trouble.what in ("drain", "add"):
            if self._state is None or (trouble.what == "add" and server.silent_until > self.now):
                return
            self._added.add(server.name)
            (self._drained.add if trouble.what == "drain" else self._drained.discard)(server.name)
            request = FleetRequest(_FOLDER, cast(Any, trouble.what), server.name)
            self._report(FleetChange(request, replace(self._candidate(server), answer=None)))
            return
        if trouble.what == "busy":
            server.busy_until = max(server.busy_until, self.now + trouble.seconds)
            return
        if trouble.what in ("restart", "loses"):
            self._excuse([*server.queue, *server.history])
            server.queue.clear()
            server.history.clear()
            server.cached, server.token = frozenset(), server.token + 1
            if trouble.what == "loses":
                server.files.clear()
        server.silent_until = max(server.silent_until, self.now + trouble.seconds)
        if server.silent_since is None:
            server.silent_since = self.now
            process = self.processes
            self._at(self.now + OUTAGE, lambda: self._give_up(server, process))
        self._at(server.silent_until, lambda: self._answers_again(server))

    def _give_up(self, server: Server, process: int) -> None:
        """The engine has waited for long enough."""
        if server.silent_since is None or process != self.processes or server.silent_until <= self.now:
            return
        for key in [key for key, stage in server.followed.items() if stage == "waiting"]:
            self._break(server, key, Unreachable("is silent", where=server.name))

    def _answers_again(self, server: Server) -> None:
        if server.silent_until > self.now:
            return
        server.silent_since = None
        for key in [key for key, stage in server.followed.items() if stage == "waiting"]:
            if key in server.history:
                self._end(server, key, Finished(key, server.history[key]))
            elif key not in server.queue:
                self._end(server, key, Broken(key, JobLost("is not there", where=key)))
        self._cancel_on(server)

    # What must hold

    def _check_state(self) -> None:
        """The state says of jobs what the ledger says, and no worker is idle while work waits that it can do."""
        state = self._run
        for job_id, job in state.jobs.items():
            row = self.books.rows[job_id]
            if job.state != row.state or (row.state == "submitted" and job.submission != row.submission):
                self.fail(f"{job_id} is {job.state} ({job.submission}), and in the ledger {row.state} ({row.submission})")
        held = [tracked for tracked in state.submissions.values() if tracked.stage != "orphan"]
        for each, job_ids in self.books.open_submissions():
            key = each.submission.prompt_id
            if job_ids and key not in state.submissions and not state.stopped:
                self.fail(f"{key} is open in the ledger, has {job_ids}, and nobody holds it")
        waited = Counter(job_id for tracked in held for job_id in tracked.waits_for)
        if twice := [job_id for job_id, count in waited.items() if count > 1]:
            self.fail(f"two submissions are to give {twice}")
        if state.is_preparing:
            self.fail("something is being prepared for ever")
        if self._inbox or state.stopped or state.is_busy:
            return
        for worker in state.workers.values():
            server = self.servers[worker.name]
            if worker.stage == "up" and not any(tracked.worker == worker.name for tracked in held):
                able = [draft for draft in state.drafts if self._waits(draft) and draft.job_id not in server.maker.unable]
                if able and not any(tracked.is_active for tracked in held):
                    self.fail(f"everybody is idle, and {able[0].job_id} waits")

    def _waits(self, draft: Draft) -> bool:
        job = self._run.jobs[draft.job_id]
        refused = any(draft.job_id in server.maker.refuses for server in self.servers.values())
        return job.state == "pending" and job.result is None and not job.leader and not job.held_by and not refused

    def _check_results(self) -> None:
        """Every job that was asked for has a result, which agrees with the ledger where it ended."""
        for job_id, job in self._run.jobs.items():
            if job.draft is None:
                continue
            if job.result is None:
                self.fail(f"nothing is told of {job_id}")
            elif job.result.state == "done" and self.books.rows[job_id].state != "done":
                self.fail(f"{job_id} is told to be done, and is not")

    def _is_complete(self) -> bool:
        quiet = not self._kills and not any(server.silent_until > self.now for server in self.servers.values())
        stable = {"done", "failed"} if quiet and self.now > self._last_trouble else {"done"}
        return self.processes > 0 and all(row.state in stable for row in self.books.rows.values())

    @property
    def _last_trouble(self) -> float:
        return max((trouble.at + trouble.seconds for trouble in self.scenario.troubles), default=0.0)

    def _check_end(self) -> None:
        """Nothing is lost, nothing is done twice, groups are whole."""
        for job_id, row in self.books.rows.items():
            if row.state == "done" and job_id not in self.folder:
                self.fail(f"{job_id} is done, and its picture is lost")
            if row.state == "failed" and not self._may_fail(job_id):
                self.fail(f"{job_id} has failed")
            most = 1 + self.excuses[job_id]
            if self.ran[job_id] > most:
                self.fail(f"{job_id} was rendered {self.ran[job_id]} times, and {most} are explained")

    def _may_fail(self, job_id: str) -> bool:
        able = [maker for maker in self.scenario.makers if job_id not in maker.refuses and job_id not in maker.unable]
        leader = self.scenario.followers.get(job_id, "")
        return (
            not able
            or bool(self.scenario.failing.get(job_id))
            or bool(self.scenario.failing.get(leader))
            or self.excuses[job_id] > 1
        )

    def fail(self, what: str) -> None:
        """Stop with a story."""
        raise Wrong(f"scenario {self.scenario.number}, process {self.processes}, at {self.now:.2f} s: {what}")

    def _tell(self, what: str) -> None:
        self.story.append(f"{self.now:10.2f} s  {what}")


def _too_many(url: str) -> ServerRefused:
    error = ServerRefused("too many requests", where=url)
    error.status = 429
    return error


@dataclass(frozen=True, slots=True)
class _Address:
    url: str
