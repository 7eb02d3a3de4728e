"""Picking in the page, from disk: keys and buttons, what survives a reload, files that go out and come in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from comfy_runner.report.page.page import write_page
from comfy_runner.report.picks import FILE, parse_picks
from comfy_runner.report.run_data import read_material
from tests.report.page.conftest import Opener
from tests.report.page.pages import FAILED, open_job, paint, shown_jobs
from tests.report.support import make_run

_FIRST, _SECOND, _THIRD = "lake-seuler-s1-d03", "lake-seuler-s1-d05", "lake-seuler-s1-d07"


@pytest.fixture
def page(open_page: Opener, sweep: Path) -> Page:
    return open_page(sweep)


def _press(page: Page, job_id: str, *keys: str) -> None:
    page.locator(f'.card:has(img[alt^="{job_id},"])').focus()
    for key in keys:
        page.keyboard.press(key)


def _mark(page: Page, job_id: str) -> str:
    return page.locator(f'.card:has(img[alt^="{job_id},"]) .pick-mark').get_attribute("title") or ""


def _load(page: Page, content: bytes) -> str:
    page.locator("#picks input").set_input_files({"name": "theirs.json", "mimeType": "application/json", "buffer": content})
    said = page.locator("#picks [role=status]")
    expect(said).not_to_be_empty()
    return said.inner_text()


def test_stars_rejects_and_notes_are_there_again_after_a_reload(page: Page) -> None:
    _press(page, _FIRST, "2", "4")
    _press(page, _SECOND, "x")
    _press(page, _THIRD, "5", "5")
    open_job(page, _FIRST)
    page.get_by_label("Note").fill("x marks 1 spot")  # no key of the viewer

    page.reload()

    expect(page.locator("#picks")).to_contain_text("1 pick, 1 rejected")
    assert [_mark(page, job) for job in (_FIRST, _SECOND, _THIRD)] == ["4 stars, note: x marks 1 spot", "rejected", ""]
    expect(page.locator("#viewer")).to_be_visible()  # the address says so
    expect(page.get_by_label("Note")).to_have_value("x marks 1 spot")
    expect(page.locator("#viewer").get_by_label("4 stars")).to_have_attribute("aria-pressed", "true")


def test_keys_of_the_viewer_pick_what_it_shows(page: Page) -> None:
    open_job(page, _FIRST)
    page.keyboard.press("3")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    expect(page.locator("#viewer").get_by_label("Reject")).to_have_attribute("aria-pressed", "true")
    page.locator("#viewer").get_by_label("Reject").click()
    page.locator("#viewer").get_by_label("1 star", exact=True).click()
    page.keyboard.press("Escape")

    assert [_mark(page, job) for job in (_FIRST, _SECOND)] == ["3 stars", "1 star"]


def test_only_my_picks_is_a_filter_that_a_link_has(page: Page) -> None:
    _press(page, _FIRST, "1")
    _press(page, _SECOND, "5")
    _press(page, _THIRD, "5", "x")
    page.locator("#controls").get_by_label("Picks").select_option(label="only my picks")
    page.wait_for_function("() => location.hash.includes('picks=mine')")

    page.reload()

    expect(page.locator(".card")).to_have_count(2)
    assert [text.partition(",")[0] for text in shown_jobs(page)] == [_FIRST, _SECOND]
    page.locator("#controls").get_by_label("Picks").select_option(label="not judged yet")
    expect(page.locator(".card")).to_have_count(9)


def test_a_failed_job_cannot_be_picked(page: Page) -> None:
    page.locator(".card", has_text=FAILED).focus()
    page.keyboard.press("5")

    expect(page.locator("#picks")).to_contain_text("reject with x")


def test_what_is_downloaded_is_a_picks_json_and_can_be_loaded_elsewhere(page: Page, open_page: Opener, sweep: Path) -> None:
    _press(page, _FIRST, "4")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download picks").click()
    content = Path(download.value.path()).read_bytes()
    said = parse_picks(content, where=FILE)

    assert download.value.suggested_filename == FILE
    rows = {entry.name: entry.picture("upscaled") for entry in read_material(sweep.parent).entries}
    row = rows[_FIRST]
    assert row is not None
    assert [(name, pick.stars, pick.sha256) for name, pick in said.picks.items()] == [(_FIRST, 4, row.sha256)]
    assert said.picks[_FIRST].at is not None

    other = open_page(sweep)
    assert _mark(other, _FIRST) == ""
    assert _load(other, content) == "Loaded 1 pick and 0 pairs."
    assert _mark(other, _FIRST) == "4 stars"


def test_a_file_can_be_dropped_on_the_page(page: Page) -> None:
    content = json.dumps({"format": 1, "picks": {_FIRST: {"stars": 2}, "elsewhere": {"stars": 1}}})
    page.evaluate(
        """text => {
          const files = new DataTransfer();
          files.items.add(new File([text], 'picks.json'));
          document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true }));
        }""",
        content,
    )

    expect(page.locator("#picks [role=status]")).to_have_text("Loaded 1 pick and 0 pairs; 1 of its pictures is not in this run.")
    assert _mark(page, _FIRST) == "2 stars"


@pytest.mark.hostile
def test_files_that_mean_harm_change_nothing(page: Page) -> None:
    _press(page, _FIRST, "4")
    wrong = "theirs.json cannot be loaded: "
    assert _load(page, b"{") == f"{wrong}it is not JSON"
    assert _load(page, b"null") == f"{wrong}it is not a picks.json of format 1"
    assert _load(page, b"[" * 100_000).startswith(wrong)
    for bad in ({"stars": 9}, {"stars": "5"}, {"note": 1}, {"rejected": 0}, {"sha256": "x"}, {"at": "noon"}, None, 5):
        told = _load(page, json.dumps({"format": 1, "picks": {"<img src=x onerror=alert(1)>": bad}}).encode())
        assert told == f"{wrong}what it says of <img src=x onerror=alert(1)> is not a pick"
    assert (
        _load(page, b'{"format": 1, "pairs": [{"left": "a", "right": "b", "better": "both"}]}')
        == f"{wrong}one of its pairs is invalid"
    )
    harmless = {_SECOND: {"note": "<b onclick=alert(1)>\u202e"}, "__proto__": {"stars": 1}, "constructor": {"stars": 1}}
    assert _load(page, json.dumps({"format": 1, "picks": harmless}).encode()).startswith("Loaded 1 pick and")

    page.reload()

    assert [_mark(page, job) for job in (_FIRST, _SECOND)] == ["4 stars", "note: <b onclick=alert(1)>\u202e"]


def test_a_page_begins_with_what_the_run_folder_has_and_knows_pictures_that_are_others_now(
    open_page: Opener, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "lake", {"upscale.denoise": [0.3, 0.5]}, paint)
    said = {"lake-d03": {"stars": 5}, "lake-d05": {"stars": 4, "sha256": "0" * 64}}
    pairs = [{"left": "lake-d03", "right": "lake-d05", "better": "left"}] * 2
    (run / FILE).write_text(json.dumps({"format": 1, "picks": said, "pairs": pairs}), encoding="utf-8")

    page = open_page(write_page(read_material(run), {}, None))
    expect(page.locator("#picks")).to_contain_text("1 pick, 0 rejected, 2 pairs, 1 judged before they were rendered again")
    assert [_mark(page, job) for job in ("lake-d03", "lake-d05")] == ["5 stars", "judged before it was rendered again"]

    # Made again in another folder, it still knows what was said here of the very same pictures.
    _press(page, "lake-d05", "3")
    (run / FILE).write_bytes(b"{")
    moved = run.rename(tmp_path / "shore")
    page.goto(write_page(read_material(moved), {}, None).as_uri())
    expect(page.locator("#picks [role=alert]")).to_contain_text("picks.json: is not JSON")
    assert _mark(page, "lake-d05") == "3 stars"


def test_a_browser_that_keeps_nothing_says_so(open_page: Opener, sweep: Path) -> None:
    page = open_page(sweep)
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
    _press(page, _FIRST, "4")

    expect(page.locator("#picks [role=alert]")).to_contain_text("Not kept: this browser stores nothing for this page")
    assert _mark(page, _FIRST) == "4 stars"
