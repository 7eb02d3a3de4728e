"""The page without a mouse, without eyes, in the dark, on a phone; and when there is little to show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from comfy_runner.report.measures import Measured
from comfy_runner.report.page.page import write_page
from comfy_runner.report.run_data import read_material
from tests.report.page.conftest import Opener
from tests.report.page.pages import at, open_job, paint, shot, wait_for_pictures
from tests.report.support import make_run

_PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}

# What a control is called: by its label, its own words, or the text of its picture.
_NAMELESS = """() => [...document.querySelectorAll('button, a[href], input, select, summary, [tabindex]')]
    .filter(node => node.checkVisibility() && node.tabIndex >= 0)
    .filter(node => {
        const labels = [...(node.labels ?? [])].map(label => label.textContent).join('').trim();
        const own = node.textContent.trim() || [...node.querySelectorAll('img')].map(image => image.alt).join('');
        return !labels && !node.getAttribute('aria-label') && !node.getAttribute('aria-labelledby') && !own;
    })
    .map(node => node.outerHTML.slice(0, 120))"""

_SMALL = """() => [...document.querySelectorAll('button, select, input, summary, nav a, .chip')]
    .filter(node => node.checkVisibility() && !node.closest('.chip input, label.chip > input'))
    .map(node => [node.getBoundingClientRect(), node])
    .filter(([box, node]) => box.height < 39.5 && node.type !== 'checkbox')
    .map(([box, node]) => `${Math.round(box.height)} ${node.outerHTML.slice(0, 100)}`)"""


def _focused(page: Page) -> str:
    """Return what the focused element is called."""
    script = """() => {
        const node = document.activeElement;
        const label = node.getAttribute('aria-label') || node.labels?.[0]?.textContent;
        return label || node.querySelector('img')?.alt || node.textContent;
    }"""
    return str(page.evaluate(script)).strip()


def test_the_whole_way_can_be_gone_by_keyboard(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)

    page.keyboard.press("Tab")
    assert _focused(page) == "Skip to the pictures"
    page.keyboard.press("Enter")
    names = (
        "Rows",
        "Columns",
        "Order",
        "Show",
        "Size",
        "Search",
        "Where",
        "Hide what is ruled out",
        "Picks",
        "Filters",
        "Compare several",
        "Compare blind",
        "Download picks",
        "Load picks",
        "Pictures by their values",
    )
    for name in names:
        page.keyboard.press("Tab")
        assert _focused(page).startswith(name)
    page.keyboard.press("Tab")
    assert _focused(page).startswith("lake-seuler-s1-d03")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert _focused(page).startswith("lake-seuler-s2-d05")
    page.keyboard.press("End")
    assert _focused(page).startswith("lake-sddim-s2-d07")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="lake-sddim-s2-d07")).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.activeElement.matches('.card')")
    assert _focused(page).startswith("lake-sddim-s2-d07")


def test_focus_can_be_seen(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)
    page.locator(".scroller").first.focus()

    page.keyboard.press("Tab")

    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_everything_has_a_name_and_every_picture_a_text(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)
    page.get_by_text("Filters").click()
    assert page.evaluate(_NAMELESS) == []

    open_job(page, "lake-seuler-s1-d03")
    page.locator(".prompt").wait_for()

    assert page.evaluate(_NAMELESS) == []
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    assert page.locator(".stage img").first.get_attribute("alt") == (
        "original, scaled: lake-seuler-s1-d03, sampler euler, seed 1, denoise 0.3"
    )
    assert page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map(n => n.id)).size === document.querySelectorAll('[id]').length"
    )


def test_the_page_has_landmarks_and_headings(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)

    for role in ("banner", "main", "contentinfo", "navigation"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_text("lake")
    for name in ("Pictures", "Detail and drift along denoise", "Numbers"):
        expect(page.get_by_role("region", name=name, exact=True)).to_have_count(1)


def test_the_system_decides_on_dark_until_the_reader_does(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep, color_scheme="dark")
    assert sum(at(shot(page), 0.002, 0.5)) < 90

    page.get_by_role("button", name="Change to light colours").click()

    assert sum(at(shot(page), 0.002, 0.5)) > 700
    page.reload()
    assert sum(at(shot(page), 0.002, 0.5)) > 700


def test_a_page_that_may_not_remember_works(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })"
    )
    page.reload()

    page.get_by_role("button", name="Change to dark colours").click()
    open_job(page, "lake-seuler-s1-d03")
    page.keyboard.press("d")

    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    expect(page.locator(".stage")).to_have_attribute("data-mode", "difference")


@pytest.mark.parametrize("mode", ["w", "s", "c"])
def test_a_phone_shows_it_without_scrolling_sideways(open_page: Opener, sweep: Path, mode: str) -> None:
    page = open_page(sweep, **_PHONE)
    page.get_by_text("Arrange and filter").click()
    page.get_by_text("Filters").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate(_SMALL) == []

    page.locator(".card").first.tap()
    page.keyboard.press(mode)
    wait_for_pictures(page, ".stage img")

    dialog = page.locator("#viewer")
    assert dialog.evaluate("d => d.scrollWidth") == 390
    assert page.evaluate(_SMALL) == []
    stage = page.locator(".stage").bounding_box()
    assert stage
    assert stage["y"] + stage["height"] <= 844


def _touch(page: Page, *moments: list[tuple[float, float]]) -> None:
    """Put fingers on the stage and move them, from moment to moment; places are pixels from its middle."""
    box = page.locator(".stage").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    fingers = page.context.new_cdp_session(page)
    for number, places in enumerate(moments):
        points = [{"x": x + across, "y": y + down, "id": finger} for finger, (across, down) in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": "touchMove" if number else "touchStart", "touchPoints": points})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_two_fingers_zoom_and_leave_the_wipe_where_it_is(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep, **_PHONE)
    page.locator(".card").first.tap()
    wait_for_pictures(page, ".stage img")

    _touch(page, [(-40, 0), (40, 0)], [(-80, 0), (80, 0)], [(-120, 0), (120, 0)])

    page.wait_for_function("() => document.querySelector('.layer').style.transform.includes('scale(3)')")
    assert len({layer.get_attribute("style") for layer in page.locator(".layer").all()}) == 1
    expect(page.get_by_role("slider", name="Wipe")).to_have_attribute("aria-valuenow", "50")


def test_a_finger_moves_the_wipe(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep, **_PHONE)
    page.locator(".card").first.tap()
    wait_for_pictures(page, ".stage img")

    _touch(page, [(0, 0)], [(40, 0)], [(97, 0)])

    expect(page.get_by_role("slider", name="Wipe")).to_have_attribute("aria-valuenow", "75")


def test_a_single_job_opens_as_a_comparison(open_page: Opener, tmp_path: Path) -> None:
    make_run(tmp_path / "one", {"seed": [7]}, paint)
    page = open_page(write_page(read_material(tmp_path / "one"), {}, None))

    expect(page.get_by_role("dialog", name="lake-s7")).to_be_visible()
    wait_for_pictures(page, ".stage img")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Rows")).to_have_count(0)
    wait_for_pictures(page, ".card img")


def test_without_measures_and_suggestion_it_says_so_and_shows_the_pictures(open_page: Opener, tmp_path: Path) -> None:
    make_run(tmp_path / "run", {"seed": [1, 2, 3]}, paint)
    page = open_page(write_page(read_material(tmp_path / "run"), {}, None))

    expect(page.locator("#advice")).to_have_text("No suggestion: the pictures were not measured.")
    wait_for_pictures(page, ".card img")
    expect(page.locator("#curve")).not_to_be_visible()
    expect(page.get_by_label("Order")).to_have_count(0)
    assert page.locator("#numbers thead th").all_inner_texts() == ["job", "seed", "state", "seconds"]


def test_jobs_without_any_picture_are_told_in_the_viewer(open_page: Opener, tmp_path: Path) -> None:
    make_run(tmp_path / "run", {"seed": [1, 2]}, lambda _: {"upscaled": b"no picture"}, failed=["lake-s2"])
    problem = Measured(measures=None, problem="cannot be read")
    page = open_page(write_page(read_material(tmp_path / "run"), {"lake-s1": problem}, None))

    expect(page.locator(".card").first).to_contain_text("broken file")
    expect(page.locator(".card .shot").first).to_have_attribute("title", re.compile("lake-s1/upscaled.png: is not a whole picture"))
    page.locator(".card").last.click()
    expect(page.locator(".stage")).to_have_text("out of memory")
    page.keyboard.press("n")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".panel")).to_contain_text("Not measured: cannot be read")
