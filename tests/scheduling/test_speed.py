"""How fast a server is reckoned to be."""

from __future__ import annotations

import pytest

from comfy_runner.scheduling.server_load import InFlight, Speed


def test_what_is_measured_counts_instead_of_what_was_expected() -> None:
    speed = Speed(3.0)
    assert speed.known == 3.0

    speed.saw(100.0, 20.0)

    assert speed.known == 5.0


def test_what_was_seen_last_counts_most() -> None:
    rising, falling = Speed(), Speed()
    for seconds in (10.0, 20.0):
        falling.saw(100.0, seconds)
    for seconds in (20.0, 10.0):
        rising.saw(100.0, seconds)

    # The mean of both would be 200 in 30 s.
    assert falling.known == pytest.approx(180 / 28)
    assert rising.known == pytest.approx(180 / 26)


def test_nothing_is_learnt_of_what_cost_or_took_nothing() -> None:
    speed = Speed()
    speed.saw(0.0, 5.0)
    speed.saw(5.0, 0.0)

    assert speed.known is None


def test_a_server_that_is_three_times_slower_twice_in_a_row_has_become_so() -> None:
    speed = Speed()
    for _ in range(10):
        speed.saw(100.0, 10.0)

    speed.saw(100.0, 100.0)
    assert speed.known is not None
    assert speed.known > 3.0
    speed.saw(100.0, 100.0)

    assert speed.known == 1.0


@pytest.mark.parametrize("between", [10.0, 1.0])
def test_what_was_slow_once_is_soon_forgotten(between: float) -> None:
    speed = Speed()
    for _ in range(10):
        speed.saw(100.0, 10.0)

    # In between as usual, or odd swap them: that is no change either.
    for seconds in (100.0, between, 100.0):
        speed.saw(100.0, seconds)

    assert speed.known is not None
    assert 1.5 < speed.known < 5.0


def test_a_submission_that_waited_for_another_one_took_the_time_since_that_one_ended() -> None:
    in_flight = InFlight()
    in_flight.begin("first", 50.0, 100.0)
    in_flight.begin("second", 20.0, 101.0)

    assert in_flight.end("first", 110.0) == (50.0, 10.0)
    assert in_flight.end("second", 114.0) == (20.0, 4.0)
    in_flight.begin("third", 30.0, 200.0)
    assert in_flight.end("third", 203.0) == (30.0, 3.0)


def test_what_is_there_takes_as_long_as_it_costs_less_what_has_gone_by() -> None:
    in_flight = InFlight()
    assert in_flight.seconds_left(2.0, 5.0) == 0.0
    in_flight.begin("first", 40.0, 0.0)
    in_flight.begin("second", 10.0, 3.0)

    assert in_flight.seconds_left(2.0, 8.0) == (20 - 8) + 5


def test_what_is_overdue_takes_a_quarter_longer_than_it_has_taken_already() -> None:
    in_flight = InFlight()
    in_flight.begin("first", 40.0, 0.0)
    in_flight.begin("second", 10.0, 0.0)

    assert in_flight.seconds_left(2.0, 80.0) == 80 / 4 + 5


def test_a_server_is_slower_as_soon_as_it_is_late_and_never_faster() -> None:
    speed, in_flight = Speed(), InFlight()
    speed.saw(100.0, 10.0)
    assert in_flight.slowed(10.0, speed, 500.0) == 10.0
    in_flight.begin("first", 100.0, 0.0)

    assert in_flight.slowed(10.0, speed, 1.0) == 10.0
    assert in_flight.slowed(10.0, speed, 9.9) == 10.0
    # As if it were done now: 80 in 8 s before, and 100 in 22 s.
    assert in_flight.slowed(10.0, speed, 22.0) == 180 / 30
    assert in_flight.slowed(5.0, speed, 21.0) == 5.0


def test_what_costs_nothing_tells_nothing_however_long_it_takes() -> None:
    speed, in_flight = Speed(), InFlight()
    in_flight.begin("again", 0.0, 0.0)

    assert in_flight.slowed(10.0, speed, 60.0) == 10.0
    assert in_flight.seconds_left(10.0, 60.0) == 60 / 4
