"""Two to four jobs chosen and compared: side by side, in what they differ, and where, pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from comfy_runner.report.page.page import write_page
from comfy_runner.report.run_data import read_material
from tests.report.page.conftest import Opener
from tests.report.page.pages import FAILED, PLANTED, measures, paint, wait_for_pictures
from tests.report.support import make_run

_PROMPTS = ["a red fox in deep snow, at dawn", "a grey fox in deep snow, at dusk <b>", "x"]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("prompts") / "run", {"prompt": _PROMPTS, "seed": [2**63 + 1, 2**63 + 2]}, paint)
    material = read_material(run)
    return write_page(material, {entry.name: measures() for entry in material.entries}, None)


def _choose(page: Page, *numbers: int) -> None:
    page.get_by_role("button", name="Compare several").click()
    for number in numbers:
        page.locator(".card").nth(number).click()


def _compare(page: Page) -> None:
    page.get_by_role("button", name="Compare", exact=True).click()
    wait_for_pictures(page, ".stage img")


def test_three_chosen_jobs_stand_side_by_side_and_move_in_step(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)
    _choose(page, 0, 1, 4)
    _compare(page)

    expect(page.locator(".pane .pill")).to_have_text(["1: seed 1, denoise 0.3", "2: seed 1, denoise 0.5", "3: seed 2, denoise 0.5"])
    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowRight")
    transforms = page.locator(".layer").evaluate_all("layers => layers.map(layer => layer.style.transform)")
    assert len(transforms) == 3
    assert len(set(transforms)) == 1
    expect(page.locator("#viewer-title")).to_have_text("lake-seuler-s1-d05")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-title")).to_have_text("lake-seuler-s2-d05")
    page.keyboard.press("w")
    expect(page.locator(".pill.left")).to_have_text("1: seed 1, denoise 0.3")
    expect(page.locator(".pill.right")).to_have_text("3: seed 2, denoise 0.5")


def test_a_link_to_a_comparison_survives_a_reload_and_a_card_opens_as_always_after_it(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)
    _choose(page, 0, 1, 2)
    _compare(page)
    page.wait_for_function("() => location.hash.split('compare=').length === 4")

    page.reload()

    expect(page.locator(".pane")).to_have_count(3)
    page.keyboard.press("Escape")
    page.locator(".card").first.click()
    expect(page.locator(".pill.left")).to_have_text("original, scaled")


def test_jobs_are_chosen_by_mouse_keyboard_and_in_the_table_up_to_four(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)
    tray = page.get_by_role("region", name="Chosen to compare")
    compare = page.get_by_role("button", name="Compare", exact=True)

    page.locator(".card").nth(0).click(modifiers=["Control"])
    expect(compare).to_be_disabled()
    page.locator(".card").nth(1).focus()
    page.keyboard.press("c")
    page.get_by_label(f"Compare {FAILED}").check()
    expect(compare).to_be_enabled()
    page.locator(".card").nth(2).click(modifiers=["Control"])
    page.locator(".card").nth(3).click(modifiers=["Control"])
    expect(tray).to_contain_text("No more than 4 can be compared.")
    expect(page.locator(".is-compared")).to_have_count(4)
    page.locator(".card").nth(0).click(modifiers=["Control"])
    expect(page.locator(".is-compared")).to_have_count(3)

    page.get_by_role("button", name="Clear").click()

    expect(tray).to_be_hidden()
    expect(page.get_by_label(f"Compare {FAILED}")).not_to_be_checked()


def test_prompts_are_compared_word_by_word_and_values_side_by_side(open_page: Opener, prompts: Path) -> None:
    page = open_page(prompts)
    _choose(page, 0, 3)
    _compare(page)
    diff = page.locator(".diff")

    expect(diff.locator("del")).to_have_text(["red", "dawn"])
    expect(diff.locator("ins")).to_have_text(["grey", "dusk <b>"])
    expect(diff.locator("tr", has_text="seed").last.locator("td")).to_have_text([str(2**63 + 1), str(2**63 + 2)])
    assert diff.locator("b").count() == 0
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    page.locator(".card").first.click()
    expect(diff).to_be_empty()
    page.keyboard.press("p")
    page.keyboard.press("ArrowRight")
    expect(diff.locator("tr", has_text="seed").last.locator("td")).to_have_count(2)


def test_crops_show_the_planted_difference_pixel_by_pixel(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)
    page.locator(".card").first.click()
    page.keyboard.press("c")
    page.locator(".crop").first.wait_for()
    wait_for_pictures(page, ".crop img")

    # The middle of each picture's first crop, in the picture, and its size on the screen.
    script = """crops => crops.slice(0, 2).map(crop => {
        const [outer, inner] = [crop, crop.firstChild].map(node => node.getBoundingClientRect());
        const middle = [outer.left + outer.width / 2 - inner.left, outer.top + outer.height / 2 - inner.top];
        return [middle[0] / inner.width, middle[1] / inner.height, inner.width];
    })"""
    first, second = page.locator(".crop").evaluate_all(script)
    assert first == second
    assert first == pytest.approx([*PLANTED, 320], abs=0.12)
    page.get_by_role("button", name="Place 1").click()
    expect(page.locator(".stage")).to_have_attribute("data-mode", "side")
    expect(page.locator(".place")).to_have_count(2)
