"""The ledger against a dict, with crashes at any commit.

A crash is a copy of the files as they lie at that instant, opened in place of the original: what a kill leaves.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import FileRow, JobUpdate, OpenSubmission, PlanRow
from comfy_runner.store.states import ENDED, STATES, Change, IllegalTransition, State, after
from tests.example_counts import tried

_RECIPES = ("lake", "hill")
_JOBS = tuple(f"{recipe}-{number}" for recipe in _RECIPES for number in range(3))
_EVENTS = (Change.LOST, Change.DONE, Change.PARTIAL, Change.FAILED, Change.CANCELLED)
_NEIGHBOURS = {"lake-0/original.png": b"a picture", "lake-0/job.json": b"{}", "run.json": b"{}"}

Crash = Literal["none", "before", "after"]
_crashes = st.sampled_from(["none", "none", "before", "after"])
_ids = st.sampled_from(_JOBS)


class Killed(BaseException):
    """The process ends here."""


class Mortal(Ledger):
    """A ledger whose process can be killed at its next commit."""

    crash: Crash = "none"
    grave: Path

    def _commit(self) -> None:
        if self.crash == "before":
            self._die()
        super()._commit()
        if self.crash == "after":
            self._die()

    def _die(self) -> None:
        shutil.copytree(self.path.parent, self.grave)
        raise Killed


@dataclass(frozen=True)
class Job:
    """What the model knows of a job."""

    content_hash: str
    state: State
    removed: bool = False
    reason: str = ""
    attempts: int = 0
    prompt_id: str = ""
    files: tuple[FileRow, ...] = ()


@dataclass
class Model:
    """What the ledger has to know."""

    jobs: dict[str, Job] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """Of open submissions."""
    used: set[str] = field(default_factory=set)

    def waiting(self, prompt_id: str) -> set[str]:
        return {name for name, job in self.jobs.items() if job.state == "submitted" and job.prompt_id == prompt_id}

    def settle(self, job_id: str, event: Change, prompt_id: str | None, files: tuple[FileRow, ...] | None) -> None:
        job = self.jobs[job_id]
        state = after(job.state, event)
        gave = job.prompt_id if prompt_id is None else prompt_id
        self.jobs[job_id] = replace(
            job,
            state=state,
            prompt_id="" if state == "pending" else gave,
            reason=job.reason if state == "pending" else "",
            files=job.files if files is None else files,
        )
        for left in {job.prompt_id, gave} & self.texts.keys():
            if not self.waiting(left):
                del self.texts[left]


class LedgerMachine(RuleBasedStateMachine):
    """Does at random what a coordinator may do, and what kills may do to it."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Path(tempfile.mkdtemp())
        self.folder = self.room / "0"
        self.lives = 0
        self.minted = 0
        self.model = Model()
        self.posted: list[str] = []
        for name, content in _NEIGHBOURS.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(content)
        self.ledger = Mortal(self.folder / FILE)

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.room)

    @initialize()
    def first_plan(self) -> None:
        self.plan("lake", set(_JOBS), "x", "", "none")

    def do(self, crash: Crash, act: Callable[[], None], expect: Callable[[Model], None]) -> bool:
        """Act on the ledger; return whether we are still alive. The model changes if the commit was over."""
        self.lives += 1
        self.ledger.crash, self.ledger.grave = crash, self.room / str(self.lives)
        model = Model(dict(self.model.jobs), dict(self.model.texts), set(self.model.used))
        try:
            expect(model)
        except IllegalTransition as illegal:
            with pytest.raises(IllegalTransition, match=str(illegal)):
                act()
            self.ledger.crash = "none"
            return True
        try:
            act()
        except Killed:
            if crash == "after":
                self.model = model
            self.ledger.close()
            self.folder = self.ledger.grave
            self.ledger = Mortal(self.folder / FILE)
            return False
        assert crash == "none", "nothing was committed"
        self.model = model
        return True

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Mortal(self.folder / FILE)

    @rule(
        recipe=st.sampled_from(_RECIPES),
        chosen=st.sets(_ids),
        content_hash=st.sampled_from("xyz"),
        reason=st.sampled_from(["", "forced"]),
        crash=_crashes,
    )
    def plan(self, recipe: str, chosen: set[str], content_hash: str, reason: str, crash: Crash) -> None:
        planned = sorted(name for name in chosen if name.startswith(recipe))

        def expect(model: Model) -> None:
            for name, job in list(model.jobs.items()):
                if name.startswith(recipe) and name not in planned:
                    model.jobs[name] = replace(job, removed=True)
            for name in planned:
                if name not in model.jobs:
                    model.jobs[name] = Job(content_hash, after(None, Change.PLANNED))
                    continue
                job = model.jobs[name]
                job = replace(job, content_hash=content_hash, removed=False, reason=reason or job.reason)
                if reason and job.state != "pending":
                    event = Change.REQUEUED if job.state in ENDED else Change.LOST
                    job = replace(job, state=after(job.state, event), attempts=0, prompt_id="")
                model.jobs[name] = job

        rows = [
            PlanRow(
                job_id=name,
                position=number,
                recipe=recipe,
                content_hash=content_hash,
                pixel_hash=content_hash,
                shares="",
                assignments={"seed": number},
                requeue=reason,
            )
            for number, name in enumerate(planned)
        ]
        self.do(crash, lambda: self.ledger.write_plan(rows, recipes=[recipe]), expect)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), crash=_crashes)
    def submit(self, data: st.DataObject, crash: Crash) -> None:
        """Submit jobs of any state, and post them if we are alive after the commit."""
        waiting = sorted(name for name, job in self.model.jobs.items() if job.state == "pending")
        # Mostly what is legal; now and then anything.
        anything = data.draw(st.sampled_from([False, False, False, True]))
        names = waiting if waiting and not anything else sorted(self.model.jobs)
        size = data.draw(st.integers(1, len(names)))
        job_ids = data.draw(st.lists(st.sampled_from(names), min_size=size, max_size=size, unique=True))
        self.minted += 1
        prompt_id = f"prompt-{self.minted}"

        def expect(model: Model) -> None:
            for name in job_ids:
                job = model.jobs[name]
                state = after(job.state, Change.SUBMITTED)
                model.jobs[name] = replace(job, state=state, attempts=job.attempts + 1, prompt_id=prompt_id)
            model.texts[prompt_id] = f"text {prompt_id}"
            model.used.add(prompt_id)

        def act() -> None:
            self.ledger.submit(prompt_id, server="http://gpu", text=f"text {prompt_id}", job_ids=job_ids)
            self.posted.append(prompt_id)

        self.do(crash, act, expect)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), event=st.sampled_from(_EVENTS), with_files=st.booleans(), crash=_crashes)
    def settle(self, data: st.DataObject, event: Change, with_files: bool, crash: Crash) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.jobs)))
        prompt_id = data.draw(st.none() | st.sampled_from(sorted(self.model.used))) if self.model.used else None
        files = (FileRow("original", 0, f"{name}/original.png", self.lives, 1, "ab"),) if with_files else None
        self.do(
            crash,
            lambda: self.ledger.settle(JobUpdate(name, event, prompt_id=prompt_id, files=files)),
            lambda model: model.settle(name, event, prompt_id, files),
        )

    @precondition(lambda self: self.model.texts)
    @rule(data=st.data(), event=st.sampled_from(_EVENTS), crash=_crashes)
    def settle_a_whole_submission(self, data: st.DataObject, event: Change, crash: Crash) -> None:
        prompt_id = data.draw(st.sampled_from(sorted(self.model.texts)))
        names = sorted(self.model.waiting(prompt_id))

        def expect(model: Model) -> None:
            for name in names:
                model.settle(name, event, prompt_id, None)

        ends = [JobUpdate(job_id=name, change=event, prompt_id=prompt_id) for name in names]
        self.do(crash, lambda: self.ledger.settle(*ends), expect)

    @precondition(lambda self: self.model.texts)
    @rule(data=st.data(), crash=_crashes)
    def forget(self, data: st.DataObject, crash: Crash) -> None:
        prompt_id = data.draw(st.sampled_from(sorted(self.model.texts)))

        def expect(model: Model) -> None:
            for name in sorted(model.waiting(prompt_id)):
                model.settle(name, Change.LOST, None, None)
            model.texts.pop(prompt_id, None)

        self.do(crash, lambda: self.ledger.forget(prompt_id), expect)

    @invariant()
    def every_job_is_as_the_model_says(self) -> None:
        found = {
            row.job_id: Job(
                row.content_hash,
                row.state,
                row.removed,
                row.reason,
                row.attempts,
                row.prompt_id,
                tuple(self.ledger.files(row.job_id)),
            )
            for row in self.ledger.jobs()
        }
        assert found == self.model.jobs
        assert {name: (job.content_hash, job.state) for name, job in found.items()} == {
            name: (known.content_hash, known.state) for name, known in self.ledger.known().items()
        }

    @invariant()
    def every_job_is_counted_in_one_state(self) -> None:
        there = [job.state for job in self.model.jobs.values() if not job.removed]
        assert self.ledger.counts() == {state: there.count(state) for state in STATES}

    @invariant()
    def open_submissions_are_complete(self) -> None:
        found = self.ledger.open_submissions()
        assert {item.prompt_id: item.text for item in found} == self.model.texts
        assert all(set(item.job_ids) == self.model.waiting(item.prompt_id) for item in found)
        submitted = sorted(name for name, job in self.model.jobs.items() if job.state == "submitted")
        assert sorted(name for item in found for name in item.job_ids) == submitted, "each job waits for one submission"

    @invariant()
    def what_was_posted_was_known_before(self) -> None:
        assert set(self.posted) <= self.model.used

    @invariant()
    def the_file_is_whole_and_nothing_else_was_touched(self) -> None:
        self.ledger.check()
        there = {path.relative_to(self.folder).as_posix(): path for path in self.folder.rglob("*") if path.is_file()}
        assert there.keys() - _NEIGHBOURS.keys() <= {FILE, *(f"{FILE}-{kind}" for kind in ("journal", "wal", "shm"))}
        assert {name: there[name].read_bytes() for name in _NEIGHBOURS} == _NEIGHBOURS


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=tried(30), stateful_step_count=25, deadline=None)


def test_the_machine_sees_every_crash_that_it_makes() -> None:
    machine = LedgerMachine()
    try:
        machine.plan("lake", {"lake-0"}, "x", "", "before")
        assert machine.model.jobs == {}
        machine.plan("lake", {"lake-0"}, "x", "", "after")
        assert machine.model.jobs == {"lake-0": Job("x", "pending")}
        machine.every_job_is_as_the_model_says()
    finally:
        machine.teardown()


def test_an_open_submission_of_a_killed_process_can_be_collected_without_the_plan() -> None:
    machine = LedgerMachine()
    try:
        machine.plan("lake", {"lake-0", "lake-1"}, "x", "", "none")
        machine.ledger.crash, machine.ledger.grave = "after", machine.room / "grave"
        with pytest.raises(Killed):
            machine.ledger.submit("p", server="http://gpu", text="all of it", job_ids=["lake-0", "lake-1"])
        machine.ledger.close()
        machine.ledger = Mortal(machine.room / "grave" / FILE)
        (found,) = machine.ledger.open_submissions()
        minted = found.minted
        assert found == OpenSubmission(
            prompt_id="p",
            server="http://gpu",
            server_prompt_id="",
            text="all of it",
            job_ids=("lake-0", "lake-1"),
            minted=minted,
        )
    finally:
        machine.teardown()
