"""Limits that no finished job could be held against, told before anything is rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner import validate
from comfy_runner.config import Config
from comfy_runner.gates import foreseen
from tests.running.support import small, sweep

_METRICS = {"detail": {"min": 0.1}, "drift": {"max": 1}}


def _told(*recipes: Any, **given: Any) -> list[str]:
    return [str(note) for note in validate(recipes, config=Config(), **given) if "measured" in note.what]


def test_what_can_be_measured_needs_no_word() -> None:
    assert _told(sweep({"seed": [1, 2]}, expect=_METRICS), small(template="text_to_image", expect={"seconds": {"max": 1}})) == []


def test_a_job_with_a_single_picture_has_nothing_to_be_measured_against() -> None:
    recipe = sweep({"seed": [1, 2], "template": ["text_to_image", "latent_upscale"]}, expect=_METRICS)

    assert _told(recipe) == [
        "recipe: expect.drift: cannot be measured, so a check will fail: "
        "needs an original and another picture, but the template gives original"
    ]


def test_the_place_is_that_of_the_first_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreseen, "can_measure", lambda: False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fox.yaml").write_text("checkpoint: a.safetensors\nprompt: a fox\nexpect:\n  vetoes: {max: 0}\n", encoding="utf-8")

    (told,) = _told("fox.yaml")
    (other,) = _told("fox.yaml", sets=["expect.drift.max=1"])

    assert told.startswith("fox.yaml:4: expect.vetoes: cannot be measured, so a check will fail: numpy is not installed")
    assert other.startswith("--set expect.drift: cannot be measured")
