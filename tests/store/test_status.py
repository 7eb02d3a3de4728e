"""What is told of run folders, without touching them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import FileRow, JobUpdate, PlanRow
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.states import Change
from comfy_runner.store.status import list_runs, status

_URL = "http://gpu:8188"


def _row(job_id: str, **changes: Any) -> PlanRow:
    values = {"recipe": "lake", "content_hash": "c", "pixel_hash": "p", "shares": "", "assignments": {"seed": 1}}
    return PlanRow(job_id=job_id, position=0, **{**values, **changes})


def _filled(folder: Path) -> Path:
    """Make a run folder with jobs in many states: two done, one failed, one on a server, one that waits, one removed."""
    folder.mkdir(parents=True)
    with Ledger(folder / FILE) as ledger:
        ledger.write_plan(map(_row, ["a", "b", "c", "d", "e", "gone"]), recipes=["lake"])
        ledger.settle(JobUpdate("a", Change.DONE, files=[FileRow("original", 0, "a/original.png", 7, 1, "ab" * 32)], seconds=1.5))
        ledger.settle(JobUpdate("b", Change.DONE))
        ledger.settle(JobUpdate("c", Change.FAILED, error="c: node exploded"))
        ledger.submit("p-1", server=_URL, text="parcel", job_ids=["d"])
        ledger.settle(JobUpdate("gone", Change.FAILED, error="long ago"))
        ledger.write_plan(map(_row, "abcde"), recipes=["lake"])
    return folder


def _snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_jobs_are_counted_by_state_and_removed_ones_apart(tmp_path: Path) -> None:
    found = status(_filled(tmp_path / "run"))

    assert {state: count for state, count in found.counts.items() if count} == {
        "done": 2,
        "failed": 1,
        "submitted": 1,
        "pending": 1,
    }
    assert found.removed == 1


def test_every_job_is_there_with_its_files_also_removed_ones(tmp_path: Path) -> None:
    found = status(_filled(tmp_path / "run"))

    assert [job.row.job_id for job in found.jobs] == ["a", "b", "c", "d", "e", "gone"]
    assert [file.path for file in found.jobs[0].files] == ["a/original.png"]
    assert [job.row.removed for job in found.jobs] == [False] * 5 + [True]


def test_of_jobs_in_chosen_states_removed_ones_are_left_out(tmp_path: Path) -> None:
    found = status(_filled(tmp_path / "run"), states=["failed", "partial"])

    assert [(job.row.job_id, job.row.error) for job in found.jobs] == [("c", "c: node exploded")]


def test_what_is_on_a_server_is_named(tmp_path: Path) -> None:
    (submission,) = status(_filled(tmp_path / "run")).submissions

    assert (submission.server, submission.prompt_id, submission.job_ids) == (_URL, "p-1", ("d",))


def test_nothing_is_changed_by_looking(tmp_path: Path) -> None:
    folder = _filled(tmp_path / "run")
    before = _snapshot(folder)

    status(folder)
    list_runs(tmp_path)

    assert _snapshot(folder) == before


def test_it_works_while_a_run_is_live_and_says_whose(tmp_path: Path) -> None:
    folder = RunFolder(_filled(tmp_path / "run"))
    try:
        found = status(folder.path)
    finally:
        folder.close()

    assert found.holder is not None
    assert found.holder.pid == os.getpid()
    assert status(folder.path).holder is None


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_what_is_no_run_folder_is_an_error_and_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "run"
    if kind == "empty":
        folder.mkdir()
    elif kind == "file":
        folder.write_text("mine", encoding="utf-8")

    with pytest.raises(RunFolderError, match="run folder"):
        status(folder)

    assert [path.name for path in tmp_path.rglob("*")] == ([] if kind == "missing" else ["run"])


def test_the_name_of_a_run_in_the_usual_place_is_understood_as_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _filled(tmp_path / "runs/lake")

    with pytest.raises(RunFolderError) as caught:
        status("lake")

    assert caught.value.problems[0].hint == "did you mean runs/lake?"


def test_sidecars_without_a_ledger_are_an_error_that_names_the_repair(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/job.json").write_text("{}", encoding="utf-8")

    with pytest.raises(RunFolderError) as caught:
        status(tmp_path)

    assert "comfy-runner repair" in caught.value.problems[0].hint


# Lists


def test_run_folders_are_listed_by_name_and_not_their_own_folders(tmp_path: Path) -> None:
    for name in ("b", "a", "deep/down/c"):
        _filled(tmp_path / name)
    _filled(tmp_path / "a/inner")

    found = list_runs(tmp_path)

    assert [summary.folder for summary in found] == [tmp_path / name for name in ("a", "b", "deep/down/c")]
    assert all((summary.counts["done"], summary.removed, summary.problem) == (2, 1, "") for summary in found)
    assert all(summary.last_activity is not None for summary in found)


def test_hidden_linked_and_too_deep_folders_are_not_listed(tmp_path: Path) -> None:
    _filled(tmp_path / "elsewhere/run")
    _filled(tmp_path / "runs/.hidden")
    _filled(tmp_path / "runs/1/2/3/4")
    (tmp_path / "runs/link").symlink_to(tmp_path / "elsewhere")

    assert list_runs(tmp_path / "runs") == ()


def test_a_run_folder_itself_is_the_only_one_of_its_list(tmp_path: Path) -> None:
    assert [summary.folder for summary in list_runs(_filled(tmp_path / "run"))] == [tmp_path / "run"]


def test_a_damaged_one_is_listed_as_damaged(tmp_path: Path) -> None:
    _filled(tmp_path / "bad")
    (tmp_path / "bad" / FILE).write_bytes(b"not a ledger" * 1000)
    _filled(tmp_path / "good")
    _filled(tmp_path / "newer")
    with closing(sqlite3.connect(tmp_path / "newer" / FILE)) as connection:
        connection.execute("PRAGMA user_version = 99")
    (tmp_path / "old/job").mkdir(parents=True)
    (tmp_path / "old/job/job.json").write_text("{}", encoding="utf-8")

    found = {summary.folder.name: summary.problem for summary in list_runs(tmp_path)}

    assert found["bad"] == "is damaged"
    assert found["good"] == ""
    assert "newer comfy_runner" in found["newer"]
    assert found["old"] == "has no ledger"


def test_where_there_is_no_folder_the_list_is_empty(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "runs") == ()


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine", encoding="utf-8")

    with pytest.raises(UsageError, match="cannot be read"):
        list_runs(tmp_path / "runs")
