"""How work is shared so that all are done at the same time."""

from __future__ import annotations

import pytest

from comfy_runner.scheduling.offers import part, together


def _part(count: int, *, more: float = 0.0, begin: float = 0.0, own: float = 1.0, theirs: float, speed: float = 1.0) -> int:
    """Share jobs of 10 weighted steps each; `more` is what the second server needs besides them."""
    return part([(10.0, more)] * count, begin=begin, own=own, theirs=theirs, speed=speed)


@pytest.mark.parametrize(
    ("own", "speed", "begin", "more", "taken"),
    [
        (1.0, 1.0, 0.0, 0.0, 5),
        (1.0, 1.0, 40.0, 0.0, 3),
        (1.0, 1.0, 0.0, 40.0, 3),
        (4.0, 1.0, 0.0, 0.0, 8),
        (1.0, 4.0, 0.0, 0.0, 2),
    ],
)
def test_both_are_done_at_the_same_time(own: float, speed: float, begin: float, more: float, taken: int) -> None:
    assert _part(10, own=own, speed=speed, begin=begin, more=more, theirs=100.0 / speed) == taken


def test_nothing_is_taken_that_would_not_be_done_sooner() -> None:
    assert _part(10, theirs=100.0, begin=90.0) == 0
    assert _part(10, theirs=100.0, begin=89.0) == 1
    assert _part(10, theirs=100.0, more=90.0) == 0


def test_a_job_is_taken_that_is_done_sooner_so_even_if_it_is_done_last() -> None:
    # The first one would be done with both jobs in 20 s; the second needs 18 s for the second of them.
    assert _part(2, more=8.0, theirs=20.0) == 1


def test_what_has_to_be_done_anew_for_more_jobs_counts() -> None:
    # A server without a cache: a first pass of 30 for each two jobs.
    jobs = [(10.0, 30.0 * ((count + 1) // 2)) for count in range(1, 21)]

    assert part(jobs, begin=0.0, own=1.0, theirs=200.0, speed=1.0) == 5
    assert part([(10.0, 30.0)] * 20, begin=0.0, own=1.0, theirs=200.0, speed=1.0) == 8


@pytest.mark.parametrize(
    ("servers", "work", "seconds"),
    [
        ([(0.0, 1.0)], 10.0, 10.0),
        ([(0.0, 1.0), (0.0, 3.0)], 40.0, 10.0),
        # One alone for 6 s, then both of them.
        ([(6.0, 2.0), (0.0, 1.0)], 18.0, 10.0),
        # The second one comes too late.
        ([(0.0, 1.0), (20.0, 100.0)], 18.0, 18.0),
        # Nothing to do: as soon as the first one has time.
        ([(5.0, 1.0), (3.0, 1.0)], 0.0, 3.0),
    ],
)
def test_servers_together_are_done_as_soon_as_they_can_be(servers: list[tuple[float, float]], work: float, seconds: float) -> None:
    assert together(servers, work) == seconds
