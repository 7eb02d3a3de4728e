"""What servers have of us: each submission from the moment in which it is posted, or sought, to its end.

Not here: what is done about its end (`coordinate`), and what becomes of it when its server is out of order (`trouble`).
"""

from __future__ import annotations

from collections.abc import Iterable

from comfy_runner.running.recovery import Inherited
from comfy_runner.running.results import Files
from comfy_runner.running.state import Flight
from comfy_runner.running.waiting import Queue
from comfy_runner.running.worker import Worker
from comfy_runner.running.workers import Roster


class Holdings:
    """The submissions that servers have, or may have.

    Args:
        roster: The servers.
        queue: The jobs that wait.
        inherited: What earlier processes have left.

    Attributes:
        flights: The submissions, by key, until their files are collected.
        active: The keys of those that a server is not done with.
        busy: How many jobs the collectors have been given and not reported yet.
    """

    def __init__(self, roster: Roster, queue: Queue, inherited: Inherited) -> None:
        self._roster, self._queue, self._inherited = roster, queue, inherited
        self.flights: dict[str, Flight] = {}
        self.active: set[str] = set()
        self.busy = 0

    @property
    def prompt_ids(self) -> list[str]:
        """Return what servers call the submissions that they have; may be asked from a signal handler."""
        return [flight.prompt_id for key in list(self.active) if (flight := self.flights.get(key)) is not None]

    def member_of(self, key: str) -> Worker:
        """Return the server of a submission."""
        return self._roster.members[self.flights[key].server]

    def begin(self, member: Worker, flight: Flight) -> None:
        """Note that a server was given a submission, or may have it."""
        key = flight.submission.prompt_id
        self.flights[key] = flight
        self.active.add(key)
        member.active.add(key)
        self._queue.posted(member.name, key, flight.submission.job_ids)

    def seek(self, member: Worker, key: str, server_prompt_id: str) -> None:
        """Have a server asked whether it has a submission, by the id that it chose itself, empty where it chose none."""
        self._inherited.sought.add(key)
        self.flights[key].attached = True
        member.engine.attach(self.flights[key].submission, server_prompt_id=server_prompt_id)

    def take_back(self, keys: Iterable[str]) -> None:
        """Take back prompts that nobody waits for."""
        for key in keys:
            self.member_of(key).engine.cancel([key])

    def landed(self, key: str) -> Flight:
        """The server has nothing more to do for a submission; its jobs will each be reported by the collectors."""
        flight = self.flights[key]
        flight.landed = True
        self._leave(key)
        self.busy += len(flight.waits_for)
        return flight

    def drop(self, key: str) -> Flight:
        """Return a submission that the server does not have any more, and forget it."""
        self._leave(key)
        return self.flights.pop(key)

    def _leave(self, key: str) -> None:
        flight = self.flights[key]
        self.active.discard(key)
        self._inherited.sought.discard(key)
        self._roster.members[flight.server].active.discard(key)
        self._queue.landed(flight.server, key, measured=False)

    def is_awaited(self, key: str) -> bool:
        """Return whether the run is not over before a submission has ended."""
        flight = self.flights[key]
        return bool(flight.waits_for) or self._roster.members[flight.server].stage == "up"

    def standing_of(self, job_id: str) -> Files:
        """Return the files of earlier runs that a job has which a server has now; none for others."""
        flying = (flight for flight in self.flights.values() if job_id in flight.waits_for)
        return next((flight.standing[job_id] for flight in flying), {})
