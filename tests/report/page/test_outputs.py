"""The page of jobs that compare several pictures with one original, and of those that have no original."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from comfy_runner.report.writer import write_report
from tests.report.outputs import ROUTES, routes, without
from tests.report.page.conftest import Opener
from tests.report.page.pages import drawn, open_job, shown_jobs, wait_for_pictures
from tests.report.support import Painter, make_run, photo
from tests.running.support import rendered, sweep
from tests.standin import StandIn

ALL = list(ROUTES)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two jobs with four outputs each, and one that has failed."""
    run = tmp_path_factory.mktemp("outputs") / "lake"
    return write_report(make_run(run, {"seed": [1, 2, 3]}, without("plain", seed=2), failed=["lake-s3"])).page


@pytest.fixture
def page(open_page: Opener, compared: Path) -> Page:
    return open_page(compared)


def _alone(open_page: Opener, folder: Path, seeds: list[int], paint: Painter) -> Page:
    return open_page(write_report(make_run(folder / "lake", {"seed": seeds}, paint)).page)


def test_seeds_are_rows_and_outputs_are_columns(page: Page) -> None:
    wait_for_pictures(page, ".card img")

    heads = page.locator(".pictures thead th").all_inner_texts()
    assert [text.split()[1] for text in heads if text.strip()] == ALL
    assert drawn(page) == 7
    assert shown_jobs(page)[0] == "lake-s1/pixel_0_45, seed 1, output pixel_0_45"
    expect(page.locator(".card", has_text="out of memory")).to_have_count(4)


def test_jobs_are_counted_once_and_pictures_each(page: Page) -> None:
    expect(page.locator("#counts")).to_contain_text("2 done, 1 failed")
    expect(page.locator("#shown")).to_have_text("3 jobs: 7 pictures, 4 without one")
    page.get_by_role("searchbox", name="Search").fill("s2/latent")
    expect(page.locator("#shown")).to_have_text("1 of 3 jobs: 2 pictures")


def test_the_suggestion_and_the_curve_are_along_the_outputs(page: Page) -> None:
    expect(page.locator("#advice")).to_contain_text("Suggested: output latent_0_6")
    expect(page.locator("#curve-title")).to_have_text("Detail and drift along output")
    expect(page.locator("#curve tbody th").first).to_have_text("pixel_0_45 ")
    expect(page.locator("#curve canvas")).to_have_count(2)


def test_the_viewer_holds_an_output_against_the_original_and_names_both(page: Page) -> None:
    open_job(page, "lake-s1/latent_0_55")

    expect(page.locator("#viewer-title")).to_have_text("lake-s1/latent_0_55")
    expect(page.locator(".stage .pill.left")).to_have_text("original, scaled")
    expect(page.locator(".stage .pill.right")).to_have_text("latent_0_55")
    sources = page.locator(".stage img").evaluate_all("images => images.map(image => image.getAttribute('src'))")
    assert sources == ["lake-s1/original.png", "lake-s1/latent_0_55.png"]
    expect(page.locator(".files a")).to_have_text(["original", "latent_0_55"])


def test_the_command_and_the_record_are_those_of_the_whole_job(page: Page, compared: Path) -> None:
    open_job(page, "lake-s1/latent_0_55")

    expect(page.locator(".command code")).to_have_text(f"comfy-runner run {compared.parent}/lake-s1/job.json --out again")
    expect(page.locator(".panel .prompt").first).to_have_text("a lake")


def test_one_output_is_pinned_against_another_of_the_same_job(page: Page) -> None:
    open_job(page, "lake-s1/pixel_0_45")
    page.keyboard.press("p")
    page.keyboard.press("ArrowRight")

    expect(page.locator(".stage .pill.left")).to_have_text("pinned: lake-s1/pixel_0_45")
    expect(page.locator(".stage .pill.right")).to_have_text("lake-s1/latent_0_55")


def test_a_single_job_shows_its_outputs_beside_each_other(open_page: Opener, tmp_path: Path) -> None:
    page = _alone(open_page, tmp_path, [1], routes)
    wait_for_pictures(page, ".card img")

    assert drawn(page) == 4
    assert [text.rpartition(" ")[2] for text in shown_jobs(page)] == ALL
    expect(page.locator("#viewer")).to_be_hidden()


@pytest.mark.parametrize("seeds", [[1], [1, 2]])
def test_pictures_without_an_original_are_shown_alone_and_the_page_says_that(
    open_page: Opener, tmp_path: Path, seeds: list[int]
) -> None:
    page = _alone(open_page, tmp_path, seeds, lambda values: {"upscaled": photo(values)["upscaled"]})
    if len(seeds) > 1:
        open_job(page, "lake-s1")

    expect(page.locator("#notes")).to_contain_text("no original picture to compare with")
    expect(page.locator(".stage .pill")).to_have_text("upscaled")
    expect(page.get_by_role("button", name="Wipe")).to_be_disabled()
    expect(page.locator(".panel")).to_contain_text("Not measured: has no original picture")


def test_each_picture_of_a_batch_is_held_against_the_original_that_it_was_made_of(open_page: Opener, tmp_path: Path) -> None:
    with StandIn() as server:
        rendered(server, tmp_path / "lake", sweep({"upscale.denoise": [0.5, 0.6]}, batch_size=3))
    page = open_page(write_report(tmp_path / "lake").page)
    wait_for_pictures(page, ".card img")

    assert drawn(page) == 6
    expect(page.locator("#counts")).to_contain_text("2 done")
    open_job(page, "lake-d060/upscaled/2")
    sources = page.locator(".stage img").evaluate_all("images => images.map(image => image.getAttribute('src'))")
    assert sources == ["lake-d060/original-2.png", "lake-d060/upscaled-2.png"]
    page.reload()
    expect(page.locator("#viewer-title")).to_have_text("lake-d060/upscaled/2")
