"""What is known of a job, held against limits: on both sides, on the limit itself, where nothing is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from comfy_runner.check.expected import Expected
from comfy_runner.check.findings import FileFacts, JobFacts, MeasuredFacts, job_findings, pass_findings
from comfy_runner.check.interface import Finding
from comfy_runner.expect import Expect


def _expected(expect: Mapping[str, Any]) -> Expected:
    return Expected("fox-s1", "fox", Expect.model_validate(expect), lambda name: f"fox.yaml: {name}")


def _found(expect: Mapping[str, Any], **facts: Any) -> list[Finding]:
    return list(job_findings(_expected(expect), JobFacts(**facts)))


def _measured(role: str = "upscaled", **metrics: float) -> MeasuredFacts:
    return MeasuredFacts(role=role, metrics=metrics)


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ({"max": 0.3}, 0.3, ""),
        ({"min": 0.3}, 0.3, ""),
        ({"max": 0.3}, 0.412345, "drift 0.4123, at most 0.3 expected"),
        ({"min": 0.3}, 0.0, "drift 0, at least 0.3 expected"),
        # Rounded, they would be the same.
        ({"max": 0.3}, 0.30000001, "drift 0.30000001, at most 0.3 expected"),
        ({"max": 0.3}, float("nan"), "drift nan, at most 0.3 expected"),
    ],
)
def test_a_number_may_be_its_limit_and_nothing_behind_it(limit: dict[str, float], value: float, message: str) -> None:
    (found,) = _found({"drift": limit}, measured=(_measured(drift=value),))

    side = next(iter(limit))
    assert (found.message, found.passed, found.limit) == (message, not message, limit[side])
    assert (found.job_id, found.role, found.check, found.where) == ("fox-s1", "upscaled", "drift", f"fox.yaml: drift.{side}")


def test_both_sides_of_a_limit_are_findings() -> None:
    found = _found({"detail": {"min": 0.1, "max": 0.5}}, measured=(_measured(detail=0.7),))

    assert [(each.limit, each.passed) for each in found] == [(0.5, False), (0.1, True)]


def test_each_picture_that_is_held_against_the_original_is_held_against_the_limit() -> None:
    found = _found({"drift": {"max": 0.3}}, measured=(_measured("latent", drift=0.4), _measured("pixel", drift=0.1)))

    assert [(each.role, each.passed) for each in found] == [("latent", False), ("pixel", True)]


def test_a_metric_without_a_number_has_not_passed_and_says_why() -> None:
    lacking = MeasuredFacts(role="upscaled", problem="has no original picture")
    broken = MeasuredFacts(role="upscaled", metrics={"drift": 0.1}, problem="metric lpips failed (ValueError: no)")

    assert [each.message for each in _found({"drift": {"max": 1}, "vetoes": {"max": 0}}, measured=(lacking,))] == [
        "drift could not be measured: has no original picture",
        "vetoes could not be measured: has no original picture",
    ]
    assert [each.message for each in _found({"noise": {"max": 1}, "drift": {"max": 1}}, measured=(broken,))] == [
        "",
        "noise could not be measured: metric lpips failed (ValueError: no)",
    ]


def test_a_metric_of_a_job_without_pictures_has_not_passed() -> None:
    (found,) = _found({"drift": {"max": 1}})

    assert found.message == "drift could not be measured: it has no picture to measure"


def test_vetoes_are_counted_and_named() -> None:
    vetoed = MeasuredFacts(role="upscaled", metrics={"drift": 0.1}, vetoes=("noise", "seams"))

    (found,) = _found({"vetoes": {"max": 0}}, measured=(vetoed,))

    assert (found.measured, found.message) == (2, "vetoes 2 (noise, seams), at most 0 expected")


def test_files_are_counted_weighed_and_measured() -> None:
    files = (
        FileFacts(role="original", size_bytes=100, width=512, height=512),
        FileFacts(role="upscaled", size_bytes=6_000_000, width=1024, height=1024),
        FileFacts(role="sound", size_bytes=10),
    )
    expect = {"outputs": {"max": 2}, "bytes": {"max": 5_000_000}, "width": {"min": 2048}, "height": {"min": 600}}

    found = _found(expect, files=files)

    assert [(each.role, each.message) for each in found if not each.passed] == [
        ("", "outputs 3, at most 2 expected"),
        ("upscaled", "bytes 6000000, at most 5000000 expected"),
        ("upscaled", "width 1024, at least 2048 expected"),
    ]


def test_the_size_of_the_original_counts_where_there_is_no_other_picture() -> None:
    original = FileFacts(role="original", size_bytes=100, width=512, height=512)

    assert [each.message for each in _found({"width": {"max": 256}}, files=(original,))[1:]] == ["width 512, at most 256 expected"]
    (found,) = _found({"height": {"max": 256}})
    assert found.message == "height could not be measured: it has no picture to measure"


def test_a_file_that_is_not_as_it_was_fails_whatever_is_expected() -> None:
    (found,) = _found({}, files=(FileFacts(role="upscaled", size_bytes=1, problem="a.png is gone"),))

    assert (found.check, found.message, found.passed, found.measured) == ("intact", "a.png is gone", False, None)


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (60.0, ""),
        (61.5, "seconds 61.5, at most 60 expected"),
        (12345.6, "seconds 12346, at most 60 expected"),
        (None, "seconds could not be measured: the server did not say how long it worked"),
    ],
)
def test_seconds_are_those_of_the_server(seconds: float | None, message: str) -> None:
    assert [each.message for each in _found({"seconds": {"max": 60}}, seconds=seconds)] == [message]


def test_equal_pixels_fail_only_where_different_ones_are_expected() -> None:
    assert _found({}, same_as="fox-s0") == []
    assert [each.passed for each in _found({"distinct": True})] == [True]
    (found,) = _found({"distinct": True}, same_as="fox-s0")
    assert (found.passed, found.where) == (False, "fox.yaml: distinct")


def test_passes_belong_to_the_recipe_not_to_a_job() -> None:
    expected = _expected({"passes": {"first": {"max": 1}, "second": {"min": 4}, "loads": {"max": 1}}})

    found = list(pass_findings(expected, {"first": 3, "second": 4}))

    assert [(each.job_id, each.message, each.where) for each in found] == [
        ("", "fox: first passes 3, at most 1 expected", "fox.yaml: passes.first.max"),
        ("", "", "fox.yaml: passes.second.min"),
        ("", "", "fox.yaml: passes.loads.max"),
    ]


def test_of_a_recipe_that_is_not_all_done_only_too_many_passes_are_told() -> None:
    expected = _expected({"passes": {"first": {"max": 1}, "second": {"min": 4, "max": 9}, "loads": {"max": 1}}})

    found = [each.message for each in pass_findings(expected, {"first": 3}, is_whole=False)]

    assert found == ["fox: first passes 3, at most 1 expected"]


def test_passes_that_are_not_known_have_not_passed() -> None:
    (found,) = pass_findings(_expected({"passes": {"loads": {"max": 1}}}), {}, missing="fox-s1: has no sidecar")

    assert (found.measured, found.message) == (None, "fox: model loads could not be measured: fox-s1: has no sidecar")
