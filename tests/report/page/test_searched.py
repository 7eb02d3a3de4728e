"""What a search has rendered, as the page shows it: in order, with the values of all its fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from comfy_runner.report.found import Beginning, path_of_search, write_search
from comfy_runner.report.page.page import write_page
from comfy_runner.report.run_data import read_material
from tests.report.page.conftest import Opener
from tests.report.page.pages import paint
from tests.report.support import job_id_of, make_run, points

_AXES: dict[str, list[Any]] = {"upscale.method": ["area", "<b>x</b>"], "upscale.denoise": [0.3, 0.5]}
_STEPS: list[dict[str, Any]] = [
    {"job_id": job_id_of(values), "values": values, "detail": 0.25, "drift": 0.125, "allowed": number != 1}
    for number, values in enumerate(points(_AXES))
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "lake", _AXES, paint)


def test_a_search_is_a_table_in_its_order_with_all_its_fields(open_page: Opener, run: Path) -> None:
    write_search(run, "key", Beginning((), 2), found="the best", chosen=_STEPS[2]["values"], path=_STEPS)

    page = open_page(write_page(read_material(run), {}, None))

    rows = [row.split("\t") for row in page.locator("#searched tbody tr").all_inner_texts()]
    jobs = [step["job_id"] for step in _STEPS]
    assert [row[1] for row in rows] == jobs
    assert [row[2:4] for row in rows] == [[str(value) for value in step["values"].values()] for step in _STEPS]
    assert [row[-1] for row in rows] == ["", "ruled out", "found", ""]
    page.get_by_role("link", name="Search").click()
    page.locator("#searched").get_by_role("button", name=jobs[0], exact=True).click()
    expect(page.locator("#viewer")).to_be_visible()


def test_without_a_search_there_is_no_such_section(open_page: Opener, run: Path) -> None:
    page = open_page(write_page(read_material(run), {}, None))

    expect(page.locator("#searched")).to_be_hidden()
    expect(page.locator("#to-searched")).to_be_hidden()


@pytest.mark.parametrize(
    "path", [[], [5], [{"values": 3}], [{"values": {"x": [1]}, "detail": "much", "drift": float("nan"), "job_id": None}]]
)
def test_what_a_damaged_record_says_harms_nobody(path: list[Any], run: Path) -> None:
    write_search(run, "key", Beginning((), 2), found="the best", path=path)

    found = path_of_search(run)

    assert found is None or found["steps"][0] == {
        "job": "None",
        "values": ["[1]"],
        "detail": None,
        "drift": None,
        "allowed": False,
        "chosen": False,
    }
