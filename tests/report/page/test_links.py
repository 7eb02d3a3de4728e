"""The view in the page's address: a link to what is seen survives a reload, and means no harm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from comfy_runner.report.measures import Measured
from comfy_runner.report.page.page import write_page
from comfy_runner.report.run_data import read_material
from tests.report.page.conftest import Opener
from tests.report.page.pages import VETOED, measures, paint, shown_jobs
from tests.report.support import make_run


@pytest.fixture
def page(open_page: Opener, sweep: Path) -> Page:
    return open_page(sweep)


def test_arrangement_order_and_filters_are_the_same_after_a_reload(page: Page) -> None:
    page.get_by_label("Order").select_option(label="detail ↓")
    page.get_by_label("Columns").select_option(label="seed")
    page.get_by_label("Where").fill("detail > 0.2, drift <= 0.1")
    page.get_by_label("Hide what is ruled out").check()
    page.get_by_text("Filters").click()
    page.get_by_role("checkbox", name="0.3").uncheck()
    page.get_by_label("Show").select_option("original")
    page.locator("#numbers thead .sort", has_text="detail").click(click_count=2)
    page.wait_for_function("() => location.hash.includes('table') && location.hash.includes('show')")
    first = page.locator("#numbers tbody th").first.inner_text()
    before = shown_jobs(page)

    page.reload()

    assert 0 < len(before) < 8
    assert shown_jobs(page) == before
    assert VETOED not in " ".join(before)
    expect(page.get_by_label("Columns").locator("option:checked")).to_have_text("seed")
    expect(page.get_by_label("Order")).to_have_value("detail-")
    expect(page.get_by_label("Where")).to_have_value("detail > 0.2, drift <= 0.1")
    expect(page.get_by_label("Show")).to_have_value("original")
    expect(page.locator("#numbers thead [aria-sort=descending]")).to_have_text("detail")
    expect(page.locator("#numbers tbody th").first).to_have_text(first)


def test_an_order_in_the_address_is_a_gallery_of_all(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)
    page.goto("about:blank")
    page.goto(f"{sweep.as_uri()}#order=drift-")

    expect(page.get_by_label("Order")).to_have_value("drift-")
    expect(page.get_by_label("Columns")).to_have_value("-1")
    expect(page.locator(".list > .card")).to_have_count(12)


def test_a_link_to_a_picture_opens_it(page: Page) -> None:
    page.locator(".card").nth(1).click()
    title = page.locator("#viewer-title").inner_text()
    page.wait_for_function("() => location.hash.includes('picture=')")

    page.reload()

    expect(page.locator("#viewer-title")).to_have_text(title)
    page.keyboard.press("Escape")
    page.wait_for_function("() => !location.hash.includes('picture=')")


def test_a_condition_that_is_none_is_marked_and_changes_nothing(page: Page) -> None:
    page.get_by_label("Where").fill("prettiness > 3")

    expect(page.get_by_label("Where")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".card")).to_have_count(12)


@pytest.mark.hostile
def test_an_address_of_another_run_or_of_somebody_who_means_harm_is_an_ordinary_page(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)
    page.goto("about:blank")
    wrong = "rows=__proto__&columns=%3Cimg%20src=x%3E&order=constructor-&table=__proto__%2B&show=toString&where=drift%3C"
    wrong += "&without=seed=9&without=x=1&%E0%A4%A"
    page.goto(f"{sweep.as_uri()}#{wrong}")

    expect(page.locator(".card")).to_have_count(12)
    expect(page.locator("#viewer")).to_be_hidden()


def test_what_is_the_same_everywhere_stands_in_the_head_and_zeros_are_folded(page: Page) -> None:
    fixed = page.locator("#fixed")
    expect(fixed).to_contain_text("a quiet shore")
    expect(fixed).to_contain_text("160x90 → 320x180")
    expect(fixed).to_contain_text("0.3.75")
    expect(fixed.locator("dt", has_text="denoise")).to_have_count(0)
    dead = page.locator("#numbers thead th", has_text="dead areas")

    expect(dead).to_be_hidden()
    page.get_by_role("button", name="of zeros").click()
    expect(dead).to_be_visible()


def test_on_a_phone_the_controls_are_folded(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep, viewport={"width": 390, "height": 844})

    expect(page.get_by_label("Rows")).to_be_hidden()
    page.get_by_text("Arrange and filter").click()
    expect(page.get_by_label("Rows")).to_be_visible()


def test_a_metric_that_was_measured_nowhere_is_no_column_of_zeros(open_page: Opener, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2]}, paint)
    known = measures().measures
    assert known
    unknown = Measured(measures=replace(known, extra={"prettiness": float("nan")}))
    page = open_page(write_page(read_material(run), {"lake-s1": unknown, "lake-s2": unknown}, None))

    expect(page.locator("#numbers thead th", has_text="prettiness")).to_be_visible()
    expect(page.locator("#numbers thead th", has_text="dead areas")).to_be_hidden()
