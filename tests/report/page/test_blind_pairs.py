"""Pairs compared blind: nothing but the pictures is seen, the least clear order is asked about, and the answers are kept."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from playwright.sync_api import Page, expect

from comfy_runner.report.page.page import write_page
from comfy_runner.report.picks import FILE, Picks, parse_picks
from comfy_runner.report.run_data import read_material
from tests.report.page.conftest import Opener
from tests.report.page.pages import open_job, wait_for_pictures
from tests.report.support import make_run, photo

_LIKED = ["d05", "d03", "d07"]  # best first


def _page(open_page: Opener, folder: Path) -> Page:
    run = make_run(folder, {"seed": [1, 2], "upscale.denoise": [0.3, 0.5, 0.7]}, photo)
    page = open_page(write_page(read_material(run), {}, None))
    page.get_by_role("button", name="Compare blind").click()
    return page


def _shown(page: Page) -> list[str]:
    """Return the two jobs that are shown, by the addresses of their files."""
    found = page.locator("#blind .layer img").evaluate_all("all => all.map(image => image.src.split('/').at(-2))")
    return [str(name) for name in found]


def _answer(page: Page) -> None:
    left, right = (_LIKED.index(name[-3:]) for name in _shown(page))
    page.keyboard.press("ArrowLeft" if left < right else "ArrowRight")


def _downloaded(page: Page) -> Picks:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download picks").click()
    return parse_picks(Path(download.value.path()).read_bytes(), where=FILE)


def test_a_person_is_asked_until_the_order_is_clear_and_the_answers_are_pairs(open_page: Opener, tmp_path: Path) -> None:
    page = _page(open_page, tmp_path / "lake")
    asked = 0
    while not page.locator(".order").count() and asked < 60:
        _answer(page)
        asked += 1

    order = page.locator(".order li").all_inner_texts()
    assert [re.sub(r" better in .*", "", line) for line in order] == ["denoise 0.5", "denoise 0.3", "denoise 0.7"]
    expect(page.locator("#blind")).to_contain_text("3 of 3 orders clear")
    page.keyboard.press("Escape")
    pairs = _downloaded(page).pairs
    assert 6 <= len(pairs) == asked < 30
    names = Counter(name for pair in pairs for name in (pair.left, pair.right))
    assert len(names) == 6  # both originals are asked about
    for pair in pairs:
        assert pair.left[:-3] == pair.right[:-3]
        better, worse = (pair.left, pair.right) if pair.better == "left" else (pair.right, pair.left)
        assert _LIKED.index(better[-3:]) < _LIKED.index(worse[-3:])
        assert pair.left_sha256
        assert pair.right_sha256
    page.reload()
    expect(page.locator("#picks")).to_contain_text(f"{asked} pairs")
    page.get_by_role("button", name="Compare blind").click()
    expect(page.locator(".order li")).to_have_count(3)  # still clear


def test_nothing_is_said_of_the_pictures_and_an_answer_can_be_corrected(open_page: Opener, tmp_path: Path) -> None:
    page = _page(open_page, tmp_path / "lake")
    wait_for_pictures(page, "#blind .layer img")
    first = _shown(page)
    said = page.locator("#blind").inner_text() + "".join(
        page.locator("#blind img").evaluate_all("all => all.map(each => each.alt)")
    )
    assert not re.search(r"lake|0\.[357]|denoise|seed", said)

    page.keyboard.press("=")
    page.keyboard.press("+")
    assert "scale(1.25)" in str(page.locator("#blind .layer").first.get_attribute("style"))
    page.keyboard.press("Backspace")
    assert _shown(page) == first
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")

    (pair,) = _downloaded(page).pairs
    assert ([pair.left, pair.right], pair.better) == (first, "right")
    open_job(page, first[0])  # the viewer has its stage again
    expect(page.locator("#viewer .stage")).to_be_visible()


def test_only_pictures_that_are_shown_and_not_rejected_are_compared(open_page: Opener, tmp_path: Path) -> None:
    page = _page(open_page, tmp_path / "lake")
    page.keyboard.press("Escape")
    page.locator('.card:has(img[alt^="lake-s1-d05,"])').focus()
    page.keyboard.press("x")
    page.get_by_text("Filters").click()
    for value in ("2", "0.7"):
        page.get_by_role("checkbox", name=value, exact=True).uncheck()
    expect(page.locator(".card")).to_have_count(2)
    page.get_by_role("button", name="Compare blind").click()

    expect(page.locator(".order")).to_contain_text("There is nothing to compare among the pictures shown")
