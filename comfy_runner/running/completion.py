"""How the jobs of a run end: recorded, tried again, or given to those that share their pictures.

Not here: servers, and what is on its way there (`coordinate`).
"""

from __future__ import annotations

from collections.abc import Callable

from comfy_runner.engine.reports import Collected
from comfy_runner.engine.submission import Attempt
from comfy_runner.errors import ComfyRunnerError, Interrupted, ServerError
from comfy_runner.planning.draft import Draft
from comfy_runner.retry import Retry
from comfy_runner.running import job_end
from comfy_runner.running.collectors import Sharers
from comfy_runner.running.events import Event, JobResult, JobRetried
from comfy_runner.running.followers import Followers
from comfy_runner.running.policy import Policy
from comfy_runner.running.recovery import Inherited
from comfy_runner.running.results import Files, Outcomes
from comfy_runner.running.retries import mishap, next_attempt
from comfy_runner.running.state import Shared, Work
from comfy_runner.running.waiting import Queue
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.states import Event as Change
from comfy_runner.store.states import State


class Ends:
    """The ends of jobs.

    Args:
        folder: The run folder, whose ledger is written.
        work: What there is to do.
        queue: The jobs that wait.
        inherited: What earlier processes have left.
        sharers: Give jobs the pictures of others.
        emit: Takes events; must return at once.
        policy: What is tried again.

    Attributes:
        stopped: Why nothing more is begun; None while it is.
        sharing: How many jobs are just being given pictures.
    """

    def __init__(
        self,
        folder: RunFolder,
        work: Work,
        *,
        queue: Queue,
        inherited: Inherited,
        sharers: Sharers,
        emit: Callable[[Event], None],
        policy: Policy,
    ) -> None:
        self._ledger, self._queue, self._inherited = folder.ledger, queue, inherited
        self._sharers, self._emit, self._policy = sharers, emit, policy
        self._drafts = work.drafts
        self._followers = Followers(work.shared)
        self._outcomes = Outcomes(folder, self._drafts, emit)
        self._attempts: dict[str, tuple[Attempt, ...]] = {}
        self._passed: set[str] = set()  # jobs whose turn came while they had to wait for what they were
        self._refusals: dict[str, list[ComfyRunnerError]] = {}
        self.stopped: ComfyRunnerError | None = None
        self.sharing = 0

    @property
    def results(self) -> dict[str, JobResult]:
        """Return the results so far, by job id."""
        return self._outcomes.results

    @property
    def all_done(self) -> bool:
        """Return whether no job has ended otherwise than well so far."""
        return self._outcomes.all_done

    @property
    def attempts(self) -> dict[str, tuple[Attempt, ...]]:
        """Return what was tried before in vain, by job id."""
        return self._attempts

    @property
    def interrupted(self) -> bool:
        """Return whether the user wants the run to end."""
        return isinstance(self.stopped, Interrupted)

    def knows(self, job_id: str) -> bool:
        """Return whether this run was asked for a job."""
        return job_id in self._drafts

    def is_still(self, job_id: str, content_hash: str) -> bool:
        """Return whether this run wants a job as it was posted once; it may have changed since."""
        return job_id in self._drafts and self._drafts[job_id].content_hash == content_hash

    def share_standing(self) -> None:
        """See to the jobs whose leader is not rendered now, because it is done."""
        for leader_id in self._followers.leaders:
            if leader_id not in self._drafts:
                self.share(leader_id)

    def passed(self, draft: Draft) -> bool:
        """Return whether a job has to wait for what it was, and note that its turn has come."""
        if not self._inherited.holds(draft.job_id):
            return False
        self._passed.add(draft.job_id)
        return True

    def put_back(self, job_id: str, *, last: bool = False) -> None:
        """Have a job wait again; others of its group may have ended."""
        if job_id in self._drafts:
            self._queue.put_back(job_id, last=last)

    def is_released(self, job_id: str, key: str) -> bool:
        """Return whether a submission was of what the job is no longer, and have the job as it is now posted."""
        if not self._inherited.releases(job_id, key):
            return False
        leader_id = self._followers.leader_of(job_id)
        if leader_id is not None:
            self._follow(self._drafts[job_id], leader_id)
        elif job_id in self._passed:
            self.put_back(job_id)
        return True

    def lose(self, job_id: str, key: str, *, what: str = "") -> None:
        """Record that a submission gives nothing for a job, which waits again."""
        self._ledger.settle(job_id, Change.LOST, prompt_id=key, error=what)
        self.put_back(job_id)

    def tell_of_outage(self, job_id: str, error: ComfyRunnerError, files: Files) -> None:
        """Tell that a job may well be on its server, and run: the next process asks for it."""
        self._outcomes.tell(job_id, "partial" if files else "failed", error, files=files)

    def refuse(self, job_id: str, error: ComfyRunnerError) -> ComfyRunnerError:
        """Note why a server cannot do a job; return why none of those that were tried can."""
        known = self._refusals.setdefault(job_id, [])
        known.append(error)
        return type(error).of(dict.fromkeys(problem for each in known for problem in each.problems))

    def begins_again(self, job_id: str, *, reason: str, what: str) -> Attempt | None:
        """Note that a job is tried again, and tell so; return how, or None where it has been tried often enough."""
        draft = self._drafts.get(job_id)
        tried = self._attempts.get(job_id, ())
        if draft is None:
            return None
        attempt = next_attempt(Retry.merged(draft.retry, self._policy.retry), tried, reason=reason, what=what)
        if attempt is not None:
            self._attempts[job_id] = (*tried, attempt)
            self._emit(JobRetried(job_id, attempt.reason, what))
        return attempt

    def tries_again(self, done: Collected) -> Attempt | None:
        """Record that a job is tried again after what went wrong; return how, or None where it is not."""
        errors = job_end.errors_of(done)
        reason = mishap(done.verdict, errors)
        if not reason or done.job_id not in self._drafts:
            return None
        what = str(errors[0])
        attempt = self.begins_again(done.job_id, reason=reason, what=what)
        if attempt is not None:
            self._ledger.settle(done.job_id, Change.LOST, prompt_id=done.key, error=what)
        return attempt

    def end(
        self,
        job_id: str,
        change: Change,
        error: ComfyRunnerError | None,
        *,
        files: Files,
        key: str | None = None,
        done: Collected | None = None,
        server: str = "",
    ) -> None:
        """Record how a job has ended, and see to the jobs that share its pictures."""
        if change is Change.LOST:
            self._ledger.settle(job_id, change, prompt_id=key, error=str(error or ""))
            state: State = "cancelled" if self.interrupted else "failed"
            self._outcomes.tell(job_id, state, self.stopped or error, files=files)
            for follower in self._followers.of(job_id):
                self._outcomes.tell(follower.job_id, state, self.stopped or error, files={})
            return
        self._outcomes.record(job_id, change, error, files=files, prompt_id=key, done=done, server=server)
        self.share(job_id)

    def share(self, leader_id: str) -> None:
        """See to the jobs that share the pictures of one that has ended."""
        for follower in self._followers.of(leader_id):
            if not self._inherited.holds(follower.job_id):
                self._follow(follower, leader_id)

    def _follow(self, follower: Draft, leader_id: str) -> None:
        """Do with a job as its leader was done with, if that has ended."""
        result = self._outcomes.results.get(leader_id)
        if leader_id in self._drafts and result is None:
            return
        if result is None or result.state in ("done", "partial"):
            error = result.error if result else None
            if not isinstance(error, Interrupted):
                self.sharing += 1
                self._sharers.share(follower, leader_id, self._hash_of(leader_id), error)
        elif result.state == "failed":
            # It would fail alike.
            self.end(follower.job_id, Change.FAILED, result.error, files={})

    def _hash_of(self, job_id: str) -> str:
        if job_id in self._drafts:
            return self._drafts[job_id].content_hash
        row = self._ledger.job(job_id)
        return row.content_hash if row else ""

    def was_shared(self, shared: Shared) -> None:
        """Record that a job has got the pictures of another one, or find another way where they were gone."""
        self.sharing -= 1
        follower = self._drafts[shared.job_id]
        if shared.files is not None or shared.error is not None:
            change = Change.FAILED if shared.error else Change.DONE
            self.end(shared.job_id, change, shared.error, files=shared.files or {})
            return
        heir = self._followers.orphan(follower, shared.leader_id)
        if heir is None:
            self.put_back(shared.job_id)
        else:
            self._follow(follower, heir)

    def tell_the_rest(self, standing: Callable[[str], Files]) -> None:
        """Tell of the jobs that were not begun, or that a server kept longer than an interruption waits."""
        for job_id in [job_id for job_id in self._drafts if job_id not in self._outcomes.results]:
            state: State = "cancelled" if self.interrupted else "pending"
            self._outcomes.tell(job_id, state, self._why_left(job_id), files=standing(job_id))

    def _why_left(self, job_id: str) -> ComfyRunnerError | None:
        refusals = self._refusals.get(job_id)
        if not refusals or not isinstance(self.stopped, ServerError):
            return self.stopped
        # It waited for those that did not come back, because the others would not have it.
        known = [problem for each in (*refusals, self.stopped) for problem in each.problems]
        return type(self.stopped).of(dict.fromkeys(known))
