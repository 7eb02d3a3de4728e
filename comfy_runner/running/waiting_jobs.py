"""The jobs that wait, as drafts: the bridge from a run to `scheduling`, which knows numbers only and decides who gets which."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence

from comfy_runner.planning.draft import Draft
from comfy_runner.planning.estimate import WithBoundedLoads
from comfy_runner.scheduling.backlog import Backlog, Costs
from comfy_runner.scheduling.placement import Placement


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


class WaitingJobs:
    """The jobs of a run that nobody has begun, and the servers that they are for.

    Args:
        groups: The jobs that wait, in groups, in order.
        others: Jobs that do not wait now, but may have to: they are on a server, or are to get the pictures of another one.
        costs: What the results of their nodes cost.
    """

    def __init__(self, groups: Sequence[Sequence[Draft]], others: Iterable[Draft], costs: Costs) -> None:
        self._drafts, backlog = backlog_of(groups, costs, others=others)
        self._number = {draft.job_id: number for number, draft in enumerate(self._drafts)}
        self._placement = Placement(backlog)

    @property
    def drafts(self) -> Sequence[Draft]:
        """Return all jobs."""
        return self._drafts

    @property
    def waits(self) -> bool:
        """Return whether any job waits."""
        return self._placement.waits

    @property
    def splits(self) -> int:
        """Return how many groups were split so that the run ends earlier."""
        return self._placement.splits

    def join(self, name: str, *, places: int, most: int, unable: Collection[str], speed: float | None) -> None:
        """Let a server take part; see `Placement.join`. Jobs that it cannot do are named by their ids."""
        numbers = frozenset(self._number[job_id] for job_id in unable)
        self._placement.join(name, places=places, most=most, unable=numbers, speed=speed)

    def leave(self, name: str) -> None:
        """Give a server nothing more."""
        self._placement.leave(name)

    def limit(self, name: str, places: int) -> None:
        """Change how many submissions a server holds at a time."""
        self._placement.limit(name, places)

    def order(self, names: Iterable[str]) -> list[str]:
        """Return servers in the order in which they are to be given work."""
        return self._placement.order(names)

    def next(self, name: str, now: float) -> list[Draft]:
        """Return the jobs of the submission that a server is to be given now; none where there is none for it."""
        return [self._drafts[number] for number in self._placement.next(name, now)]

    def posted(self, name: str, key: str, job_ids: Iterable[str], now: float) -> None:
        """Note that a server has a submission; jobs that this run does not know are no matter."""
        numbers = [self._number[job_id] for job_id in job_ids if job_id in self._number]
        if numbers:
            self._placement.posted(name, key, numbers, now)

    def landed(self, name: str, key: str, now: float, *, measured: bool) -> None:
        """Note that a server does not have a submission any more; `measured` if its time tells how fast the server is."""
        self._placement.landed(name, key, now, measured=measured)

    def put_back(self, job_id: str, *, last: bool = False) -> None:
        """Have a job wait again, before all others or after them; one that this run does not know is no matter."""
        if job_id in self._number:
            self._placement.put_back([self._number[job_id]], last=last)

    def remove(self, job_id: str) -> bool:
        """Take a job out; return whether it waited."""
        return job_id in self._number and self._placement.remove(self._number[job_id])

    def avoid(self, job_id: str, name: str) -> None:
        """Rather give a job to other servers than this one."""
        self._placement.avoid(self._number[job_id], name)

    def refuse(self, job_id: str, name: str, absent: Collection[str]) -> bool:
        """Give a job to this server no more; return whether any other can do it, or might be able to once it answers.

        Args:
            job_id: The job.
            name: The server.
            absent: The servers that are waited for.
        """
        number = self._number[job_id]
        self._placement.refuse(number, name)
        return self._placement.others_can(number, absent)
