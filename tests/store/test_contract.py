"""What every artifact store does: the same tests for the local folder, and for one in memory that an entry point brings."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image

from comfy_runner.collect.dedup import share
from comfy_runner.control.garbage import all_sidecars, find_garbage, remove
from comfy_runner.engine.comfyui.engine import ComfyUIEngine
from comfy_runner.engine.interface import EngineOptions, JobToCollect, NamedEngine
from comfy_runner.engine.reports import Collected, EngineReport, Finished
from comfy_runner.engine.submission import Submission
from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.report.read_pictures import read_rgb
from comfy_runner.report.run_data import read_material
from comfy_runner.report.writer import write_report
from comfy_runner.running.events import JobResult
from comfy_runner.running.policy import Policy
from comfy_runner.running.start import begin
from comfy_runner.store.interface import Artifact, ArtifactStore, checksum
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.ledger_rows import JobUpdate, PlanRow
from comfy_runner.store.local import LocalStore, write_spool
from comfy_runner.store.registry import GROUP, open_store
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.states import Change
from tests.running.abandon import http_of
from tests.running.support import HASH, Supply, draft, encoded, plan_of, posted, record, sidecar, small, submitted_job, sweep
from tests.s3 import S3Server
from tests.standin import HELD, StandIn

_Wanted = TypeVar("_Wanted")


_STORES = ["local", "memory", "file", "fsspec", pytest.param("s3", marks=pytest.mark.slow)]


@pytest.fixture(params=_STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """A new store, found by its address."""
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / "state"))
    if request.param == "local":
        return open_store(tmp_path / "run")
    if request.param == "file":
        return open_store((tmp_path / "run").as_uri())
    if request.param == "fsspec":
        return open_store(f"memory://{uuid.uuid4()}/run")
    if request.param == "s3":
        s3: S3Server = request.getfixturevalue("s3")
        return open_store(f"s3://{s3.bucket()}/runs/run")
    _announce(tmp_path, monkeypatch, "memory = tests.store.memory_store:MemoryStore")
    return open_store("memory://run")


def _announce(folder: Path, monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    """Install a package that has an entry point and nothing else."""
    info = folder / "packages" / "stores-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: stores\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entry}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(info.parent))


def _put(store: ArtifactStore, key: str, content: bytes) -> None:
    store.put([write_spool(store, key, [content])])


def _content(store: ArtifactStore, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


# Artifacts


def test_what_is_put_is_there_with_its_size_and_checksum(store: ArtifactStore) -> None:
    spooled = write_spool(store, "lake/original.png", [b"pict", b"ure"])

    store.put([spooled])

    assert (spooled.size_bytes, spooled.sha256) == (7, hashlib.sha256(b"picture").hexdigest())
    assert _content(store, "lake/original.png") == b"picture"
    found = store.stat("lake/original.png")
    assert found is not None
    assert found.size_bytes == 7
    assert checksum(store, "lake/original.png") == spooled.sha256


def test_several_files_are_put_together_wherever_they_go(store: ArtifactStore) -> None:
    contents = {"lake/original.png": b"1", "elsewhere/upscaled.png": b"2", "lake/job.json": b"3"}

    store.put([write_spool(store, key, [content]) for key, content in contents.items()])

    assert {key: _content(store, key) for key in store.list()} == contents


def test_where_one_of_several_cannot_be_put_those_before_it_are_there_and_none_after_it(store: ArtifactStore) -> None:
    files = [write_spool(store, key, [key.encode()]) for key in ("lake/original.png", "lake/upscaled.png", "lake/job.json")]
    files[1].path.unlink()

    with pytest.raises((RunFolderError, OSError)):
        store.put(files)

    assert list(store.list()) == ["lake/original.png"]


def test_what_is_spooled_is_not_there_yet_and_what_is_put_is_not_spooled_any_more(store: ArtifactStore) -> None:
    spooled = write_spool(store, "lake/original.png", [b"1"])
    assert (store.stat("lake/original.png"), list(store.list())) == (None, [])

    store.put([spooled])

    assert not spooled.path.exists()
    assert list(store.list()) == ["lake/original.png"]


def test_a_spooled_file_that_cannot_be_filled_leaves_nothing(store: ArtifactStore) -> None:
    def fail() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    spooled = write_spool(store, "a", [])
    with pytest.raises(KeyboardInterrupt):
        write_spool(store, "a", fail())

    assert list(spooled.path.parent.iterdir()) == [spooled.path]


def test_what_a_killed_process_has_spooled_can_be_removed(store: ArtifactStore) -> None:
    mine, other = (write_spool(store, key, [b"half"]).path for key in ("lake/a.png", "lake/b.png"))

    store.remove_spooled("lake/a.png")
    store.remove_spooled("never/was.png")

    assert (mine.exists(), other.exists()) == (False, True)


def test_putting_replaces_and_who_reads_keeps_what_was_there(store: ArtifactStore) -> None:
    _put(store, "a", b"first" * 100_000)
    with store.open("a") as reading:
        start = reading.read(5)
        with contextlib.nullcontext() if sys.platform != "win32" else pytest.raises(RunFolderError):
            _put(store, "a", b"second")
        rest = reading.read()

    assert start + rest == b"first" * 100_000


def test_of_many_at_a_time_each_artifact_is_whole(store: ArtifactStore) -> None:
    contents = [bytes([number]) * 50_000 for number in range(40)]

    def put(content: bytes) -> None:
        _put(store, "same", content)
        _put(store, f"own/{content[0]}", content)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, contents))

    assert _content(store, "same") in contents
    assert {_content(store, key) for key in store.list("own/")} == set(contents)


def test_what_is_not_there_is_said_so(store: ArtifactStore) -> None:
    assert store.stat("a/b.png") is None
    with pytest.raises(FileNotFoundError):
        store.open("a/b.png")
    with pytest.raises(FileNotFoundError):
        checksum(store, "a/b.png")
    with pytest.raises(RunFolderError):
        store.copy("a/b.png", "c.png")
    assert store.archive("a/b.png", "superseded/b.png") is False
    store.remove("a/b.png")
    assert list(store.list()) == []


def test_keys_are_listed_by_their_beginning_in_order(store: ArtifactStore) -> None:
    for key in ("b/2.png", "a/1.png", "b/1.png", "ab.png", "b/c/1.png"):
        _put(store, key, b"1")

    assert sorted(store.list()) == ["a/1.png", "ab.png", "b/1.png", "b/2.png", "b/c/1.png"]
    assert list(store.list("b/")) == ["b/1.png", "b/2.png", "b/c/1.png"]
    assert sorted(store.list("a")) == ["a/1.png", "ab.png"]
    assert list(store.list("c")) == []


def test_a_copy_is_another_artifact(store: ArtifactStore) -> None:
    _put(store, "a.png", b"1")

    store.copy("a.png", "deep/b.png")
    _put(store, "a.png", b"2")

    assert checksum(store, "deep/b.png") == hashlib.sha256(b"1").hexdigest()
    assert (_content(store, "a.png"), _content(store, "deep/b.png")) == (b"2", b"1")


def test_archived_artifacts_are_out_of_the_way_and_removed_ones_are_gone(store: ArtifactStore) -> None:
    for key in ("a.png", "b.png"):
        _put(store, key, key.encode())

    assert store.archive("a.png", "superseded/x/a.png") is True
    store.remove("b.png")

    assert list(store.list()) == ["superseded/x/a.png"]
    assert _content(store, "superseded/x/a.png") == b"a.png"


@pytest.mark.parametrize("key", ["", ".", "..", "../a", "/a", "a/../b", "a//b", "a/", "a\\b", "C:a", "a\0", "\ud800"])
def test_no_key_leads_out_of_the_store(store: ArtifactStore, tmp_path: Path, key: str) -> None:
    _put(store, "a", b"1")
    spooled = write_spool(store, "b", [b"1"])
    uses: list[Callable[[], object]] = [
        lambda: store.spool(key),
        lambda: store.put([replace(spooled, key=key)]),
        lambda: store.open(key),
        lambda: store.stat(key),
        lambda: store.copy("a", key),
        lambda: store.copy(key, "b"),
        lambda: store.archive("a", key),
        lambda: store.archive(key, "b"),
        lambda: store.remove(key),
        lambda: store.local_path(key),
    ]
    for use in uses:
        with pytest.raises(RunFolderError):
            use()
    assert not (tmp_path / "a").exists()


def test_an_artifact_can_be_named_and_linked_to(store: ArtifactStore) -> None:
    assert str(Artifact(store, "lake/a.png")).endswith("run/lake/a.png")
    assert store.url("lake/a.png").endswith("lake/a.png")
    _put(store, "lake/a.png", b"1")
    path = store.local_path("lake/a.png")
    assert path is None or path.read_bytes() == b"1"


# A job's files


def _fill(files: JobFiles, job_id: str, contents: dict[str, bytes], **changes: object) -> None:
    for role, content in contents.items():
        _put(files.store, f"{job_id}/{role}.png", content)
    records = {role: (record(f"{job_id}/{role}.png", content),) for role, content in contents.items()}
    files.put(sidecar(job_id, records, **changes))


def test_a_job_is_what_its_sidecar_says_and_its_artifacts_still_are(store: ArtifactStore) -> None:
    files, outputs = JobFiles(store), {"original": "lake/original.png", "upscaled": "lake/upscaled.png"}
    assert files.sidecar("lake") is None
    _fill(files, "lake", {"original": b"1", "upscaled": b"2"})

    found = files.sidecar("lake")
    assert found is not None
    assert files.reusable_files("lake", HASH, outputs) == found.files
    rows = files.rows(found.files)
    assert all(map(files.is_untouched, rows))
    _put(store, "lake/upscaled.png", b"3")
    assert list(files.reusable_files("lake", HASH, outputs)) == ["original"]
    assert [files.is_untouched(row) for row in rows] == [True, False]
    assert list(files.job_ids()) == ["lake"]


def test_a_damaged_sidecar_is_told_by_its_place(store: ArtifactStore) -> None:
    _put(store, "lake/job.json", b"{")

    with pytest.raises(RunFolderError, match=r"run/lake/job\.json: is damaged"):
        JobFiles(store).sidecar("lake")


def test_replaced_files_are_archived_with_their_sidecar_and_overwrite_none(store: ArtifactStore) -> None:
    files = JobFiles(store)
    for content in (b"1", b"2"):
        _fill(files, "lake", {"original": content})
        files.archive("lake", ["lake/original.png"])

    shelf = f"superseded/lake/{HASH[:8]}"
    assert sorted(store.list()) == [
        *(f"{shelf}-2/{name}" for name in ("job.json", "lake/original.png")),
        *(f"{shelf}/{name}" for name in ("job.json", "lake/original.png")),
    ]
    assert [_content(store, f"{name}/lake/original.png") for name in (shelf, f"{shelf}-2")] == [b"1", b"2"]
    assert [found.job_id for found in files.superseded()] == ["lake", "lake"]


def test_the_pictures_of_one_job_are_given_to_another(store: ArtifactStore) -> None:
    files = JobFiles(store)
    original, upscaled = (encoded(Image.new("L", (64, 64), shade)) for shade in (1, 2))
    _fill(files, "first", {"original": original, "upscaled": upscaled})

    found = share(files, draft(), "first", leader_hash=HASH)

    assert found is not None
    assert (_content(store, "lake/original.png"), _content(store, "lake/upscaled.png")) == (original, upscaled)
    shared = files.sidecar("lake")
    assert shared is not None
    assert (shared.shares, shared.state) == ("first", "done")


# A run


def _collected(server: StandIn, files: JobFiles) -> Collected:
    """Render the small job and collect it."""
    job, key = draft().planned(), str(uuid.uuid4())
    prefixes = {role: f"comfy_runner/run/{key}-{role}" for role in job.outputs}
    submission = Submission.of(key, [submitted_job(job, workflow=job.workflow.with_prefixes(prefixes))])
    reports: queue.SimpleQueue[EngineReport] = queue.SimpleQueue()
    engine = ComfyUIEngine(http_of(server))
    engine.open(reports.put, files, EngineOptions())
    try:
        engine.submit(submission)
        finished = _next(reports, Finished)
        engine.collect(submission, finished.verdict, [JobToCollect(job.job_id, {})])
        return _next(reports, Collected)
    finally:
        engine.close()


def _next(reports: queue.SimpleQueue[EngineReport], wanted: type[_Wanted]) -> _Wanted:
    while not isinstance(report := reports.get(timeout=HELD), wanted):
        pass
    return report


def test_an_engine_collects_into_any_store(store: ArtifactStore, server: StandIn, tmp_path: Path) -> None:
    files = JobFiles(store)

    found = _collected(server, files)

    assert (found.error, found.errors) == (None, ())
    assert sorted(store.list()) == ["lake/job.json", "lake/original.png", "lake/upscaled.png"]
    written = files.sidecar("lake")
    assert written is not None
    assert (written.state, written.files) == ("done", found.files)
    assert files.reusable_files("lake", written.content_hash, draft().planned().outputs) == found.files
    assert read_rgb(Artifact(store, "lake/upscaled.png")).size == (128, 128)
    if not isinstance(store, LocalStore):
        assert not list(tmp_path.rglob("*.png")), "nothing lies in a local folder"


def test_a_whole_run_goes_into_any_store_and_is_found_there_by_the_next(
    store: ArtifactStore, server: StandIn, tmp_path: Path
) -> None:
    # 0.52 gives the pixels of 0.6 at two steps: one picture for two jobs.
    first = _rendered(server, RunFolder(tmp_path / "run", store), sweep({"upscale.denoise": [0.6, 0.52]}))
    posts = len(posted(server))

    again = _rendered(server, RunFolder(tmp_path / "run", store), sweep({"upscale.denoise": [0.6, 0.52]}))

    assert {result.state for result in first} == {"done"}
    assert (posts, len(posted(server))) == (1, 1)
    assert [result.was_done for result in again] == [True, True]
    names = ("job.json", "original.png", "upscaled.png")
    stored = {key for key in store.list() if key.endswith(names)}
    assert stored == {f"{result.job_id}/{name}" for result in first for name in names}


def test_what_was_replaced_in_any_store_can_be_removed(store: ArtifactStore, server: StandIn, tmp_path: Path) -> None:
    for steps in (2, 3):
        _rendered(server, RunFolder(tmp_path / "run", store), small(sampler={"steps": steps}))
    folder = RunFolder(tmp_path / "run", store)
    try:
        (superseded,), removed_jobs = find_garbage(folder, all_sidecars(folder)[0])
        remove(folder, superseded, removed_jobs)
    finally:
        folder.close()

    assert (superseded.kind, len(superseded.keys)) == ("superseded", 3)
    assert list(store.list("superseded/")) == []
    assert list(store.list("lake/")) == ["lake/job.json", "lake/original.png", "lake/upscaled.png"]


def _rendered(server: StandIn, folder: RunFolder, recipe: dict[str, Any]) -> tuple[JobResult, ...]:
    plan = plan_of(recipe)
    engine = NamedEngine("server", ComfyUIEngine(http_of(server)))
    chosen = frozenset(draft.job_id for draft in plan.drafts)
    return begin(plan, chosen, folder, supply=Supply(engine), force=False, policy=Policy()).results()


def test_a_report_reads_its_pictures_from_any_store(store: ArtifactStore, server: StandIn, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", store)
    try:
        found = _collected(server, folder)
        planned = draft()
        row = PlanRow(
            job_id="lake",
            position=0,
            recipe="lake",
            content_hash=planned.content_hash,
            pixel_hash="",
            shares="",
            assignments={},
        )
        folder.ledger.write_plan([row], recipes=["lake"])
        folder.ledger.settle(JobUpdate("lake", Change.DONE, files=folder.rows(found.files)))
    finally:
        folder.close()

    report = write_report(tmp_path / "run", store=store)

    assert report.measured["lake"].problem == ""
    page = report.page.read_text(encoding="utf-8")
    assert f'"url":"{store.url("lake/upscaled.png")}"' in page
    assert len(list((tmp_path / "run" / "report_files").glob("*.webp"))) == 2
    (entry,) = read_material(tmp_path / "run", store).entries
    assert [picture.path for picture in entry.pair()] == ["lake/original.png", "lake/upscaled.png"]


# Addresses


def test_a_path_is_a_local_folder_whatever_it_looks_like(tmp_path: Path) -> None:
    for address in (tmp_path, str(tmp_path), "runs/lake", "C:/runs", "C:\\runs", "a:b"):
        assert isinstance(open_store(address), LocalStore)


def test_an_address_of_a_kind_that_nobody_has_is_told_with_a_way_out() -> None:
    with pytest.raises(UsageError, match=r"there is no store for tape:// addresses \(got tape://bucket/run\)") as caught:
        open_store("tape://bucket/run")

    assert "install a package that announces tape in comfy_runner.stores" in str(caught.value.problems[0].hint)


def test_a_package_whose_store_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _announce(tmp_path, monkeypatch, "broken = no_such_module:store")

    with pytest.raises(UsageError, match=r"store broken \(no_such_module:store\): cannot be imported"):
        open_store("broken://run")
    assert isinstance(open_store(tmp_path), LocalStore), "others are not even imported"
