"""What a server is to do next, of all that it can do: offers, the best one first. A function of values; nothing is taken here.

What happens to the offer that is taken is decided in `placement`; when anything would be done is estimated in `server`.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from comfy_runner.scheduling.backlog import Backlog, Kind, Portion, Shelf
from comfy_runner.scheduling.server_load import Outlook, ServerLoad

_NEAR = 64  # groups on a shelf that are looked at one by one
_URGENT = 0.9  # of the time that all the work takes


@dataclass(frozen=True, slots=True)
class Offer:
    """Jobs that a server could begin with.

    Attributes:
        portion: Where they are.
        jobs: The jobs, where only some are meant; None for all that the server can do.
        holder: The server that has taken the portion; None where it waits.
    """

    portion: Portion
    jobs: tuple[int, ...] | None = None
    holder: ServerLoad | None = None

    @property
    def first(self) -> int:
        """Return the first job."""
        return self.jobs[0] if self.jobs else self.portion.jobs[0]


def alone(backlog: Backlog, server: ServerLoad) -> Portion | None:
    """Return what the only server is to do next: in each pool first things first; what was begun, then the plan's order."""
    pools: dict[int, Portion] = {}
    for shelf in backlog.shelves():
        if server.name in backlog.abilities.may(shelf.kind):
            first = next(iter(shelf.portions.values()))
            pools[shelf.pool] = min(pools.get(shelf.pool, first), first, key=lambda p: (p.last, *_rank(backlog, p)))
    return min(pools.values(), key=lambda portion: _rank(backlog, portion), default=None)


class Choosing:
    """The offers to one server.

    Args:
        backlog: The work.
        server: The server.
        outlook: When everybody would be done.
    """

    def __init__(self, backlog: Backlog, server: ServerLoad, outlook: Outlook) -> None:
        self._backlog, self._server, self._outlook = backlog, server, outlook
        self._may = backlog.abilities.may
        self._others = [other for other in outlook.servers.values() if other is not server]
        self._begin, self._own = outlook.begin(server), outlook.rate(server)
        self._all_done: dict[tuple[Kind, int], tuple[float, float]] = {}
        self._at_work: dict[tuple[Kind, int], Sequence[ServerLoad]] = {}

    def offers(self) -> Iterator[Offer]:
        """Yield what the server could do next, the best one first; only what would not be done sooner by others."""
        urgent = urgent_kinds(self._backlog, self._server.name, self._outlook)
        shelves = list(filter(self._fits, self._backlog.shelves()))
        first = [shelf for shelf in shelves if shelf.kind.unable in urgent]
        # A group is not even split for what is urgent as long as there is a whole one.
        for some in (first, shelves):
            yield from self._wholes(some)
        for some in (first, shelves):
            yield from self._parts(some)
        yield from self._off_the_end()

    # Whole groups

    def _wholes(self, shelves: Sequence[Shelf]) -> Iterator[Offer]:
        own = [shelf for shelf in shelves if shelf.pool == self._server.pool]
        following = self._following(own, shelves)
        # What was put back comes first, then what follows, then what is first in the plan's order.
        found = sorted(
            [*filter(None, map(self._first, own)), *following],
            key=lambda p: (p.last, not self._backlog.has_begun(p.group), p not in following, p.group),
        )
        yield from map(Offer, found)
        yield from self._others_on(own)
        yield from self._untouched([shelf for shelf in shelves if not self._workers(shelf)])
        yield from self._of_others([shelf for shelf in shelves if self._workers(shelf)])

    def _following(self, own: Sequence[Shelf], shelves: Sequence[Shelf]) -> list[Portion]:
        """Return what follows the last group in the plan's order, if no other group shares more with what is in the cache."""
        portion = self._backlog.waiting_of(self._server.last + 1, self._server.name)
        if portion is None or portion.last or portion.shelf not in shelves or self._backlog.has_begun(portion.group):
            return []
        more = self._outlook.more(self._server, portion.jobs[0])
        usual = 0.0 if own else self._backlog.loading(portion.pool, ())
        return [portion] if portion.shelf in own or more < usual else []

    def _untouched(self, shelves: Sequence[Shelf]) -> Iterator[Offer]:
        left: defaultdict[int, float] = defaultdict(float)
        for shelf in shelves:
            left[shelf.pool] += shelf.left
        ordered = sorted(shelves, key=lambda shelf: (-left[shelf.pool], shelf.pool))
        yield from map(Offer, filter(None, map(self._first, ordered)))
        yield from self._others_on(ordered)

    def _others_on(self, shelves: Iterable[Shelf]) -> Iterator[Offer]:
        """Yield groups that are begun quicker than the first choice, for which a server may have no time."""
        after = self._backlog.after
        for shelf in shelves:
            choice = self._first(shelf)
            if choice is None:
                continue
            for portion in itertools.islice(shelf.portions.values(), _NEAR):
                if after[portion.jobs[0]] < after[choice.jobs[0]] and not self._is_kept(portion):
                    yield Offer(portion)

    def _of_others(self, shelves: Iterable[Shelf]) -> Iterator[Offer]:
        """Yield groups that are done sooner so than by those alone who work at the same models."""
        for done, shelf in self._shared(shelves):
            if self._begin + shelf.least / self._own >= done:
                continue
            rest = done if len(shelf.portions) > 1 else self._done(self._workers(shelf), 0.0)
            for portion in itertools.islice(shelf.portions.values(), _NEAR):
                if self._begin + self._outlook.work(self._server, portion) / self._own < rest and not self._is_kept(portion):
                    yield Offer(portion)

    # Parts of groups

    def _parts(self, shelves: Iterable[Shelf]) -> Iterator[Offer]:
        """Yield ends of groups that nobody has begun, or not all of which."""
        for done, shelf in self._shared(shelves):
            speed = sum(map(self._outlook.rate, self._workers(shelf)))
            for portion in itertools.islice(reversed(shelf.portions.values()), _NEAR):
                if not self.is_better_elsewhere(portion.jobs[-1]) and not self._is_kept(portion):
                    count = self._share(reversed(portion.jobs), done, speed)
                    if count:
                        yield Offer(portion, tuple(portion.jobs)[-count:] if count < len(portion.jobs) else None)

    def _off_the_end(self) -> Iterator[Offer]:
        """Yield ends of what others have taken, first of what would be done last."""
        held = [(other, other.portion) for other in self._others if other.portion is not None]
        for done, other, portion in sorted(((self._outlook.end(o), o, p) for o, p in held), key=lambda item: -item[0]):
            if done <= self._begin:
                return
            fitting = (job for job in reversed(portion.jobs) if self._server.name in self._may(self._backlog.abilities.kind(job)))
            last = next(fitting, None)
            if last is not None and not self.is_better_elsewhere(last):
                jobs, counted = itertools.tee(itertools.chain([last], fitting))
                count = self._share(counted, done, self._outlook.rate(other))
                if count:
                    yield Offer(portion, tuple(itertools.islice(jobs, count))[::-1], other)

    def _share(self, jobs: Iterable[int], done: float, speed: float) -> int:
        """Return how many jobs, the last one first, the server should take of others, who would be done in `done` seconds."""
        more = self._outlook.more
        steps = ((self._backlog.after[job], more(self._server, job, count)) for count, job in enumerate(jobs, 1))
        return part(steps, begin=self._begin, own=self._own, theirs=done, speed=speed)

    # What others do

    def is_better_elsewhere(self, job: int) -> bool:
        """Return whether others would be done with all that waits before the server was done with this job."""
        outlook, backlog = self._outlook, self._backlog
        mine = self._begin + backlog.cost(job, self._server.cached) / self._own
        kind = backlog.abilities.kind(job)
        done, speed = self._others_done(kind, backlog.pool_of(job))
        if mine <= done or mine <= done + backlog.after[job] / speed:
            return False
        names = self._may(kind)
        return any(
            outlook.begin(other) + backlog.cost(job, other.cached) / outlook.rate(other) < mine
            for other in self._others
            if other.name in names
        )

    def _has_time(self, kind: Kind, pool: int) -> bool:
        """Return whether the server could do the least such job before others would be done with all and the largest one."""
        least, most = self._backlog.sizes[pool]
        if self._begin + least / self._own <= self._backlog.left / self._outlook.together:
            return True
        done, speed = self._others_done(kind, pool)
        if self._begin + least / self._own <= done + most / speed:
            return True
        # A job cannot be divided: nobody may be done with one sooner, however soon all would be done with the work.
        mine, *others = (
            self._outlook.begin(server) + (least + self._backlog.loading(pool, server.cached)) / self._outlook.rate(server)
            for server in (self._server, *self._others)
            if server is self._server or server.name in self._may(kind)
        )
        return all(other >= mine for other in others)

    def _others_done(self, kind: Kind, pool: int) -> tuple[float, float]:
        """Return in how many seconds others would be done with all that waits, and how fast the fastest of them is.

        Nobody can be done before all are, nor before those who can do what is like these jobs are done with that.
        """
        known = self._all_done.get((kind, pool))
        if known is None:
            known = self._all_done[kind, pool] = self._find_others_done(kind, pool)
        return known

    def _find_others_done(self, kind: Kind, pool: int) -> tuple[float, float]:
        outlook, backlog, names = self._outlook, self._backlog, self._may(kind)
        starts = outlook.starts(pool)
        able = [starts[other.name] for other in self._others if other.name in names]
        if not able:
            return float("inf"), 1.0
        held = sum([other.portion.left for other in outlook.servers.values() if other.portion])
        busy = [starts[other.name] for other in self._others if other.name not in names and other.in_flight.work]
        done = together([*able, *busy], backlog.left + held)
        if busy:
            done = max(done, together(able, sum(left for other, left in backlog.left_of.items() if self._may(other) <= names)))
        return done, max([rate for _, rate in able])

    def _shared(self, shelves: Iterable[Shelf]) -> list[tuple[float, Shelf]]:
        """Return when those who work at the same models would be done with what waits on each shelf, the last one first."""
        found = [(self._done(workers, shelf.left), shelf) for shelf in shelves if (workers := self._workers(shelf))]
        return sorted(found, key=lambda item: -item[0])

    def _workers(self, shelf: Shelf) -> Sequence[ServerLoad]:
        """Return the others that work at the models of a shelf and may get what is there."""
        found = self._at_work.get((shelf.kind, shelf.pool))
        if found is None:
            names = self._may(shelf.kind)
            found = [other for other in self._others if other.works_at == shelf.pool and other.name in names]
            self._at_work[shelf.kind, shelf.pool] = found
        return found

    def _done(self, workers: Iterable[ServerLoad], work: float) -> float:
        """Return in how many seconds those who work at some models would be done with all that they have, and more work."""
        outlook = self._outlook
        held = sum(outlook.work(other, other.portion) for other in workers if other.portion)
        return together([(outlook.begin(other), outlook.rate(other)) for other in workers], work + held)

    def _first(self, shelf: Shelf) -> Portion | None:
        """Return what is to be taken of a shelf: the first that is not kept, and rather not what follows for another server."""
        free = (portion for portion in shelf.portions.values() if not self._is_kept(portion))
        found = next(free, None)
        if found is None or not self._follows_elsewhere(found):
            return found
        return next((portion for portion in itertools.islice(free, _NEAR) if not self._follows_elsewhere(portion)), found)

    def _follows_elsewhere(self, portion: Portion) -> bool:
        """Return whether a group shares more with what is in the cache of another server, which has just done the one before it."""
        more, job = self._outlook.more, portion.jobs[0]
        mine: float | None = None
        for other in self._others:
            if other.last + 1 == portion.group and other.last >= 0:
                mine = more(self._server, job) if mine is None else mine
                if more(other, job) < mine:
                    return True
        return False

    def _is_kept(self, portion: Portion) -> bool:
        """Return whether a server that has done the rest of the group would be done with this at least as soon."""
        if portion.last or not self._backlog.has_begun(portion.group):
            return False
        names = self._may(self._backlog.abilities.kind(portion.jobs[0]))
        free = [other for other in self._others if other.portion is None or other.portion.group == portion.group]
        holders = [other for other in free if other.last == portion.group and other.name in names]
        if not holders:
            return False
        outlook = self._outlook
        mine = self._begin + outlook.work(self._server, portion) / self._own
        return any(outlook.end(other) + outlook.work(other, portion) / outlook.rate(other) <= mine for other in holders)

    def _fits(self, shelf: Shelf) -> bool:
        if self._server.name not in self._may(shelf.kind):
            return False
        # Of its last group all may be in its cache, and of the one that follows a first pass.
        near = ((last, group) for last in (False, True) for group in (self._server.last, self._server.last + 1))
        return self._has_time(shelf.kind, shelf.pool) or any(key in shelf.portions for key in near)


def _rank(backlog: Backlog, portion: Portion) -> tuple[bool, int]:
    return not backlog.has_begun(portion.group), portion.group


def urgent_kinds(backlog: Backlog, name: str, outlook: Outlook) -> frozenset[frozenset[str]]:
    """Return which kinds of jobs a server is to do before all others, by `Kind.unable`; none where every server can do all.

    No work can be done before those who can do it, and nothing else, would be done with it.

    Args:
        backlog: The work.
        name: The server.
        outlook: When everybody would be done.
    """
    left: dict[frozenset[str], float] = {}
    for kind, cost in backlog.left_of.items():
        left[kind.unable] = left.get(kind.unable, 0.0) + cost
    if not any(left):
        return frozenset()
    able = {unable: backlog.abilities.may(Kind(unable)) for unable in left}
    seconds: dict[frozenset[str], float] = {}
    for names in set(able.values()):
        if names:
            work = sum(cost for unable, cost in left.items() if able[unable] <= names)
            seconds[names] = work / sum(outlook.rate(outlook.servers[other]) for other in names)
    longest = max(seconds.values(), default=0.0)
    urgent = [unable for unable, names in able.items() if name in names and seconds[names] >= _URGENT * longest]
    fewest = min((len(able[unable]) for unable in urgent), default=0)
    return frozenset(unable for unable in urgent if len(able[unable]) == fewest) if fewest < len(outlook.servers) else frozenset()


# How servers share work so that all are done at the same time


def part(jobs: Iterable[tuple[float, float]], *, begin: float, own: float, theirs: float, speed: float) -> int:
    """Return how many jobs off the end of a sequence a second server should take; 0 where that ends nothing earlier.

    Args:
        jobs: The jobs, the last one first. For each, what it costs after its neighbour, and what the second server has to do more
            if it begins with it, such as loading models and a first pass; weighted steps.
        begin: Seconds until the second server can begin.
        own: Its speed, weighted steps per second.
        theirs: Seconds until the first one would be done with all of them.
        speed: The speed of the first one.
    """
    taken, count = 0.0, 0
    for number, (cost, extra) in enumerate(jobs, 1):
        taken += cost
        seconds = begin + (extra + taken) / own
        if seconds >= theirs or (count and seconds > theirs - taken / speed):
            break
        count = number
        if seconds > theirs - taken / speed:
            break  # the first job is worth it, even if the second server is done last
    return count


def together(servers: Iterable[tuple[float, float]], work: float) -> float:
    """Return in how many seconds servers would be done with work that can be divided as is best.

    Args:
        servers: For each, in how many seconds it can begin, and its speed in weighted steps per second; at least one.
        work: The work, weighted steps.
    """
    speed = seconds = 0.0
    for begin, more in sorted(servers):
        if speed * (begin - seconds) >= work and speed:
            break
        work -= speed * (begin - seconds)
        seconds, speed = begin, speed + more
    return seconds + work / speed
