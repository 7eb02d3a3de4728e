"""Which values eyes prefer: the order of simulated people is found, how sure that is, and what does not count."""

from __future__ import annotations

import json
import random
import re
from math import exp
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import suggest
from comfy_runner.report.eye_order import EyeOrder, eye_order
from comfy_runner.report.measures import Measured
from comfy_runner.report.picks import FILE
from comfy_runner.report.run_data import Material, find_axis, read_material
from tests.report.support import make_run, photo
from tests.report.values import measures

_STRENGTHS = {"d03": 0.0, "d05": 2.0, "d07": 0.5, "d09": -1.0}
_BEST_FIRST = [0.5, 0.7, 0.3, 0.9]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    axes: dict[str, list[Any]] = {"seed": [0, 1], "upscale.denoise": [0.3, 0.5, 0.7, 0.9]}
    return make_run(tmp_path_factory.mktemp("made") / "lake", axes, photo)


@pytest.fixture
def material(run: Path) -> Material:
    (run / FILE).unlink(missing_ok=True)
    return read_material(run)


def _pair(left: str, right: str, better: str, **more: str) -> dict[str, str]:
    return {"left": f"lake-s0-{left}", "right": f"lake-s0-{right}", "better": better, **more}


def _seen(material: Material, pairs: list[dict[str, str]], named: str | None = "0.5") -> tuple[EyeOrder | None, tuple[str, ...]]:
    (material.folder / FILE).write_text(json.dumps({"format": 1, "pairs": pairs}), encoding="utf-8")
    known = {entry.name: Measured(measures=measures(0.3), original=str(entry.values["seed"])) for entry in material.entries}
    return eye_order(material, known, find_axis(material, "denoise"), named=named)


def _answers(count: int, seed: int) -> list[dict[str, str]]:
    """Return the answers of somebody who prefers by `_STRENGTHS`, and errs as the model has it."""
    rng = random.Random(seed)  # noqa: S311
    pairs = []
    for number in range(count):
        left, right = rng.sample([*_STRENGTHS], 2)
        is_left = rng.random() < 1 / (1 + exp(_STRENGTHS[right] - _STRENGTHS[left]))
        pair = _pair(left, right, "left" if is_left else "right")
        pairs.append({name: text.replace("-s0-", f"-s{number % 2}-") for name, text in pair.items()})
    return pairs


def test_the_order_of_somebody_who_errs_is_found_with_its_strengths(material: Material) -> None:
    found, notes = _seen(material, _answers(250, seed=1))

    assert found is not None
    assert notes == ()
    assert [each.value for each in found.values] == _BEST_FIRST
    assert (found.pairs, found.is_clear) == (250, True)
    assert found.told == "your eyes prefer 0.5 among 4 values, 99% sure by 250 pairs, as the metrics do"
    strengths = {each.label: each.strength for each in found.values}
    mean = sum(_STRENGTHS.values()) / 4
    assert all(abs(strengths[f"0.{name[2]}"] - (true - mean)) < 0.6 for name, true in _STRENGTHS.items())
    assert all(0.05 < each.spread < 1.1 for each in found.values)


def test_how_sure_it_says_to_be_is_how_often_it_is_right(material: Material) -> None:
    told, right = 0.0, 0
    for seed in range(20):
        found, _ = _seen(material, _answers(12, seed))
        assert found is not None
        told += found.values[0].best
        right += found.values[0].value == 0.5
    assert abs(told - right) < 5


def test_no_difference_counts_as_half_a_win_of_either_and_is_no_more_than_one_answer(material: Material) -> None:
    same, _ = _seen(material, [_pair("d03", "d05", "same")] * 10)
    apart, _ = _seen(material, [_pair("d03", "d05", "left")] * 10)
    shared, _ = _seen(material, [_pair("d03", "d05", better) for better in ("left", "right")] * 5)

    assert same is not None
    assert apart is not None
    assert shared is not None
    assert [(each.better, each.compared) for each in same.values] == [(5, 10), (5, 10)]
    assert abs(same.values[0].best - 0.5) < 0.05
    assert not same.is_clear
    assert re.match(r"your eyes prefer 0.[35] among 2 values, but only (49|50|51)% sure by 10 pairs", same.told)
    assert same.values[0].spread == pytest.approx(shared.values[0].spread, rel=0.02)
    assert apart.is_clear
    assert apart.told == "your eyes prefer 0.3 among 2 values, 99% sure by 10 pairs; the metrics name 0.5"


def test_what_does_not_count_is_left_out(material: Material) -> None:
    other_original = {"left": "lake-s0-d03", "right": "lake-s1-d05", "better": "left"}
    unknown, itself = _pair("d03", "d99", "left"), _pair("d03", "d03", "left")
    replaced = _pair("d03", "d05", "right", left_sha256="0" * 64)
    found, notes = _seen(material, [other_original, unknown, itself, replaced, _pair("d03", "d05", "left")])

    assert found is not None
    assert (found.pairs, found.values[0].label) == (1, "0.3")
    assert notes == ("left out 1 picture rendered again after being judged: lake-s0-d03",)
    assert _seen(material, [other_original])[0] is None


def test_a_run_that_nobody_looked_at_says_nothing_and_a_damaged_file_is_a_note(material: Material) -> None:
    axis = find_axis(material, "denoise")
    assert eye_order(material, {}, axis, named=None) == (None, ())

    (material.folder / FILE).write_bytes(b"{")
    found, (note,) = eye_order(material, {}, axis, named=None)
    assert found is None
    assert "picks.json: is not JSON" in note


def test_a_suggestion_has_it(material: Material) -> None:
    _seen(material, _answers(60, seed=3))
    found = suggest(material.folder)

    assert found.eyes is not None
    assert found.eyes.values[0].value == 0.5
