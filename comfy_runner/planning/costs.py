"""What a plan costs where its jobs call paid services, and whether that is more than may be spent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from comfy_runner.engine.interface import NO_KEY
from comfy_runner.errors import Note, UsageError
from comfy_runner.graph.price_badge import HAS_JSONATA
from comfy_runner.graph.prices import Price, dollars, total
from comfy_runner.planning.capabilities import Capabilities
from comfy_runner.planning.draft import Draft
from comfy_runner.wording import counted

_OPTION = "--max-cost"
_SLACK = 1e-9
"""Sums of prices are not exact."""


def job_prices(drafts: Sequence[Draft], servers: Sequence[Capabilities]) -> dict[str, Price]:
    """Return what jobs cost that call paid services, by id, whichever of the servers that can do them does.

    Args:
        drafts: The jobs.
        servers: What each server can do.
    """
    found: dict[str, Price] = {}
    for server in servers:
        for draft in drafts if server.calls_paid else ():
            price = server.price(draft) if server.can(draft) else None
            if price is not None:
                known = found.get(draft.job_id)
                found[draft.job_id] = price if known is None else known.at_most(price)
    return found


def unpaid(drafts: Sequence[Draft], server: Capabilities, key_hint: str) -> Iterator[Note]:
    """Yield what a plan says where a run would refuse jobs, since there is no API key.

    Args:
        drafts: The jobs.
        server: What the server can do.
        key_hint: How it gets a key; empty where it has one.
    """
    count = sum(server.price(draft) is not None for draft in drafts) if key_hint and server.calls_paid else 0
    if count:
        jobs = counted(count, "job calls", "jobs call")
        yield Note(f"{jobs} paid services, for which there is no API key: {key_hint or NO_KEY}")


def refuse_costly(prices: Iterable[Price], *, spent: float, limit: float | None) -> None:
    """Make sure that jobs may be rendered.

    Args:
        prices: What each costs that is to be rendered and calls a paid service.
        spent: What was posted before costs at most, US dollars.
        limit: What may be spent in all; None for no limit.

    Raises:
        UsageError: They cost more, or it is not known what they cost.
    """
    refusal = spending_refusal(total(prices), spent=spent, limit=limit)
    if refusal is not None:
        raise refusal


def spending_refusal(price: Price, *, spent: float, limit: float | None) -> UsageError | None:
    """Return why something is not to be posted, for what it costs; None where it may be, as what costs nothing always may.

    Args:
        price: What it costs.
        spent: What was posted before costs at most, US dollars.
        limit: What may be spent in all; None for no limit.
    """
    if limit is None:
        return None
    if price.unknown:
        hint = f"leave the limit out, or these jobs: --skip{'' if HAS_JSONATA else '; some prices need pip install '}"
        if not HAS_JSONATA:
            hint += "'comfy-runner[prices]'"
        return UsageError(f"cannot be kept, for the price of {', '.join(price.unknown)} is not known", where=_OPTION, hint=hint)
    if price.high and not spent + price.high <= limit + _SLACK:  # so that a limit that is no number allows nothing
        before = f", and {dollars(spent)} was spent before" if spent else ""
        what = f"would be exceeded: this costs {price}{before} (got {dollars(limit)[1:]})"
        return UsageError(what, where=_OPTION, hint="allow more, or render fewer jobs: --only, --skip")
    return None
