"""What a list of jobs makes a server run, with ComfyUI's classic cache and without."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from comfy_runner.planning.passes import Passes, passes, passes_of_submissions
from tests.planning.model_lists import Steps

# 2 checkpoints, 4 seeds, 9 denoise values; the counts are those that a real server showed.
CHECKPOINT, SEED, DENOISE = ("checkpoint", "ab"), ("seed", range(4)), ("denoise", range(9))


@pytest.mark.parametrize(
    ("axes", "loads", "first"),
    [
        ((CHECKPOINT, SEED, DENOISE), 2, 8),
        ((CHECKPOINT, DENOISE, SEED), 2, 72),
        ((DENOISE, SEED, CHECKPOINT), 72, 72),
        ((SEED, DENOISE, CHECKPOINT), 72, 72),
    ],
)
def test_the_order_of_the_axes_decides_what_runs_again(axes: tuple[tuple[str, Iterable[Any]], ...], loads: int, first: int) -> None:
    steps = Steps()
    found = passes(steps.sweep(**dict(axes)), steps)
    assert (found.loads, found.first, found.second) == (loads, first, 72)


def test_a_result_is_forgotten_by_the_first_job_that_does_not_need_it() -> None:
    steps = Steps()
    one, other = steps.job(checkpoint="a"), steps.job(checkpoint="b")
    assert passes([one, one, other, one], steps).loads == 3


def test_the_same_job_again_runs_nothing() -> None:
    steps = Steps()
    job = steps.job()
    assert passes([job, job], steps) == passes([job], steps)


def test_every_kind_is_counted_and_weighed() -> None:
    steps = Steps()
    found = passes([steps.job(upscaler="x")], steps)
    assert replace(found, weighted=0) == Passes(loads=1, first=1, second=1, decodes=2, other=4)
    assert found.weighted == pytest.approx(40 + 30 + 142 + 0.7 + 3.3 + 0.1 + 4 + 2)


def test_without_a_cache_every_job_runs_whole() -> None:
    steps = Steps()
    found = passes(steps.sweep(seed=(1, 2), denoise=(0.3, 0.4, 0.5)), steps, cached=False)
    assert (found.loads, found.first, found.second, found.decodes) == (6, 6, 6, 12)
    assert found.weighted == pytest.approx(6 * passes([steps.job()], steps).weighted)


def test_a_parcel_runs_once_what_its_jobs_share_and_remembers_nothing_for_the_next_one() -> None:
    steps = Steps()
    jobs = steps.sweep(seed=(1, 2), denoise=(0.3, 0.4, 0.5))
    found = passes_of_submissions([jobs[:3], jobs[3:]], steps)
    assert (found.loads, found.first, found.second, found.decodes) == (2, 2, 6, 8)


def test_no_jobs_run_nothing() -> None:
    assert passes([], Steps()) == passes([], Steps(), cached=False) == passes_of_submissions([], Steps()) == Passes()
