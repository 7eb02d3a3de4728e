"""What a second measure makes of a suggestion, and where that is said."""

from __future__ import annotations

from collections.abc import Mapping

from comfy_runner.report.export import suggestion_json
from comfy_runner.report.measures import Measures
from comfy_runner.report.second_opinion import SECOND
from comfy_runner.report.suggest import Suggestion, suggest
from tests.report.values import DENOISE, material, measured, measures


def suggested(found: Mapping[float, Measures]) -> Suggestion:
    run = material({DENOISE: list(found)})
    return suggest(run, measured(run, {(value,): one for value, one in found.items()}), run.axes[0])


def scored(detail: float, score: float, **changes: float) -> Measures:
    return measures(detail, extra={SECOND: score}, **changes)


def test_a_value_whose_pictures_look_unlike_their_original_is_one_that_the_second_opinion_would_not_name() -> None:
    found = suggested({0.4: scored(0.2, 91), 0.5: scored(0.5, 80), 0.6: scored(0.9, 44.4)})

    assert found.chosen is not None
    assert found.chosen.value == 0.6
    assert found.notes == (
        "ssimulacra2 would name 0.5: a picture of 0.6, reduced again, resembles its original by 44 of 100; at least 70 is fine",
    )
    assert suggestion_json(found)["second"] == {"measure": SECOND, "least": 70, "score": 44.4, "chosen": 0.5, "agrees": False}


def test_where_both_name_the_same_value_nothing_is_said() -> None:
    found = suggested({0.4: scored(0.2, 91), 0.5: scored(0.5, 80), 0.6: scored(0.9, 30, drift=0.4)})

    assert found.notes == ()
    assert found.second is not None
    assert found.second.agrees
    assert found.second.chosen == 0.5


def test_where_nothing_is_alike_enough_the_second_opinion_names_no_value() -> None:
    found = suggested({0.4: scored(0.2, 60), 0.5: scored(0.5, 50)})

    assert found.notes == (
        "ssimulacra2 would name no value: a picture of 0.5, reduced again, resembles its "
        "original by 50 of 100; at least 70 is fine",
    )


def test_without_the_second_measure_there_is_no_second_opinion() -> None:
    found = suggested({0.4: measures(0.2), 0.5: measures(0.5)})

    assert found.second is None
    assert suggestion_json(found)["second"] is None


def test_a_value_without_a_score_is_left_to_ours() -> None:
    found = suggested({0.4: scored(0.2, 91), 0.5: measures(0.5)})

    assert found.second is not None
    assert found.second.agrees
    assert found.second.score is None
