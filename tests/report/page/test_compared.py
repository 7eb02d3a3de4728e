"""Pictures that differ from a baseline, as the page shows them: beside what was expected, also in a page that stands alone."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from comfy_runner.api import check_run, update_baseline, write_report
from comfy_runner.config import Config
from comfy_runner.report.failed_checks import remember
from comfy_runner.report.page.single import write_single
from comfy_runner.report.run_data import read_material
from comfy_runner.report.writer import is_current
from tests.baseline.support import painted, repaint, run_of
from tests.report.page.conftest import Opener
from tests.report.page.pages import wait_for_pictures


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of which one picture differs from the baseline."""
    run = run_of(tmp_path / "run")
    update_baseline(run, tmp_path / "base")
    repaint(run, "lake-s2", "upscaled", painted(run, "lake-s2"))
    check_run(run, baseline=tmp_path / "base", config=Config())
    return run


def test_the_three_pictures_are_shown_with_what_is_wrong(open_page: Opener, run: Path) -> None:
    page = open_page(write_report(run).page)
    wait_for_pictures(page, ".triple img")

    assert page.locator(".differing").count() == 1
    expect(page.locator(".differing h3")).to_have_text("lake-s2 upscaled")
    expect(page.locator(".differing p")).to_have_text(
        re.compile("looks different, most of all around pixel .* at least 0.95 is wanted")
    )
    assert page.locator(".triple figcaption").all_inner_texts() == ["Actual", "Expected", "Difference"]
    expect(page.locator("#to-compared")).to_be_visible()


def test_a_page_that_stands_alone_has_them_too(open_page: Opener, run: Path, tmp_path: Path) -> None:
    write_single(tmp_path / "alone" / "page.html", read_material(run), {}, None, most=25_000_000)
    shutil.rmtree(run)

    page = open_page(tmp_path / "alone" / "page.html")
    wait_for_pictures(page, ".triple img")

    assert page.locator(".triple img").count() == 3
    assert page.locator(".triple a").count() == 0


def test_without_a_difference_there_is_no_such_section(open_page: Opener, run: Path, tmp_path: Path) -> None:
    write_report(run)
    assert is_current(run)
    update_baseline(run, tmp_path / "base")
    check_run(run, baseline=tmp_path / "base", config=Config())
    assert not is_current(run)

    page = open_page(write_report(run).page)

    expect(page.locator("#compared")).to_be_hidden()
    expect(page.locator("#to-compared")).to_be_hidden()


def test_pictures_that_are_gone_are_named_and_texts_are_texts(open_page: Opener, run: Path, tmp_path: Path) -> None:
    checked = check_run(run, baseline=tmp_path / "base", config=Config())
    first, second = checked.jobs
    hostile = replace(second.comparisons[1], message="<img src=x onerror=alert(1)>")
    remember(replace(checked, jobs=(first, replace(second, comparisons=(hostile,)))))
    shutil.rmtree(run / "comparison_files")

    page = open_page(write_report(run).page, may_complain=True)

    expect(page.locator(".differing p")).to_have_text("<img src=x onerror=alert(1)>")
    page.locator("#compared").scroll_into_view_if_needed()
    expect(page.locator(".triple figcaption").first).to_have_text("Actual: the file is gone")
