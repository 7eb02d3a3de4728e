"""``comfy-runner plan``: what a run would do, as a table and some sentences, or as JSON (docs/plan.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.byte_sizes import told_size
from comfy_runner.cli.find import plan_line
from comfy_runner.cli.formatting import folded_table, short_names
from comfy_runner.cli.json_records import DIGITS, to_json
from comfy_runner.cli.options import NamedServers, json_option, run_options
from comfy_runner.cli.output import print_json, print_lines, print_notes, say
from comfy_runner.errors import InputError
from comfy_runner.graph.prices import dollars
from comfy_runner.wording import GIB, counted, duration

if TYPE_CHECKING:
    from comfy_runner.api import FindPlan
    from comfy_runner.config import Config, ServerConfig
    from comfy_runner.graph.decoding import DecodeMemory
    from comfy_runner.graph.prices import Price
    from comfy_runner.planning.duplicates import Duplicates
    from comfy_runner.planning.estimate import Estimate
    from comfy_runner.planning.summary import Deal, PlannedRow, PlanSummary, RowState, ServerShare, ShardShare

VERSION = 1
"""Of the JSON object: names and meanings never change within a version; new keys may come, which readers ignore."""

_MOST_ROWS = 40
_MOST_KINDS = 5
_FLEET_COLUMNS = (("server", False), *((name, True) for name in ("jobs", "loads", "first", "second", "work", "done in")))
_SHARD_COLUMNS = (("", False), *((name, True) for name in ("shard", "jobs", "loads", "first", "second", "work")))

_STATES: tuple[tuple[RowState, str], ...] = (
    ("to render", "to render"),
    ("shares", "with the same picture as another"),
    ("submitted", "already on a server"),
    ("done", "already done"),
)


@click.command()
@run_options
@click.option("--all", "everything", is_flag=True, help=f"Show all jobs, not {_MOST_ROWS} at most.")
@json_option("Print one JSON object on stdout (docs/plan.md).")
def plan(recipes: tuple[str, ...], *, servers: NamedServers, everything: bool, as_json: bool, **given: Any) -> None:
    """Show what a run would do, in which order, and what it would cost; nothing is rendered or written.

    RECIPE is as for run. With --server, the jobs are checked against what that server has, too; with several, the plan says who
    would do what, and when it would be done.
    """
    from comfy_runner import api

    chosen = servers.fleet() if servers.names else None
    summary = api.plan(recipes, server=chosen, config=servers.config, say=say, **given)
    search = _search(recipes[0], chosen, servers.config, given) if summary.is_searched else None
    show(summary, as_json=as_json, everything=everything, search=search)
    if chosen is None and not as_json:
        say(servers.unasked)


def _search(recipe: str, server: Sequence[ServerConfig] | None, config: Config, given: Mapping[str, Any]) -> FindPlan | None:
    """Return what `find` would have before it with a recipe that says what to search for; None where it would refuse that."""
    from comfy_runner import api

    options = {name: given[name] for name in ("out", "sets", "sweeps", "templates")}
    with suppress(InputError):  # what is to be swept is what is to be searched: `find` says so
        return api.plan_find(recipe, server=server, config=config, **options)
    return None


def show(
    summary: PlanSummary,
    *,
    as_json: bool = False,
    everything: bool = False,
    quiet: bool = False,
    search: FindPlan | None = None,
) -> None:
    """Print a plan on stdout, and its notes on stderr.

    Args:
        summary: The plan.
        as_json: Whether as one JSON object.
        everything: Whether all jobs are shown to people.
        quiet: Whether the notes are left out.
        search: What `find` would have before it; None for nothing.
    """
    if not quiet:
        print_notes(summary.notes)
    if as_json:
        print_json({**_plan_record(summary), "find": None if search is None else to_json(search)})
        return
    rows = summary.jobs if everything else summary.jobs[:_MOST_ROWS]
    more = [f"and {len(summary.jobs) - len(rows)} more (--all shows them)"] if len(rows) < len(summary.jobs) else []
    fleet = ["", *_fleet(summary)] if summary.fleet and summary.count("to render") else []
    shards = ["", *_shards(summary.deal)] if summary.deal is not None else []
    found = [f"comfy-runner find instead: {plan_line(search)}"] if search is not None else []
    print_lines([*_table(rows), *more, "", *_totals(summary), *fleet, *shards, *found])


def _table(rows: Sequence[PlannedRow]) -> list[str]:
    positions = {row.job_id: row.position for row in rows if row.position is not None}
    servers = short_names(list(dict.fromkeys(row.server for row in rows if row.server)))
    columns: list[tuple[str, bool, Callable[[PlannedRow], str]]] = [
        ("#", True, lambda row: str(row.position or "")),
        ("job", False, lambda row: row.job_id),
    ]
    if any(row.second for row in rows):
        columns += [
            ("denoise", True, lambda row: "\n".join(_denoise(second.denoise) for second in row.second)),
            ("steps", True, lambda row: "\n".join(f"{second.steps}/{second.schedule_steps}" for second in row.second)),
            ("sigma", True, lambda row: "\n".join(_sigma(second.start_sigma) for second in row.second)),
        ]
    columns += [
        ("work", True, lambda row: f"{row.work:.1f}" if row.position else ""),
        *([("price", True, lambda row: str(row.price or ""))] if any(row.price for row in rows) else []),
        *([("server", False, lambda row: servers.get(row.server, ""))] if any(servers) else []),
        ("state", False, lambda row: _state(row, positions)),
    ]
    return folded_table(
        [(name, is_number) for name, is_number, _ in columns], ([cell(row) for _, _, cell in columns] for row in rows)
    )


def _denoise(denoise: float) -> str:
    return f"{denoise:.2f}" if round(denoise, 2) == denoise else f"{denoise:.4g}"


def _sigma(sigma: float | None) -> str:
    return "?" if sigma is None else f"{sigma:.2f}"


def _state(row: PlannedRow, positions: dict[str, int]) -> str:
    if row.state == "shares":
        return f"shares {positions.get(row.shares, row.shares)}"
    return f"again: {row.again}" if row.again else row.state


def _totals(summary: PlanSummary) -> Iterator[str]:
    jobs, to_render = len(summary.jobs), summary.count("to render")
    parts = [f"{summary.count(state)} {words}" for state, words in _STATES if summary.count(state)]
    told = f" ({', '.join(parts)})" if to_render < jobs else ""
    yield f"{counted(jobs, 'job')}{told}: {_passes(summary) if to_render else 'nothing to render'}"
    if summary.time:
        yield _time(summary.time) + (", if it did everything" if summary.fleet else "")
    if summary.disk:
        yield f"the pictures take {told_size(summary.disk)} at most"
    if to_render:
        yield _cost(summary)
    if summary.price:
        yield _price(summary.price, summary.spent)
    yield from _same(summary.duplicates)
    if summary.cache == "none" and to_render and not summary.fleet:
        yield f"the server caches nothing: {counted(summary.graphs, 'graph')}, each for jobs that share a first pass"
    if summary.memory:
        yield _memory(summary.memory, several=bool(summary.fleet))


def _passes(summary: PlanSummary) -> str:
    needed, given = summary.needed, summary.as_given
    second = counted(needed.second, "second pass", "second passes")
    said = f"{counted(needed.loads, 'model load')}, {needed.first} first and {second}"
    sums = (given.loads, given.first, given.second)
    better = sums != (needed.loads, needed.first, needed.second)
    return said + (f"; the recipe's order would need {', '.join(map(str, sums))}" if better else "")


def _cost(summary: PlanSummary) -> str:
    needed, given, unshared = (round(passes.weighted) for passes in (summary.needed, summary.as_given, summary.unshared))
    others = [f"{given} in the recipe's order"] if given != needed else []
    others += [f"{unshared} without a cache"] if unshared not in (needed, given) else []
    return counted(needed, "weighted step") + (f" ({', '.join(others)})" if others else "")


def _price(price: Price, spent: float) -> str:
    known = str(replace(price, unknown=()))
    told = f"{known}, and what is not known of {', '.join(price.unknown)}" if price.unknown else known
    return f"paid services cost {told}" + (f"; {dollars(spent)} was spent before" if spent else "")


def _same(groups: Sequence[Duplicates]) -> Iterator[str]:
    kinds: dict[str, list[Duplicates]] = {}
    for group in groups:
        kinds.setdefault(group.why, []).append(group)
    for why, alike in list(kinds.items())[:_MOST_KINDS]:
        first, second, *more = alike[0].job_ids
        example = f"{first} and {second}" if not more else f"{first}, {second} and {len(more)} more"
        times = counted(len(alike), "time")
        said = f"{example} give the same pixels" if len(alike) == 1 else f"{times} the same pixels, such as {example}"
        yield said + (f": {why}" if why else "")
    if len(kinds) > _MOST_KINDS:
        yield f"and {counted(sum(map(len, list(kinds.values())[_MOST_KINDS:])), 'more time')} the same pixels"


def _memory(memory: DecodeMemory, *, several: bool) -> str:
    tiles = " in tiles" if memory.tiled else ""
    who = "the server with the least" if several else "the server"
    has = f", {who} has {memory.vram_total / GIB:.1f} GiB" if memory.vram_total else ""
    return f"decoding {memory.picture}{tiles} takes about {memory.bytes_needed / GIB:.1f} GiB of GPU memory{has}"


def _time(time: Estimate) -> str:
    if time.guessed_by:
        return f"perhaps {duration(time.seconds)} on {time.server} (a guess, by published figures of the {time.guessed_by})"
    return f"about {duration(time.seconds)} on {time.server} (from {counted(time.jobs, 'earlier job')})"


def _fleet(summary: PlanSummary) -> Iterator[str]:
    """Yield the table of servers, then sentences on all of them together."""
    yield from folded_table(_FLEET_COLUMNS, (_cells(share) for share in summary.fleet))
    yield ""
    yield _together(summary)
    for share in summary.fleet:
        if share.cache == "none" and share.jobs:
            yield f"{share.name} caches nothing: jobs that share a first pass are sent there as one graph"
        if share.queued:
            yield f"{share.name} has {counted(share.queued, 'prompt')} in its queue now"


def _cells(share: ServerShare) -> Sequence[str]:
    done = "" if not share.jobs else "?" if share.seconds is None else duration(share.seconds)
    counts = (len(share.jobs), share.loads, share.first, share.second)
    return (share.name, *map(str, counts), f"{share.work:.1f}", done)


def _together(summary: PlanSummary) -> str:
    loads, first = (sum(getattr(share, name) for share in summary.fleet) for name in ("loads", "first"))
    said = _more(loads - summary.needed.loads, first - summary.needed.first)
    known = [share.seconds for share in summary.fleet if share.seconds is not None]
    time = f"about {duration(max(known))} with these servers, " if known else ""
    split = f"; {counted(summary.splits, 'group')} split" if summary.splits else ""
    return time + said + split


def _more(loads: int, first: int) -> str:
    more = [counted(loads, "model load")] if loads > 0 else []
    more += [counted(first, "first pass", "first passes")] if first > 0 else []
    return f"{' and '.join(more) or 'no model load and no first pass'} more than one server would need"


def _shards(deal: Deal) -> Iterator[str]:
    """Yield the table of shards, then a sentence on all of them together."""

    def cells(share: ShardShare) -> Sequence[str]:
        needed = share.needed
        counts = (share.jobs, needed.loads, needed.first, needed.second)
        own = "▸" if share.index == deal.index else ""
        return (own, f"{share.index}/{len(deal.shards)}", *map(str, counts), f"{needed.weighted:.1f}")

    yield from folded_table(_SHARD_COLUMNS, map(cells, deal.shards))
    yield ""
    loads, first = (sum(getattr(share.needed, name) for share in deal.shards) for name in ("loads", "first"))
    yield f"all shards together: {_more(loads - deal.alone.loads, first - deal.alone.first)}"


def _plan_record(summary: PlanSummary) -> dict[str, Any]:
    found = {"v": VERSION, **to_json(summary, {**DIGITS, "seconds": 1, "low": 6, "high": 6, "spent": 6})}
    del found["is_searched"]  # what `find` would do is told in full
    if summary.memory is not None:
        found["memory"] |= found["memory"].pop("picture")
    return found
