"""What is wrong with jobs is told once, with how many of them have it."""

from __future__ import annotations

import pytest

from comfy_runner.errors import InputError, Problem, RecipeError, TemplateError, WorkflowError
from comfy_runner.planning.job_problems import JobProblems


def told(found: JobProblems) -> list[str]:
    with pytest.raises(InputError) as caught:
        found.refuse()
    return [problem.what for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("total", "wrong", "what"),
    [
        (1, "a", "x is bad"),
        (3, "a", "x is bad in job a"),
        (3, "abc", "x is bad in all 3 jobs"),
        (3, "bc", "x is bad in 2 of 3 jobs, first b"),
    ],
)
@pytest.mark.parametrize("says_job", [False, True])
def test_a_problem_is_told_once_with_its_jobs(total: int, wrong: str, what: str, says_job: bool) -> None:
    found = JobProblems(total)
    for job_id in wrong:
        said = f"x is bad in job {job_id}" if says_job and total > 1 else "x is bad"
        assert not found.add(job_id, [Problem(said, "r.yaml:1", "mend it")], WorkflowError)
    assert told(found) == [what]


def test_problems_at_different_places_are_different() -> None:
    found = JobProblems(2)
    found.add("a", [Problem("x is bad", "one.yaml:1")], WorkflowError)
    found.add("b", [Problem("x is bad", "two.yaml:1")], WorkflowError)
    assert told(found) == ["x is bad in job a", "x is bad in job b"]


def test_where_not_all_jobs_were_looked_at_there_may_be_others() -> None:
    found = JobProblems(100, most_jobs=2)
    assert [found.add(job_id, [Problem("x is bad")], WorkflowError) for job_id in "ab"] == [False, True]
    assert told(found) == ["x is bad in job a and others"]


def test_more_than_fifty_different_problems_are_enough() -> None:
    found = JobProblems(100)
    assert [found.add(str(number), [Problem(f"{number} is bad")], WorkflowError) for number in range(51)] == [False] * 50 + [True]


@pytest.mark.parametrize(
    ("kinds", "kind"), [([TemplateError, TemplateError], TemplateError), ([TemplateError, WorkflowError], RecipeError)]
)
def test_the_error_is_of_the_kind_of_all_problems(kinds: list[type[InputError]], kind: type[InputError]) -> None:
    found = JobProblems(2)
    for job_id, each in zip("ab", kinds, strict=True):
        found.add(job_id, [Problem("x")], each)
    with pytest.raises(kind):
        found.refuse()


def test_where_nothing_is_wrong_nothing_is_refused() -> None:
    JobProblems(2).refuse()
