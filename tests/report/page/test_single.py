"""The page as one file: it opens wherever it is taken, with all that the page beside its pictures can do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.report.page.single import write_single
from comfy_runner.report.page.thumbnails import LONG_SIDE
from comfy_runner.report.run_data import read_material
from comfy_runner.report.writer import is_current, write_report
from tests.report.page.conftest import Opener
from tests.report.page.pages import AXES, PLANTED, at, open_job, paint, shot, sweep_page, wait_for_pictures
from tests.report.support import make_run, photo

_MOST = 25_000_000
AT = {"upscale.sampler": "euler", "seed": 1, "upscale.denoise": 0.5}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that was taken away from its run folder, which is gone."""
    folder = tmp_path_factory.mktemp("single")
    run = sweep_page(folder / "lake").parent
    write_single(folder / "elsewhere" / "page.html", read_material(run), {}, None, most=_MOST)
    shutil.rmtree(run)
    return folder / "elsewhere" / "page.html"


@pytest.fixture
def page(open_page: Opener, alone: Path) -> Page:
    return open_page(alone)


def test_all_pictures_are_shown_without_a_folder_beside(page: Page, alone: Path) -> None:
    wait_for_pictures(page, ".card img")

    assert page.locator(".card img").count() == 11
    assert list(alone.parent.iterdir()) == [alone]
    expect(page.locator("#foot")).to_contain_text("This page contains its pictures")


def test_small_pictures_are_shown_pixel_by_pixel_and_nothing_is_said_of_them(page: Page) -> None:
    open_job(page, "lake-seuler-s1-d05")
    page.keyboard.press("u")
    wait_for_pictures(page, ".stage img")

    assert at(shot(page.locator(".stage img")), *PLANTED) == (255, 255, 255)
    assert page.locator("#notes li").count() == 0
    assert "In this page" not in (page.locator(".panel").text_content() or "")


def test_the_difference_and_the_next_place_work(page: Page) -> None:
    open_job(page, "lake-seuler-s1-d05")
    page.keyboard.press("d")
    page.keyboard.press("n")

    expect(page.locator(".said")).to_have_text(re.compile(r"Difference 1 of \d+"))
    # Asked in one go, since the page draws the place anew whenever a picture has loaded or the view has moved.
    page.wait_for_function(
        """middle => {
          const [place, picture] = ['.place', '.stage img'].map((what) => document.querySelector(what)?.getBoundingClientRect());
          return place && picture?.width && Math.abs((place.x - picture.x) / picture.width - middle) <= 0.1;
        }""",
        arg=PLANTED[0],
    )


def test_the_very_files_can_be_saved_from_it(page: Page, tmp_path: Path) -> None:
    open_job(page, "lake-seuler-s1-d05")

    with page.expect_download() as saving:
        page.locator(".files a", has_text="upscaled").click()

    wanted = paint(AT)["upscaled"]
    assert isinstance(wanted, Image.Image)
    wanted.save(tmp_path / "wanted.png", compress_level=1)
    assert saving.value.suggested_filename == "upscaled.png"
    assert Path(saving.value.path()).read_bytes() == (tmp_path / "wanted.png").read_bytes()


def test_the_grid_shows_thumbnails_and_the_viewer_the_full_size_where_both_fit(open_page: Opener, tmp_path: Path) -> None:
    def large(_: Mapping[str, Any]) -> dict[str, Image.Image | bytes]:
        return {"upscaled": Image.effect_noise((700, 400), 60).convert("RGB")}

    run = make_run(tmp_path / "run", {"seed": [1, 2]}, large)
    write_single(tmp_path / "page.html", read_material(run), {}, None, most=_MOST)

    page = open_page(tmp_path / "page.html")
    wait_for_pictures(page, ".card img")

    widths = "images => images.map(image => image.naturalWidth)"
    assert page.locator(".card img").evaluate_all(widths) == [LONG_SIDE, LONG_SIDE]
    open_job(page, "lake-s1")
    assert page.locator(".stage img").evaluate_all(widths) == [700]
    barely = (tmp_path / "page.html").stat().st_size - 1000
    write_single(tmp_path / "page.html", read_material(run), {}, None, most=barely)
    assert (tmp_path / "page.html").read_text().count('<script type="image/') == 2


def test_its_policy_lets_no_neighbour_in(open_page: Opener, alone: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    (tmp_path / "page.html").write_text(alone.read_text().replace("<body>", "<body><img id='x' src='x.png'>"))

    page = open_page(tmp_path / "page.html", may_complain=True)
    wait_for_pictures(page, ".card img")

    assert page.locator("#x").evaluate("image => image.naturalWidth") == 0


@pytest.mark.parametrize("most", [260_000, 400_000, 1_000_000])
def test_a_limit_holds_to_the_byte_and_the_page_says_what_it_cost(tmp_path: Path, most: int) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2], "upscale.denoise": [0.4, 0.5, 0.6]}, photo)

    note = write_single(tmp_path / "page.html", read_material(run), {}, None, notes=["first"], most=most)

    assert (tmp_path / "page.html").stat().st_size <= most
    text = (tmp_path / "page.html").read_text()
    assert bool(note) == (most < 1_000_000)
    assert (f'"notes":["first","{note}"]' if note else '"notes":["first"]') in text


def test_what_was_reduced_is_said_where_a_picture_is_looked_at(open_page: Opener, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2], "upscale.denoise": [0.4, 0.5, 0.6]}, photo)
    write_single(tmp_path / "page.html", read_material(run), {}, None, most=_MOST, quality=30)

    page = open_page(tmp_path / "page.html")
    open_job(page, "lake-s1-d05")

    expect(page.locator(".panel")).to_contain_text("In this page: as large as they were, as WebP of quality 30")
    assert page.locator(".files a").count() == 0
    expect(page.locator("#notes")).to_contain_text("fine differences may be caused by this")


def test_equal_pictures_are_in_it_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2, 3]}, lambda _: paint({}))

    write_single(tmp_path / "page.html", read_material(run), {}, None, most=_MOST)

    assert (tmp_path / "page.html").read_text().count('<script type="image/png"') == 2


def test_a_report_with_one_leaves_the_usual_page_as_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", AXES, paint)

    found = write_report(run, single_file=tmp_path / "new" / "page.html", quality=50)

    assert found.single == tmp_path / "new" / "page.html"
    assert found.reduced.startswith("the pictures in this page are ")
    assert found.single.stat().st_size > found.page.stat().st_size
    assert '"embedded":null' in found.page.read_text()
    assert is_current(run)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("lake-s1/upscaled.png", "upscaled.png: must end in .html"),
        ("lake-s1", "must end in .html"),
        ("folder.html", "is a folder"),
        ("link.html", "is a picture of the job lake-s1"),
    ],
)
def test_a_place_that_is_none_is_refused_before_anything_is_written(tmp_path: Path, place: str, error: str) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2]}, paint)
    before = (run / "lake-s1" / "upscaled.png").read_bytes()
    (run / "folder.html").mkdir()
    (run / "link.html").symlink_to(run / "lake-s1" / "upscaled.png")

    with pytest.raises(UsageError, match=error):
        write_report(run, single_file=run / place)

    assert not (run / "report.html").exists()
    assert (run / "lake-s1" / "upscaled.png").read_bytes() == before


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2]}, paint)
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(RunFolderError, match=r"page\.html: cannot be written") as caught:
        write_report(run, single_file=tmp_path / "file" / "page.html")

    assert "another place for the page" in caught.value.problems[0].hint


def test_too_small_a_limit_and_no_quality_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2]}, paint)

    with pytest.raises(UsageError, match="--max-size: is too little for 3 pictures"):
        write_report(run, single_file=tmp_path / "page.html", max_size=10_000)
    with pytest.raises(UsageError, match="--quality: must be from 1 to 100"):
        write_report(run, single_file=tmp_path / "page.html", quality=101)

    assert not (tmp_path / "page.html").exists()
