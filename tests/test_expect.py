"""What people expect of jobs: which limits there are, what is refused, and what lies over what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from comfy_runner.expect import METRIC_FIELDS, CountLimit, Expect, Limit
from comfy_runner.plugins import METRICS
from comfy_runner.report.measures import NUMBERS


@pytest.fixture
def brightness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package that announces a metric; nothing of it is imported."""
    (tmp_path / "bright-1.dist-info").mkdir()
    (tmp_path / "bright-1.dist-info" / "METADATA").write_text("Name: bright\nVersion: 1\n", encoding="utf-8")
    (tmp_path / "bright-1.dist-info" / "entry_points.txt").write_text(f"[{METRICS}]\nbrightness = nowhere:brightness\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_every_metric_of_ours_can_be_limited() -> None:
    assert METRIC_FIELDS == NUMBERS
    assert set(METRIC_FIELDS) <= Expect.model_fields.keys()


def test_limits_of_metrics_are_told_by_name() -> None:
    found = Expect.model_validate({"detail": {"min": 0.2}, "drift": {"max": 0.3}, "noise": None, "seconds": {"max": 60}})

    assert found.metrics == {"drift": Limit(max=0.3), "detail": Limit(min=0.2)}


@pytest.mark.usefixtures("brightness")
def test_a_metric_of_an_installed_package_can_be_limited() -> None:
    assert Expect.model_validate({"brightness": {"min": 0.1}}).metrics == {"brightness": Limit(min=0.1)}


@pytest.mark.parametrize(
    ("given", "place", "kind"),
    [
        ({"brightness": {"min": 0.1}}, ("brightness",), "extra_forbidden"),
        ({"drift": {"most": 0.1}}, ("drift", "most"), "extra_forbidden"),
        ({"drift": {}}, ("drift",), "recipe"),
        ({"drift": {"max": None}}, ("drift",), "recipe"),
        ({"drift": 0.3}, ("drift",), "recipe"),
        ({"drift": {"max": 0.1, "min": 0.2}}, ("drift",), "recipe"),
        ({"drift": {"max": float("nan")}}, ("drift", "max"), "finite_number"),
        ({"drift": {"max": True}}, ("drift", "max"), "float_type"),
        ({"outputs": {"min": 1.5}}, ("outputs", "min"), "int_type"),
        ({"bytes": {"max": -1}}, ("bytes", "max"), "greater_than_equal"),
        ({"similarity": {"min": 1.5}}, ("similarity", "min"), "less_than_equal"),
        ({"similarity": {"min": 0.9, "max": 1.0}}, ("similarity", "max"), "extra_forbidden"),
        ({"passes": {"first": 8}}, ("passes", "first"), "recipe"),
        ({"distinct": "yes"}, ("distinct",), "bool_type"),
    ],
)
def test_what_is_no_limit_is_refused_at_its_place(given: dict[str, Any], place: tuple[str, ...], kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Expect.model_validate(given)

    assert [(each["loc"], each["type"]) for each in caught.value.errors()] == [(place, kind)]


def test_a_limit_replaces_the_one_of_its_name_as_a_whole_and_null_takes_it_away() -> None:
    under = Expect.model_validate({"drift": {"max": 0.3}, "outputs": {"min": 2}, "seconds": {"max": 60}})
    over = Expect.model_validate({"drift": {"min": 0.5}, "seconds": None})

    found = under.under(over)

    assert (found.drift, found.outputs, found.seconds) == (Limit(min=0.5), CountLimit(min=2), None)
    assert under.under(None) is under
