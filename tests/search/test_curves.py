from __future__ import annotations

from statistics import fmean

import pytest

from comfy_runner.search.curves import PossibleSweep, Seen, Trial, possible_sweeps


def _line(values: int, series: int = 1) -> dict[Trial, Seen]:
    """Return what grows steadily, a little more in each further series."""
    return {
        (value, which): Seen(reach=0.2 * 1.3**value, drift=value / 50, detail=(value + which) / values)
        for value in range(values)
        for which in range(series)
    }


def test_possible_sweeps_have_what_was_measured() -> None:
    everything = _line(10)
    known = {place: everything[place] for place in ((2, 0), (5, 0), (8, 0))}

    for sweep in possible_sweeps(known, 10, 1):
        assert [sweep.detail[value] for value in (2, 5, 8)] == [0.2, 0.5, 0.8]
        assert [sweep.out[value] for value in (2, 5, 8)] == [False, False, True]


def test_they_differ_the_more_the_farther_a_value_is_from_what_was_measured() -> None:
    everything = _line(30)
    found = possible_sweeps({place: everything[place] for place in ((4, 0), (5, 0), (20, 0))}, 30, 1)

    def spread(value: int) -> float:
        details = sorted(sweep.detail[value] for sweep in found)
        return details[-10] - details[10]

    assert spread(5) == 0
    assert spread(6) < spread(12) < spread(29)
    assert fmean(sweep.detail[12] for sweep in found) == pytest.approx(12 / 30, abs=0.05)


def test_they_are_the_same_each_time() -> None:
    known = {place: seen for place, seen in _line(20, 3).items() if sum(place) % 7 == 0}

    assert possible_sweeps(known, 20, 3) == possible_sweeps(known, 20, 3)


def test_all_that_is_larger_than_what_is_over_a_limit_is_ruled_out() -> None:
    known = {(3, 0): Seen(reach=0.99, drift=0.1, detail=0.1), (6, 0): Seen(reach=1.01, drift=0.3, detail=0.2)}

    assert all(all(sweep.out[6:]) for sweep in possible_sweeps(known, 10, 1))


def test_a_limit_may_be_anywhere_between() -> None:
    known = {(3, 0): Seen(reach=0.01, drift=0.01, detail=0.1), (30, 0): Seen(reach=1.01, drift=0.3, detail=0.2)}

    firsts = {sweep.out.index(True) for sweep in possible_sweeps(known, 31, 1)}

    # Curves have it near the upper end, but now and then it comes all of a sudden.
    assert min(firsts) < 10
    assert 30 in firsts


def test_a_veto_may_begin_anywhere_between_a_value_that_has_one_and_one_that_has_none() -> None:
    known = {(value, 0): Seen(reach=0.1, drift=0.1, detail=0.1, vetoed=value == 12) for value in (2, 12)}

    firsts = [sweep.out.index(True) for sweep in possible_sweeps(known, 13, 1)]

    assert min(firsts) == 3
    assert max(firsts) == 12


def test_a_series_that_is_off_the_others_is_so_at_all_values() -> None:
    everything = _line(20, 2)
    known = {place: everything[place] for place in ((3, 0), (10, 0), (17, 0), (3, 1))}
    known[3, 1] = Seen(reach=1.3 * known[3, 0].reach, drift=0.1, detail=known[3, 0].detail)

    beside, alone = possible_sweeps(known, 20, 2), possible_sweeps({place: known[place] for place in [*known][:3]}, 20, 1)

    assert sum(map(sum, (sweep.out for sweep in beside))) > sum(map(sum, (sweep.out for sweep in alone)))


def test_a_sweep_chooses_the_smallest_value_of_those_with_as_much_detail() -> None:
    sweep = PossibleSweep([False, False, False, True], [0.5, 0.98, 1.0, 2.0])

    assert sweep.choice == 1
    assert [sweep.agrees(value) for value in (0, 1, 2, 3, None)] == [True, True, True, False, False]
    assert PossibleSweep([True], [1.0]).choice is None
    assert PossibleSweep([True], [1.0]).agrees(None)
