"""Shards made one run: what one run would have given, whatever came in between; and what is no part of it is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.control.merge import MergedRun, merge
from comfy_runner.control.verify_run import verify
from comfy_runner.errors import InputError, RunFolderError, UsageError
from comfy_runner.report.picks import FILE as PICKS
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import FileRow, JobUpdate
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.states import Change
from comfy_runner.store.status import status
from tests.running.support import files_in, picture, posted, rendered, sidecar_in, states, sweep
from tests.standin import NodeFault, StandIn

# At 10 steps, two of the denoise values give the same pixels.
_RECIPE: dict[str, Any] = sweep({"seed": [1, 2, 3], "upscale.denoise": [0.4, 0.49, 0.5]}, sampler={"steps": 10})
_SMALL: dict[str, Any] = sweep({"seed": [1, 2]})


def _shards(server: StandIn, out: Path, count: int, *recipes: Any, **options: Any) -> Path:
    for index in range(1, count + 1):
        rendered(server, out, *(recipes or [_RECIPE]), shard=f"{index}/{count}", **options)
    return out


def _content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_in(folder) if name != "run.json"}


def _ledger(folder: Path) -> list[Any]:
    """Return what the ledger says of jobs, but for times and prompts, and where their files are."""
    return [
        (
            *(job.row.job_id, job.row.position, job.row.state, job.row.pixel_hash, job.row.shares, job.row.assignments),
            *((row.role, row.path) for row in job.files),
        )
        for job in status(folder).jobs
    ]


@pytest.fixture(scope="module")
def rendered_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both shards of a run of two jobs, which stays as it is."""
    with StandIn() as server:
        return _shards(server, tmp_path_factory.mktemp("merge"), 2, _SMALL)


@pytest.fixture
def two(rendered_two: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(rendered_two, tmp_path / "shards")


@pytest.mark.slow
def test_merged_shards_are_the_run_that_one_process_would_have_made(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path / "alone", _RECIPE)
    count = len(posted(server))
    shards = _shards(server, tmp_path / "shards", 4)
    assert len(posted(server)) == 2 * count
    before = {name: (shards / name).read_bytes() for name in files_in(shards)}

    found = merge([shards], tmp_path / "merged")

    assert (found.copied, found.kept, found.counts["done"], found.lacking) == (9, 0, 9, ())
    assert [path.name for path in found.sources] == [f"shard-{index}-of-4" for index in (1, 2, 3, 4)]
    assert _ledger(tmp_path / "merged") == _ledger(tmp_path / "alone")
    assert files_in(tmp_path / "merged") == files_in(tmp_path / "alone")
    assert {name: (shards / name).read_bytes() for name in files_in(shards)} == before
    checked = verify(tmp_path / "merged")
    assert (checked.discrepancies, checked.extra, checked.files) == ((), (), 18)
    # And it goes on like one.
    assert set(states(rendered(server, tmp_path / "merged", _RECIPE)).values()) == {"done"}
    assert len(posted(server)) == 2 * count


def test_a_merge_that_is_repeated_does_nothing(two: Path, tmp_path: Path) -> None:
    merge([two], tmp_path / "merged")
    before = _content(tmp_path / "merged")

    # The parts, and the folder that holds them, are the same.
    found = merge([two / "shard-2-of-2", two], tmp_path / "merged")

    assert (found.copied, found.kept) == (0, 2)
    assert _content(tmp_path / "merged") == before


def test_picks_of_all_are_put_together(two: Path, tmp_path: Path) -> None:
    one, other, target = two / "shard-1-of-2" / PICKS, two / "shard-2-of-2" / PICKS, tmp_path / "merged" / PICKS
    early, late = "2026-11-30T09:00:00Z", "2026-11-30T10:00:00Z"
    pair = {"left": "lake-s1", "right": "lake-s2", "better": "left"}
    _write_picks(one, {"lake-s1": {"stars": 5, "at": early}, "lake-s2": {"stars": 2}}, [pair])
    _write_picks(other, {"lake-s1": {"stars": 1, "at": late}}, [pair])

    assert merge([two], tmp_path / "merged").judged == 2
    assert _stars(target) == {"lake-s1": 1, "lake-s2": 2}
    assert len(json.loads(target.read_bytes())["pairs"]) == 1

    # What was said in the merged run stays.
    _write_picks(target, {"lake-s2": {"stars": 4}}, [])
    assert merge([two], tmp_path / "merged").judged == 2
    assert _stars(target) == {"lake-s1": 1, "lake-s2": 4}

    other.write_bytes(b"{")
    with pytest.raises(InputError, match="is not JSON"):
        merge([two], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def _write_picks(path: Path, picks: Any, pairs: Any) -> None:
    path.write_text(json.dumps({"format": 1, "picks": picks, "pairs": pairs}), encoding="utf-8")


def _stars(path: Path) -> dict[str, int]:
    return {name: pick["stars"] for name, pick in json.loads(path.read_bytes())["picks"].items()}


def test_how_fast_servers_were_is_known_afterwards(two: Path, tmp_path: Path) -> None:
    merge([two], tmp_path / "merged")

    shards = [shard / FILE for shard in two.iterdir()]
    with Ledger(tmp_path / "merged" / FILE, readonly=True) as ledger:
        (found,) = ledger.speeds()
        prompts = {row.job_id: row.prompt_id for row in ledger.jobs()}
        assert ledger.open_submissions() == []
    for path in shards:
        with Ledger(path, readonly=True) as ledger:
            assert {row.job_id: row.prompt_id for row in ledger.jobs(states=["done"])}.items() <= prompts.items()
    assert (found.jobs, all(prompts.values())) == (2, True)


def test_a_merge_that_was_broken_off_is_finished_by_the_next(two: Path, tmp_path: Path) -> None:
    def stop(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge([two], tmp_path / "merged", progress=stop)
    assert status(tmp_path / "merged").counts["done"] == 1
    # As a process leaves it that is killed between the files of a job and the ledger.
    (job,) = [job.row for job in status(tmp_path / "merged").jobs if job.row.state == "done"]
    with Ledger(tmp_path / "merged" / FILE) as ledger:
        ledger._connection.execute("UPDATE jobs SET state = 'pending', submission = NULL")  # nothing else leaves it so
    (tmp_path / "merged" / job.job_id / ".upscaled.0123456789abcdef.part").write_bytes(b"half")

    merge([two], tmp_path / "merged")

    found = verify(tmp_path / "merged")
    assert (found.jobs, found.discrepancies, found.superseded, found.leftovers) == (2, (), 0, 0)


def test_missing_and_unfinished_shards_are_said_and_come_later(server: StandIn, two: Path, tmp_path: Path) -> None:
    shutil.move(two / "shard-1-of-2", tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match="1 shard is missing: 1/2"):
        merge([two], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()

    found = merge([two], tmp_path / "merged", partial=True)

    assert found.lacking == (f"{two}: 1 shard is missing: 1/2",)
    assert (found.copied, dict(found.counts)["pending"]) == (1, 1)
    assert merge([two, tmp_path / "elsewhere"], tmp_path / "merged").copied == 1
    # Or the merged run makes what is missing itself.
    merge([two], tmp_path / "other", partial=True)
    count = len(posted(server))
    assert set(states(rendered(server, tmp_path / "other", _SMALL)).values()) == {"done"}
    assert len(posted(server)) == count + 1


def test_what_the_merged_run_has_made_itself_stays_as_it_is(server: StandIn, tmp_path: Path) -> None:
    recipe = sweep({"seed": [1, 2], "upscale.denoise": [0.49, 0.5]}, sampler={"steps": 10})
    rendered(server, tmp_path / "shards", recipe, shard="1/2")
    merge([tmp_path / "shards"], tmp_path / "merged", partial=True)
    rendered(server, tmp_path / "merged", recipe)
    before, content = _ledger(tmp_path / "merged"), _content(tmp_path / "merged")
    assert "lake-d049-s2" in {job.row.shares for job in status(tmp_path / "merged").jobs}

    found = merge([tmp_path / "shards"], tmp_path / "merged", partial=True)

    assert (found.copied, _ledger(tmp_path / "merged"), _content(tmp_path / "merged")) == (0, before, content)


def test_a_shard_that_has_not_ended_is_named(two: Path, tmp_path: Path) -> None:
    with Ledger(two / "shard-2-of-2" / FILE) as ledger:
        (job,) = ledger.jobs(states=["done"])
        ledger._connection.execute("UPDATE jobs SET state = 'pending', submission = NULL")  # as if it was killed

    with pytest.raises(RunFolderError, match=r"shard 2/2 .*: 1 job has not ended, of 1: 1 pending") as raised:
        merge([two], tmp_path / "merged")

    assert "--partial" in raised.value.problems[0].hint
    assert merge([two], tmp_path / "merged", partial=True).counts["pending"] == 1
    assert status(tmp_path / "merged").jobs[1].row.job_id == job.job_id


def test_a_failed_job_is_merged_as_one_and_replaced_when_its_shard_has_done_it(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["first_pass"] = NodeFault.ERROR
    _shards(server, tmp_path / "shards", 1, _SMALL)
    found = merge([tmp_path / "shards"], tmp_path / "merged")
    assert (found.counts["failed"], found.copied) == (2, 2)
    assert status(tmp_path / "merged").jobs[0].row.error
    assert merge([tmp_path / "shards"], tmp_path / "merged").copied == 0
    server.state.node_faults.clear()
    _shards(server, tmp_path / "shards", 1, _SMALL)

    found = merge([tmp_path / "shards"], tmp_path / "merged")

    assert (found.counts["done"], found.counts["failed"], found.copied) == (2, 0, 2)


def test_shards_are_merged_into_a_store(two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / "here"))
    url = f"memory://{tmp_path.name}/lake"

    assert merge([two], url).copied == 2
    assert merge([two], url).copied == 0

    found = verify(url)
    assert (found.jobs, found.files, found.discrepancies, found.extra) == (2, 4, (), ())
    assert not list((tmp_path / "here").rglob("*.png"))
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / "there"))
    assert verify(url).files == 4


# --- what does not belong together


def _refused(tmp_path: Path, told: str, *folders: Path) -> RunFolderError:
    with pytest.raises(RunFolderError, match=told) as raised:
        merge(folders, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    return raised.value


def test_shards_of_other_recipes_are_refused(server: StandIn, two: Path, tmp_path: Path) -> None:
    for axes, changes, told in (
        ({"seed": [1, 2]}, {"prompt": "a sea"}, "lake-s1, lake-s2 are different from there"),
        ({"seed": [1]}, {}, "it has no lake-s2"),
        ({"seed": [1, 2, 3]}, {}, "only it has lake-s3"),
        ({"seed": [2, 1]}, {}, "it has the jobs in a different order"),
    ):
        other = tmp_path / told.replace(" ", "")
        rendered(server, other, sweep(axes, **changes), shard="1/2")
        _refused(tmp_path, f"has another plan than .*: {told}", two / "shard-2-of-2", other)


def test_shards_of_different_deals_are_refused(server: StandIn, two: Path, tmp_path: Path) -> None:
    rendered(server, two, _SMALL, shard="3/3")

    _refused(tmp_path, r"belong to different splits: shard [12]/2 .* and shard 3/3", two)


def test_one_job_with_other_pictures_in_two_folders_is_refused_and_with_the_same_is_taken_once(
    server: StandIn, two: Path, tmp_path: Path
) -> None:
    rendered(server, tmp_path / "alone", _SMALL)
    assert picture(tmp_path / "alone", "lake-s1") != picture(two / "shard-1-of-2", "lake-s1")
    assert merge([two, tmp_path / "alone"], tmp_path / "same").copied == 2
    shutil.rmtree(tmp_path / "alone")
    server.state.look = "darker"
    server.state.memory.cache.clear()
    rendered(server, tmp_path / "alone", _SMALL)

    error = _refused(tmp_path, "has other pictures in", two, tmp_path / "alone")
    assert "shard 1/2" in str(error)
    assert str(tmp_path / "alone") in str(error)
    with pytest.raises(RunFolderError, match="has other pictures in"):
        merge([tmp_path / "alone"], tmp_path / "same")


def test_a_run_of_something_else_is_not_completed(server: StandIn, two: Path, tmp_path: Path) -> None:
    rendered(server, tmp_path / "merged", sweep({"seed": [1, 2]}, prompt="a sea"))
    before = _content(tmp_path / "merged")

    with pytest.raises(RunFolderError, match="belongs to another plan: lake-s1, lake-s2"):
        merge([two], tmp_path / "merged")

    assert _content(tmp_path / "merged") == before


@pytest.mark.parametrize("target", ["shards", "shards/shard-1-of-2", "shards/merged", "shards/shard-1-of-2/in", "."])
def test_the_folder_to_make_is_none_of_the_shards(two: Path, tmp_path: Path, target: str) -> None:
    if target == "shards/merged":
        merge([two], tmp_path / target)  # beside them is a place like any other
    else:
        with pytest.raises(UsageError, match=r"which is to be merged|folders to be merged"):
            merge([two], tmp_path / target)


def test_what_is_no_run_folder_is_refused(two: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")

    for folder, told in (("empty", "is not a run folder"), ("nowhere", "no such run folder"), ("file", "no such run folder")):
        _refused(tmp_path, told, two, tmp_path / folder)
    with pytest.raises(UsageError, match="no run folder is given"):
        merge([], tmp_path / "merged")


# --- damage


def _spoil_sidecar(shard: Path) -> None:
    (shard / "lake-s1/job.json").write_text("{}", encoding="utf-8")


def _lose_sidecar(shard: Path) -> None:
    (shard / "lake-s1/job.json").unlink()


def _other_sidecar(shard: Path) -> None:
    changed = {**sidecar_in(shard, "lake-s1"), "content_hash": "0" * 64}
    (shard / "lake-s1/job.json").write_text(json.dumps(changed), encoding="utf-8")


def _lose_picture(shard: Path) -> None:
    (shard / "lake-s1/upscaled.png").unlink()


def _shorten_picture(shard: Path) -> None:
    (shard / "lake-s1/upscaled.png").write_bytes(b"short")


@pytest.mark.parametrize("spoil", [_spoil_sidecar, _lose_sidecar, _other_sidecar, _lose_picture, _shorten_picture])
def test_damage_is_told_before_anything_is_written(two: Path, tmp_path: Path, spoil: Any) -> None:
    (shard,) = {path.parent.parent for path in two.glob("*/lake-s1/job.json")}
    spoil(shard)

    error = _refused(tmp_path, "is damaged|is gone|was changed|does not say", two)

    assert str(shard / "lake-s1") in str(error)
    assert "run its shard again" in error.problems[0].hint


def test_a_picture_that_has_rotted_is_not_taken_over(two: Path, tmp_path: Path) -> None:
    (path,) = two.glob("*/lake-s2/upscaled.png")
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)

    with pytest.raises(RunFolderError, match=f"{path}: was changed since it was collected"):
        merge([two], tmp_path / "merged")

    assert status(tmp_path / "merged").counts["done"] == 1
    assert not (tmp_path / "merged/lake-s2/upscaled.png").exists()
    assert verify(tmp_path / "merged").leftovers == 0


@pytest.mark.parametrize("key", [FILE, "run.json", ".lock", "lake-s2/job.json", "superseded/x.png", "Ledger.SQLite"])
def test_a_folder_from_elsewhere_writes_over_nothing_but_pictures(two: Path, tmp_path: Path, key: str) -> None:
    (shard,) = {path.parent.parent for path in two.glob("*/lake-s1/job.json")}
    sidecar = sidecar_in(shard, "lake-s1")
    sidecar["files"]["upscaled"][0]["path"] = key
    (shard / "lake-s1/job.json").write_text(json.dumps(sidecar), encoding="utf-8")
    row = sidecar["files"]["upscaled"][0]
    with Ledger(shard / FILE) as ledger:
        ledger.settle(JobUpdate("lake-s1", Change.DONE, files=[FileRow("upscaled", 0, key, row["size_bytes"], 0, row["sha256"])]))

    _refused(tmp_path, "is not a possible place for a file of a job", two)


def test_a_folder_that_is_in_use_is_not_written(two: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "merged")
    try:
        with pytest.raises(RunFolderError, match="is used by another comfy-runner"):
            merge([two], tmp_path / "merged")
    finally:
        folder.close()


def test_progress_is_told(two: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    found: MergedRun = merge([two], tmp_path / "merged", progress=lambda done, total: seen.append((done, total)))

    assert seen == [(1, 2), (2, 2)]
    assert found.size_bytes == sum(path.stat().st_size for path in (tmp_path / "merged").glob("*/*.png"))
