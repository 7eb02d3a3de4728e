"""People with known likes, who compare pictures as Bradley and Terry say: the nearer two are, the more often by chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import tanh

import numpy as np

from comfy_runner.report.measures import Measures
from comfy_runner.report.preferences import Preference
from comfy_runner.report.suggest import Limits

Liking = Callable[[Measures], float]
"""Returns how good a picture is to somebody, in units of detail."""

_SHARPNESS = 12.0


def with_limits(limits: Limits, *, step: float = 0.3, slope: float = 2.0) -> Liking:
    """Return the likes of somebody who has these limits.

    Args:
        limits: The limits, and what drift costs below them.
        step: How much less a picture is worth that is just above a limit.
        slope: How much less one is worth that is above it by as much again.
    """

    def liking(one: Measures) -> float:
        over: list[float] = [getattr(one, name) / most - 1 for name, most in limits.most().items()]
        return limits.worth(one) - sum(step + slope * each for each in over if each > 0)

    return liking


USERS: Mapping[str, Liking] = {
    "as the usual limits": with_limits(Limits()),
    "strict: drift at most 0.1, local drift 0.3": with_limits(Limits(drift=0.1, local_drift=0.3)),
    "lenient: drift up to 0.5, local drift 0.9, any colour shift": with_limits(Limits(drift=0.5, local_drift=0.9, colour_shift=20)),
    "dislikes all drift, twice its amount of detail": with_limits(Limits(drift_cost=2.0)),
    "dislikes colour shifts above 2": with_limits(Limits(colour_shift=2.0)),
    "dislikes drift squared, not as our model has it": lambda one: (
        one.detail - 5 * one.drift * one.drift - one.local_drift * one.local_drift
    ),
    "guesses": lambda _one: 0.0,
}
"""People, by what is said of them."""


def compared(
    sweeps: Sequence[Sequence[Measures]], liking: Liking, count: int, rng: np.random.Generator, *, sharpness: float = _SHARPNESS
) -> list[Preference]:
    """Return what somebody prefers in so many blind pairs, drawn at random, each of one original.

    Args:
        sweeps: What was measured of the pictures of each original.
        liking: What the person likes.
        count: How many pairs.
        rng: Where chance comes from.
        sharpness: How surely the person tells two pictures apart; 12: a tenth more detail is preferred in 77 % of the pairs.
    """
    found = []
    usable = [number for number, each in enumerate(sweeps) if len(each) > 1]
    for _ in range(count):
        number = int(rng.choice(usable))
        one, other = (sweeps[number][at] for at in rng.choice(len(sweeps[number]), 2, replace=False))
        likes_one = rng.random() < (1 + tanh(sharpness * (liking(one) - liking(other)) / 2)) / 2
        better, worse = (one, other) if likes_one else (other, one)
        found.append(Preference(better=better, worse=worse, original=str(number)))
    return found
