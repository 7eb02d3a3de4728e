"""The page in a zip: what is in it and under which names, and that it opens where it is unpacked."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from comfy_runner.errors import UsageError
from comfy_runner.report.page.page import write_page
from comfy_runner.report.page.zipped import write_zip
from comfy_runner.report.run_data import read_material
from comfy_runner.report.writer import write_report
from tests.report.page.conftest import Opener
from tests.report.page.pages import open_job, paint, wait_for_pictures
from tests.report.support import make_run


def test_it_has_the_page_and_every_file_under_its_path_in_one_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path / "Café (2)", {"seed": [1, 2]}, paint)

    found = write_report(run, zip_file=tmp_path / "new" / "page.zip")

    assert found.zipped == tmp_path / "new" / "page.zip"
    with zipfile.ZipFile(found.zipped) as zipped:
        assert zipped.testzip() is None
        names = zipped.namelist()
        assert {name.partition("/")[0] for name in names} == {"cafe-2"}
        pictures = [name for name in names if name.endswith(".png")]
        assert pictures == [f"cafe-2/lake-s{seed}/{role}.png" for seed in (1, 2) for role in ("original", "upscaled")]
        assert zipped.read(pictures[0]) == (run / "lake-s1" / "original.png").read_bytes()
        assert names[-1] == "cafe-2/report.html"
        assert json.loads(zipped.read("cafe-2/metrics.json")) == json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def test_the_same_run_gives_the_same_names_times_and_pictures(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1]}, paint)
    entries = []
    for name in ("a.zip", "b.zip"):
        write_zip(tmp_path / name, read_material(run), {}, None)
        with zipfile.ZipFile(tmp_path / name) as zipped:
            entries.append([(each.filename, each.date_time, each.external_attr, each.compress_type) for each in zipped.infolist()])

    assert entries[0] == entries[1]


def test_pictures_that_are_gone_are_told_and_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2]}, paint)
    (run / "lake-s2" / "upscaled.png").unlink()

    gone = write_zip(tmp_path / "page.zip", read_material(run), {}, None)

    assert gone == "1 picture is gone and not in the zip: lake-s2/upscaled.png"
    with zipfile.ZipFile(tmp_path / "page.zip") as zipped:
        assert "run/lake-s2/upscaled.png" not in zipped.namelist()


def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1]}, paint)

    with pytest.raises(UsageError, match=r"page\.html: must end in \.zip"):
        write_report(run, zip_file=tmp_path / "page.html")

    assert not (run / "report.html").exists()


def test_unpacked_elsewhere_it_shows_the_full_size_pictures(open_page: Opener, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2], "upscale.denoise": [0.4, 0.6]}, paint)
    write_page(read_material(run), {}, None)
    write_zip(tmp_path / "page.zip", read_material(run), {}, None)
    with zipfile.ZipFile(tmp_path / "page.zip") as zipped:
        zipped.extractall(tmp_path / "there")

    page = open_page(tmp_path / "there" / "run" / "report.html")
    wait_for_pictures(page, ".card img")
    open_job(page, "lake-s1-d04")

    assert page.locator(".stage img").first.evaluate("image => image.src").startswith((tmp_path / "there").as_uri())
