"""The grid: which pictures lie where, which are shown, in which order; the table and the curve below it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.report.page.conftest import Opener
from tests.report.page.pages import FAILED, VETOED, drawn, shown_jobs, wait_for_pictures


@pytest.fixture
def page(open_page: Opener, sweep: Path) -> Page:
    return open_page(sweep)


def _headings(page: Page, place: str) -> list[str]:
    return [text.replace("\n", " ") for text in page.locator(f".pictures {place} th").all_inner_texts()]


def _cell(page: Page, row: int, column: int) -> list[str]:
    images = page.locator(f".pictures tbody tr:nth-child({row}) td:nth-child({column + 1})").locator("img")
    return [str(image.get_attribute("alt")) for image in images.all()]


def test_every_picture_is_drawn_and_a_failed_job_says_why_it_has_none(page: Page) -> None:
    wait_for_pictures(page, ".card img")

    assert drawn(page) == 11
    expect(page.locator("#shown")).to_have_text("12 jobs: 11 pictures, 1 without one")
    expect(page.locator(".card", has_text="failed")).to_contain_text("out of memory")
    expect(page.locator(".card .shot.without")).to_have_attribute("title", "out of memory")


def test_the_suggested_axis_lies_across_and_its_value_is_marked_in_words(page: Page) -> None:
    assert _headings(page, "thead") == ["denoise 0.3", "denoise 0.5 suggested", "denoise 0.7"]
    rows = [f"sampler {sampler} seed {seed}" for sampler in ("euler", "ddim") for seed in (1, 2)]
    assert _headings(page, "tbody") == rows
    assert _cell(page, 2, 1) == ["lake-seuler-s2-d03, sampler euler, seed 2, denoise 0.3"]
    expect(page.locator(".card", has_text="ruled out: noise")).to_have_count(1)


def test_rearranging_the_axes_moves_the_cells(page: Page) -> None:
    page.get_by_label("Columns").select_option(label="seed")
    page.get_by_label("Rows").select_option(label="denoise")

    assert _headings(page, "thead") == ["seed 1", "seed 2"]
    assert _headings(page, "tbody") == ["denoise 0.3", "denoise 0.5 suggested", "denoise 0.7"]
    assert [text.partition(",")[0] for text in _cell(page, 3, 2)] == ["lake-seuler-s2-d07", "lake-sddim-s2-d07"]


def test_pictures_of_a_cell_stay_level_with_those_beside_them(page: Page) -> None:
    page.get_by_label("Rows").select_option(label="sampler")

    top_of = "shot => Math.round(shot.getBoundingClientRect().top)"
    script = f"cells => cells.map(cell => [...cell.querySelectorAll('.shot')].map({top_of}))"
    tops = page.locator(".pictures tbody tr").first.locator("td").evaluate_all(script)
    assert len(tops[0]) == 2
    assert tops == [tops[0]] * 3


def test_an_axis_chosen_for_rows_leaves_the_columns(page: Page) -> None:
    page.get_by_label("Rows").select_option(label="denoise")

    expect(page.get_by_label("Columns")).to_have_value("-1")
    assert _headings(page, "thead") == []


def test_pictures_in_an_order_are_a_gallery(page: Page) -> None:
    page.get_by_label("Order").select_option(label="detail ↓")
    down = shown_jobs(page)
    page.get_by_label("Order").select_option(label="detail ↑")

    up = shown_jobs(page)
    assert up[:11] == down[10::-1]
    assert "failed" in up[-1]
    assert "failed" in down[-1]
    expect(page.locator(".card").first).to_contain_text("detail 0.000")
    page.get_by_label("Order").select_option(label="as planned")
    assert _headings(page, "thead")


def test_filters_hide_values_and_the_count_is_told(page: Page) -> None:
    page.get_by_text("Filters").click()
    page.get_by_role("checkbox", name="0.3").uncheck()
    page.get_by_role("checkbox", name="ddim", exact=True).uncheck()

    expect(page.locator("#shown")).to_have_text("4 of 12 jobs: 4 pictures")
    assert _headings(page, "thead") == ["denoise 0.5 suggested", "denoise 0.7"]
    page.get_by_role("button", name="No value of denoise").click()
    expect(page.locator("#grid")).to_contain_text("Nothing matches")
    page.get_by_role("button", name="All values of denoise").click()
    expect(page.locator("#shown")).to_have_text("6 of 12 jobs: 6 pictures")


def test_what_is_ruled_out_can_be_hidden(page: Page) -> None:
    page.get_by_label("Hide what is ruled out").check()

    assert VETOED not in " ".join(shown_jobs(page))
    expect(page.locator("#shown")).to_have_text("11 of 12 jobs: 10 pictures, 1 without one")


def test_a_search_finds_ids_values_and_prompts(page: Page) -> None:
    search = page.get_by_role("searchbox", name="Search")

    search.fill("EULER s2")
    expect(page.locator("#shown")).to_have_text("3 of 12 jobs: 3 pictures")
    search.fill("shore quiet")
    # The failed job has no record, so its prompt is not known; its id is.
    expect(page.locator("#shown")).to_have_text("11 of 12 jobs: 11 pictures")
    search.fill("mountain")
    expect(page.locator("#grid")).to_contain_text("Nothing matches")


def test_pictures_can_be_made_larger(page: Page) -> None:
    card = page.locator(".card").first
    before = card.bounding_box()

    page.get_by_label("Size").fill("480")

    after = card.bounding_box()
    assert before
    assert after
    assert after["width"] == 480 != before["width"]
    expect(card.locator("img")).to_have_attribute("src", "lake-seuler-s1-d03/upscaled.png")


def test_originals_can_be_shown_instead(page: Page) -> None:
    before = page.locator(".card img").first.get_attribute("src")

    page.get_by_label("Show").select_option("original")

    assert page.locator(".card img").first.get_attribute("src") != before


def test_the_table_sorts_and_says_so_and_opens_jobs(page: Page) -> None:
    head = page.locator("#numbers th", has_text="detail")
    button = head.get_by_role("button")

    button.click()
    assert head.get_attribute("aria-sort") == "ascending"
    button.click()
    assert head.get_attribute("aria-sort") == "descending"

    expect(page.locator("#numbers tbody th").last).to_have_text(FAILED)
    page.locator("#numbers tbody th button").first.click()
    expect(page.locator("#viewer-title")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('#numbers') !== null")


def test_the_table_can_be_taken_away_as_csv(page: Page) -> None:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()

    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert download.value.suggested_filename == "lake.csv"
    assert len(rows) == 12
    assert (rows[0]["job"], rows[0]["denoise"], rows[0]["drift"]) == ("lake-seuler-s1-d03", "0.3", "0.1")


def test_the_curve_is_drawn_and_the_same_is_told_in_a_table(page: Page) -> None:
    curve = page.locator("#curve")

    expect(curve.locator("canvas")).to_have_count(2)
    assert curve.locator("tbody tr").count() == 3
    expect(curve.locator("tr.is-suggested")).to_contain_text("0.5 suggested")
    expect(curve.locator("tr", has_text="drifts too far")).to_have_count(2)
    expect(curve).to_contain_text("Of 4 series, 3 name 0.5, 1 names no value.")
    expect(curve).to_contain_text("By sampler alone: euler → 0.5, ddim → none.")


def test_the_head_tells_counts_suggestion_and_notes(page: Page) -> None:
    head = page.locator("#head")

    expect(head).to_contain_text("11 done, 1 failed")
    expect(head).to_contain_text("Suggested: denoise 0.5 fairly sure")
    expect(head).to_contain_text("it has the most real detail within the limits")
    expect(head).to_contain_text("Metrics need the extra.")
