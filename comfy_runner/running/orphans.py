"""Prompts that a server may still have although their jobs were given to others, because it was out of order.

When it answers again, what it has finished is collected, unless another one was quicker; what it has not is taken back from it, or
goes on there if nobody else has begun. Not here: asking the server (`coordinate`).
"""

from __future__ import annotations

from collections.abc import Iterable

from comfy_runner.engine.submission import SubmittedJob
from comfy_runner.running.completion import Ends
from comfy_runner.running.in_flight import Holdings
from comfy_runner.running.waiting import Queue
from comfy_runner.running.worker import Worker
from comfy_runner.store.run_folder import RunFolder


class Strays:
    """What becomes of the jobs of such prompts.

    Args:
        folder: The run folder, whose ledger is written.
        queue: The jobs that wait.
        holdings: What servers have of us.
        ends: How jobs have ended.
    """

    def __init__(self, folder: RunFolder, queue: Queue, holdings: Holdings, ends: Ends) -> None:
        self._ledger, self._queue, self._ends = folder.ledger, queue, ends
        self._holdings, self._flights = holdings, holdings.flights

    def release(self, key: str) -> list[str]:
        """Give the jobs of a prompt to others; return those that wait again, in their order. The prompt is a stray from now on."""
        flight = self._flights[key]
        waited = [job_id for job_id in flight.submission.job_ids if job_id in flight.waits_for]
        jobs = [job_id for job_id in waited if not self._ends.is_released(job_id, key)]
        if jobs:
            self._ledger.release(key)
        flight.waits_for.clear()
        flight.released = True
        return jobs

    def keep(self, member: Worker, key: str) -> None:
        """Remember a prompt of which nothing can be learnt before the server answers again."""
        member.strays[key] = self._flights.pop(key)

    def take_up(self, key: str) -> list[str]:
        """Have the jobs of a stray done by its server after all, as far as they wait; return them."""
        flight = self._flights[key]
        jobs = [job.job_id for job in flight.submission.jobs if self._stops_waiting(job)]
        self._own(key, jobs)
        return jobs

    def claim(self, key: str) -> list[str]:
        """Take what a stray has finished, as far as nobody else has; return the keys of the prompts that are in vain now."""
        flight = self._flights[key]
        in_vain: list[str] = []
        claimed: list[str] = []
        for job in flight.submission.jobs:
            job_id = job.job_id
            other = next((k for k, each in self._flights.items() if k != key and job_id in each.waits_for), None)
            if self._stops_waiting(job) or self._is_nobodys(job_id, job.content_hash):
                claimed.append(job_id)
            elif other is not None and not self._flights[other].landed and self._ends.is_still(job_id, job.content_hash):
                claimed.append(job_id)
                self._flights[other].waits_for.discard(job_id)
                in_vain += [] if self._flights[other].waits_for else [other]
        self._own(key, claimed)
        return in_vain

    def forget(self, key: str) -> None:
        """Close a prompt that nobody waits for, and that its server does not have any more."""
        if key in self._flights:
            self._holdings.drop(key)
        self._ledger.forget(key)

    def forget_done(self, members: Iterable[Worker]) -> None:
        """Close the strays of servers that did not come back, where nothing of them is missing."""
        left = {key: flight for key, flight in self._flights.items() if not flight.waits_for}
        for strays in (left, *(member.strays for member in members)):
            for key, flight in strays.items():
                rows = [self._ledger.job(job_id) for job_id in flight.submission.job_ids]
                if all(row is not None and row.state == "done" for row in rows):
                    self._ledger.forget(key)

    def _own(self, key: str, jobs: list[str]) -> None:
        if jobs:
            self._ledger.retake(key, jobs)
            self._flights[key].waits_for.update(jobs)

    def _stops_waiting(self, job: SubmittedJob) -> bool:
        """Take a job out of the queue; return whether it waited there, and is what was posted."""
        return self._ends.is_still(job.job_id, job.content_hash) and self._queue.remove(job.job_id)

    def _is_nobodys(self, job_id: str, content_hash: str) -> bool:
        """Return whether a job is pending that this run was not asked for."""
        if self._ends.knows(job_id):
            return False
        row = self._ledger.job(job_id)
        return row is not None and row.state == "pending" and row.content_hash == content_hash
