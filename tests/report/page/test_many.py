"""A thousand jobs: what is loaded, and what is in the page, stays in proportion to what is seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from comfy_runner.report.page.page import write_page
from comfy_runner.report.page.single import write_single
from comfy_runner.report.run_data import Axis, Entry, Material
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.store.local import LocalStore
from comfy_runner.store.sidecar import FileRecord, Sidecar, sha256_of
from tests.report.page.conftest import Opener
from tests.report.page.pages import measures, suggest
from tests.report.support import job_id_of, points
from tests.report.values import entry_of

_AXES: dict[str, list[Any]] = {"seed": list(range(100)), "upscale.denoise": [number / 20 for number in range(5, 15)]}
_LONG = "x" * 3000  # each job's record is about as long as a real one


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Made without a ledger, which would wait for the disk after every job."""
    folder = tmp_path_factory.mktemp("many") / "run"
    entries = tuple(_entry(folder, values) for values in points(_AXES))
    return Material(folder, entries, tuple(Axis(field, tuple(values)) for field, values in _AXES.items()), LocalStore(folder))


@pytest.fixture(scope="module")
def thousand(run: Material) -> Path:
    measured = {entry.job_id: measures() for entry in run.entries}
    return write_page(run, measured, suggest(_AXES["upscale.denoise"], 0.5))


def _entry(folder: Path, values: Mapping[str, Any]) -> Entry:
    job_id = job_id_of(values)
    path = folder / job_id / "upscaled.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (32, 18), (values["seed"] * 2, int(values["upscale.denoise"] * 300), 90)).save(path)
    size = path.stat().st_size
    record = FileRecord(f"{job_id}/upscaled.png", sha256_of(path), size, 32, 18, "upscaled.png")
    sidecar = Sidecar(
        job_id=job_id,
        content_hash="0" * 64,
        state="done",
        reason="",
        files={"upscaled": (record,)},
        recipe={"prompt": _LONG},
        workflow={"save": {"class_type": "SaveImage", "inputs": {"text": _LONG}}},
        template={"name": "latent_upscale"},
        server={"url": "http://127.0.0.1:8188"},
        prompt_id="",
        cached_nodes=(),
        seconds=2.5,
        finished="2026-11-27T10:00:00+00:00",
        comfy_runner="0.1.0",
    )
    (path.parent / "job.json").write_bytes(sidecar.to_bytes())
    return entry_of(job_id, values, {"upscaled": (FileRow("upscaled", 0, record.path, size, 0, record.sha256),)}, seconds=2.5)


@pytest.fixture
def page(open_page: Opener, thousand: Path) -> Page:
    return open_page(thousand)


def _loaded(page: Page) -> int:
    return int(page.evaluate("[...document.querySelectorAll('.card img')].filter(i => i.complete && i.naturalWidth).length"))


@pytest.mark.slow
def test_a_thousand_jobs_make_a_small_file(thousand: Path) -> None:
    assert thousand.stat().st_size < 1_200_000


def test_only_pictures_near_the_window_are_loaded(page: Page) -> None:
    for name in ("Rows", "Columns"):
        page.get_by_label(name).select_option(label="none")
    expect(page.locator(".card")).to_have_count(1000)
    page.wait_for_function("() => [...document.querySelectorAll('.card img')].slice(0, 6).every(i => i.complete && i.naturalWidth)")
    before = _loaded(page)

    page.evaluate("document.querySelectorAll('.card')[990].scrollIntoView({ behavior: 'instant' })")
    page.wait_for_function("() => (i => i.complete && i.naturalWidth)(document.querySelectorAll('.card img')[990])")

    assert 6 <= before < 500
    # The browser shows at once what it has in memory from the table before.
    assert before <= _loaded(page) < 1000


@pytest.mark.slow
def test_in_one_file_too_only_pictures_near_the_window_are_unpacked(open_page: Opener, run: Material, tmp_path: Path) -> None:
    write_single(tmp_path / "page.html", run, {}, None, most=1_500_000)

    page = open_page(tmp_path / "page.html")
    page.wait_for_function("() => [...document.querySelectorAll('.card img')].slice(0, 6).every(i => i.complete && i.naturalWidth)")

    assert (tmp_path / "page.html").stat().st_size <= 1_500_000
    assert page.locator(".card").count() == 1000
    assert 6 <= _loaded(page) < 500


def test_scrolling_moves_nothing_that_is_in_place(page: Page) -> None:
    for name in ("Rows", "Columns"):
        page.get_by_label(name).select_option(label="none")
    height = page.evaluate("document.documentElement.scrollHeight")

    page.evaluate("scrollTo({ top: 9000, behavior: 'instant' })")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.card img')].some(i => i.getBoundingClientRect().top > 0 && i.complete)"
    )

    assert page.evaluate("document.documentElement.scrollHeight") == height
    assert page.evaluate("scrollY") == 9000


def test_headings_stay_in_sight(page: Page) -> None:
    scroller = page.locator("#grid .scroller")

    scroller.evaluate("s => { s.scrollTop = 4000; s.scrollLeft = 300 }")

    top = scroller.bounding_box()
    column = page.locator(".pictures thead th").nth(5).bounding_box()
    row = page.locator(".pictures tbody th").nth(40).bounding_box()
    assert top
    assert column
    assert row
    assert column["y"] == pytest.approx(top["y"], abs=2)
    assert row["x"] == pytest.approx(top["x"], abs=2)


def test_the_table_has_a_hundred_rows_at_a_time(page: Page) -> None:
    rows = page.locator("#numbers tbody tr")
    assert rows.count() == 100

    # By its text: to find it by its name takes seconds, with a thousand cards that have one.
    page.locator("button", has_text="Later").click()

    expect(page.locator(".pager")).to_contain_text("200 of 1000")
    assert rows.count() == 100
    expect(rows.first).to_contain_text("lake-s10-d025")


def test_the_last_of_a_thousand_jobs_opens_with_its_details(page: Page) -> None:
    page.get_by_role("searchbox", name="Search").fill("s99 d07")
    expect(page.locator("#shown")).to_have_text("1 of 1000 jobs: 1 picture")

    page.locator(".card").click()

    expect(page.locator("#viewer-title")).to_have_text("lake-s99-d07")
    expect(page.locator(".prompt")).to_have_text(_LONG)
