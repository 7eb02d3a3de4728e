"""Limits fitted to what simulated people prefer: found again where there are pairs enough, else not to be kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from comfy_runner.report.calibrate import LEAST_OPINIONS, LEAST_ORIGINALS, agreement, calibrate
from comfy_runner.report.calibrations import Calibration
from comfy_runner.report.measures import Measures
from comfy_runner.report.preferences import Preference
from comfy_runner.report.suggest import Limits
from tests.report.simulated_users import USERS, Liking, compared, with_limits
from tests.report.strengths import sweeps
from tests.report.values import measures


def _curves(count: int, seed: int) -> list[list[Measures]]:
    """Return numbers as second passes of growing strength have them."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        most, soon, reach, tint = rng.uniform(0.3, 1), rng.uniform(0.4, 0.8), rng.uniform(0.2, 0.8), rng.uniform(0.5, 8)
        found.append(
            [
                measures(most * min(1, s / soon), reach * s**2, local_drift=min(1, 2.2 * reach * s**2), colour_shift=tint * s**2)
                for s in (0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
            ]
        )
    return found


def _fitted(pictures: Sequence[Sequence[Measures]], liking: Liking, count: int, seed: int = 1) -> Calibration:
    return calibrate(compared(pictures, liking, count, np.random.default_rng(seed)))


def _right(pictures: Sequence[Sequence[Measures]], liking: Liking, limits: Limits) -> float:
    """Return the share of pairs that limits order as a person who never errs."""
    right, whole = agreement(compared(pictures, liking, 400, np.random.default_rng(9), sharpness=1000.0), limits)
    return right / whole


def test_a_strict_person_gets_strict_limits_that_hold_for_other_pictures() -> None:
    strict = with_limits(Limits(drift=0.1, local_drift=0.65))
    found = _fitted(_curves(10, 1), strict, 150)

    assert 0.07 <= found.limits.drift <= 0.15
    assert found.ranges["drift"][0] <= found.limits.drift <= found.ranges["drift"][1] < 0.3
    assert _right(_curves(20, 2), strict, found.limits) > _right(_curves(20, 2), strict, Limits()) + 0.1
    assert (found.problem, found.compared, found.originals) == ("", 150, 10)
    assert found.agreement is not None
    assert found.usual_agreement is not None
    assert found.agreement > found.usual_agreement + 0.1


def test_what_the_pairs_say_nothing_of_stays_where_it_is() -> None:
    same_color = [[measures(one.detail, one.drift, local_drift=0.0) for one in each] for each in _curves(10, 1)]
    found = _fitted(same_color, with_limits(Limits(drift=0.1)), 100)

    assert found.limits.local_drift == pytest.approx(0.65, rel=0.1)
    assert found.limits.colour_shift == pytest.approx(4.0, rel=0.1)
    low, high = found.ranges["colour_shift"]
    assert low < 2
    assert high > 8


def test_who_guesses_gets_nothing_to_keep() -> None:
    found = _fitted(_curves(10, 1), USERS["guesses"], 100)

    assert found.problem == "on pairs left out they do not clearly agree with you better than the usual limits"


def test_few_pairs_or_originals_say_too_little() -> None:
    strict = with_limits(Limits(drift=0.1))

    assert _fitted(_curves(10, 1), strict, 12).problem == f"12 pairs say too little: you need about {LEAST_OPINIONS}"
    few = _fitted(_curves(LEAST_ORIGINALS - 1, 1), strict, 100)
    assert few.problem == f"the pairs are of 3 originals, but predicting others takes at least {LEAST_ORIGINALS}"
    alone = _fitted(_curves(1, 1), strict, 100)
    assert (alone.agreement, alone.usual_agreement) == (None, None)


def test_pairs_that_stars_imply_count_as_often_as_they_weigh() -> None:
    pairs = compared(_curves(10, 1), with_limits(Limits(drift=0.1)), 100, np.random.default_rng(1))
    light = [Preference(better=one.better, worse=one.worse, original=one.original, weight=0.25, is_compared=False) for one in pairs]
    found = calibrate(light)

    assert (found.compared, found.implied, found.opinions) == (0, 100, 25)
    assert found.problem.startswith("25 pairs say too little")


def test_pictures_that_are_as_good_pull_towards_each_other_and_are_not_predicted() -> None:
    one, other = measures(0.2, 0.02), measures(0.6, 0.2)
    pairs = [Preference(better=one, worse=other, is_same=True, original=str(number)) for number in range(60)]
    found = calibrate(pairs)

    assert agreement(pairs, Limits()) == (0.0, 0.0)
    # So much more detail has to be outweighed by something.
    assert found.limits.local_drift < 0.3 or found.limits.drift_cost > 1
    assert found.agreement is None


def test_the_same_pairs_give_the_same_limits() -> None:
    pairs = compared(_curves(6, 3), with_limits(Limits(drift=0.2)), 50, np.random.default_rng(1))

    assert calibrate(pairs) == calibrate(list(pairs))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more"),
    [
        # The usual limits order 81 % as these do: what has drifted counts as less detail, too.
        ("strict: drift at most 0.1, local drift 0.3", 0.05),
        ("lenient: drift up to 0.5, local drift 0.9, any colour shift", 0.15),
        ("dislikes all drift, twice its amount of detail", 0.1),
        ("dislikes colour shifts above 2", 0.15),
        ("dislikes drift squared, not as our model has it", 0.08),
    ],
)
def test_on_measured_pictures_the_limits_predict_other_originals_better(name: str, more: float) -> None:
    pictures = _measured()
    liking = USERS[name]
    gains = []
    for seed in range(3):
        found = _fitted(pictures[::2], liking, 120, seed)
        gains.append(_right(pictures[1::2], liking, found.limits) - _right(pictures[1::2], liking, Limits()))

    assert sum(gains) / len(gains) > more


_KEPT: list[list[Measures]] = []


def _measured() -> list[list[Measures]]:
    if not _KEPT:
        _KEPT.extend(each for each in sweeps(20, seed=2) if len(each) > 2)
    return _KEPT
