"""The gallery of run folders: what it says of each, with hostile names, damaged folders and files that are not ours."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from comfy_runner import UsageError, write_index
from comfy_runner.report.page.page import write_page
from comfy_runner.report.run_data import read_material
from tests.report.page.conftest import Opener
from tests.report.page.pages import paint, wait_for_pictures
from tests.report.support import folder_of, make_run

_HOSTILE = "<img src=x onerror=alert(1)>\"' #?%"


def _damaged(folder: Path) -> Path:
    (folder_of(folder) / "ledger.sqlite").write_bytes(b"no ledger" * 100)
    return folder


def test_it_says_what_each_run_is_and_changes_nothing_in_it(tmp_path: Path) -> None:
    make_run(tmp_path / "lake", {"seed": [1, 2], "upscale.denoise": [0.4, 0.6]}, paint, failed=["lake-s1-d06"])
    make_run(tmp_path / "deep" / "er" / "sweep", {"seed": list(range(9))}, paint)
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())

    found = write_index(tmp_path)

    lake = next(run for run in found.runs if run.summary.folder.name == "lake")
    assert (lake.jobs, lake.pictures, lake.swept) == (4, 6, ("seed 1, 2", "denoise 0.4, 0.6"))
    assert lake.size_bytes == sum(path.stat().st_size for path in (tmp_path / "lake").rglob("*.png"))
    assert len(lake.shown) == 3
    sweep = next(run for run in found.runs if run.summary.folder.name == "sweep")
    assert (sweep.swept, len(sweep.shown)) == (("seed 0 to 8 (9)",), 4)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted([*before, tmp_path / "index.html"])
    assert "13 jobs · 24 pictures" in found.page.read_text(encoding="utf-8")


def test_a_damaged_run_is_told_and_comes_last(tmp_path: Path) -> None:
    _damaged(tmp_path / "broken")
    make_run(tmp_path / "lake", {"seed": [1]}, paint)

    found = write_index(tmp_path)

    assert [run.problem for run in found.runs] == ["", "is damaged"]
    assert "is damaged" in found.page.read_text(encoding="utf-8")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything can be read by root")
def test_a_folder_that_cannot_be_looked_into_is_told(tmp_path: Path) -> None:
    make_run(tmp_path / "lake", {"seed": [1]}, paint)
    folder_of(tmp_path / "closed").chmod(0)

    found = write_index(tmp_path)

    (tmp_path / "closed").chmod(0o700)
    assert [path.name for path in found.unreadable] == ["closed"]
    assert len(found.runs) == 1


def test_a_page_of_somebody_else_is_not_replaced_and_ours_is(tmp_path: Path) -> None:
    make_run(tmp_path / "lake", {"seed": [1]}, paint)
    (tmp_path / "index.html").write_text("<p>mine", encoding="utf-8")

    with pytest.raises(UsageError, match=r"index\.html: is your own file"):
        write_index(tmp_path)
    write_index(tmp_path, tmp_path / "runs.html")
    write_index(tmp_path, tmp_path / "runs.html")

    assert (tmp_path / "index.html").read_text(encoding="utf-8") == "<p>mine"


@pytest.mark.parametrize("target", ["gallery.txt", "lake"])
def test_a_place_that_is_none_is_refused(tmp_path: Path, target: str) -> None:
    make_run(tmp_path / "lake", {"seed": [1]}, paint)

    with pytest.raises(UsageError, match=r"must be a file that ends in \.html"):
        write_index(tmp_path, tmp_path / target)


def test_without_run_folders_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no run folders below it"):
        write_index(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_in_a_browser_it_shows_pictures_of_hostile_names_and_leads_to_reports(open_page: Opener, tmp_path: Path) -> None:
    lake = make_run(tmp_path / "runs" / _HOSTILE, {"seed": [1, 2]}, paint, recipe={"name": "lake"})
    write_page(read_material(lake), {}, None)
    make_run(tmp_path / "runs" / "second", {"prompt": [_HOSTILE, "a\u202eb"]}, paint)
    _damaged(tmp_path / "runs" / "broken")

    page = open_page(write_index(tmp_path / "runs", tmp_path / "elsewhere" / "gallery.html").page)

    wait_for_pictures(page, ".strip img")
    assert page.locator(".strip img").count() == 4
    expect(page.locator(".run h2").nth(2)).to_have_text("broken")
    page.get_by_role("link", name=_HOSTILE).click()
    expect(page).to_have_title(re.compile(re.escape(_HOSTILE)))
    wait_for_pictures(page, ".card img")
