"""What is expected of combinations that were not measured: a Gaussian process through those that were.

Rasmussen and Williams 2006, *Gaussian Processes for Machine Learning*, chapter 2: a smooth surface, and how far it may be off.
A search has at most some hundred measured combinations, so plain Python is quick enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, exp, log, pi, sqrt
from statistics import fmean, pstdev
from typing import Final

from comfy_runner.search.linear_equations import backward, cholesky, forward
from comfy_runner.search.space import Combination, Dimension

_LENGTHS: Final = (0.25, 0.6, 1.5, 4.0)
_USUAL: Final = 0.6
_APART: Final = 0.42  # so far apart are two names, where the length is 1
_NOISE: Final = 1e-3  # variance, as a share of that of the numbers


class Surface:
    """A smooth surface through numbers.

    Over how long a way a field has to change to make a difference is a length for each field, as a share of its range: the one of
    three by which the numbers are likeliest, found field by field.

    Args:
        points: Where the numbers are, at least one.
        numbers: What is there.
        dimensions: The fields.
        least: How much the numbers vary at least, as a standard deviation above 0: the few that are known may happen to be equal.
    """

    def __init__(
        self, points: Sequence[Combination], numbers: Sequence[float], dimensions: Sequence[Dimension], *, least: float
    ) -> None:
        self._points = points
        self._widths = [each.values - 1 if each.is_ordered else 0 for each in dimensions]
        self._mean, self._scale = fmean(numbers), max(pstdev(numbers), least)
        even = [(number - self._mean) / self._scale for number in numbers]
        lengths = [_USUAL] * len(dimensions)
        best = _Fit(self._correlations(lengths), even, lengths)
        for index in range(len(dimensions)):
            others = [[*best.lengths[:index], length, *best.lengths[index + 1 :]] for length in _LENGTHS if length != _USUAL]
            best = max((best, *(_Fit(self._correlations(each), even, each) for each in others)), key=lambda fit: fit.likelihood)
        self._fit = best

    def at(self, point: Combination) -> tuple[float, float]:
        """Return the number that is expected at a point, and its standard deviation."""
        near = [self._correlation(point, other, self._fit.lengths) for other in self._points]
        mean = sum(share * weight for share, weight in zip(near, self._fit.weights, strict=True))
        known = sum(part * part for part in forward(self._fit.root, near))
        return self._mean + self._scale * mean, self._scale * sqrt(max(1 - known, _NOISE**2))

    def _correlations(self, lengths: Sequence[float]) -> list[list[float]]:
        """Return the lower triangle of what the points have to do with each other."""
        return [
            [
                self._correlation(one, other, lengths) + (_NOISE if row == column else 0.0)
                for column, other in enumerate(self._points[: row + 1])
            ]
            for row, one in enumerate(self._points)
        ]

    def _correlation(self, one: Combination, other: Combination, lengths: Sequence[float]) -> float:
        squares = 0.0
        for here, there, width, length in zip(one, other, self._widths, lengths, strict=True):
            if here != there:
                squares += (((here - there) / width if width else _APART) / length) ** 2
        return exp(-squares / 2)


class _Fit:
    """What follows from numbers with a mean of 0 and a spread of 1, and certain lengths.

    Attributes:
        lengths: They.
        root: The Cholesky factor of the correlations, a lower triangle.
        weights: By which a new point's correlations give what is expected there.
        likelihood: How likely the numbers are, as a logarithm; extreme lengths count as less likely.
    """

    def __init__(self, correlations: Sequence[Sequence[float]], numbers: Sequence[float], lengths: list[float]) -> None:
        self.lengths = lengths
        self.root = cholesky(correlations, least=_NOISE**2)
        half = forward(self.root, numbers)
        self.weights = backward(self.root, half)
        unusual = sum(log(length / _USUAL) ** 2 for length in lengths)
        self.likelihood = -(sum(each * each for each in half) + unusual) / 2 - sum(log(row[-1]) for row in self.root)


def improvement(mean: float, deviation: float, best: float) -> float:
    """Return by how much a number is expected to be better than the best one, where what is worse counts as 0.

    The expected improvement of Jones et al. 1998, *Efficient Global Optimization of Expensive Black-Box Functions*.

    Args:
        mean: What is expected of it.
        deviation: Its standard deviation, above 0.
        best: The best one.
    """
    distance = (mean - best) / deviation
    return deviation * (distance * below(distance) + exp(-distance * distance / 2) / sqrt(2 * pi))


def below(distance: float) -> float:
    """Return how probable a number is that lies no more than so many standard deviations above the mean."""
    return erfc(-distance / sqrt(2)) / 2
