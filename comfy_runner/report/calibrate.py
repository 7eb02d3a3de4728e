"""Limits that agree with a person's eyes, from pairs of which one picture is preferred.

The model is that of Bradley and Terry 1952, *Rank analysis of incomplete block designs*: of two pictures of the worths u and v the
first is preferred with the probability 1 / (1 + exp(-b (u - v))). The worth is the detail, less what drift costs, less a penalty
for each number above its limit, which grows with the share by which it exceeds it. Limits, cost and b are those of the largest
posterior density, under normal priors around the usual limits: what the pairs say nothing of stays where it is. The range of each
comes from the curvature there (Laplace's approximation).

How well the limits predict is told of pairs that they were not fitted to: all pairs of some originals are left out, in turn. A pair
counts as predicted where `suggest.rank` orders it as the person did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from math import exp, log, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit

from comfy_runner.report.calibrations import Calibration
from comfy_runner.report.measures import Measures
from comfy_runner.report.preferences import Preference
from comfy_runner.report.suggest import LIMITED, Limits, rank
from comfy_runner.wording import counted

LEAST_OPINIONS: Final = 40
"""How many pairs are needed; fewer are not kept (benchmarks/calibration.py says what they are good for)."""

LEAST_ORIGINALS: Final = 4
"""How many originals they have to be of."""

_COST: Final = "drift_cost"
_FITTED: Final = (*LIMITED, _COST)
_FOLDS: Final = 5
_STEP: Final = 0.5  # what a number just above its limit takes off the worth
_SLOPE: Final = 2.0  # and what more, if it is twice its limit
_SOFTNESS: Final = 0.05  # of a limit: how far around it the step is smoothed, so that its slope can be followed
_LIMIT_SPREAD: Final = 0.7  # of the logarithm: a factor of two either way
_COST_SPREAD: Final = 1.0
_SHARPNESS, _SHARPNESS_SPREAD = log(8.0), 1.0  # of b: a tenth more detail is preferred in 69 % of the pairs
_BOUNDS: Final = [*[(log(0.1), log(5.0))] * len(LIMITED), (0.0, 10.0), (log(0.3), log(200.0))]
_GRID: Final = (-1.2, -0.6, 0.0, 0.5)
_COSTS: Final = (0.0, 1.0)
_TRIED: Final = 2
_NINETY: Final = 1.645  # standard deviations to either side that hold 90 % of a normal distribution
_ONE_SIDED: Final = 1.645  # and those that chance exceeds once in twenty times

_Floats = NDArray[np.float64]


def calibrate(pairs: Sequence[Preference], *, usual: Limits | None = None) -> Calibration:
    """Return the limits that agree best with what a person prefers.

    Args:
        pairs: Which pictures are preferred to which; at least one.
        usual: The limits that they are fitted around; None for those of `Limits`.
    """
    usual = usual or Limits()
    limits, ranges = _fit(pairs, usual)
    originals = len({pair.original for pair in pairs})
    opinions = sum(pair.weight for pair in pairs)
    before, after, gain, error = _left_out(pairs, usual)
    return Calibration(
        limits=limits,
        ranges=ranges,
        compared=sum(pair.is_compared for pair in pairs),
        implied=sum(not pair.is_compared for pair in pairs),
        opinions=round(opinions, 1),
        originals=originals,
        usual_agreement=before,
        agreement=after,
        problem=_problem(opinions, originals, gain, error),
    )


def agreement(pairs: Iterable[Preference], limits: Limits) -> tuple[float, float]:
    """Return the weight of the pairs that limits order as the person did, and of all but those that are as good."""
    told = [(pair.weight, _is_predicted(pair, limits)) for pair in pairs if not pair.is_same]
    return sum(weight for weight, is_right in told if is_right), sum(weight for weight, _ in told)


def _is_predicted(pair: Preference, limits: Limits) -> bool:
    return rank(pair.better, limits) < rank(pair.worse, limits)


def _left_out(pairs: Sequence[Preference], usual: Limits) -> tuple[float | None, float | None, float, float]:
    """Return what agrees before and after on pairs that are left out, in how many more that is, and the standard error of that."""
    by_original: dict[str, list[Preference]] = {}
    for pair in pairs:
        by_original.setdefault(pair.original, []).append(pair)
    if len(by_original) < 2:
        return None, None, 0.0, 0.0
    folds: list[list[Preference]] = [[] for _ in range(min(_FOLDS, len(by_original)))]
    for group in sorted(by_original.values(), key=len, reverse=True):
        min(folds, key=len).extend(group)
    before = after = total = gain = changed = 0.0
    for number, fold in enumerate(folds):
        limits, _ = _fit([pair for other, rest in enumerate(folds) if other != number for pair in rest], usual)
        for pair in fold:
            if pair.is_same:
                continue
            was, is_now = _is_predicted(pair, usual), _is_predicted(pair, limits)
            before, after, total = before + was * pair.weight, after + is_now * pair.weight, total + pair.weight
            gain += (is_now - was) * pair.weight
            changed += (is_now != was) * pair.weight
    if not total:
        return None, None, 0.0, 0.0
    return before / total, after / total, gain, sqrt(changed)


def _problem(opinions: float, originals: int, gain: float, error: float) -> str:
    if opinions < LEAST_OPINIONS:
        return f"{counted(round(opinions), 'pair says', 'pairs say')} too little: you need about {LEAST_OPINIONS}"
    if originals < LEAST_ORIGINALS:
        return f"the pairs are of {counted(originals, 'original')}, but predicting others takes at least {LEAST_ORIGINALS}"
    if gain <= _ONE_SIDED * error:
        return "on pairs left out they do not clearly agree with you better than the usual limits"
    return ""


def _fit(pairs: Sequence[Preference], usual: Limits) -> tuple[Limits, dict[str, tuple[float, float]]]:
    """Return the most probable limits, and the range of each."""
    model = _Model(pairs, usual)
    tried = [minimize(model.loss, start, jac=True, method="L-BFGS-B", bounds=_BOUNDS) for start in model.starts()]
    values: _Floats = min(tried, key=lambda found: float(found.fun)).x
    curvature = approx_fprime(values, lambda at: model.loss(at)[1], 1e-5)
    variances = np.diag(np.linalg.pinv((curvature + curvature.T) / 2))
    # Where the curvature tells nothing, what was believed before the pairs holds.
    spreads = np.where(variances > 0, np.sqrt(np.abs(variances)), model.spreads).clip(max=model.spreads)
    told: dict[str, Any] = {name: model.shown(name, value) for name, value in zip(_FITTED, values, strict=False)}
    ranges = {
        name: (model.shown(name, value - _NINETY * spread), model.shown(name, value + _NINETY * spread))
        for name, value, spread in zip(_FITTED, values, spreads, strict=False)
    }
    return replace(usual, **told), ranges


class _Model:
    """The loss of limits, as the logarithms of their shares of today's, the cost of drift, and the logarithm of b.

    Args:
        pairs: Which pictures are preferred to which.
        usual: Today's limits.
    """

    def __init__(self, pairs: Sequence[Preference], usual: Limits) -> None:
        self._usual = usual
        self._better, self._worse = (self._shares(getattr(pair, side) for pair in pairs) for side in ("better", "worse"))
        self._detail = np.array([pair.better.detail - pair.worse.detail for pair in pairs])
        self._drift = np.array([pair.better.drift - pair.worse.drift for pair in pairs])
        self._weight = np.array([pair.weight for pair in pairs])
        self._wins = np.array([0.5 if pair.is_same else 1.0 for pair in pairs])
        self._center = np.array([*[0.0] * len(LIMITED), usual.drift_cost, _SHARPNESS])
        self.spreads = np.array([*[_LIMIT_SPREAD] * len(LIMITED), _COST_SPREAD, _SHARPNESS_SPREAD])

    def starts(self) -> list[_Floats]:
        """Return where to begin: the best few points of a coarse grid, for the density may have several peaks."""
        places = [self._center + np.array([*shares, cost, 0.0]) for *shares, cost in product(*[_GRID] * len(LIMITED), _COSTS)]
        return sorted(places, key=lambda place: self.loss(place)[0])[:_TRIED]

    def loss(self, values: _Floats) -> tuple[float, _Floats]:
        """Return the negative logarithm of the posterior density, but for a constant, and its gradient."""
        shares, cost, sharpness = values[: len(LIMITED)], values[-2], np.exp(values[-1])
        (over, by_share), (over_worse, by_share_worse) = (self._excess(side, shares) for side in (self._better, self._worse))
        z = sharpness * (self._detail - cost * self._drift - over + over_worse)
        loss = self._weight * (self._wins * np.logaddexp(0, -z) + (1 - self._wins) * np.logaddexp(0, z))
        slope = self._weight * (expit(z) - self._wins)
        inner = [*(sharpness * (by_share_worse - by_share)).T, -sharpness * self._drift, z]
        away = (values - self._center) / self.spreads
        return float(loss.sum() + (away**2).sum() / 2), np.array([slope @ each for each in inner]) + away / self.spreads

    def shown(self, name: str, value: float) -> float:
        """Return a value as it is told: a limit to three digits, the cost of drift to two decimals."""
        if name == _COST:
            return round(max(0.0, float(value)), 2)
        return float(f"{getattr(self._usual, name) * exp(value):.3g}")

    def _shares(self, measures: Iterable[Measures]) -> _Floats:
        return np.array([[getattr(one, name) / limit for name, limit in self._usual.most().items()] for one in measures])

    def _excess(self, numbers: _Floats, shares: _Floats) -> tuple[_Floats, _Floats]:
        """Return the penalty of each picture, and how it changes with the logarithm of each limit."""
        reached = numbers / np.exp(shares)
        gate = expit((reached - 1) / _SOFTNESS)
        excess = _SOFTNESS * np.logaddexp(0, (reached - 1) / _SOFTNESS)
        slope = _STEP * gate * (1 - gate) / _SOFTNESS + _SLOPE * gate
        return (_STEP * gate + _SLOPE * excess).sum(axis=1), -slope * reached
