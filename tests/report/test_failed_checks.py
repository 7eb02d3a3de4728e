"""What the last check found wrong, kept for the report: of the job as it was then, and never in the way of a check."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.check.interface import Finding
from comfy_runner.check.results import CheckedJob, CheckedRun, Outcome
from comfy_runner.report.failed_checks import remember, remembered
from comfy_runner.report.run_data import read_material
from tests.report.support import make_run, photo

_JOBS = ("lake-s1", "lake-s2")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "lake", {"seed": [1, 2]}, photo)


def _remember(run: Path, *failed: tuple[str, str, str], finished: str = "") -> None:
    """Remember a check that found these jobs' roles wrong, for these reasons."""
    ended = {entry.job_id: finished or entry.row.finished or "" for entry in read_material(run).entries}
    jobs = []
    for job_id in _JOBS:
        found = tuple(
            Finding(check="drift", job_id=job_id, role=role, measured=1, limit=0, passed=False, message=what)
            for each, role, what in failed
            if each == job_id
        )
        jobs.append(
            CheckedJob(job_id=job_id, recipe="", file="", line=0, outcome=Outcome.PASSED, findings=found, finished=ended[job_id])
        )
    remember(CheckedRun(folder=run, jobs=tuple(jobs)))


def _failed(run: Path) -> list[tuple[str, ...]]:
    return [entry.failed for entry in read_material(run).entries]


def test_what_was_found_wrong_is_known_of_the_output_and_of_the_job_as_a_whole(run: Path) -> None:
    _remember(run, ("lake-s2", "upscaled", "drift"), ("lake-s2", "", "slow"), ("lake-s2", "sound", "loud"))

    assert _failed(run) == [(), ("drift", "slow")]


def test_a_check_that_finds_nothing_wrong_clears_it(run: Path) -> None:
    _remember(run, ("lake-s2", "", "slow"))
    _remember(run)

    assert _failed(run) == [(), ()]


def test_nothing_is_written_where_nothing_is_wrong(run: Path) -> None:
    _remember(run)

    assert not (run / "report_files").exists()


def test_nothing_is_known_of_a_job_that_has_been_rendered_since(run: Path) -> None:
    _remember(run, ("lake-s2", "", "slow"), finished="2020-01-01T00:00:00+00:00")

    assert _failed(run) == [(), ()]


@pytest.mark.parametrize("text", ["", "[]", '{"lake-s1": 3}', '{"lake-s1": {"finished": "", "what": [["a"]]}}', "[" * 9999, "\0"])
def test_a_file_that_makes_no_sense_says_nothing(run: Path, text: str) -> None:
    (run / "report_files").mkdir()
    (run / "report_files" / "checked.json").write_text(text, encoding="utf-8")

    assert remembered(run) == {}


def test_nothing_is_written_past_a_link(run: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (run / "report_files").symlink_to(tmp_path / "elsewhere")

    _remember(run, ("lake-s2", "", "slow"))

    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_half_an_emoji_of_a_server_is_kept_as_what_it_is(run: Path) -> None:
    _remember(run, ("lake-s1", "", "a\ud83d b"))

    assert _failed(run)[0] == ("a\\ud83d b",)
