"""The part of a plan for several servers, as people read it: a row for each server, and what the split costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from comfy_runner.cli.formatting import folded_table
from comfy_runner.wording import counted, duration

if TYPE_CHECKING:
    from comfy_runner.planning.summary import PlanSummary, ServerShare

_LONGEST = 20
_NUMBERS = ("jobs", "loads", "first", "second", "work", "done in")


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return names of servers as they fit into a column: without what they begin with as URLs, long ones without their middle.

    Where two would look alike so, all stay whole.
    """
    short = {name: _short(name) for name in names}
    return short if len(set(short.values())) == len(short) else {name: name for name in names}


def fleet_lines(summary: PlanSummary) -> Iterator[str]:
    """Yield the table of servers, then sentences on all of them together."""
    columns = [("server", False), *((name, True) for name in _NUMBERS)]
    yield from folded_table(columns, (_cells(share) for share in summary.fleet))
    yield ""
    yield _together(summary)
    for share in summary.fleet:
        if share.cache == "none" and share.jobs:
            yield f"{share.name} caches nothing: jobs that share a first pass go there as one graph"
        if share.queued:
            yield f"{share.name} has {counted(share.queued, 'prompt')} in its queue now"


def _short(name: str) -> str:
    bare = name.removeprefix("http://").removeprefix("https://")
    half = _LONGEST // 2
    return bare if len(bare) <= _LONGEST else f"{bare[: half - 1]}…{bare[-half:]}"


def _cells(share: ServerShare) -> Sequence[str]:
    done = "" if not share.jobs else "?" if share.seconds is None else duration(share.seconds)
    counts = (len(share.jobs), share.loads, share.first, share.second)
    return (share.name, *map(str, counts), f"{share.work:.1f}", done)


def _together(summary: PlanSummary) -> str:
    loads = max(0, sum(share.loads for share in summary.fleet) - summary.needed.loads)
    first = max(0, sum(share.first for share in summary.fleet) - summary.needed.first)
    more = [counted(loads, "model load")] if loads else []
    more += [counted(first, "first pass", "es")] if first else []
    said = f"{' and '.join(more) or 'no model load and no first pass'} more than one server would need"
    known = [share.seconds for share in summary.fleet if share.seconds is not None]
    time = f"about {duration(max(known))} with these servers, " if known else ""
    split = f"; {counted(summary.splits, 'group')} split" if summary.splits else ""
    return time + said + split
