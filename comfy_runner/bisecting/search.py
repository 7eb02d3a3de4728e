"""The search for the first bad version in a list: which one is judged next, and what is known in the end.

Functions of values. The list begins with a version that is good and ends with one that is bad, and all after the first bad one are
taken to be bad, as ``git bisect`` does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Judgment(StrEnum):
    """What is said of a version, in git's words."""

    GOOD = "good"
    BAD = "bad"
    SKIPPED = "skip"
    """It cannot be judged, for instance because its server does not start."""


@dataclass(frozen=True, slots=True)
class Search:
    """How far a search has come. Versions are meant by their places in the list, from 0.

    Attributes:
        good: The last one that is known to be good.
        bad: The first one that is known to be bad, after `good`.
        skipped: All that could not be judged.
    """

    good: int
    bad: int
    skipped: frozenset[int] = frozenset()

    @property
    def left(self) -> list[int]:
        """Return those that may yet be judged, in their order."""
        return [place for place in range(self.good + 1, self.bad) if place not in self.skipped]

    @property
    def suspects(self) -> list[int]:
        """Return those that may be the first bad one, in their order; at the end all but the last one were skipped."""
        return list(range(self.good + 1, self.bad + 1))

    @property
    def steps(self) -> int:
        """Return how many more versions have to be judged, at most, if none is skipped."""
        return len(self.left).bit_length()

    def next(self) -> int | None:
        """Return which one is to be judged now; None at the end.

        That is the middle one. One that could not be judged often has neighbors of its kind, so after each of those the search
        looks elsewhere: at a quarter, three quarters, an eighth and so on.
        """
        left = self.left
        if not left:
            return None
        number, fraction, part = self.bad - self.good - len(left), 0.0, 0.5
        while number:  # the digits of a binary number, mirrored at its point
            number, digit = divmod(number, 2)
            fraction, part = fraction + digit * part, part / 2
        return left[int(fraction * len(left))]

    def judged(self, place: int, judgment: Judgment) -> Search:
        """Return how far it is with a judgment on a version between `good` and `bad`."""
        match judgment:
            case Judgment.GOOD:
                return replace(self, good=place)
            case Judgment.BAD:
                return replace(self, bad=place)
            case Judgment.SKIPPED:
                return replace(self, skipped=self.skipped | {place})
