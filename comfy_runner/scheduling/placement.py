"""Who does what next: whole groups to one server, split only near the end. The books; what is chosen is decided in `offers`.

A server that has a free place asks with `Placement.next`; what it gets it does. The rules, in this order:

1. What a server has begun it goes on with; a group stays together, for its first pass is in that server's cache.
2. Work that only few servers can do comes first for these, where it would otherwise end after all the rest.
3. The group that follows in the plan's order, as long as it needs the same models.
4. Models that nobody works with, the largest pool first: somebody has to load them anyway.
5. Models that others work with, if the group is done sooner so than by them alone, with the load that it costs.
6. A part off the end of what others would take, or one has taken, such that both are done at the same time.

What was put back goes to the server that has done the rest of its group, if that is done with it as soon as any other one. A
server that is so slow, or so full, that the others would be done with everything before it was done with one job more, gets none.
All times are estimates from measured speeds; where none is known, servers are as fast as the median of the others. The moments are
the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence

from comfy_runner.scheduling.backlog import Backlog
from comfy_runner.scheduling.offers import Choosing, Offer, alone
from comfy_runner.scheduling.server_load import InFlight, Outlook, Rates, ServerLoad, Speed

_MOMENT = 0.01  # seconds, for which it looks the same as long as nothing lands


class Placement:
    """The work of one run and the servers that it is for.

    Args:
        backlog: The work.
    """

    def __init__(self, backlog: Backlog) -> None:
        self._backlog, self._abilities = backlog, backlog.abilities
        self._servers: dict[str, ServerLoad] = {}
        self._rates = Rates()
        self._outlook: Outlook | None = None
        self._left_by: dict[int, str] = {}
        self._taker: dict[int, str] = {}
        self._parted: set[int] = set()
        self._split: set[int] = set()
        self.parts = 0
        """How often a server took a part of a group so that the run ends earlier; a group may be divided again and again."""

    # Servers

    def join(
        self, name: str, *, places: int = 2, most: int = 1, unable: Collection[int] = frozenset(), speed: float | None = None
    ) -> None:
        """Let a server take part, or take part again: its memory is new then, what is known of its speed is kept.

        Args:
            name: Its name.
            places: How many submissions it holds at a time, at least 1.
            most: How many jobs of a group may go into one submission, at least 1.
            unable: The jobs that it cannot do.
            speed: What is known of its speed, weighted steps per second; None for nothing.
        """
        known = self._servers.get(name)
        if known:
            self._give_up(known)
        in_flight = known.in_flight if known else InFlight()
        self._servers[name] = ServerLoad(name, places, most, known.speed if known else Speed(speed), in_flight=in_flight)
        self._rates.note(self._servers[name])
        self._abilities.know(name, unable)
        self._count_on()

    def leave(self, name: str) -> None:
        """Give a server nothing more, and take back what it has not begun; what it has goes on until it has `landed`."""
        server = self._servers[name]
        server.open = False
        self._give_up(server)
        self._count_on()

    def limit(self, name: str, places: int) -> None:
        """Change how many submissions a server holds at a time; with none, others do what it has taken."""
        server = self._servers[name]
        server.places = places
        if not server.takes_part:
            self._give_up(server)
        self._count_on()

    # Work

    def next(self, name: str, now: float) -> tuple[int, ...]:
        """Return the jobs of the submission that a server is to be given now; none where there is none for it.

        Jobs that are returned are not waiting any more: they are to be `posted`, to be `put_back`, or have ended.

        Args:
            name: The server.
            now: The time in seconds, of any monotonic clock.
        """
        server = self._servers[name]
        if not server.takes_part or len(server.in_flight) >= server.places:
            return ()
        outlook = self._look(now)
        if len(outlook.servers) == 1:
            self._go_on_alone(server)
            return self._next_submission(server)
        self._take_up_again(server)
        choosing = Choosing(self._backlog, server, outlook)
        if server.portion is not None and choosing.is_better_elsewhere(server.portion.jobs[0]):
            # What is all there again is divided by nobody who takes it.
            if not self._backlog.is_whole(server.portion):
                self._left_by[server.portion.group] = name
            self._give_up(server, last=True)
        if server.portion is None:
            offer = next((offer for offer in choosing.offers() if not choosing.is_better_elsewhere(offer.first)), None)
            if offer is None:
                return ()
            self._accept(server, offer)
        return self._next_submission(server)

    def posted(self, name: str, key: str, jobs: Sequence[int], now: float) -> None:
        """Note that a server has a submission.

        Args:
            name: The server.
            key: The submission's key.
            jobs: Its jobs, at least one; also such as were never waiting.
            now: As for `next`.
        """
        server = self._servers[name]
        results = self._backlog.results(jobs)
        work = sum(map(self._backlog.costs.cost, results.difference(server.cached)))
        server.in_flight.begin(key, work, now)
        self._changed(server)
        server.cached = frozenset() if server.most > 1 else results
        server.pool = self._backlog.pool_of(jobs[-1])
        server.last = self._backlog.group_of[jobs[-1]]

    def landed(self, name: str, key: str, now: float, *, measured: bool = True) -> None:
        """Note that a server does not have a submission any more.

        Args:
            name: The server.
            key: The submission's key; one that is not known is ignored.
            now: As for `next`.
            measured: Whether the time that it took tells how fast the server is.
        """
        server = self._servers[name]
        if key in server.in_flight.work:
            work, seconds = server.in_flight.end(key, now)
            self._outlook = None
            if measured:
                server.speed.saw(work, seconds)
                self._rates.note(server)

    def put_back(self, jobs: Iterable[int], *, last: bool = False) -> None:
        """Have jobs wait again, before all others of their pool, or after them."""
        self._backlog.put_back(jobs, last=last)

    def avoid(self, job: int, name: str) -> None:
        """Give a job to other servers than this one, as long as one of them can do it."""
        self._know(job, name, self._abilities.avoid)

    def refuse(self, job: int, name: str) -> None:
        """Give a job to this server no more, even if it has to wait for another one."""
        self._know(job, name, self._abilities.refuse)

    def remove(self, job: int) -> bool:
        """Take a job out; return whether it waited."""
        for server in self._servers.values():
            if server.portion is not None and job in server.portion.jobs:
                self._cut(server, [job])
                return True
        return self._backlog.remove(job) is not None

    @property
    def splits(self) -> int:
        """Return how many groups several servers were given jobs of so that the run ends earlier."""
        return len(self._split)

    @property
    def waits(self) -> bool:
        """Return whether any job waits."""
        return bool(self._backlog) or any(server.portion for server in self._servers.values())

    def ahead(self, name: str) -> tuple[int, ...]:
        """Return the jobs that a server has taken and not begun; they wait, and others may still get them."""
        portion = self._servers[name].portion
        return tuple(portion.jobs) if portion else ()

    def order(self, names: Iterable[str]) -> list[str]:
        """Return servers in the order in which they are to ask for work: those with the least to do first, then the fastest."""
        found = [self._servers[name] for name in names]
        return [server.name for server in sorted(found, key=lambda server: (len(server.in_flight), -self._rates[server.name]))]

    def others_can(self, job: int, absent: Collection[str] = ()) -> bool:
        """Return whether any server can do a job and need not be avoided.

        Args:
            job: The job.
            absent: Those that get no work now, and are waited for; of one that never took part nobody knows, so that it might.
        """
        names = {name for name, server in self._servers.items() if server.open}.union(absent) - self._abilities.kind(job).avoided
        return any(name not in self._servers or self._abilities.can(name, job) for name in names)

    def speed(self, name: str, now: float | None = None) -> float:
        """Return how fast a server is reckoned to be, weighted steps per second; at a moment, for one that is late is slower."""
        if now is None:
            return self._rates[name]
        return self._look(now).rate(self._servers[name])

    # Books

    def _look(self, now: float) -> Outlook:
        """Return how it looks at a moment."""
        if self._outlook is None or not 0 <= now - self._outlook.now < _MOMENT:
            present = [server for server in self._servers.values() if server.takes_part]
            self._outlook = Outlook(self._backlog, present, self._rates, now)
        return self._outlook

    def _know(self, job: int, name: str, note: Callable[[int, str], None]) -> None:
        """Note something of a job, wherever it is, which makes it one of another kind."""
        portion = self._backlog.remove(job)
        note(job, name)
        if portion is not None:
            self._backlog.put_back([job], last=portion.last)

    def _changed(self, server: ServerLoad) -> None:
        if self._outlook is not None:
            self._outlook.forget(server.name)

    def _count_on(self) -> None:
        self._outlook = None
        self._abilities.count_on(name for name, server in self._servers.items() if server.takes_part)
        for server in self._servers.values():
            if server.portion is not None:
                # Somebody may be there now who need not be avoided.
                jobs = [job for job in server.portion.jobs if server.name not in self._abilities.may(self._abilities.kind(job))]
                if jobs:
                    self._cut(server, jobs)
                    self._backlog.put_back(jobs)

    def _give_up(self, server: ServerLoad, *, last: bool = False) -> None:
        """Have what a server has taken and not begun wait again, before all others of its pool or after them."""
        if server.portion is not None:
            self._backlog.put_back(server.portion.jobs, last=last)
            server.portion = None
            self._changed(server)

    def _go_on_alone(self, server: ServerLoad) -> None:
        """Have the only server go on with what it does, or with what was put back of what is before that in the plan's order."""
        portion, found = server.portion, alone(self._backlog, server)
        if found is None:
            return
        if portion is None:
            server.portion = self._backlog.take(found, server.name)
        elif found.group == portion.group and not found.last:
            self._take_up_again(server)
        elif found.group < portion.group and self._backlog.has_begun(found.group) and not found.last:
            self._give_up(server)
            server.portion = self._backlog.take(found, server.name)

    def _take_up_again(self, server: ServerLoad) -> None:
        """Have a server take what waits of the group that it does: its first pass is in the cache."""
        portion = server.portion
        if portion is not None and portion.group != server.last:
            return
        found = self._backlog.waiting_of(server.last, server.name)
        if found is None or found.last:
            return
        taken = self._backlog.take(found, server.name)
        server.portion = taken if portion is None else self._backlog.held(taken.group, [*portion.jobs, *taken.jobs])

    def _accept(self, server: ServerLoad, offer: Offer) -> None:
        """Have a server take what it is offered."""
        group = offer.portion.group
        if offer.jobs is not None or self._left_by.get(group, server.name) != server.name:
            self.parts += 1
            self._parted.add(group)
        if offer.jobs is None:
            self._left_by.pop(group, None)
            server.portion = self._backlog.take(offer.portion, server.name)
            return
        if offer.holder is None:
            server.portion = self._backlog.take_off(offer.portion, len(offer.jobs))
        else:
            self._cut(offer.holder, offer.jobs)
            server.portion = self._backlog.held(group, offer.jobs)

    def _cut(self, server: ServerLoad, jobs: Sequence[int]) -> None:
        """Take jobs out of what a server has taken."""
        if server.portion is not None:
            self._backlog.cut(server.portion, jobs)
            server.portion = server.portion if server.portion.jobs else None
            self._changed(server)

    def _next_submission(self, server: ServerLoad) -> tuple[int, ...]:
        """Take the next submission out of what a server has taken; none where that is nothing."""
        portion = server.portion
        if portion is None:
            return ()
        self._changed(server)
        if self._taker.setdefault(portion.group, server.name) != server.name and portion.group in self._parted:
            self._split.add(portion.group)
        # As equal as can be: each submission needs the first pass once more.
        submissions = math.ceil(len(portion.jobs) / server.most)
        jobs = tuple(portion.jobs.popleft() for _ in range(math.ceil(len(portion.jobs) / submissions)))
        portion.left -= sum([self._backlog.after[job] for job in jobs])
        if not portion.jobs:
            server.portion = None
        return jobs
