"""What is wrong with the jobs of a plan, each fault once, however many jobs have it: their number is told with it.

Most faults are those of a recipe or a template, and a sweep may have a hundred thousand jobs of one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from comfy_runner.errors import InputError, Problem, RecipeError
from comfy_runner.wording import counted

_MOST = 50  # when so many are known, no more jobs are looked at


class JobProblems:
    """Collects the problems of jobs.

    Args:
        total: How many jobs the plan has.
        most_jobs: No more are looked at once so many are known to be wrong.
    """

    def __init__(self, total: int, *, most_jobs: int | None = None) -> None:
        self._total, self._most_jobs = total, most_jobs
        self._jobs: dict[Problem, list[str]] = {}
        self._kinds: set[type[InputError]] = set()
        self._wrong = 0

    def add(self, job_id: str, problems: Iterable[Problem], kind: type[InputError]) -> bool:
        """Take note of what is wrong with a job; return whether that is enough.

        Args:
            job_id: The job.
            problems: Each told without the job, or with ``in job ID`` at its end.
            kind: What kind of an error they are.
        """
        self._kinds.add(kind)
        self._wrong += 1
        for problem in problems:
            common = replace(problem, what=problem.what.removesuffix(f" in job {job_id}"))
            self._jobs.setdefault(common, []).append(job_id)
        return self._is_enough

    def refuse(self) -> None:
        """Raise one error with all problems, if there are any.

        Raises:
            InputError: There are; of the kind of all of them, or a RecipeError.
        """
        if self._jobs:
            kind = self._kinds.pop() if len(self._kinds) == 1 else RecipeError
            raise kind.of(replace(problem, what=problem.what + self._of(jobs)) for problem, jobs in self._jobs.items())

    @property
    def _is_enough(self) -> bool:
        return len(self._jobs) > _MOST or self._wrong == self._most_jobs

    def _of(self, jobs: list[str]) -> str:
        if self._total == 1:
            return ""
        if len(jobs) == 1:
            return f" in job {jobs[0]}"
        if self._is_enough:  # others were not looked at
            return f" in job {jobs[0]} and others"
        total = counted(self._total, "job")
        return f" in all {total}" if len(jobs) == self._total else f" in {len(jobs)} of {total}, first {jobs[0]}"
