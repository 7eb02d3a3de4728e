from __future__ import annotations

from comfy_runner.search.curves import PossibleSweep
from comfy_runner.search.prospect import Prospect


def _limit_at(first_out: int) -> PossibleSweep:
    """Return a sweep of six values whose detail grows, the larger ones of which are ruled out."""
    return PossibleSweep([value >= first_out for value in range(6)], [0.2 * (value + 1) for value in range(6)])


def test_a_value_tells_most_that_halves_what_the_limit_may_be_in() -> None:
    prospect = Prospect([_limit_at(first) for first in (1, 2, 3, 4)])

    known = {value: prospect.after([value], prospect.votes) for value in range(6)}

    assert prospect.votes == {0: 1, 1: 1, 2: 1, 3: 1}
    assert known[2] > known[0]
    assert known[2] > known[5]
    assert prospect.after([1, 2, 3], prospect.votes) == 4


def test_at_the_end_only_what_is_measured_can_be_named() -> None:
    prospect = Prospect([_limit_at(first) for first in (2, 3)])

    assert prospect.after([5], {1}) < prospect.after([2], {1, 2}) == 2


def test_two_steps_ahead_the_second_depends_on_the_first() -> None:
    prospect = Prospect([_limit_at(first) for first in (1, 2, 3)])

    # If 1 is allowed, 2 is tried, else 0: any two values that are chosen beforehand leave one case open.
    assert prospect.after_two(1, range(6), set()) == 3
    assert max(prospect.after([one, other], {one, other}) for one in range(6) for other in range(6) if one != other) < 3
