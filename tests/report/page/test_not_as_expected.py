"""What a check found wrong with a job, on its card and beside its picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.check.interface import Finding
from comfy_runner.check.results import CheckedJob, CheckedRun, Outcome
from comfy_runner.report.failed_checks import remember
from comfy_runner.report.page.page import write_page
from comfy_runner.report.run_data import read_material
from tests.report.page.conftest import Opener
from tests.report.page.pages import open_job, paint
from tests.report.support import make_run

_WHAT = "drift 0.41, at most 0.3 expected <img src=x onerror=alert(1)>"


@pytest.mark.browser
def test_a_failed_check_stands_on_the_card_and_in_the_viewer(open_page: Opener, tmp_path: Path) -> None:
    run = make_run(tmp_path / "lake", {"seed": [1, 2]}, paint)
    (bad,) = [entry.row for entry in read_material(run).entries if entry.job_id == "lake-s2"]
    found = Finding(check="drift", job_id="lake-s2", role="upscaled", measured=0.41, limit=0.3, passed=False, message=_WHAT)
    job = CheckedJob(
        job_id="lake-s2",
        recipe="lake",
        file="",
        line=0,
        outcome=Outcome.FAILED,
        findings=(found,),
        finished=bad.finished or "",
    )
    remember(CheckedRun(folder=run, jobs=(job,)))

    page = open_page(write_page(read_material(run), {}, None))

    tags = page.locator(".card .tag.bad").all_inner_texts()
    assert tags == ["not as expected"]
    open_job(page, "lake-s2")
    assert page.locator("dialog .tag.bad").all_inner_texts() == [f"not as expected: {_WHAT}"]
