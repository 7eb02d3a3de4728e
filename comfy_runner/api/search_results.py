"""What a search for the best value has before it, does and finds, as plain values; and the sentence that tells it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from comfy_runner.report.run_data import label
from comfy_runner.report.suggest import Limits, Sureness
from comfy_runner.wording import counted

_MOST_SAME: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FindPlan:
    """What a search has before it.

    Attributes:
        folder: The run folder.
        over: The fields with their values: numbers in ascending order, names as they are given. Of one field alone, the values
            that give different pictures.
        limits: What pictures may have at most, and what drift costs below that.
        combinations: How many combinations of these give different pictures.
        same: How many more there are that give the very pictures of one of these.
        series: How many series there are: combinations of all that is swept besides, such as seeds.
        done: How many jobs of these the run folder has already.
        most: The most jobs that are rendered.
    """

    folder: Path
    over: Mapping[str, tuple[Any, ...]]
    limits: Limits
    combinations: int
    same: int
    series: int
    done: int
    most: int

    @property
    def grid(self) -> int:
        """How many jobs a sweep of all values would render."""
        return self.combinations * self.series


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchStep:
    """A job of a search.

    Attributes:
        job_id: The job.
        values: Its values of the fields that are searched.
        detail: The real detail of its picture.
        drift: Its drift.
        allowed: Whether it keeps all limits and has no veto.
    """

    job_id: str
    values: Mapping[str, Any]
    detail: float
    drift: float
    allowed: bool

    @property
    def value(self) -> Any:
        """Its value of the first field, which is the only one where one is searched."""
        return next(iter(self.values.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search has found.

    Attributes:
        plan: What it had before it when it began this time.
        values: The values with the most detail within the limits, by field; empty where none are allowed.
        same: Other values that give the very same pictures.
        below: Of one field, the next smaller value that was rendered; None for none, and of several fields.
        above: The next larger one; likewise.
        above_is_out: Whether that one is ruled out: by a limit or a veto.
        second: The values of what is allowed, too, and has the most detail of all else; empty where there is nothing.
        second_detail: Its mean detail; None likewise.
        later: How many combinations were rendered first after these; none of them is better.
        detail: Mean detail at the values, over the series that were rendered; None without values.
        drift: Mean drift, likewise.
        spread: The largest drift there less the smallest; likewise.
        rendered_series: In how many series it was rendered.
        sureness: How likely the whole sweep would name this value, or the next one to it, or find no more detail: ``sure`` for 80 %
            and more, ``fairly sure`` for half. Of several fields, ``not sure`` where the search came to the most jobs that it may
            render.
        steps: The jobs that were rendered for it, by this or by earlier calls, in order.
    """

    plan: FindPlan
    values: Mapping[str, Any]
    same: tuple[Mapping[str, Any], ...]
    below: int | float | None
    above: int | float | None
    above_is_out: bool
    second: Mapping[str, Any]
    second_detail: float | None
    later: int
    detail: float | None
    drift: float | None
    spread: float | None
    rendered_series: int
    sureness: Sureness
    steps: tuple[SearchStep, ...]

    @property
    def value(self) -> Any:
        """The value of the first field, which is the only one where one is searched; None where none is allowed."""
        return next(iter(self.values.values()), None)


def setting(values: Mapping[str, Any]) -> str:
    """Return values as ``--set`` takes them, each behind one, on one line: ``upscale.denoise=0.55 upscale.method=area``."""
    return " ".join(shlex.quote(f"{field}={label(value)}") for field, value in values.items())


def line(found: SearchResult) -> str:
    """Return what a search has found, in one sentence or two."""
    plan = found.plan
    cost = f"{counted(len(found.steps), 'second pass', 'second passes')} of the {plan.grid} of the whole sweep"
    (field, *others) = plan.over
    if not found.values:
        what = "combination" if others else f"value of {field}"
        return f"no rendered {what} keeps the limits ({cost}; {found.sureness})"
    names = setting if others else _only
    what = setting(found.values) if others else f"{field} {_only(found.values)}"
    alike = [*map(names, found.same[:_MOST_SAME])]
    if more := found.same[_MOST_SAME:]:
        alike.append(f"{len(more)} more")
    same = f", as {' and '.join(alike)} would be" if alike else ""
    numbers = f"detail {found.detail:.2f}, drift {found.drift:.2f}"
    if found.rendered_series > 1:
        numbers += f" ± {(found.spread or 0) / 2:.2f} in {found.rendered_series} of {plan.series} series"
    near = _among_several(found) if others else _between(found)
    return f"{what}{same}: {numbers}; {', '.join(near) or 'no other value was rendered'}; {cost}; {found.sureness}"


def _only(values: Mapping[str, Any]) -> str:
    return label(next(iter(values.values())))


def _between(found: SearchResult) -> list[str]:
    near = [f"{label(value)} was also rendered" for value in (found.below,) if value is not None]
    if found.above is not None:
        near.append(f"{label(found.above)} is {'ruled out' if found.above_is_out else 'no better'}")
    return near


def _among_several(found: SearchResult) -> list[str]:
    later = f"none of the {counted(found.later, 'combination')} that came later is better"
    near = [later if found.later > 1 else "the one that came later is no better"] if found.later else []
    if found.second_detail is not None:
        more = found.second_detail > (found.detail or 0.0)
        told = (
            f"has as much detail ({found.second_detail:.2f}) and drifts more" if more else f"is next with {found.second_detail:.2f}"
        )
        near.append(f"{setting(found.second)} {told}")
    return near
