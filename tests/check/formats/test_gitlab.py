from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from comfy_runner.check.formats.gitlab import code_quality
from comfy_runner.check.results import CheckedRun
from tests.check.formats.support import DRIFT, FAILED, HOSTILE, PASSED, ROOT, RUN, many, spoilt

# What GitLab's manual asks of a code quality report.
_SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string"},
            "check_name": {"type": "string"},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": r"^(?!\./)"},
                    "lines": {"type": "object", "required": ["begin"], "properties": {"begin": {"type": "integer", "minimum": 1}}},
                },
            },
        },
    },
}


def _read(run: CheckedRun) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(code_quality(run, ROOT))
    jsonschema.validate(entries, _SCHEMA)
    assert len({entry["fingerprint"] for entry in entries}) == len(entries)
    return entries


def test_what_is_wrong_is_an_entry_the_worst_first() -> None:
    entries = _read(RUN)

    assert [(entry["severity"], entry["check_name"], entry["description"]) for entry in entries] == [
        ("blocker", "not done", "owl-s1: the server ran out of memory"),
        ("major", "drift", "fox-s1: upscaled drift 0.4123, at most 0.3 expected"),
        ("major", "passes.first", "fox: first passes 9, at most 8 expected"),
    ]
    assert entries[1]["location"] == {"path": "pictures/fox.yaml", "lines": {"begin": 12}}


def test_what_passed_is_no_entry() -> None:
    assert _read(CheckedRun(folder=Path("run"), jobs=(PASSED,))) == []


def test_a_fingerprint_is_the_same_whatever_was_measured_and_wherever_the_limit_is() -> None:
    other = replace(FAILED, line=1, findings=(replace(DRIFT, measured=0.9, limit=0.1, where="fox.yaml:99", message="x"),))

    [before], [after] = (_read(CheckedRun(folder=Path("run"), jobs=(job,))) for job in (FAILED, other))

    assert before["fingerprint"] == after["fingerprint"]


def test_several_pictures_of_one_role_are_told_apart() -> None:
    assert len(_read(CheckedRun(folder=Path("run"), jobs=(replace(FAILED, findings=(DRIFT, DRIFT)),)))) == 2


def test_where_no_file_is_known_the_run_folder_is_named() -> None:
    job = replace(FAILED, file="", line=0, findings=(replace(DRIFT, where=""),))

    [entry] = _read(replace(RUN, jobs=(job,), findings=()))

    assert entry["location"] == {"path": "runs/fox", "lines": {"begin": 1}}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(text: str) -> None:
    assert len(_read(spoilt(text))) == 3


@pytest.mark.slow
def test_ten_thousand_jobs_can_be_told() -> None:
    assert len(_read(many(10_000))) == 3335
