from __future__ import annotations

import pytest

from comfy_runner.errors import UsageError
from comfy_runner.recipe.sweep.ids import select
from tests.recipe.support import fault, faults

IDS = ["lake-d050-s1", "lake-d050-s2", "lake-d055-s1", "lake-d055-s2"]


@pytest.mark.parametrize(
    ("only", "skip", "expected"),
    [
        ([], [], IDS),
        (["lake-d050-*"], [], IDS[:2]),
        (["*-s2", "lake-d050-s1"], [], [IDS[0], IDS[1], IDS[3]]),
        ([], ["*-s1"], [IDS[1], IDS[3]]),
        (["lake-d05?-s1"], ["*d055*"], [IDS[0]]),
        (["*-s[13]"], [], [IDS[0], IDS[2]]),
        (["lake-d055-s2"], [], [IDS[3]]),
    ],
)
def test_patterns_pick_jobs_and_keep_their_order(only: list[str], skip: list[str], expected: list[str]) -> None:
    assert select(IDS, only, skip) == expected


def test_a_pattern_that_matches_nothing_is_an_error_with_the_nearest_ids() -> None:
    problem = fault(lambda: select(IDS, ["lake-d050-s3"], []), error=UsageError)

    assert str(problem) == '--only: matches no job (got "lake-d050-s3")'
    assert "lake-d050-s2" in problem.hint


def test_all_patterns_that_match_nothing_are_named() -> None:
    found = faults(lambda: select(IDS, ["x*", "*"], ["LAKE*"]), error=UsageError)

    assert [problem.where for problem in found] == ["--only", "--skip"]


def test_a_selection_of_nothing_is_an_error() -> None:
    assert fault(lambda: select(IDS, ["*-s1"], ["*-s1"]), error=UsageError).what == "leaves no job"
