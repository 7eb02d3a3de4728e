"""How often a search finds what a sweep of all values chooses, and what it costs: made-up curves of many kinds, thousands of them.

``python -m benchmarks.finding`` prints, for 9, 13, 26 and 40 values and noise of 0 to 2 %, in how many cases the value is the very
same (exact), or next to it, or has as much detail as can be seen (as good), and what share of the sweep is rendered; with a number,
so many cases of each kind of curve. A third of them have vetoes at the upper end, a third within.
"""

from __future__ import annotations

import random
import sys
import time
from statistics import fmean

from comfy_runner.search.path import follow, most_jobs
from tests.search.support import SHAPES, VETOES, chosen, grid, is_as_good, rows

_CASES = 12
_VALUES = (9, 13, 26, 40)
_NOISES = (0.0, 0.005, 0.01, 0.02)
_SERIES = ((1, 0.0), (3, 0.05))


def main() -> None:
    """Print what becomes of all of them."""
    cases = int(sys.argv[1]) if sys.argv[1:] else _CASES
    start = time.process_time()
    print(f"{'series':>6} {'values':>6} {'noise':>6} {'exact':>6} {'as good':>8} {'of the sweep':>13}   as good where detail is …")
    for series, spread in _SERIES:
        for values in _VALUES:
            for noise in _NOISES:
                by_shape = {
                    shape: [_case(shape, number, values, series, spread, noise) for number in range(cases)] for shape in SHAPES
                }
                found = [case for each in by_shape.values() for case in each]
                exact, good, cost = (fmean(case[part] for case in found) for part in range(3))
                print(
                    f"{series:>6} {values:>6} {noise:>6.1%} {exact:>6.0%} {good:>8.1%} {cost:>13.0%}   "
                    + ", ".join(f"{shape} {fmean(case[1] for case in each):.0%}" for shape, each in by_shape.items())
                )
    print(f"{time.process_time() - start:.0f} s of one core")


def _case(shape: str, number: int, values: int, series: int, spread: float, noise: float) -> tuple[bool, bool, float]:
    """Return whether the value is the very same, whether it is as good, and what share of the sweep that took."""
    draw = random.Random(f"{shape} {number} {values} {series} {noise}")  # noqa: S311 - to be repeated, not to be secret
    veto = VETOES[number % len(VETOES)]
    everything = grid(draw, values=values, series=series, shape=shape, spread=spread, noise=noise, veto=veto)
    wanted = chosen(everything, values=values, series=series)
    way = follow({}, everything, values=values, series=series, most=most_jobs(values, series))
    table = rows(everything, values, series)
    return way.choice == wanted, is_as_good(table, way.choice, wanted), len(way.steps) / (values * series)


if __name__ == "__main__":
    main()
