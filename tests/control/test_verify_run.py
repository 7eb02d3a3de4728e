"""Run folders held against what was collected: every fault is found and called what it is, nothing is changed."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from PIL import Image

from comfy_runner.control.verify_run import VerifiedRun, verify
from comfy_runner.errors import RunFolderError
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import FileRow, JobUpdate, PlanRow
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.states import Change
from tests.running.support import HASH, encoded, files_in, fill, picture, rendered, sidecar_in, small
from tests.standin import StandIn
from tests.store.memory_store import MemoryStore

_SWEPT = small(sweep={"seed": [1, 2]})


@pytest.fixture
def rendered_run(server: StandIn, tmp_path: Path) -> Path:
    """A run of two jobs that were rendered."""
    rendered(server, tmp_path, _SWEPT)
    return tmp_path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two jobs that are done, which no server has seen."""
    folder = RunFolder(tmp_path)
    jobs = {f"lake-s{seed}": {role: _noise(f"{role} {seed}") for role in ("original", "upscaled")} for seed in (1, 2)}
    plan: dict[str, Any] = {"recipe": "lake", "content_hash": HASH, "pixel_hash": "", "shares": "", "assignments": {}}
    folder.ledger.write_plan((PlanRow(job_id=job_id, position=0, **plan) for job_id in jobs), recipes=["lake"])
    for job_id, pictures in jobs.items():
        files = fill(folder, job_id, pictures).files
        folder.ledger.settle(JobUpdate(job_id, Change.DONE, files=folder.rows(files)))
    folder.close()
    return tmp_path


def _noise(text: str) -> bytes:
    return encoded(Image.frombytes("RGB", (8, 8), random.Random(text).randbytes(8 * 8 * 3)))  # noqa: S311 - a picture


def _told(found: VerifiedRun) -> list[tuple[str, str, str]]:
    return [(each.kind, each.job_id, each.role) for each in found.discrepancies]


def _change_sidecar(folder: Path, job: str, **changes: Any) -> None:
    (folder / job / "job.json").write_text(json.dumps({**sidecar_in(folder, job), **changes}), encoding="utf-8")


def _rot(path: Path) -> None:
    """Turn one bit of a file, and leave its time as it was."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_was_collected_is_there(run: Path) -> None:
    before = files_in(run)
    seen: list[tuple[int, int]] = []

    found = verify(run, progress=lambda done, total: seen.append((done, total)))

    assert (found.discrepancies, found.extra, found.holder) == ((), (), None)
    assert (found.jobs, found.files) == (2, 4)
    assert found.size_bytes == sum((run / name).stat().st_size for name in before if name.endswith(".png"))
    assert seen == [(1, 2), (2, 2)]
    assert files_in(run) == before


def test_a_missing_picture_is_missing_and_the_same_run_brings_it_back(server: StandIn, rendered_run: Path) -> None:
    (rendered_run / "lake-s1/upscaled.png").unlink()

    found = verify(rendered_run)

    assert _told(found) == [("missing", "lake-s1", "upscaled")]
    assert "run its recipe again" in found.discrepancies[0].hint
    rendered(server, rendered_run, _SWEPT)
    assert verify(rendered_run).discrepancies == ()


def test_a_bit_that_has_turned_shows_and_force_brings_the_picture_back(server: StandIn, rendered_run: Path) -> None:
    _rot(rendered_run / "lake-s1/upscaled.png")
    rotten = picture(rendered_run, "lake-s1")

    assert _told(verify(rendered_run)) == [("changed", "lake-s1", "upscaled")]

    # By size and time it is as it was, which is all that a run looks at.
    assert all(result.was_done for result in rendered(server, rendered_run, _SWEPT))
    assert "--force" in verify(rendered_run).discrepancies[0].hint
    rendered(server, rendered_run, _SWEPT, force=True, only=["lake-s1"])
    assert verify(rendered_run).discrepancies == ()
    assert rotten in [path.read_bytes() for path in (rendered_run / "superseded").rglob("*.png")]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda whole: whole[:-100], "was changed, and is not a whole picture: "),
        (lambda _: b"no picture", "was changed, and is not a whole picture: neither PNG, JPEG nor WebP"),
        (lambda whole: whole + b"more", "was changed (%s bytes were collected, got %s)"),
    ],
)
def test_it_is_said_whether_what_was_changed_is_a_picture_still(run: Path, change: Callable[[bytes], bytes], what: str) -> None:
    path = run / "lake-s1/original.png"
    whole = path.read_bytes()
    path.write_bytes(change(whole))

    (found,) = verify(run).discrepancies

    assert found.what.startswith(what % (len(whole), len(whole) + 4) if "%" in what else what)
    assert found.file.endswith("lake-s1/original.png")


def test_what_nothing_records_is_named_and_no_fault(run: Path) -> None:
    (run / "notes.txt").write_bytes(b"mine")
    (run / "lake-s1/third.png").write_bytes(b"mine")
    for own in ("report.html", "metrics.json", f"{FILE}.damaged-1", "run.json", ".cancel", "lake-s1/.DS_Store"):
        (run / own).write_bytes(b"")
    for own in ("report_files/measured.json", "comparison_files/lake-s1/upscaled.diff.png"):
        (run / own).parent.mkdir(parents=True)
        (run / own).write_bytes(b"")
    (run / "lake-s1/.upscaled.0123456789abcdef.part").write_bytes(b"half")

    found = verify(run)

    assert (found.discrepancies, found.extra, found.leftovers) == ((), ("lake-s1/third.png", "notes.txt"), 1)


def test_replaced_pictures_are_counted_alone(server: StandIn, rendered_run: Path) -> None:
    rendered(server, rendered_run, _SWEPT, force=True, only=["lake-s1"])

    found = verify(rendered_run)

    assert (found.superseded, found.extra, found.discrepancies) == (3, (), ())


def test_a_lost_sidecar_shows_and_its_pictures_are_held_against_the_ledger(server: StandIn, rendered_run: Path) -> None:
    (rendered_run / "lake-s2/job.json").unlink()
    _rot(rendered_run / "lake-s2/original.png")

    assert _told(verify(rendered_run)) == [("changed", "lake-s2", "original"), ("conflicting", "lake-s2", "")]

    rendered(server, rendered_run, _SWEPT, force=True, only=["lake-s2"])
    assert verify(rendered_run).discrepancies == ()


def test_a_damaged_sidecar_is_unreadable_and_the_hint_helps(server: StandIn, rendered_run: Path) -> None:
    (rendered_run / "lake-s1/job.json").write_bytes(b"{")

    (found,) = verify(rendered_run).discrepancies

    assert (found.kind, found.what) == ("unreadable", "is damaged")
    assert found.hint.startswith("move it away, and run its recipe again with --force")
    (rendered_run / "lake-s1/job.json").rename(rendered_run / "lake-s1/old.json")
    rendered(server, rendered_run, _SWEPT, force=True, only=["lake-s1"])
    assert verify(rendered_run).discrepancies == ()


def test_a_sidecar_of_a_newer_version_asks_for_an_upgrade(run: Path) -> None:
    _change_sidecar(run, "lake-s1", format=99)

    (found,) = verify(run).discrepancies

    assert (found.kind, found.hint) == ("unreadable", "upgrade it")


def test_a_sidecar_of_another_job_is_no_sidecar(run: Path) -> None:
    shutil.copy(run / "lake-s1/job.json", run / "lake-s2/job.json")

    (found,) = verify(run).discrepancies

    assert (found.kind, found.job_id, found.what) == ("unreadable", "lake-s2", "is the sidecar of another job")


@pytest.mark.parametrize("changed", ["content_hash", "files"])
def test_a_sidecar_and_a_ledger_that_disagree_are_told_and_repair_makes_them_agree(run: Path, changed: str) -> None:
    from comfy_runner.control.repair import repair

    with Ledger(run / FILE) as ledger:
        if changed == "files":
            rows = [FileRow(row.role, row.number, row.path, row.size_bytes, 0, HASH) for row in ledger.files("lake-s1")]
            ledger.settle(JobUpdate("lake-s1", Change.DONE, files=rows))
        else:
            row = ledger.job("lake-s1")
            assert row is not None
            plan = {name: getattr(row, name) for name in ("job_id", "position", "recipe", "pixel_hash", "shares", "assignments")}
            ledger.write_plan([PlanRow(**plan, content_hash="f" * 64)], recipes=())

    (found,) = verify(run).discrepancies

    assert (found.kind, found.job_id) == ("conflicting", "lake-s1")
    assert "comfy-runner repair" in found.hint
    repair(run)
    assert verify(run).discrepancies == ()


def test_a_job_that_a_killed_run_was_about_to_make_again_lacks_nothing(run: Path) -> None:
    with Ledger(run / FILE) as ledger:
        row = ledger.job("lake-s1")
        assert row is not None
        plan = {name: getattr(row, name) for name in ("job_id", "position", "recipe", "pixel_hash", "shares", "assignments")}
        ledger.write_plan([PlanRow(**plan, content_hash=HASH, requeue="is made again")], recipes=())
    shutil.move(run / "lake-s1", run / "superseded/lake-s1")

    assert verify(run).discrepancies == ()


def test_a_job_that_the_ledger_lacks_is_told(run: Path) -> None:
    shutil.copytree(run / "lake-s1", run / "pond")
    _change_sidecar(run, "pond", job_id="pond")

    found = verify(run)

    assert [(each.kind, each.job_id, each.what) for each in found.discrepancies] == [
        ("conflicting", "pond", "belongs to a job that the ledger does not have")
    ]


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0 and then nothing of it", b""])
def test_without_a_sound_ledger_the_sidecars_are_what_counts(run: Path, content: bytes) -> None:
    (run / FILE).write_bytes(content)
    _rot(run / "lake-s1/upscaled.png")

    found = verify(run)

    assert _told(found) == [("changed", "lake-s1", "upscaled"), ("unreadable", "", "")]
    assert found.files == 4
    assert "comfy-runner repair" in found.discrepancies[-1].hint


def test_a_row_of_the_ledger_that_makes_no_sense_keeps_nobody_from_the_files(run: Path) -> None:
    import sqlite3

    with sqlite3.connect(run / FILE) as connection:
        connection.execute("UPDATE files SET path = '../out.png' WHERE role = 'original'")
    _rot(run / "lake-s2/upscaled.png")

    assert _told(verify(run)) == [("changed", "lake-s2", "upscaled"), ("unreadable", "", "")]


def test_beside_a_live_run_only_jobs_that_have_ended_are_looked_at(run: Path) -> None:
    folder = RunFolder(run)
    try:
        new = PlanRow(job_id="new", position=9, recipe="lake", content_hash=HASH, pixel_hash="", shares="", assignments={})
        folder.ledger.write_plan([new], recipes=())
        (run / "new").mkdir()
        (run / "new/original.png").write_bytes(b"just arriving")
        (run / "lake-s1/upscaled.png").unlink()

        found = verify(run)
    finally:
        folder.close()

    assert found.holder is not None
    assert (found.jobs, found.unfinished, found.extra) == (2, 1, ())
    assert _told(found) == [("missing", "lake-s1", "upscaled")]


def test_what_a_live_run_has_changed_meanwhile_is_looked_at_once_more(run: Path) -> None:
    picture_file = run / "lake-s1/upscaled.png"
    content = picture_file.read_bytes()
    picture_file.unlink()
    folder = RunFolder(run)

    def bring_back(_done: int, _total: int) -> None:
        picture_file.write_bytes(content)

    try:
        found = verify(run, progress=bring_back)
    finally:
        folder.close()

    assert found.discrepancies == ()


def test_another_store_is_asked_for_its_files(run: Path) -> None:
    store = MemoryStore("memory://run")
    for name in files_in(run):
        file, path = store.spool(name)
        with file:
            file.write((run / name).read_bytes())
        store.put([_spooled(path, name)])
        (run / name).unlink()
    store.remove("lake-s2/original.png")

    found = verify(run, store=store)

    assert (_told(found), found.files) == ([("missing", "lake-s2", "original")], 3)


def _spooled(path: Path, key: str) -> Any:
    import hashlib

    from comfy_runner.store.interface import Spooled

    content = path.read_bytes()
    return Spooled(path, key, hashlib.sha256(content).hexdigest(), len(content))


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_what_is_no_run_folder_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunFolderError, match=r"is not a run folder|no such run folder"):
        verify(tmp_path / name)


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": ["x"], "size_bytes": {"a": 1}},
        {"size_bytes": "12", "width": "wide"},
        {"path": "job.json/deeper"},
        {"path": "nothing\n\x1b[31mred"},
        {"path": "superseded"},
    ],
)
def test_spoiled_records_are_discrepancies_and_no_crash(run: Path, changes: dict[str, Any]) -> None:
    files = sidecar_in(run, "lake-s1")["files"]
    files["original"] = [{**files["original"][0], **changes}]
    _change_sidecar(run, "lake-s1", files=files)

    assert {each.kind for each in verify(run).discrepancies} <= {"changed", "missing", "conflicting"}
    assert ("conflicting", "lake-s1", "") in _told(verify(run))


def test_a_file_that_is_named_a_million_times_is_read_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from comfy_runner.store.local import LocalStore

    files = sidecar_in(run, "lake-s1")["files"]
    files["original"] *= 5000
    _change_sidecar(run, "lake-s1", files=files)
    opened: list[str] = []
    true_open = LocalStore.open

    def counting(self: LocalStore, key: str) -> BinaryIO:
        opened.append(key)
        return true_open(self, key)

    monkeypatch.setattr(LocalStore, "open", counting)

    assert _told(verify(run)) == [("conflicting", "lake-s1", "")]
    assert opened.count("lake-s1/original.png") == 1
