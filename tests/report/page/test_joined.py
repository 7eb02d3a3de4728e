"""The page of several runs in a browser, and out of its zip."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from playwright.sync_api import expect

from comfy_runner import compare_runs, import_picks, write_report
from tests.report.page.conftest import Opener
from tests.report.page.pages import paint, wait_for_pictures
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
        expect(page.locator("#curve canvas")).to_have_count(2)
        expect(page.locator("#curve .legend > *")).to_have_text([re.compile("^a #1"), re.compile("^b")])
        runs = page.locator("#curve tbody tr", has_text="0.4").locator("td:first-of-type")
        expect(runs).to_have_text(["a #1", "b"])
        page.locator(".card").first.click()
        wait_for_pictures(page, ".stage img")
        expect(page.locator(".panel")).to_contain_text(_HOSTILE)


def test_picks_of_a_page_of_several_runs_are_those_of_each_run(open_page: Opener, tmp_path: Path) -> None:
    axes = {"seed": [1, 2]}
    runs = [make_run(tmp_path / "lake", axes, paint), make_run(tmp_path / "later", axes, lambda each: paint({**each, "run": 2}))]
    reports = [write_report(run).page for run in runs]
    page = open_page(compare_runs(runs, tmp_path / "both").page)
    for job, stars in (("lake/lake-s1", "5"), ("later/lake-s2", "3")):
        page.locator(f'.card:has(img[alt^="{job},"])').press(stars)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download picks").click()
    content = Path(download.value.path())

    for run, said in zip(runs, ({"lake-s1": 5}, {"lake-s2": 3}), strict=True):
        saved = import_picks(run, content)
        assert {name: pick.stars for name, pick in saved.picks.picks.items()} == said
        assert len(saved.unknown) == 1
    # Where it is the same browser, nobody has to carry them; another one can load them.
    for own in (page.context.new_page(), open_page(reports[0])):
        own.goto(reports[0].as_uri())
        if own.context != page.context:
            own.locator("#picks input").set_input_files(content)
        expect(own.locator('.card:has(img[alt^="lake-s1,"]) .pick-mark')).to_have_text("★★★★★, 5 stars")
        expect(own.locator(".pick-mark:visible")).to_have_count(1)
