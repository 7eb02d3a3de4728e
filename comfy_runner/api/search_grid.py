"""The jobs of a search by their places: combinations of the searched fields' values by series."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, Final

from comfy_runner.errors import UsageError
from comfy_runner.graph.literals import is_number
from comfy_runner.recipe.sweep.expand import Variant
from comfy_runner.report.run_data import DENOISE, key
from comfy_runner.search.curves import Trial
from comfy_runner.search.space import Combination, Dimension, Space
from comfy_runner.wording import counted

_MOST_PLACES: Final = 20_000
_MOST_VALUES: Final = 1000

Look = Callable[[Sequence[Variant]], tuple[Mapping[str, str], Collection[str]]]
"""Returns what the pictures of jobs depend on, by the jobs' ids, and which of them are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchGrid:
    """Where the jobs of a search stand.

    Combinations whose pictures are the very same are one, with one number from 0. Where something of them is done, it is meant.

    Attributes:
        over: What is searched: the fields with their values; of one field alone those that give different pictures.
        values: All values of each field, which combinations mean by their places.
        points: The combination of each number.
        same: For each number, the other values that give its very pictures.
        numbers: The number of each combination that can be asked for.
        series: What tells each series from the others, as a text.
        jobs: The job at each place.
    """

    over: Mapping[str, tuple[Any, ...]]
    values: Mapping[str, tuple[Any, ...]]
    points: tuple[Combination, ...]
    same: tuple[tuple[Mapping[str, Any], ...], ...]
    numbers: Mapping[Combination, int]
    series: tuple[str, ...]
    jobs: Mapping[Trial, Variant]

    @property
    def combinations(self) -> int:
        """How many combinations with different pictures can be asked for."""
        return len({*self.numbers.values()})

    def named(self, number: int) -> dict[str, Any]:
        """Return the values of a combination by field."""
        return _named(self.values, self.points[number])

    def space(self, *, seed: int, shares: Mapping[str, Hashable]) -> Space:
        """Return what a search over several fields asks of.

        Args:
            seed: What chance begins with.
            shares: What is equal for jobs that share their first pass, by id.
        """
        return Space(
            dimensions=tuple(
                Dimension(values=len(values), is_ordered=all(map(is_number, values)), grows=field == DENOISE)
                for field, values in self.values.items()
            ),
            numbers=self.numbers,
            points=self.points,
            series=len(self.series),
            seed=seed,
            shares={place: shares[variant.job_id] for place, variant in self.jobs.items()},
        )


def search_grid(
    variants: Sequence[Variant],
    wanted: Mapping[str, tuple[Any, ...]],
    beside: Mapping[str, Collection[int | float]],
    known: Collection[str],
    look: Look,
) -> SearchGrid:
    """Return where the jobs of a search stand.

    Args:
        variants: The jobs, also those beside the search.
        wanted: The values that are searched, by field.
        beside: Other values of jobs in the run folder, by field.
        known: The ids of these jobs.
        look: Tells of jobs what they are.

    Raises:
        UsageError: The fields depend on what is swept besides, there are too many jobs, or all pictures are the same.
    """
    values = {field: _with_inner(found, beside[field]) for field, found in wanted.items()}
    places = {field: {key(value): place for place, value in enumerate(found)} for field, found in values.items()}
    by_series: dict[str, dict[Combination, Variant]] = {}
    for variant in variants:
        point = variant.assignments
        found_at = [places[field].get(key(point.pop(field, None))) for field in wanted]
        combination = tuple(place for place in found_at if place is not None)
        if len(combination) == len(found_at):
            by_series.setdefault(key(point), {})[combination] = variant
    grid = {*product(*([places[field][key(value)] for value in found] for field, found in wanted.items()))}
    if any(at not in jobs for jobs in by_series.values() for at in grid):
        hint = "remove it from zip, exclude and include"
        raise UsageError("must not depend on the rest of the sweep", where=", ".join(wanted), hint=hint)
    refuse_many([len(found) for found in wanted.values()], series=len(by_series))
    # What was rendered between the values that are searched counts, too.
    between = {at for jobs in by_series.values() for at, variant in jobs.items() if variant.job_id in known}
    points = sorted(grid | {at for at in between if all(at in jobs for jobs in by_series.values())})
    here = {jobs[at].job_id for jobs in by_series.values() for at in points}
    pixels, done = look([variant for variant in variants if variant.job_id in here or variant.job_id in known])
    alike: dict[tuple[str, ...], list[Combination]] = {}
    for at in points:
        alike.setdefault(tuple(pixels[jobs[at].job_id] for jobs in by_series.values()), []).append(at)
    groups = sorted(
        (next((at for at in group if any(jobs[at].job_id in done for jobs in by_series.values())), group[0]), group)
        for group in alike.values()
    )
    if len(groups) < 2:
        raise UsageError("all values give the same picture", where="--over")
    is_one = len(wanted) == 1
    first = next(iter(wanted))
    return SearchGrid(
        over={first: tuple(values[first][at] for (at,), _ in groups)} if is_one else wanted,
        values=values,
        points=tuple(at for at, _ in groups),
        same=tuple(tuple(_named(values, other) for other in group if other != at) for at, group in groups),
        # Of one field, what was rendered between its values is searched, too.
        numbers={at: number for number, (_, group) in enumerate(groups) for at in group if is_one or at in grid},
        series=tuple(by_series),
        jobs={(number, which): jobs[at] for number, (at, _) in enumerate(groups) for which, jobs in enumerate(by_series.values())},
    )


def _named(values: Mapping[str, tuple[Any, ...]], at: Combination) -> dict[str, Any]:
    return {field: found[place] for (field, found), place in zip(values.items(), at, strict=True)}


def _with_inner(values: tuple[Any, ...], others: Collection[int | float]) -> tuple[Any, ...]:
    return tuple(sorted({*values, *(value for value in others if values[0] < value < values[-1])})) if others else values


def refuse_many(values: Sequence[int], *, series: int = 1) -> None:
    """Make sure that a search does not have to think of too many values, or jobs, at each step.

    Args:
        values: How many values each field has.
        series: How many series there are.

    Raises:
        UsageError: There are too many.
    """
    jobs = prod(values) * series
    for what, count, most in (("value", max(values), _MOST_VALUES), ("job", jobs, _MOST_PLACES)):
        if count > most:
            hint = "a larger --tolerance, a step (0.3:0.8:0.05) or a list makes fewer"
            raise UsageError(f"makes {counted(count, what)}, and at most {most} are possible", where="--over", hint=hint)


def values_beside(wanted: Mapping[str, Sequence[Any]], jobs: Sequence[Mapping[str, Any]]) -> dict[str, list[int | float]]:
    """Return the values of jobs that differ from those that are searched, for each field of numbers.

    Args:
        wanted: The values that are searched, by field.
        jobs: The values of each job by field.
    """
    found: dict[str, list[int | float]] = {}
    for field, values in wanted.items():
        others: Iterable[Any] = dict.fromkeys(job.get(field) for job in jobs if is_number(job.get(field)))
        found[field] = [value for value in others if value not in values] if all(map(is_number, values)) else []
    many = prod(len(values) + len(found[field]) for field, values in wanted.items()) > _MOST_PLACES
    return {field: [] for field in wanted} if many else found
