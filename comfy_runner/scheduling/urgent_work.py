"""Which work only few servers can do and must not be put off, or it would be done after all the rest."""

from __future__ import annotations

from comfy_runner.scheduling.backlog import Backlog
from comfy_runner.scheduling.eligibility import Kind
from comfy_runner.scheduling.server_load import Outlook

_URGENT = 0.9  # of the time that all the work takes


def urgent_kinds(backlog: Backlog, name: str, outlook: Outlook) -> frozenset[int]:
    """Return which kinds of jobs a server is to do before all others, by `Kind.unable`; none where every server can do all.

    No work can be done before those who can do it, and nothing else, would be done with it.

    Args:
        backlog: The work.
        name: The server.
        outlook: When everybody would be done.
    """
    left: dict[int, float] = {}
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
