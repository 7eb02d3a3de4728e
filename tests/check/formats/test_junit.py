"""JUnit's XML as others read it: two libraries, the standard library, and what Jenkins' schema allows."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import junitparser
import junitparser.xunit2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junit2htmlreport.parser import Junit

from comfy_runner.check.formats.junit import junit
from comfy_runner.check.results import CheckedJob, CheckedRun, Outcome
from tests.check.formats.support import FAILED, HOSTILE, PASSES, ROOT, RUN, UNLIKE, many, spoilt

# What junit-10.xsd of Jenkins' xunit plugin says of the elements that occur here: their attributes, those that must be there, and
# the elements within. It takes time as digits with three decimals.
_SCHEMA = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, set[str](), {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"name", "tests", "failures", "errors"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": ({"name", "time", "classname", "group"}, {"name"}, {"skipped", "error", "failure", "system-out", "system-err"}),
    "failure": ({"type", "message"}, set[str](), set[str]()),
    "error": ({"type", "message"}, set[str](), set[str]()),
    "skipped": ({"type", "message"}, set[str](), set[str]()),
    "properties": (set[str](), set[str](), {"property"}),
    "property": ({"name", "value"}, {"name", "value"}, set[str]()),
    "system-out": (set[str](), set[str](), set[str]()),
}
_BEYOND = {("testcase", "file"), ("testcase", "line"), ("testcase", "properties")}


def _tree(text: str) -> ET.Element:
    return ET.fromstring(text.encode())  # noqa: S314 - we wrote it


def _beyond_the_schema(text: str) -> set[tuple[str, str]]:
    """Return each attribute and element that the schema does not allow where it is, or misses."""
    found = set()
    for element in _tree(text).iter():
        attributes, needed, within = _SCHEMA[element.tag]
        found |= {(element.tag, name) for name in (element.attrib.keys() - attributes) | (needed - element.attrib.keys())}
        found |= {(element.tag, child.tag) for child in element if child.tag not in within}
        if not re.fullmatch(r"[0-9]+\.[0-9]{3}", element.get("time", "0.000")):
            found.add((element.tag, f"time {element.get('time')}"))
    return found


def _read(run: CheckedRun) -> list[Any]:
    top: Any = junitparser.xunit2.JUnitXml.fromstring(junit(run, ROOT).encode())
    return list(top)


def _case(job: CheckedJob) -> Any:
    [case] = _read(replace(RUN, jobs=(job,), findings=()))[0]
    return case


def test_a_recipe_is_a_suite_and_a_job_a_case() -> None:
    suites = _read(RUN)

    assert [(suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) for suite in suites] == [
        ("fox", 2, 1, 0, 0),
        ("owl", 2, 0, 1, 1),
        ("run", 1, 1, 0, 0),
    ]
    assert [(case.classname, case.name) for case in suites[0]] == [("fox", "fox-s2"), ("fox", "fox-s1")]
    assert suites[0].time == 6.5
    assert suites[0].timestamp == "2026-01-02T03:04:05+00:00"


def test_the_root_counts_all() -> None:
    top = junitparser.xunit2.JUnitXml.fromstring(junit(RUN, ROOT).encode())

    assert (top.tests, top.failures, top.errors) == (5, 2, 1)


def test_a_failure_says_which_check_and_all_that_was_found() -> None:
    case = _case(FAILED)

    [result] = case.result
    assert isinstance(result, junitparser.Failure)
    assert (result.type, result.message) == ("drift", "upscaled drift 0.4123, at most 0.3 expected")
    assert result.text.splitlines() == [
        "failed: upscaled drift measured 0.4123, limit 0.3 (fox.yaml:12): drift 0.4123, at most 0.3 expected",
        "ok: upscaled detail measured 0.5, limit 0.2 (fox.yaml:13)",
    ]


def test_a_case_has_metrics_time_file_and_line() -> None:
    case = _case(FAILED)

    assert {entry.name: entry.value for entry in case.properties()} == {"upscaled.drift": "0.41234", "seconds": "3.25"}
    assert case.time == 3.25
    assert (case._elem.get("file"), case._elem.get("line")) == ("pictures/fox.yaml", "9")


def test_a_job_that_could_not_be_done_is_an_error_and_one_not_begun_is_skipped() -> None:
    undone, skipped = reversed(list(_read(RUN)[1]))

    [error], [skip] = undone.result, skipped.result
    assert isinstance(error, junitparser.Error)
    assert (error.type, error.message, error.text) == ("not done", *["the server ran out of memory"] * 2)
    assert isinstance(skip, junitparser.Skipped)
    assert skip.message == "was not begun"


def test_pictures_that_differ_are_attached_the_most_telling_first() -> None:
    assert _case(FAILED).system_out.split() == [
        f"[[ATTACHMENT|runs/fox/comparison/{name}.png]]" for name in ("difference", "actual", "expected")
    ]


def test_the_picture_that_is_least_alike_is_attached_first() -> None:
    worse = replace(UNLIKE, role="original", similarity=0.4, difference="worse.png")

    case = _case(replace(FAILED, comparisons=(UNLIKE, worse)))

    assert case.system_out.split()[0] == "[[ATTACHMENT|runs/fox/worse.png]]"


def test_a_path_cannot_end_an_attachment() -> None:
    case = _case(replace(FAILED, comparisons=(replace(UNLIKE, expected="", difference="a]]b.png"),)))

    assert case.system_out.split() == ["[[ATTACHMENT|runs/fox/comparison/actual.png]]"]


def test_a_limit_of_the_whole_run_is_a_case_of_its_own() -> None:
    other = replace(PASSES, where="owl.yaml:7", passed=True, message="")

    cases = list(_read(replace(RUN, findings=(PASSES, other)))[-1])

    assert [(case.classname, case.name) for case in cases] == [
        ("run", "passes.first (fox.yaml)"),
        ("run", "passes.first (owl.yaml)"),
    ]
    assert [case.is_passed for case in cases] == [False, True]


def test_a_run_without_jobs_is_a_file_without_suites() -> None:
    assert _read(CheckedRun(folder=Path("run"), jobs=())) == []


def test_another_parser_reads_the_same() -> None:
    suites = Junit(xmlstring=junit(RUN, ROOT)).suites

    assert [(suite.name, len(suite.all()), len(suite.failed()), len(suite.skipped())) for suite in suites] == [
        ("fox", 2, 1, 0),
        ("owl", 2, 1, 1),
        ("run", 1, 1, 0),
    ]
    [failed] = suites[0].failed()
    assert (failed.name, failed.duration) == ("fox-s1", 3.25)
    assert "measured 0.4123, limit 0.3 (fox.yaml:12)" in failed.failure


def test_the_schema_of_jenkins_knows_all_but_three_things() -> None:
    assert _beyond_the_schema(junit(RUN, ROOT)) == _BEYOND


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(text: str) -> None:
    written = junit(spoilt(text), ROOT)

    assert _beyond_the_schema(written) <= _BEYOND
    cases = [case for suite in junitparser.xunit2.JUnitXml.fromstring(written.encode()) for case in suite]
    assert [len(case.result) for case in cases] == [0, 1, 1, 1, 1]
    assert len(Junit(xmlstring=written).suites) == 2


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec=None), max_size=20))
def test_any_text_can_be_read_back(text: str) -> None:
    assert len(_tree(junit(spoilt(text), ROOT)).findall(".//testcase")) == 5


@pytest.mark.slow
def test_ten_thousand_jobs_stay_below_what_gitlab_takes() -> None:
    written = junit(many(10_000), ROOT)

    assert len(written.encode()) < 30_000_000
    top = _tree(written)
    assert (top.get("tests"), top.get("failures")) == ("10001", "3335")


def test_an_outcome_that_no_finding_explains_is_a_failure_all_the_same() -> None:
    [result] = _case(replace(FAILED, outcome=Outcome.FAILED, findings=())).result

    assert isinstance(result, junitparser.Failure)
    assert result.message == "is not as expected"
