"""A picture opened from the grid: wipe, side by side, difference, zoom in step, walking on."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.report.page.conftest import Opener
from tests.report.page.pages import PLANTED, at, open_job, shot, wait_for_pictures

_JOB = "lake-seuler-s1-d03"


@pytest.fixture
def page(open_page: Opener, sweep: Path) -> Page:
    page = open_page(sweep, reduced_motion="reduce")
    open_job(page, _JOB)
    return page


def _is_blue(pixel: tuple[int, int, int]) -> bool:
    return pixel[2] > 150 and pixel[0] < 100


def _settled(page: Page) -> None:
    """The slider glides for a tenth of a second."""
    page.wait_for_function("() => document.getAnimations({ subtree: true }).every(a => a.playState !== 'running')")
    page.wait_for_timeout(200)


def _transforms(page: Page) -> list[str]:
    return [str(text) for text in page.locator(".layer").evaluate_all("layers => layers.map(layer => layer.style.transform)")]


def test_dragging_the_wipe_shows_more_of_the_original(page: Page) -> None:
    stage = page.locator(".stage")
    box = stage.bounding_box()
    assert box
    before = shot(stage)

    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    _settled(page)

    after = shot(stage)
    assert _is_blue(at(before, 0.3, 0.5))
    assert not _is_blue(at(before, 0.65, 0.5))
    assert _is_blue(at(after, 0.65, 0.5))
    assert not _is_blue(at(after, 0.9, 0.5))


def test_the_wipe_moves_by_keyboard_and_says_where_it_is(page: Page) -> None:
    slider = page.get_by_role("slider", name="Wipe: original, scaled on the left, upscaled on the right")
    slider.focus()

    for _ in range(10):
        page.keyboard.press("ArrowRight")
    _settled(page)

    assert slider.get_attribute("aria-valuenow") == "70"
    assert _is_blue(at(shot(page.locator(".stage")), 0.65, 0.5))
    page.keyboard.press(",")
    assert slider.get_attribute("aria-valuenow") == "68"
    expect(page.locator("#viewer-title")).to_have_text(_JOB)


def test_the_wipe_stays_where_it_is_when_the_next_job_is_shown(page: Page) -> None:
    for _ in range(10):
        page.keyboard.press(".")

    page.keyboard.press("ArrowRight")

    wait_for_pictures(page, ".stage img")
    assert page.locator("img-comparison-slider").get_attribute("aria-valuenow") == "70"
    assert _is_blue(at(shot(page.locator(".stage")), 0.65, 0.5))


def test_side_by_side_shows_the_original_as_large_as_the_upscaled_picture(page: Page) -> None:
    page.get_by_role("button", name="Side by side").click()
    wait_for_pictures(page, ".stage img")

    first, second = (page.locator(".stage img").nth(number).bounding_box() for number in range(2))

    assert first
    assert second
    assert (first["width"], first["height"]) == (second["width"], second["height"])
    assert _is_blue(at(shot(page.locator(".pane").first), 0.5, 0.5))
    assert not _is_blue(at(shot(page.locator(".pane").last), 0.5, 0.5))


def test_the_difference_is_black_where_nothing_differs(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)
    open_job(page, _JOB)
    page.keyboard.press("p")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("d")
    wait_for_pictures(page, ".stage img")

    both = page.locator(".stage .layer").last
    faint = at(shot(both), 0.4, 0.5)
    page.get_by_role("slider", name="amplify").fill("1")
    least = at(shot(both), 0.4, 0.5)

    assert at(shot(both), *PLANTED) == (0, 0, 0)
    assert sum(faint) > sum(least) > 0


def test_the_difference_view_shows_the_planted_patch(page: Page) -> None:
    page.keyboard.press("d")
    wait_for_pictures(page, ".stage img")
    page.get_by_role("slider", name="amplify").fill("1")

    seen = shot(page.locator(".stage .layer").last)

    assert at(seen, *PLANTED)[1] > 180
    assert at(seen, 0.3, 0.7)[1] < 100


@pytest.mark.parametrize("mode", ["w", "s", "d"])
def test_both_pictures_zoom_and_move_in_step(page: Page, mode: str) -> None:
    page.keyboard.press(mode)
    whole = _transforms(page)

    page.mouse.move(300, 400)
    page.mouse.wheel(0, -400)
    page.wait_for_function("before => document.querySelector('.layer').style.transform !== before", arg=whole[0])
    zoomed = _transforms(page)
    page.mouse.down()
    page.mouse.move(350, 430, steps=3)
    page.mouse.up()
    moved = _transforms(page)

    assert len(whole) == len(zoomed) == len(moved) == 2
    assert len(set(whole)) == len(set(zoomed)) == len(set(moved)) == 1
    assert len({whole[0], zoomed[0], moved[0]}) == 3


def test_keys_zoom_move_and_go_back_to_the_whole(page: Page) -> None:
    whole = _transforms(page)

    page.keyboard.press("+")
    larger = _transforms(page)
    page.keyboard.press("Shift+ArrowRight")
    moved = _transforms(page)
    page.keyboard.press("z")
    expect(page.locator(".scale")).to_have_text("100 %")
    page.keyboard.press("0")

    assert len({whole[0], larger[0], moved[0]}) == 3
    assert _transforms(page) == whole


def test_the_point_under_the_mouse_stays_under_it(page: Page) -> None:
    page.keyboard.press("u")
    wait_for_pictures(page, ".stage img")
    page.mouse.move(500, 400)
    wider = "width => document.querySelector('.stage img').getBoundingClientRect().width > width"

    def zoomed(times: float) -> list[float]:
        """Zoom in so far; return which part of the picture is under the mouse."""
        before = page.locator(".stage img").bounding_box()
        assert before
        for _ in range(2):
            page.mouse.wheel(0, -600)
        page.wait_for_function(wider, arg=before["width"] * times)
        box = page.locator(".stage img").bounding_box()
        assert box
        return [(500 - box["x"]) / box["width"], (400 - box["y"]) / box["height"]]

    # Once it is larger than its pane, no edge holds it any more.
    assert zoomed(2) == pytest.approx(zoomed(2), abs=0.002)


def test_jumping_goes_to_the_planted_difference(page: Page) -> None:
    page.keyboard.press("u")
    page.keyboard.press("w")
    page.keyboard.press("n")
    page.locator(".place").wait_for()
    wait_for_pictures(page, ".stage img")
    _settled(page)

    image, mark = page.locator(".stage img").last.bounding_box(), page.locator(".place").bounding_box()

    assert image
    assert mark
    for side, length, part in (("x", "width", PLANTED[0]), ("y", "height", PLANTED[1])):
        middle = (mark[side] + mark[length] / 2 - image[side]) / image[length]  # type: ignore[literal-required]
        assert abs(middle - part) < 1 / 16
    expect(page.get_by_text("Difference 1 of")).to_be_visible()


def test_a_pinned_job_is_what_the_others_are_held_against(page: Page) -> None:
    page.get_by_role("button", name="Pin").click()
    page.keyboard.press("ArrowRight")

    expect(page.locator(".pill.left")).to_have_text(f"pinned: {_JOB}")
    assert page.locator(".stage img").evaluate_all("all => all.every(i => i.src.endsWith('upscaled.png'))")
    page.get_by_label("against").select_option("original")
    expect(page.locator(".pill.left")).to_have_text("original, scaled")


def test_arrows_follow_the_arrangement_and_escape_returns_to_the_card(page: Page) -> None:
    title = page.locator("#viewer-title")
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("lake-seuler-s1-d05")
    page.keyboard.press("ArrowDown")
    expect(title).to_have_text("lake-seuler-s2-d05")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text("lake-sddim-s1-d03")

    page.keyboard.press("Escape")

    expect(page.locator("#viewer")).not_to_be_visible()
    page.wait_for_function("() => document.activeElement.querySelector('img')?.alt.startsWith('lake-sddim-s1-d03,')")


def test_the_panel_tells_what_the_job_is_and_how_to_make_it_again(page: Page, sweep: Path) -> None:
    panel = page.locator(".panel")

    expect(panel.get_by_text("a quiet shore", exact=True)).to_be_visible()
    expect(panel.locator("dd", has_text="checkpoint, first_pass")).to_be_visible()
    expect(panel.locator("code")).to_have_text(f"comfy-runner run {sweep.parent}/{_JOB}/job.json --out again")
    panel.get_by_text("Workflow graph").click()
    expect(panel.locator("details[open] pre")).to_contain_text('"class_type": "KSampler"')
    assert panel.get_by_role("link", name="upscaled").get_attribute("href") == f"{_JOB}/upscaled.png"


def test_the_command_is_copied_even_where_a_file_has_no_clipboard(page: Page) -> None:
    page.evaluate("() => { document.execCommand = command => { window.copied = command; return true } }")
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')) }")

    page.get_by_role("button", name="Copy the command").click()

    expect(page.get_by_role("button", name="Copy the command")).to_have_text("Copied")
    assert page.evaluate("copied") == "copy"


def test_pixels_can_be_seen_as_squares(page: Page) -> None:
    image = page.locator(".stage img").first
    assert image.evaluate("i => getComputedStyle(i).imageRendering") == "auto"

    page.keyboard.press("k")

    assert image.evaluate("i => getComputedStyle(i).imageRendering") == "pixelated"
