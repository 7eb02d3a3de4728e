from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from comfy_runner.atomic_files import open_beside
from comfy_runner.errors import RunFolderError
from comfy_runner.planning.job_graph import PlannedJob
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.store.local import folder_errors, write_spool
from comfy_runner.store.lock import HOLDER
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import FORMAT, FileRecord
from tests.running.support import HASH, files_in, fill, planned, record, sidecar

_OPEN = "import sys, pathlib; from comfy_runner.store.run_folder import RunFolder; RunFolder(pathlib.Path(sys.argv[1]))"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    opened = RunFolder(tmp_path / "run")
    yield opened
    opened.close()


def _files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_in(folder)}


def _standing(folder: RunFolder, job: PlannedJob) -> dict[str, tuple[FileRecord, ...]]:
    return folder.reusable_files(job.job_id, job.content_hash, job.outputs)


# The lock


def test_another_process_cannot_use_the_folder(folder: RunFolder) -> None:
    done = subprocess.run([sys.executable, "-c", _OPEN, str(folder.path)], capture_output=True, text=True, check=False)

    assert "RunFolderError" in done.stderr
    assert f"is used by another comfy-runner: process {os.getpid()} on " in done.stderr


def test_the_same_process_cannot_open_the_folder_twice(folder: RunFolder) -> None:
    with pytest.raises(RunFolderError, match=rf"is used by another comfy-runner: process {os.getpid()} on .*, since \d") as caught:
        RunFolder(folder.path)

    assert caught.value.exit_code == 5


def test_a_closed_folder_can_be_opened_again(tmp_path: Path) -> None:
    for _ in range(2):
        RunFolder(tmp_path).close()


def test_a_folder_closed_by_another_thread_than_the_one_that_opened_it_can_be_opened_again(tmp_path: Path) -> None:
    first = RunFolder(tmp_path)
    thread = threading.Thread(target=first.close)
    thread.start()
    thread.join()

    RunFolder(tmp_path).close()


def test_a_file_where_the_folder_should_be_is_a_run_folder_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine", encoding="utf-8")

    with pytest.raises(RunFolderError, match="a file is where a folder should be"):
        RunFolder(tmp_path / "run")

    assert (tmp_path / "run").read_text(encoding="utf-8") == "mine"


def test_a_file_on_the_way_to_the_folder_is_a_run_folder_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")

    with pytest.raises(RunFolderError, match="a file is where a folder should be"):
        RunFolder(tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EACCES, "no permission"),
        (errno.EIO, os.strerror(errno.EIO).lower()),
    ],
)
def test_what_the_system_refuses_is_a_run_folder_error_with_its_place(number: int, what: str) -> None:
    with pytest.raises(RunFolderError) as caught, folder_errors(Path("run")):
        raise OSError(number, os.strerror(number), "run/lake/original.png")

    assert str(caught.value) == f"run/lake/original.png: {what}"


# Seeds


@pytest.mark.parametrize("name", [HOLDER, "run.json"])
def test_what_a_killed_client_had_written_of_its_notes_is_removed_by_the_next(tmp_path: Path, name: str) -> None:
    file, half = open_beside(tmp_path / name)
    file.close()
    RunFolder(tmp_path).close()
    assert not half.exists()


def test_a_seed_is_drawn_once_and_kept(folder: RunFolder) -> None:
    seed = folder.draw_seeds(["lake"])["lake"]
    folder.close()

    again = RunFolder(folder.path)
    try:
        assert again.draw_seeds(["lake"]) == {"lake": seed} == again.seeds()
        assert 0 <= seed <= MAX_SEED
    finally:
        again.close()


def test_every_recipe_has_a_seed_of_its_own(folder: RunFolder) -> None:
    first = folder.draw_seeds(["lake", "lake#2"])

    both = folder.draw_seeds(["hill", "lake"])

    assert both == {**first, "hill": both["hill"]}
    assert len(set(both.values())) == 3


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 1, "seeds": 5}',
        '{"format": "1", "seeds": {}}',
        '{"format": 1, "seeds": {"lake": "5"}}',
        '{"format": 1, "seeds": {"lake": -1}}',
        '{"format": 1, "seeds": {"lake": 9007199254740992}}',
        '{"format": 1, "seeds": {"lake": true}}',
        '{"format": 2, "seeds": {}, "date": "../../2026-11-30"}',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_a_damaged_record_of_seeds_is_an_error_and_is_left_as_it_is(folder: RunFolder, content: str) -> None:
    path = folder.path / "run.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))

    with pytest.raises(RunFolderError, match=r"run\.json: is damaged") as caught:
        folder.draw_seeds(["hill"])

    assert "move it away" in caught.value.problems[0].hint
    assert path.read_bytes() == content.encode("utf-8", "surrogateescape")


def test_a_record_of_seeds_of_a_newer_format_is_refused_and_left_as_it_is(folder: RunFolder) -> None:
    path = folder.path / "run.json"
    path.write_text(f'{{"format": {FORMAT + 1}, "seeds": {{}}}}', encoding="utf-8")

    with pytest.raises(RunFolderError, match="written by a newer comfy_runner"):
        folder.draw_seeds(["lake"])

    assert json.loads(path.read_text(encoding="utf-8"))["format"] == FORMAT + 1


# Sidecars


def test_a_sidecar_is_read_as_it_was_written(folder: RunFolder) -> None:
    written = fill(folder, "lake", {"original": b"1", "upscaled": b"2"}, cached_nodes=("a",), notes=("n",), seconds=1.5)

    assert folder.sidecar("lake") == written


def test_a_job_without_a_sidecar_has_none(folder: RunFolder) -> None:
    assert folder.sidecar("lake") is None


@pytest.mark.parametrize(
    "change",
    [
        {"content_hash": "../../.."},
        {"content_hash": 5},
        {"files": {"original": []}},
        {"files": {"original": [{"path": "lake/original.png"}]}},
        {"files": []},
        {"cached_nodes": None},
        {"unknown": 1},
        {"format": None},
    ],
)
def test_a_damaged_sidecar_is_an_error_and_is_left_as_it_is(folder: RunFolder, change: dict[str, object]) -> None:
    fill(folder, "lake", {"original": b"1"})
    path = folder.path / "lake" / "job.json"
    content = json.dumps({**json.loads(path.read_bytes()), **change})
    path.write_text(content, encoding="utf-8")

    with pytest.raises(RunFolderError, match=r"lake/job\.json: is damaged") as caught:
        folder.sidecar("lake")

    assert "move it away" in caught.value.problems[0].hint
    assert path.read_text(encoding="utf-8") == content


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_sidecar_that_is_no_json_object_is_damaged(folder: RunFolder, content: bytes) -> None:
    (folder.path / "lake").mkdir()
    (folder.path / "lake" / "job.json").write_bytes(content)

    with pytest.raises(RunFolderError, match="is damaged"):
        folder.sidecar("lake")


def test_a_sidecar_of_a_newer_format_is_refused(folder: RunFolder) -> None:
    (folder.path / "lake").mkdir()
    (folder.path / "lake" / "job.json").write_text(f'{{"format": {FORMAT + 1}, "what": "ever"}}', encoding="utf-8")

    with pytest.raises(RunFolderError, match="written by a newer comfy_runner") as caught:
        folder.sidecar("lake")

    assert caught.value.problems[0].hint == "upgrade it"


@pytest.mark.parametrize(
    "path",
    [
        "../outside.png",
        "lake/../../outside.png",
        "/etc/passwd",
        "..\\outside.png",
        "C:/outside.png",
        "",
        "lake//x.png",
        "x\0.png",
        5,
    ],
)
def test_a_sidecar_whose_path_leads_out_of_the_folder_is_damaged(folder: RunFolder, path: str) -> None:
    folder.put(sidecar("lake", {"original": (replace(record("x.png", b""), path=path),)}))

    with pytest.raises(RunFolderError, match="is damaged"):
        folder.sidecar("lake")


# What stands


def test_untouched_files_of_the_same_content_stand(folder: RunFolder) -> None:
    job = planned()
    made = fill(folder, "lake", {"original": b"1", "upscaled": b"2"}, content_hash=job.content_hash)

    assert _standing(folder, job) == made.files


def test_nothing_stands_where_there_is_no_sidecar(folder: RunFolder) -> None:
    assert _standing(folder, planned()) == {}


def test_nothing_stands_of_another_content(folder: RunFolder) -> None:
    fill(folder, "lake", {"original": b"1", "upscaled": b"2"}, content_hash=HASH)

    assert _standing(folder, planned()) == {}


def test_only_what_is_there_stands_of_a_partial_job(folder: RunFolder) -> None:
    job = planned()
    fill(folder, "lake", {"original": b"1"}, content_hash=job.content_hash, state="partial")

    assert list(_standing(folder, job)) == ["original"]


@pytest.mark.parametrize("data", [b"2", b"", b"12"])
def test_a_file_that_was_touched_does_not_stand(folder: RunFolder, data: bytes) -> None:
    job = planned()
    fill(folder, "lake", {"original": b"1", "upscaled": b"2"}, content_hash=job.content_hash)
    (folder.path / "lake" / "original.png").write_bytes(data)

    assert list(_standing(folder, job)) == ["upscaled"]


def test_a_file_that_is_gone_does_not_stand(folder: RunFolder) -> None:
    job = planned()
    fill(folder, "lake", {"original": b"1", "upscaled": b"2"}, content_hash=job.content_hash)
    (folder.path / "lake" / "upscaled.png").unlink()

    assert list(_standing(folder, job)) == ["original"]


def test_a_file_that_the_recipe_wants_elsewhere_does_not_stand(folder: RunFolder) -> None:
    job = planned(output={"original": "elsewhere.png"})
    fill(folder, "lake", {"original": b"1", "upscaled": b"2"}, content_hash=job.content_hash)

    assert list(_standing(folder, job)) == ["upscaled"]


def test_a_file_of_the_kind_that_the_server_chose_stands(folder: RunFolder) -> None:
    job = planned()
    (folder.path / "lake").mkdir()
    (folder.path / "lake" / "original.webp").write_bytes(b"1")
    files = {"original": (record("lake/original.webp", b"1"),)}
    folder.put(sidecar("lake", files, content_hash=job.content_hash))

    assert _standing(folder, job) == files


def test_a_file_with_a_problem_does_not_stand(folder: RunFolder) -> None:
    job = planned()
    made = fill(folder, "lake", {"original": b"1", "upscaled": b"2"}, content_hash=job.content_hash)
    bad = (replace(made.files["upscaled"][0], problem="is one flat colour"),)
    folder.put(replace(made, files={**made.files, "upscaled": bad}, state="partial"))

    assert list(_standing(folder, job)) == ["original"]


# Putting away


def test_old_files_and_their_sidecar_are_put_away_with_their_content(folder: RunFolder) -> None:
    fill(folder, "lake", {"original": b"1", "upscaled": b"2"})
    before = _files(folder.path)

    folder.archive("lake", ["lake/original.png", "lake/upscaled.png"])

    shelf = f"superseded/lake/{HASH[:8]}"
    assert _files(folder.path) == {
        f"{shelf}/lake/original.png": b"1",
        f"{shelf}/lake/upscaled.png": b"2",
        f"{shelf}/job.json": before["lake/job.json"],
    }


def test_putting_away_the_same_content_again_overwrites_nothing(folder: RunFolder) -> None:
    contents = [b"first", b"second", b"third"]
    for data in contents:
        fill(folder, "lake", {"original": data})
        folder.archive("lake", ["lake/original.png"])

    kept = _files(folder.path)
    shelves = [HASH[:8], f"{HASH[:8]}-2", f"{HASH[:8]}-3"]
    assert [kept[f"superseded/lake/{shelf}/lake/original.png"] for shelf in shelves] == contents
    assert len(kept) == 6


def test_a_file_that_nobody_recorded_is_put_away_too(folder: RunFolder) -> None:
    (folder.path / "lake").mkdir()
    (folder.path / "lake" / "original.png").write_bytes(b"mine")

    folder.archive("lake", ["lake/original.png"])

    assert _files(folder.path) == {"superseded/lake/unknown/lake/original.png": b"mine"}


def test_what_was_recorded_and_is_made_no_more_is_put_away_too(folder: RunFolder) -> None:
    fill(folder, "lake", {"original": b"1", "mask": b"2"})

    folder.archive("lake", ["lake/original.png"])

    assert _files(folder.path)[f"superseded/lake/{HASH[:8]}/lake/mask.png"] == b"2"


def test_files_that_are_kept_stay_with_their_sidecar(folder: RunFolder) -> None:
    fill(folder, "lake", {"original": b"1", "upscaled": b"bad"})

    folder.archive("lake", ["lake/upscaled.png"], keep={"lake/original.png"})

    kept = _files(folder.path)
    assert kept["lake/original.png"] == b"1"
    assert "lake/job.json" in kept
    assert kept[f"superseded/lake/{HASH[:8]}/lake/upscaled.png"] == b"bad"


def test_where_nothing_is_in_the_way_nothing_is_put_away(folder: RunFolder) -> None:
    folder.archive("lake", ["lake/original.png"])

    assert _files(folder.path) == {}


def test_a_placed_file_is_in_its_place_and_no_longer_where_it_was(folder: RunFolder) -> None:
    spooled = write_spool(folder.store, "deep/er/original.png", [b"1"])

    folder.store.put([spooled])

    assert _files(folder.path) == {"deep/er/original.png": b"1"}
