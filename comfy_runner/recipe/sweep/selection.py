"""Some of the jobs, by patterns on their ids.

Pure functions on names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate

from comfy_runner.errors import Problem, UsageError
from comfy_runner.hints import did_you_mean
from comfy_runner.yaml_loader import got


def select(job_ids: Sequence[str], only: Sequence[str], skip: Sequence[str]) -> list[str]:
    """Return the ids that are wanted, in their order.

    Args:
        job_ids: All ids.
        only: Patterns with ``*``, ``?`` and ``[...]``, of which one must match; none means all.
        skip: Patterns of which none may match.

    Raises:
        UsageError: A pattern matches no id, or no job is left.
    """
    problems: list[Problem] = []
    wanted = _matching(job_ids, only, "--only", problems) if only else set(job_ids)
    unwanted = _matching(job_ids, skip, "--skip", problems)
    if problems:
        raise UsageError.of(problems)
    left = [job_id for job_id in job_ids if job_id in wanted and job_id not in unwanted]
    if job_ids and not left:
        raise UsageError("leaves no job", where="--skip" if skip else "--only")
    return left


def _matching(job_ids: Sequence[str], patterns: Sequence[str], option: str, problems: list[Problem]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        # Unlike fnmatch itself, this is case-sensitive on every system.
        matches = re.compile(translate(pattern)).match
        here = {job_id for job_id in job_ids if matches(job_id)}
        if not here:
            problems.append(Problem(f"matches no job (got {got(pattern)})", option, did_you_mean(pattern, job_ids)))
        found |= here
    return found
