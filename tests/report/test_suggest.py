"""Which value is suggested, and why: the most real detail within the limits, told with how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.report.measures import Measures
from comfy_runner.report.suggest import Limits, Suggestion, faults, ranking, suggest, usual_axis
from tests.report.values import DENOISE, material, measured, measures

LIMITS = Limits(drift=0.3, local_drift=0.6)


def suggested(found: Mapping[float, Measures | None], limits: Limits = LIMITS) -> Suggestion:
    """Suggest a denoise value from one picture each."""
    run = material({DENOISE: list(found)})
    return suggest(run, measured(run, {(value,): one for value, one in found.items()}), run.axes[0], limits=limits)


def over_seeds(found: Mapping[float, Sequence[Measures]], limits: Limits = LIMITS) -> Suggestion:
    """Suggest a denoise value from one picture for each seed."""
    seeds = range(len(next(iter(found.values()))))
    run = material({"seed": list(seeds), DENOISE: list(found)})
    values = {(seed, value): series[seed] for value, series in found.items() for seed in seeds}
    return suggest(run, measured(run, values), run.axes[1], limits=limits)


def chosen(found: Suggestion) -> object:
    return found.chosen.value if found.chosen else None


def test_the_value_with_the_most_detail_within_the_limit_is_named() -> None:
    found = suggested({0.4: measures(0.2, 0.05), 0.5: measures(0.5, 0.2), 0.6: measures(0.7, 0.29), 0.7: measures(0.9, 0.31)})

    assert chosen(found) == 0.6
    assert found.reason == "0.6 paints the most detail of the 3 values that pass (detail 0.70, drift 0.29 of at most 0.3)"


def test_the_limit_is_the_users() -> None:
    found = {0.4: measures(0.2, 0.05), 0.5: measures(0.5, 0.2), 0.6: measures(0.7, 0.29)}

    assert chosen(suggested(found, Limits(drift=0.2))) == 0.5
    assert chosen(suggested(found, Limits(drift=0.1))) == 0.4


@pytest.mark.parametrize("veto", ["flat", "noise", "blocks", "seams", "halos"])
def test_a_value_with_a_veto_is_never_named_whatever_its_detail(veto: str) -> None:
    found = suggested({0.4: measures(0.2), 0.5: measures(9.0, vetoes=(veto,))})

    assert chosen(found) == 0.4
    assert [point.why for point in found.points] == ["", veto]


def test_a_region_that_has_drifted_rules_a_value_out_although_the_mean_is_small() -> None:
    found = suggested({0.4: measures(0.2), 0.5: measures(0.9, 0.1, local_drift=0.7)})

    assert chosen(found) == 0.4
    assert found.points[1].why == "local drift"


def test_a_mean_colour_that_has_moved_rules_a_value_out_as_far_as_the_user_says() -> None:
    found = {0.4: measures(0.2), 0.5: measures(0.9, colour_shift=5.0)}

    assert chosen(suggested(found)) == 0.4
    assert suggested(found).points[1].why == "colour shift"
    assert chosen(suggested(found, Limits(colour_shift=6))) == 0.5


def test_where_no_value_passes_none_is_named_and_the_nearest_is_told() -> None:
    found = suggested({0.4: measures(0.2, 0.5), 0.5: measures(0.5, 0.6), 0.6: measures(0.7, 0.1, vetoes=("noise",))})

    assert found.chosen is None
    assert found.reason == "no value passes; the nearest is 0.4, but: drift"
    assert len(found.points) == 3


def test_one_seed_that_fails_rules_a_value_out_and_is_counted() -> None:
    found = over_seeds({0.4: [measures(0.2), measures(0.2)], 0.6: [measures(0.9), measures(0.9, 0.4)]})

    assert chosen(found) == 0.4
    assert (found.points[1].passing, found.points[1].why) == (1, "drift (1 of 2)")


def test_of_values_with_as_much_detail_the_one_that_drifts_least_is_named() -> None:
    found = suggested({0.4: measures(0.2, 0.01), 0.5: measures(0.69, 0.1), 0.6: measures(0.7, 0.2)})

    assert chosen(found) == 0.5
    assert found.reason == "0.5 paints as much detail as 0.6 (detail 0.70) and drifts less (detail 0.69, drift 0.10 of at most 0.3)"


def test_what_differs_less_than_the_seeds_do_counts_as_the_same() -> None:
    noisy = [measures(0.5, 0.2), measures(0.9, 0.2), measures(0.4, 0.2)]
    found = over_seeds({0.5: [measures(0.55, 0.1), measures(0.6, 0.1), measures(0.58, 0.1)], 0.6: noisy})

    assert chosen(found) == 0.5


def test_a_difference_that_every_seed_shows_counts_however_much_the_seeds_differ() -> None:
    low = [measures(0.2, 0.1), measures(0.8, 0.1), measures(0.5, 0.1)]
    high = [measures(0.25, 0.2), measures(0.85, 0.2), measures(0.55, 0.2)]

    assert chosen(over_seeds({0.5: low, 0.6: high})) == 0.6


def test_what_drift_costs_is_taken_off_the_detail_before_it_is_compared() -> None:
    found = {0.4: measures(0.4, 0.05), 0.5: measures(0.55, 0.15), 0.6: measures(0.6, 0.28)}
    costly = suggested(found, Limits(drift=0.3, drift_cost=1.0))

    assert [chosen(suggested(found, Limits(drift_cost=cost))) for cost in (0.0, 1.0, 3.0)] == [0.6, 0.5, 0.4]
    assert costly.reason == (
        "0.5 paints the most detail for its drift, which costs 1 of it, of the 3 values that pass "
        "(detail 0.55, drift 0.15 of at most 0.3)"
    )


def test_a_cost_of_drift_lets_nothing_pass_that_exceeds_a_limit() -> None:
    run = material({DENOISE: [1, 2, 3]})
    found = measured(run, {(1,): measures(0.2, 0.05), (2,): measures(0.4, 0.29), (3,): measures(0.3, 0.31)})

    assert [job_id[-1] for job_id in ranking(run, found, Limits(drift_cost=2.0))] == ["1", "2", "3"]
    assert [job_id[-1] for job_id in ranking(run, found, Limits())] == ["2", "1", "3"]


def test_a_single_series_leaves_open_how_sure_it_is() -> None:
    assert suggested({0.4: measures(0.2), 0.5: measures(0.5)}).sureness == "unknown"


def test_seeds_that_agree_make_it_sure_and_seeds_that_do_not_make_it_unsure() -> None:
    same = {0.4: [measures(0.2)] * 4, 0.5: [measures(0.5)] * 4}
    torn = {0.4: [measures(0.2), measures(0.9), measures(0.8), measures(0.9)], 0.5: [measures(2.8)] + [measures(0.5)] * 3}

    assert (over_seeds(same).sureness, over_seeds(same).votes) == ("sure", {"0.5": 4})
    assert over_seeds(torn).sureness != "sure"
    assert sum(over_seeds(torn).votes.values()) == over_seeds(torn).series == 4


def test_spread_is_told_where_there_are_several_pictures() -> None:
    point = over_seeds({0.4: [measures(0.2, 0.1), measures(0.4, 0.3)], 0.5: [measures(0.1)] * 2}).points[0]

    assert point.detail == pytest.approx(0.3)
    assert point.detail_spread == pytest.approx(0.1 * math.sqrt(2))
    assert (point.worst_drift, point.measured) == (0.3, 2)


def test_another_axis_than_denoise_works_the_same() -> None:
    run = material({"upscale.method": ["nearest-exact", "bislerp"], "seed": [1, 2]})
    found = suggest(
        run,
        measured(
            run,
            {
                ("nearest-exact", 1): measures(0.3),
                ("nearest-exact", 2): measures(0.3),
                ("bislerp", 1): measures(0.6),
                ("bislerp", 2): measures(0.6),
            },
        ),
        run.axes[0],
    )

    assert chosen(found) == "bislerp"


def test_each_value_of_another_axis_is_told_apart_but_seeds_are_not() -> None:
    run = material({"checkpoint": ["a", "b"], "seed": [1, 2], DENOISE: [0.4, 0.5]})
    values = {
        (checkpoint, seed, denoise): measures(denoise if checkpoint == "a" else 1 - denoise, denoise / 2)
        for checkpoint in ("a", "b")
        for seed in (1, 2)
        for denoise in (0.4, 0.5)
    }

    assert suggest(run, measured(run, values), run.axes[2]).apart == {"checkpoint": {"a": "0.5", "b": "0.4"}}


def test_jobs_without_pictures_are_left_out_and_shown() -> None:
    found = suggested({0.4: measures(0.2), 0.5: None})

    assert chosen(found) == 0.4
    assert (found.points[1].measured, found.points[1].why) == (0, "nothing was measured")


def test_without_any_picture_none_is_named() -> None:
    found = suggested({0.4: None, 0.5: None})

    assert (found.chosen, found.reason) == (None, "no picture could be measured, so no value is named")


def test_pictures_without_an_original_are_told_as_the_reason() -> None:
    run = material({DENOISE: [0.4, 0.5]})
    alone = replace(run, entries=tuple(replace(entry, pictures={"picture": ()}) for entry in run.entries))

    assert suggest(alone, {}, run.axes[0]).reason.endswith("compared with their original, and the jobs have picture alone")


@pytest.mark.parametrize(
    ("axes", "field"),
    [
        ({"seed": [1, 2], DENOISE: [0.4, 0.5], "checkpoint": ["a", "b"]}, DENOISE),
        ({"seed": [1, 2], "checkpoint": ["a", "b"]}, "checkpoint"),
        ({"sampler.steps": [10, 20], "checkpoint": ["a", "b"]}, None),
        ({"seed": [1, 2]}, None),
        ({"prompt": ["a lake", "a hill"]}, None),
        ({"seed": [1, 2], "recipe": ["lake", "hill"]}, None),
        ({}, None),
    ],
)
def test_the_usual_axis_is_denoise_or_the_only_one_that_is_no_seed(axes: dict[str, list[object]], field: str | None) -> None:
    found = usual_axis(material(axes))

    assert (found.field if found else None) == field


def test_the_ranking_puts_passing_pictures_by_detail_before_drifted_ones_before_vetoed_ones() -> None:
    run = material({DENOISE: [1, 2, 3, 4, 5]})
    found = measured(
        run,
        {
            (1,): measures(0.2),
            (2,): measures(0.9, vetoes=("noise",)),
            (3,): measures(0.8, 0.9),
            (4,): measures(0.5),
            (5,): measures(0.7, 0.4),
        },
    )

    assert [job_id[-1] for job_id in ranking(run, found, LIMITS)] == ["4", "1", "5", "3", "2"]


numbers = st.floats(0, 2)
one_picture = st.builds(
    lambda detail, drift, local, vetoes: measures(detail, drift, local_drift=local, vetoes=tuple(vetoes)),
    numbers,
    numbers,
    numbers,
    st.lists(st.sampled_from(["noise", "blocks", "seams"]), max_size=2, unique=True),
)


@given(st.dictionaries(st.integers(1, 9), st.lists(one_picture, min_size=3, max_size=3), min_size=1))
def test_whatever_is_named_passes_with_every_picture_and_no_value_is_hidden(found: dict[int, list[Measures]]) -> None:
    told = over_seeds({float(value): series for value, series in found.items()})

    assert [point.value for point in told.points] == [float(value) for value in found]
    if told.chosen is None:
        assert all(any(faults(one, LIMITS) for one in series) for series in found.values())
    else:
        assert not any(faults(one, LIMITS) for one in found[int(told.chosen.value)])


def test_a_value_that_was_not_rendered_in_as_many_series_is_not_named() -> None:
    run = material({"seed": [1, 2, 3], DENOISE: [0.4, 0.5]})
    found = {(1, 0.4): measures(0.3), (2, 0.4): measures(0.3), (3, 0.4): measures(0.3), (1, 0.5): measures(0.9)}

    named = suggest(run, measured(run, found), run.axes[1], limits=LIMITS)

    assert chosen(named) == 0.4
    assert named.reason.endswith("; 0.5 was rendered in fewer series")
    assert named.points[1].passes


def test_four_pictures_of_a_value_are_enough() -> None:
    seeds = [*range(6)]
    run = material({"seed": seeds, DENOISE: [0.4, 0.5]})
    found = {(seed, 0.4): measures(0.3) for seed in seeds} | {(seed, 0.5): measures(0.9) for seed in seeds[:4]}

    assert chosen(suggest(run, measured(run, found), run.axes[1], limits=LIMITS)) == 0.5
