"""When a server that was out of order is tried again."""

from __future__ import annotations

from comfy_runner.scheduling.quarantine import Backoff, Quarantine


def test_each_pause_is_twice_the_one_before_until_the_longest() -> None:
    quarantine = Quarantine(Backoff(first=2.0, longest=10.0))

    assert [quarantine.failed(100.0) for _ in range(5)] == [2.0, 4.0, 8.0, 10.0, 10.0]
    assert quarantine.until == 110.0
    assert Backoff(first=2.0, longest=10.0).pause(100_000) == 10.0


def test_who_has_done_a_job_is_trusted_again() -> None:
    quarantine = Quarantine(Backoff(first=2.0, longest=10.0))
    assert not quarantine.on_probation
    quarantine.failed(0.0)
    quarantine.failed(0.0)
    assert quarantine.on_probation

    quarantine.proved()

    assert not quarantine.on_probation
    assert quarantine.failed(50.0) == 2.0
