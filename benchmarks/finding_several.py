"""How good a search over several fields is, on made-up surfaces, against the whole sweep of all combinations.

``python -m benchmarks.finding_several [SURFACES]`` prints for each space how often a search found as much detail as the whole
sweep, within 3 %: with at most 24 jobs, with at most a fifth of the sweep, and what Optuna's TPE alone and chance find with 24.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from functools import partial
from itertools import islice
from statistics import fmean

from comfy_runner.search.curves import Trial, Trials
from comfy_runner.search.path import follow
from comfy_runner.search.proposals import proposals
from comfy_runner.search.several_fields import next_places
from comfy_runner.search.space import Space
from tests.search.surfaces import SPACES, cases, quality

_JOBS = 24
_WITHIN = 0.97

_Ask = Callable[..., list[Trial]]


def _of_tpe(known: Trials, _is_late: bool, space: Space) -> list[Trial]:
    """Return what Optuna's TPE alone asks for: all series of what it proposes; what exceeds a limit is worse than all else."""
    series = range(space.series)
    measured = {number for number, _ in known}
    rows = {number: [known[number, which] for which in series] for number in measured}
    scores = {
        space.points[number]: fmean(-seen.reach if any(each.is_over for each in row) else seen.detail for seen in row)
        for number, row in rows.items()
    }
    numbers = (space.numbers[point] for point in islice(proposals(scores, space.dimensions, seed=space.seed + len(known)), 100))
    return [(number, which) for number in islice((n for n in numbers if n not in measured), 1) for which in series]


def _of_chance(known: Trials, _is_late: bool, space: Space) -> list[Trial]:
    left = sorted({*space.numbers.values()} - {number for number, _ in known})
    number = random.Random(space.seed + len(known)).choice(left)  # noqa: S311 - to be repeated, not to be secret
    return [(number, which) for which in range(space.series)]


def main(surfaces: int) -> None:
    """Print the table.

    Args:
        surfaces: How many surfaces of each of three shapes.
    """
    ways: dict[str, tuple[_Ask, int]] = {"find": (next_places, _JOBS), "TPE alone": (_of_tpe, _JOBS), "chance": (_of_chance, _JOBS)}
    print("| fields | series | whole sweep | jobs | as much detail | jobs of a fifth | as much | TPE alone | chance |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in SPACES:
        for series, spread in ((1, 0.0), (3, 0.06)):
            found: dict[str, list[float]] = {}
            jobs: dict[str, list[int]] = {}
            grid = 0
            for everything, space, fifth in cases(name, surfaces, series=series, spread=spread):
                grid = len(everything)
                for way, (ask, most) in {**ways, "fifth": (next_places, fifth)}.items():
                    end = follow({}, everything, values=len(space.points), series=series, most=most, ask=partial(ask, space=space))
                    share = quality(everything, space, end.choice)
                    if share is not None:
                        found.setdefault(way, []).append(share)
                    jobs.setdefault(way, []).append(len(end.steps))
            good = {way: f"{sum(share >= _WITHIN for share in shares)} of {len(shares)}" for way, shares in found.items()}
            cells = [f"{fmean(jobs['find']):.0f}", good["find"], f"{fmean(jobs['fifth']):.0f}", good["fifth"]]
            cells += [good["TPE alone"], good["chance"]]
            print(f"| {name} | {series} | {grid} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 10)
