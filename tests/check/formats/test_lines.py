from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from comfy_runner.check.formats.lines import Root, complaint, detail, excess, headline, plain, worst_first
from comfy_runner.check.results import CheckedRun
from tests.check.formats.support import DETAIL, DRIFT, FAILED, HOSTILE, PASSED, ROOT, RUN, SKIPPED, UNDONE


@pytest.mark.parametrize("text", HOSTILE)
def test_a_plain_text_is_one_short_printable_line(text: str) -> None:
    words = plain(text)

    assert words.isprintable()
    assert len(words) <= 301
    assert words.encode().decode() == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\r\n b\tc ", "a b c"),
        ("a\x1b[31mb", "a\ufffd[31mb"),
        ("a\ud83db", "a\ufffdb"),
        ("\N{FOX FACE} é", "\N{FOX FACE} é"),
        ("x" * 301, "x" * 300 + "…"),
        ("x" * 300, "x" * 300),
    ],
)
def test_a_plain_text_keeps_what_is_printable(text: str, words: str) -> None:
    assert plain(text) == words


def test_paths_are_relative_to_the_checkout_also_from_a_folder_within() -> None:
    assert ROOT.relative("fox.yaml") == "pictures/fox.yaml"
    assert ROOT.relative("../recipes/./fox.yaml") == "recipes/fox.yaml"
    assert ROOT.relative(Path("/repo/runs/fox")) == "runs/fox"


def test_what_is_outside_stays_absolute() -> None:
    assert ROOT.relative("../../fox.yaml") == "/fox.yaml"


def test_a_finding_is_shown_where_its_limit_is_set() -> None:
    assert ROOT.place(FAILED, DRIFT) == ("pictures/fox.yaml", 12)


@pytest.mark.parametrize("where", ["", "the command line", "/home/me/config.yaml:3", "fox.yaml:", ":3", "a:b"])
def test_else_it_is_shown_where_its_job_is(where: str) -> None:
    assert ROOT.place(FAILED, replace(DRIFT, where=where)) == ("pictures/fox.yaml", 9)


def test_what_has_no_file_has_no_place() -> None:
    assert ROOT.place(replace(FAILED, file="", line=0)) == ("", 0)
    assert Root(Path("/"), Path("/")).place(None) == ("", 0)


def test_a_complaint_names_the_role_and_what_is_wrong() -> None:
    assert complaint(DRIFT) == "upscaled drift 0.4123, at most 0.3 expected"
    assert complaint(replace(DRIFT, message="")) == "upscaled drift 0.4123, limit 0.3"


def test_a_detail_has_all_that_is_known() -> None:
    assert detail(DETAIL) == "ok: upscaled detail measured 0.5, limit 0.2 (fox.yaml:13)"
    assert detail(replace(DRIFT, limit=None, where="")) == (
        "failed: upscaled drift measured 0.4123: drift 0.4123, at most 0.3 expected"
    )


def test_the_worst_come_first() -> None:
    worse = replace(FAILED, job_id="worse", findings=(replace(DRIFT, measured=0.9),))
    missing = replace(FAILED, job_id="missing", findings=(replace(DRIFT, measured=None),))

    jobs = worst_first([PASSED, SKIPPED, FAILED, worse, missing, UNDONE])

    assert [job.job_id for job in jobs] == ["owl-s1", "missing", "worse", "fox-s1", "owl-s2", "fox-s2"]


@pytest.mark.parametrize("limit", [0, 0.0, -1.0, math.nan, math.inf, "1x1"])
def test_any_limit_has_an_excess_that_can_be_ordered(limit: float | str) -> None:
    assert excess(replace(DRIFT, limit=limit)) > 0


def test_a_headline_counts() -> None:
    assert headline(RUN) == ("4 jobs: 1 could not be done, 1 failed, 1 skipped, 1 passed, 1 limit of the whole run was not kept")
    assert headline(CheckedRun(folder=Path("run"), jobs=())) == "0 jobs"
