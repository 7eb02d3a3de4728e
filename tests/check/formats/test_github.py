"""Annotations as GitHub's runner takes them: a line that begins with ``::``, whose values are unescaped."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from comfy_runner.check.formats.github import MOST, workflow_commands
from comfy_runner.check.results import CheckedRun
from tests.check.formats.support import DRIFT, FAILED, HOSTILE, ROOT, RUN, UNDONE, many, spoilt

_COMMAND = re.compile(r"::(?P<kind>\w+) (?P<properties>[^:]*)::(?P<data>.*)")


@dataclass(frozen=True)
class _Annotation:
    kind: str
    properties: dict[str, str]
    text: str


def _unescaped(value: str, *escapes: str) -> str:
    for escape in (*escapes, "%0D", "%0A", "%25"):
        value = value.replace(escape, chr(int(escape[1:], 16)))
    return value


def _taken(run: CheckedRun) -> list[_Annotation]:
    found = []
    for line in workflow_commands(run, ROOT):
        assert line.isprintable()
        match = _COMMAND.fullmatch(line)
        assert match
        pairs = [pair.partition("=") for pair in match["properties"].split(",")]
        properties = {name: _unescaped(value, "%3A", "%2C") for name, _, value in pairs}
        found.append(_Annotation(match["kind"], properties, _unescaped(match["data"])))
    return found


def test_errors_are_at_the_lines_of_recipes_and_those_of_the_run_follow() -> None:
    drift = {"file": "pictures/fox.yaml", "line": "12", "title": "upscaled drift: 1 failure"}
    passes = {"file": "pictures/fox.yaml", "line": "15", "title": "passes.first: 1 failure"}
    undone = {"file": "pictures/owl.yaml", "line": "1", "title": "1 job could not be done"}
    skipped = {"file": "pictures/owl.yaml", "line": "1", "title": "1 job skipped"}
    assert _taken(RUN) == [
        _Annotation("error", undone, "the server ran out of memory\nowl-s1"),
        _Annotation("error", drift, "fox-s1: upscaled drift 0.4123, at most 0.3 expected"),
        _Annotation("error", passes, "fox: first passes 9, at most 8 expected"),
        _Annotation("warning", skipped, "was not begun\nowl-s2"),
        _Annotation("notice", {"title": "comfy-runner"}, "the baseline was made by ComfyUI 0.3.75"),
        _Annotation("notice", {"title": "1 job only in the baseline"}, "fox-s9"),
    ]


def test_jobs_that_miss_one_limit_are_told_in_one_the_worst_first() -> None:
    jobs = tuple(replace(FAILED, job_id=f"s{n}", findings=(replace(DRIFT, measured=0.3 + n / 10),)) for n in range(1, 9))

    [error] = _taken(CheckedRun(folder=Path("run"), jobs=jobs))

    assert error.properties["title"] == "upscaled drift: 8 failures"
    assert [line.split(":")[0] for line in error.text.splitlines()] == ["s8", "s7", "s6", "s5", "s4", "and 3 more"]


def test_there_are_ten_of_a_kind_the_worst_and_the_last_says_how_many_more() -> None:
    limits = [replace(DRIFT, where=f"fox.yaml:{n}", measured=0.3 + n / 10) for n in range(1, 15)]
    notes = tuple(map(str, range(30)))

    found = _taken(replace(RUN, jobs=(replace(FAILED, findings=tuple(limits)),), findings=(), notes=notes))

    errors = [one for one in found if one.kind == "error"]
    assert [one.properties["line"] for one in errors] == [str(n) for n in range(14, 4, -1)]
    assert errors[-1].text.endswith("\n(and 4 more of this kind)")
    assert len([one for one in found if one.kind == "notice"]) == MOST


def test_a_job_without_a_file_has_no_place() -> None:
    [error] = _taken(CheckedRun(folder=Path("run"), jobs=(replace(UNDONE, file="", line=0),)))

    assert error.properties == {"title": "1 job could not be done"}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_within_their_annotation(text: str) -> None:
    found = _taken(spoilt(text))

    assert {one.kind for one in found} == {"error", "warning", "notice"}
    assert all(one.properties.keys() <= {"file", "line", "title"} for one in found)


def test_a_text_arrives_as_it_was() -> None:
    problem = "100 %, a:b %0A ::error::x"

    [error] = _taken(CheckedRun(folder=Path("run"), jobs=(replace(UNDONE, problem=problem),)))

    assert error.text == f"{problem}\nowl-s1"


@pytest.mark.slow
def test_ten_thousand_jobs_are_a_few_lines() -> None:
    assert len("\n".join(workflow_commands(many(10_000), ROOT))) < 5000
