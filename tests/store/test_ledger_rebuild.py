from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import RunFolderError
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rebuild import lacks_ledger, open_or_rebuild, rebuild
from comfy_runner.store.ledger_rows import JobUpdate, PlanRow
from comfy_runner.store.run_folder import FolderView
from comfy_runner.store.states import Change

_HASH = "0123456789abcdef" * 4
_OLD = b"not a database, but somebody may want it back"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


def _fill(folder: Path, job_id: str, contents: dict[str, bytes], **changes: Any) -> Path:
    """Write a job's pictures and its sidecar; return the sidecar."""
    files: dict[str, list[dict[str, Any]]] = {}
    (folder / job_id).mkdir()
    for role, data in contents.items():
        (folder / job_id / f"{role}.png").write_bytes(data)
        known = {"path": f"{job_id}/{role}.png", "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
        files[role] = [{**known, "width": 64, "height": 64, "server_name": "", "problem": ""}]
    values = {"job_id": job_id, "content_hash": _HASH, "state": "done", "reason": "", "files": files, "recipe": {"name": "My Lake"}}
    texts = {"prompt_id": "", "finished": "", "comfy_runner": ""}
    others: dict[str, Any] = {"workflow": {}, "template": {}, "server": {}, "cached_nodes": [], "seconds": None, "notes": []}
    path = folder / job_id / "job.json"
    path.write_text(json.dumps({"format": 1, **values, **texts, **others, **changes}), encoding="utf-8")
    return path


def _change(path: Path, **changes: Any) -> None:
    """Change a sidecar as it lies on the disk."""
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}), encoding="utf-8")


def _content(folder: Path) -> dict[str, bytes]:
    """Return all files but ledgers."""
    found = (path for path in folder.rglob("*") if path.is_file() and FILE not in path.name)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(autouse=True)
def _tidy(folder: Path) -> Iterator[None]:
    """Whatever happens, nothing half made is left."""
    yield
    assert not list(folder.glob(".*"))


def test_done_and_partial_jobs_are_in_the_new_ledger_with_their_files(folder: Path) -> None:
    _fill(folder, "a", {"original": b"one", "upscaled": b"three"}, seconds=1.5, finished="2026-11-23T06:20:00+00:00")
    _fill(folder, "b", {"original": b"two"}, state="partial", reason="upscaled is missing")
    before = _content(folder)

    made = rebuild(folder, FolderView(folder))

    assert _content(folder) == before
    assert (made.ledger, made.jobs, made.aside, made.problems) == (folder / FILE, 2, None, ())
    with Ledger(made.ledger) as ledger:
        a, b = ledger.job("a"), ledger.job("b")
        files = ledger.files("a")
        assert ledger.open_submissions() == []
    assert a is not None
    assert b is not None
    assert (a.state, a.content_hash, a.recipe, a.seconds) == ("done", _HASH, "my-lake", 1.5)
    assert (a.finished, a.position, a.removed, a.error) == ("2026-11-23T06:20:00+00:00", None, False, "")
    assert (b.state, b.error) == ("partial", "upscaled is missing")
    there = (folder / "a" / "original.png").stat()
    assert [(row.role, row.number, row.path, row.size_bytes) for row in files] == [
        ("original", 0, "a/original.png", 3),
        ("upscaled", 0, "a/upscaled.png", 5),
    ]
    assert (files[0].mtime_ns, files[0].sha256) == (there.st_mtime_ns, hashlib.sha256(b"one").hexdigest())


def test_what_a_sidecar_says_of_sweep_and_sharing_is_kept(folder: Path) -> None:
    _fill(folder, "a", {"original": b"one"}, assignments={"upscale.denoise": 0.55, "seed": 2**64 - 1}, shares="b")

    rebuild(folder, FolderView(folder))

    with Ledger(folder / FILE) as ledger:
        found = ledger.job("a")
    assert found is not None
    assert (found.assignments, found.shares) == ({"upscale.denoise": 0.55, "seed": 2**64 - 1}, "b")


def test_an_old_ledger_is_moved_aside_with_its_journal_and_never_deleted(folder: Path) -> None:
    for number in (1, 2):
        (folder / FILE).write_bytes(_OLD + str(number).encode())
        (folder / f"{FILE}-journal").write_bytes(b"journal" + str(number).encode())

        made = rebuild(folder, FolderView(folder))

        assert made.aside == folder / f"{FILE}.damaged-{number}"
    for number in (1, 2):
        assert (folder / f"{FILE}.damaged-{number}").read_bytes() == _OLD + str(number).encode()
        assert (folder / f"{FILE}.damaged-{number}-journal").read_bytes() == b"journal" + str(number).encode()
    Ledger(folder / FILE).close()


def test_a_journal_without_its_ledger_does_not_get_into_the_new_one(folder: Path) -> None:
    _fill(folder, "a", {"original": b"one"})
    (folder / f"{FILE}-journal").write_bytes(b"journal")

    rebuild(folder, FolderView(folder))

    assert (folder / f"{FILE}.damaged-1-journal").read_bytes() == b"journal"
    with Ledger(folder / FILE) as ledger:
        assert ledger.counts()["done"] == 1


def test_what_an_earlier_repair_that_was_killed_has_left_is_no_hindrance(folder: Path) -> None:
    _fill(folder, "a", {"original": b"one"})
    (folder / f".{FILE}.new").write_bytes(b"half of a ledger")
    (folder / f".{FILE}.new-journal").write_bytes(b"half of a journal")

    rebuild(folder, FolderView(folder))

    with Ledger(folder / FILE) as ledger:
        assert ledger.counts()["done"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"job_id": "b"},
        {"job_id": 7},
        {"job_id": None},
        {"recipe": []},
        {"recipe": {"name": 7}},
        {"files": {}, "content_hash": "short"},
        {"files": {"original": []}},
        {"files": {"original": [{"path": "a.png"}]}},
        {"shares": 7},
        {"assignments": 7},
        {"format": "new"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_damaged_sidecar_is_told_of_and_the_others_are_read(folder: Path, changes: dict[str, Any]) -> None:
    path = _fill(folder, "a", {"original": b"one"})
    _fill(folder, "c", {"original": b"two"})
    _change(path, **changes)
    before = _content(folder)

    made = rebuild(folder, FolderView(folder))

    (problem,) = made.problems
    assert problem.where.endswith("run/a/job.json")
    assert problem.what.startswith("is damaged")
    assert problem.hint
    assert made.jobs == 1
    assert _content(folder) == before
    with Ledger(folder / FILE) as ledger:
        assert [row.job_id for row in ledger.jobs()] == ["c"]


@pytest.mark.parametrize("path", ["../a.png", "/etc/passwd", "a/./original.png", "a\\b.png", "c:a.png", "", "\ud83d.png"])
def test_a_sidecar_whose_file_leads_elsewhere_is_told_of_and_gives_no_row(folder: Path, path: str) -> None:
    written = _fill(folder, "a", {"original": b"one"})
    data = json.loads(written.read_bytes())
    data["files"]["original"][0]["path"] = path
    _change(written, files=data["files"])

    made = rebuild(folder, FolderView(folder))

    assert made.problems
    with Ledger(folder / FILE) as ledger:
        assert ledger.files("a") == []
        assert ledger.counts()["done"] == 0


def test_a_sidecar_of_a_newer_version_is_told_of(folder: Path) -> None:
    _change(_fill(folder, "a", {"original": b"one"}), format=999)

    (problem,) = rebuild(folder, FolderView(folder)).problems

    assert "was written by a newer comfy_runner" in problem.what


def test_a_sidecar_that_is_a_folder_is_told_of(folder: Path) -> None:
    (folder / "a" / "job.json").mkdir(parents=True)

    assert len(rebuild(folder, FolderView(folder)).problems) == 1


def test_a_job_that_lacks_some_pictures_is_partial_and_one_that_lacks_all_has_failed(folder: Path) -> None:
    _fill(folder, "a", {"original": b"one", "upscaled": b"two"})
    _fill(folder, "b", {"original": b"one"})
    (folder / "a" / "upscaled.png").unlink()
    (folder / "b" / "original.png").write_bytes(b"longer than it was")

    made = rebuild(folder, FolderView(folder))

    assert [problem.what for problem in made.problems] == ["is gone or was changed"] * 2
    with Ledger(folder / FILE) as ledger:
        assert {row.job_id: row.state for row in ledger.jobs()} == {"a": "partial", "b": "failed"}
        assert [row.path for row in ledger.files("a")] == ["a/original.png"]
        assert ledger.files("b") == []


def test_superseded_sidecars_are_not_jobs(folder: Path) -> None:
    _fill(folder, "a", {"original": b"one"})
    shelf = folder / "superseded" / "a" / _HASH[:8]
    shelf.mkdir(parents=True)
    (shelf / "job.json").write_bytes((folder / "a" / "job.json").read_bytes())

    made = rebuild(folder, FolderView(folder))

    assert (made.jobs, made.problems) == (1, ())


def test_a_plan_goes_on_from_a_rebuilt_ledger(folder: Path) -> None:
    _fill(folder, "a", {"original": b"one"})
    rebuild(folder, FolderView(folder))
    row = PlanRow(
        job_id="a", position=0, recipe="my-lake", content_hash=_HASH, pixel_hash="p", shares="", assignments={}, requeue=""
    )

    with Ledger(folder / FILE) as ledger:
        ledger.write_plan([row], recipes=["my-lake"])

        assert ledger.done_with(["p"]) == {"p": "a"}
        ledger.write_plan([], recipes=["my-lake"])
        assert [(job.job_id, job.removed) for job in ledger.jobs()] == [("a", True)]


# Folders of older versions


def test_a_folder_with_sidecars_and_no_ledger_gets_one(folder: Path) -> None:
    _fill(folder, "a", {"original": b"one"})
    assert lacks_ledger(folder)

    with open_or_rebuild(folder, FolderView(folder)) as ledger:
        assert ledger.counts()["done"] == 1

    assert not lacks_ledger(folder)


def test_a_ledger_cut_off_to_nothing_is_made_anew(folder: Path) -> None:
    _fill(folder, "a", {"original": b"one"})
    (folder / FILE).touch()

    with open_or_rebuild(folder, FolderView(folder)) as ledger:
        assert ledger.counts()["done"] == 1


def test_a_new_folder_gets_an_empty_ledger(folder: Path) -> None:
    assert not lacks_ledger(folder)

    with open_or_rebuild(folder, FolderView(folder)) as ledger:
        assert ledger.known() == {}


def test_a_ledger_that_is_there_is_opened_as_it_is(folder: Path) -> None:
    _fill(folder, "a", {"original": b"one"})
    with open_or_rebuild(folder, FolderView(folder)) as ledger:
        ledger.write_plan(
            [PlanRow(job_id="b", position=0, recipe="r", content_hash="c", pixel_hash="", shares="", assignments={})], recipes=["r"]
        )
        ledger.settle(JobUpdate("b", Change.FAILED))

    with open_or_rebuild(folder, FolderView(folder)) as ledger:
        assert ledger.counts()["failed"] == 1


def test_a_damaged_ledger_is_not_made_anew_without_being_asked_to(folder: Path) -> None:
    _fill(folder, "a", {"original": b"one"})
    (folder / FILE).write_bytes(_OLD)

    with pytest.raises(RunFolderError, match="is damaged"):
        open_or_rebuild(folder, FolderView(folder))

    assert (folder / FILE).read_bytes() == _OLD


def test_a_folder_that_is_not_there_is_an_error(folder: Path) -> None:
    with pytest.raises(RunFolderError):
        rebuild(folder / "missing", FolderView(folder / "missing"))
