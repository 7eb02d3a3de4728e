"""The page of several runs in a browser, and out of its zip."""

from __future__ import annotations

import zipfile
from pathlib import Path

from playwright.sync_api import expect

from comfy_runner import compare_runs
from tests.report.page.conftest import Opener
from tests.report.page.pages import wait_for_pictures
from tests.report.support import make_run, photo

_HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_pictures_of_both_runs_are_shown_and_each_says_what_is_suggested(open_page: Opener, tmp_path: Path) -> None:
    axes = {"upscale.denoise": [0.4, 0.6]}
    make_run(tmp_path / "runs" / "a #1", axes, photo, recipe={"prompt": _HOSTILE})
    make_run(tmp_path / "runs" / "b", axes, lambda values: photo(values, paints=0.6), recipe={"prompt": "a lake"})

    found = compare_runs(
        [tmp_path / "runs" / "a #1", tmp_path / "runs" / "b"],
        tmp_path / "both",
        single_file=tmp_path / "one.html",
        zip_file=tmp_path / "both.zip",
    )
    with zipfile.ZipFile(tmp_path / "both.zip") as zipped:
        zipped.extractall(tmp_path / "there")

    for place in (found.page, tmp_path / "one.html", tmp_path / "there" / "both" / "report.html"):
        page = open_page(place)
        wait_for_pictures(page, ".card img")
        assert page.locator(".card img").count() == 4
        assert page.locator(".card.is-suggested").count() == 2
        expect(page.locator(".joined-run h2")).to_have_text(["a #1", "b"])
        expect(page.locator(".joined-run").first).to_contain_text(_HOSTILE)
        page.locator(".card").first.click()
        wait_for_pictures(page, ".stage img")
        expect(page.locator(".panel")).to_contain_text(_HOSTILE)
