"""How many pairs a calibration needs: simulated people compare real pictures, and limits are fitted to what they say.

Printed for each person and number of pairs, as means over repetitions: the share of pairs of other originals that the usual limits
order as the person would if nothing were left to chance, and that the fitted ones do; the same as it was told, of pairs left out,
with chance; how much less the named picture is worth to the person than the best one, by the usual and by the fitted limits; how
often the fitted ones could be kept; the limits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from comfy_runner.report.calibrate import agreement, calibrate
from comfy_runner.report.measures import Measures
from comfy_runner.report.suggest import Limits, rank
from tests.report.simulated_users import USERS, Liking, compared
from tests.report.strengths import sweeps

_ORIGINALS = 40
_COUNTS = (12, 25, 40, 60, 100, 200)
_JUDGED = 10  # originals that a person has looked at
_NEW = 400
_SEED = 1  # the model was chosen on the pictures of seed 0


def main() -> None:
    """Print the table; an argument is the number of repetitions (20)."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    pictures = [each for each in sweeps(_ORIGINALS, seed=_SEED) if len(each) > 2]
    known, new = pictures[::2], pictures[1::2]
    print("  pairs   usual  fitted   told usual, fitted   lost usual, fitted   kept   drift  local colour   cost")
    for name, liking in USERS.items():
        print(name)
        for count in _COUNTS:
            rows = [_once(known, new, liking, count, number) for number in range(repeats)]
            usual, fitted, told_usual, told_fitted, lost_usual, lost_fitted, kept, *limits = map(fmean, zip(*rows, strict=True))
            print(
                f"  {count:5}   {usual:5.1%}   {fitted:5.1%}   {told_usual:10.1%}   {told_fitted:5.1%}   "
                f"{lost_usual:10.2f}   {lost_fitted:5.2f}   {kept:5.0%}" + "".join(f"  {value:5.2f}" for value in limits)
            )


def _once(
    known: Sequence[Sequence[Measures]], new: Sequence[Sequence[Measures]], liking: Liking, count: int, seed: int
) -> tuple[float, ...]:
    rng = np.random.default_rng([_SEED, count, seed])
    judged = [known[at] for at in rng.choice(len(known), _JUDGED, replace=False)]
    found = calibrate(compared(judged, liking, count, rng))
    asked = compared(new, liking, _NEW, rng, sharpness=1000.0)
    right = [part / whole for part, whole in (agreement(asked, limits) for limits in (Limits(), found.limits))]
    lost = [fmean(_lost(each, liking, limits) for each in new) for limits in (Limits(), found.limits)]
    told = (found.usual_agreement or 0.0, found.agreement or 0.0)
    return (*right, *told, *lost, not found.problem, *found.limits.most().values(), found.limits.drift_cost)


def _lost(pictures: Sequence[Measures], liking: Liking, limits: Limits) -> float:
    named = min(pictures, key=lambda one: rank(one, limits))
    return max(map(liking, pictures)) - liking(named)


if __name__ == "__main__":
    main()
