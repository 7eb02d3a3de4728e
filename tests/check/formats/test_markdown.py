"""The summary as a renderer of GitHub's Markdown shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from comfy_runner.check.formats.lines import plain
from comfy_runner.check.formats.markdown import MOST_BYTES, markdown
from comfy_runner.check.results import CheckedRun, Outcome
from tests.check.formats.support import HOSTILE, PASSED, ROOT, RUN, many, spoilt

_GFM = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def _blocks(text: str) -> list[Token]:
    return _GFM.parse(text)


def _rows(text: str) -> list[list[str]]:
    """Return the cells of all tables, as they are shown."""
    rows: list[list[str]] = []
    for token, after in zip(tokens := _blocks(text), tokens[1:], strict=False):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("td_open", "th_open"):
            rows[-1].append("".join(child.content for child in after.children or []))
    return rows


def test_what_failed_is_a_table_the_worst_first() -> None:
    assert _rows(markdown(RUN, ROOT))[:4] == [
        ["job", "what", "measured", "limit", "where"],
        ["owl-s1", "the server ran out of memory", "", "", "owl.yaml:1"],
        ["fox-s1", "upscaled drift 0.4123, at most 0.3 expected", "0.4123", "0.3", "fox.yaml:12"],
        ["the run", "fox: first passes 9, at most 8 expected", "9", "8", "fox.yaml:15"],
    ]


def test_the_pictures_of_what_differs_are_named() -> None:
    assert _rows(markdown(RUN, ROOT))[4:6] == [
        ["job", "role", "picture of the differences"],
        ["fox-s1", "upscaled", "runs/fox/comparison/difference.png"],
    ]


def test_skipped_and_passed_jobs_follow() -> None:
    assert _rows(markdown(RUN, ROOT))[6:] == [
        ["job", "why"],
        ["owl-s2", "was not begun"],
        ["job", "recipe", "seconds", "baseline"],
        ["fox-s2", "fox", "3.2", "same"],
    ]


def test_it_begins_with_what_became_of_the_run() -> None:
    first, _, second, *_ = markdown(RUN, ROOT).splitlines()

    assert first.startswith("## ❌ 4 jobs: 1 could not be done, 1 failed, 1 skipped, 1 passed")
    assert second == "Run folder `runs/fox`, compared with the baseline `baseline`"


def test_notes_and_orphans_are_lists() -> None:
    lines = markdown(RUN, ROOT).splitlines()

    assert "- the baseline was made by ComfyUI 0.3.75" in lines
    assert "- `fox-s9`" in lines


def test_a_run_that_is_as_wanted_says_so() -> None:
    text = markdown(CheckedRun(folder=Path("/repo/runs/fox"), jobs=(PASSED,)), ROOT)

    assert text.startswith("## ✅ 1 job: 1 passed\n")
    assert "What is wrong" not in text


def test_a_job_that_no_finding_explains_is_told_all_the_same() -> None:
    text = markdown(replace(RUN, jobs=(replace(PASSED, outcome=Outcome.FAILED),), findings=()), ROOT)

    assert _rows(text)[1][:2] == ["fox-s2", "is not as expected"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_as_they_are(text: str) -> None:
    written = markdown(spoilt(text), ROOT)

    html = [token.content.strip() for token in _blocks(written) if token.type == "html_block"]
    assert html == ["<details>\n<summary>1 job passed</summary>", "</details>"]
    headings = [token for token in _blocks(written) if token.type == "heading_open"]
    assert len(headings) == 6
    marks = {child.type for token in _blocks(written) for child in token.children or []}
    assert marks <= {"text", "code_inline", "text_special"}
    rows = _rows(written)
    assert [len(row) for row in rows] == [5] * 4 + [3] * 5 + [2] * 2 + [4] * 2
    job = plain(f"2{text}")
    assert job in [row[0] for row in rows]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@octocat", "@\u200boctocat"),
        ("see #12", "see #\u200b12"),
        ("https://a.b", "https:\\//a.b"),
        ("www.a.b", "www\\.a.b"),
        ("a@ b # c", "a@ b # c"),
        ("# c", "\u200b# c"),
        ("1. c", "\u200b1. c"),
        ("0.3", "0.3"),
    ],
)
def test_a_note_links_to_nothing(text: str, shown: str) -> None:
    assert f"- {shown}\n" in markdown(replace(RUN, notes=(text,)), ROOT)


@pytest.mark.slow
def test_a_long_summary_is_cut_below_what_github_takes_and_says_so() -> None:
    text = markdown(many(30_000), ROOT)

    assert MOST_BYTES - 500 < len(text.encode()) <= MOST_BYTES < 1024 * 1024
    assert text.endswith("_The summary was cut here: the report of the run has the rest._\n")
    worst = _rows(text[:3000])[1]
    assert worst[0] == "fox-s29997"


@pytest.mark.parametrize("most", [200, 400, 900, 1400])
def test_a_cut_summary_is_whole_markdown(most: int) -> None:
    text = markdown(replace(RUN, notes=("\N{FOX FACE}" * 50,) * 3), ROOT, most=most)

    assert len(text.encode()) <= most
    assert text.count("<details>") == text.count("</details>")
    assert "was cut here" in text
