"""``metrics.json`` and ``metrics.csv``: what was measured, for programs and spreadsheets."""

from __future__ import annotations

import csv
import io
import json

import pytest

from comfy_runner.report.export import dumped, metrics_csv, metrics_json, suggestion_json
from comfy_runner.report.measures import NUMBERS, Measured
from comfy_runner.report.suggest import Limits, suggest
from tests.report.values import DENOISE, material, measured, measures

RUN = material({"prompt": ["=1+1", 'a lake, "calm"\nand deep'], DENOISE: [0.4, 0.5]})
FOUND = measured(
    RUN,
    {
        ("=1+1", 0.4): measures(0.2, extra={"lpips": 0.5}),
        ("=1+1", 0.5): measures(0.6, 0.4),
        (RUN.axes[0].values[1], 0.4): measures(0.3, vetoes=("noise",)),
        (RUN.axes[0].values[1], 0.5): None,
    },
)
LIMITS = Limits(drift=0.3, local_drift=0.6)


def rows() -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(metrics_csv(metrics_json(RUN, FOUND, None, LIMITS)))))


def test_the_json_has_every_job_with_its_values_measures_and_rank() -> None:
    told = metrics_json(RUN, FOUND, None, LIMITS)

    assert [job["job"] for job in told["jobs"]] == [entry.job_id for entry in RUN.entries]
    assert told["jobs"][0]["values"] == {"prompt": "=1+1", DENOISE: 0.4}
    assert told["jobs"][0]["measures"] == {
        **dict.fromkeys(NUMBERS, 0.0),
        "detail": 0.2,
        "drift": 0.1,
        "local_drift": 0.1,
        "lpips": 0.5,
    }
    assert [job["rank"] for job in told["jobs"]] == [1, 2, 3, None]
    assert [job["faults"] for job in told["jobs"]] == [[], ["drift"], ["noise"], []]
    assert told["jobs"][3]["problem"] == "has no upscaled picture"


def test_the_json_is_json_whatever_the_recipe_says() -> None:
    run = material({"prompt": ["\ud83d", "</script>\u2028"]})
    found = {entry.job_id: Measured(measures=None, problem="\udcff") for entry in run.entries}

    assert json.loads(dumped(metrics_json(run, found, None, LIMITS)))["jobs"][0]["values"]["prompt"] == "\ud83d"


def test_the_suggestion_is_told_with_all_its_points() -> None:
    told = suggestion_json(suggest(RUN, FOUND, RUN.axes[1], limits=LIMITS))

    assert json.loads(json.dumps(told)) == told
    assert (told["axis"], told["chosen"], [point["value"] for point in told["points"]]) == (DENOISE, None, [0.4, 0.5])
    assert told["limits"] == {"drift": 0.3, "local_drift": 0.6, "colour_shift": 4.0, "drift_cost": 0.0, "calibration": ""}


def test_the_table_has_a_row_per_job_and_a_column_per_axis_and_metric() -> None:
    found = rows()

    assert list(found[0]) == [
        *("job", "state", "prompt", DENOISE, "rank", *NUMBERS, "lpips", "faults", "problem", "same_as", "close_to"),
    ]
    assert [row["detail"] for row in found] == ["0.2", "0.6", "0.3", ""]
    assert [row["faults"] for row in found] == ["", "drift", "noise", ""]


def test_faults_of_several_words_can_be_told_apart() -> None:
    run = material({DENOISE: [0.4]})
    told = metrics_json(run, measured(run, {(0.4,): measures(0.2, 0.9)}), None, LIMITS)

    assert told["jobs"][0]["faults"] == ["drift", "local drift"]
    assert next(csv.DictReader(io.StringIO(metrics_csv(told))))["faults"] == "drift; local drift"


def test_text_with_quotes_and_lines_comes_back_as_it_was() -> None:
    assert rows()[2]["prompt"] == RUN.axes[0].values[1]


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1-x", "@SUM(A1)", "\t=1"])
def test_no_text_becomes_a_formula_of_a_spreadsheet(text: str) -> None:
    run = material({"prompt": [text, "b"]})
    found = {entry.job_id: Measured(measures=None) for entry in run.entries}
    table = list(csv.DictReader(io.StringIO(metrics_csv(metrics_json(run, found, None, LIMITS)))))

    assert table[0]["prompt"] == f"'{text}"


def test_negative_numbers_stay_numbers() -> None:
    run = material({"params.tilt": [-0.5, 0.5]})
    found = {entry.job_id: Measured(measures=None) for entry in run.entries}

    assert next(csv.DictReader(io.StringIO(metrics_csv(metrics_json(run, found, None, LIMITS)))))["params.tilt"] == "-0.5"
