"""Disks that are full, folders that cannot be written or are gone: exit code 5, and what was finished is safe."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import RunFolderError
from comfy_runner.store.run_folder import RunFolder
from tests.cli.support import Typed, recipe_file, typed
from tests.running.support import draft
from tests.standin import StandIn
from tests.system.support import BOUND_BY_PERMISSIONS, CAN_MOUNT, held, is_tidy, largest_file, pictures, shell, small_disk

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no disks and permissions of this kind")

_ON_REAL_DISKS = [True] if CAN_MOUNT else []

# With the stand-in's noise: a ledger takes 37 KB, a large original 88 KB, its upscaled picture 262 KB.
_LARGE = {"width": 256, "height": 256}
_NO_PICTURE = 60_000
_ONLY_THE_ORIGINAL = 150_000


def _run(server: StandIn, folder: Path, *args: str, prefix: tuple[str, ...] = (), line: str = '"$@"', **changes: Any) -> Typed:
    recipe = str(recipe_file(folder, **changes))
    return shell(line, "run", recipe, "--server", server.url, "--out", "out", *args, folder=folder, prefix=prefix)


def _leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 400) as path:
        yield path


# Full


def test_a_picture_that_the_disk_does_not_take_is_a_run_folder_error(server: StandIn, tmp_path: Path) -> None:
    done = _run(server, tmp_path, prefix=largest_file(_NO_PICTURE), size=_LARGE)

    assert done.code == 5
    assert "the file is larger than this disk or account allows" in done.err
    assert "hint: " in done.err
    assert is_tidy(done)
    assert pictures(tmp_path) == []
    assert _leftovers(tmp_path) == []


def test_a_picture_that_cannot_wait_here_to_be_put_elsewhere_is_told_by_the_folder_where_it_would(
    server: StandIn, tmp_path: Path
) -> None:
    recipe, state = str(recipe_file(tmp_path, size=_LARGE)), tmp_path / "state"
    arguments = ("run", recipe, "--server", server.url, "--out", "memory://full/lake")

    full = shell('COMFY_RUNNER_STATE=state "$@"', *arguments, folder=tmp_path, prefix=largest_file(_NO_PICTURE))

    assert full.code == 5
    assert "/.spool/" in full.err
    assert "the file is larger than this disk or account allows" in full.err
    assert not list((state / "runs").glob("*/.spool/*"))


def test_of_a_job_the_disk_keeps_what_it_can_take_and_the_next_run_makes_the_rest(server: StandIn, tmp_path: Path) -> None:
    done = _run(server, tmp_path, prefix=largest_file(_ONLY_THE_ORIGINAL), size=_LARGE)
    kept = pictures(tmp_path / "out")
    original = (tmp_path / "out/lake/original.png").stat()
    again = _run(server, tmp_path, size=_LARGE)

    assert (done.code, again.code) == (5, 0)
    assert "1 on the server (the same command collects it)" in done.err
    assert kept == ["lake/original.png"]
    assert pictures(tmp_path / "out") == ["lake/original.png", "lake/upscaled.png"]
    assert (tmp_path / "out/lake/original.png").stat().st_mtime_ns == original.st_mtime_ns
    assert _leftovers(tmp_path) == []


def test_a_full_disk_takes_nothing_from_a_job_that_is_done(server: StandIn, tmp_path: Path) -> None:
    assert _run(server, tmp_path, size=_LARGE).code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out/lake").iterdir()}

    done = _run(server, tmp_path, "--force", prefix=largest_file(_NO_PICTURE), size=_LARGE)

    assert done.code == 5
    assert {path: path.read_bytes() for path in (tmp_path / "out/lake").iterdir()} == before


def test_a_ledger_that_the_disk_does_not_take_is_an_error_before_anything_is_rendered(server: StandIn, tmp_path: Path) -> None:
    done = _run(server, tmp_path, prefix=largest_file(10_000))

    assert done.code == 5
    assert "out/ledger.sqlite: " in done.err
    assert "hint: " in done.err
    assert is_tidy(done)
    assert server.state.requests("POST", "/prompt") == []


def test_a_seed_that_cannot_be_recorded_is_not_rendered_with(server: StandIn, tmp_path: Path) -> None:
    done = _run(server, tmp_path, "--set", "seed=random", prefix=largest_file(10))

    assert done.code == 5
    assert is_tidy(done)
    assert server.state.requests("POST", "/prompt") == []


@pytest.mark.parametrize("_real", _ON_REAL_DISKS)
def test_a_disk_that_fills_up_meanwhile_is_named_and_the_next_run_goes_on(
    _real: bool, server: StandIn, tmp_path: Path, disk: Path
) -> None:
    running, gate = held(server, tmp_path, "--out", str(disk / "out"))
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free))
    gate.open()
    done = running.end()
    filler.unlink()
    again = typed("run", "lake.yaml", "--server", server.url, "--out", str(disk / "out"), folder=tmp_path)

    assert (done.code, again.code) == (5, 0)
    assert "the disk is full" in done.err
    assert "hint: free some space and run the same command again" in done.err
    assert is_tidy(done)
    assert len(again.out.splitlines()) == 2


@pytest.mark.parametrize("_real", _ON_REAL_DISKS)
def test_space_that_cannot_suffice_is_missed_before_anything_is_rendered(
    _real: bool, server: StandIn, tmp_path: Path, disk: Path
) -> None:
    recipe = str(recipe_file(tmp_path, size={"width": 256, "height": 256}))
    done = typed("run", recipe, "--server", server.url, "--out", str(disk / "out"), folder=tmp_path)

    assert done.code == 5
    assert "the planned pictures may need 0.001 GiB of free space (got 0.000 GiB)" in done.err
    assert server.state.requests("POST", "/prompt") == []


def test_no_disk_has_room_for_everything(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    try:
        folder.require_space(0)
        with pytest.raises(RunFolderError, match=r"may need 931322574\.615 GiB of free space \(got \d+\.\d+ GiB\)"):
            folder.require_space(10**18)
    finally:
        folder.close()


def test_the_space_that_a_job_needs_is_that_of_its_pictures() -> None:
    job, larger = draft(), draft(upscale={"factor": 4})

    assert job.space_needed >= (64 * 64 + 128 * 128) * 4
    assert larger.space_needed - job.space_needed == (256 * 256 - 128 * 128) * 4


# Read-only


def test_a_folder_that_may_not_be_written_is_refused_before_anything_is_rendered(server: StandIn, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o555)

    done = _run(server, tmp_path, prefix=BOUND_BY_PERMISSIONS)

    assert done.code == 5
    assert "error: out/.lock: no permission" in done.err
    assert "hint: choose another folder with --out" in done.err
    assert is_tidy(done)
    assert server.state.asked == []


def test_a_folder_whose_parent_may_not_be_written_is_refused_likewise(server: StandIn, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)

    done = _run(server, tmp_path, "--out", "locked/out", prefix=BOUND_BY_PERMISSIONS)

    assert done.code == 5
    assert "locked/out: no permission" in done.err
    assert is_tidy(done)


def test_a_done_job_in_a_folder_that_may_not_be_read_is_an_error_of_the_folder(server: StandIn, tmp_path: Path) -> None:
    assert _run(server, tmp_path).code == 0
    (tmp_path / "out/lake").chmod(0)

    done = _run(server, tmp_path, prefix=BOUND_BY_PERMISSIONS)

    (tmp_path / "out/lake").chmod(0o755)
    assert done.code == 5
    assert "no permission" in done.err
    assert is_tidy(done)


def test_pictures_that_were_touched_and_may_not_be_read_are_made_again_and_kept(server: StandIn, tmp_path: Path) -> None:
    assert _run(server, tmp_path).code == 0
    (tmp_path / "out/lake/original.png").touch()
    (tmp_path / "out/lake/original.png").chmod(0)

    done = _run(server, tmp_path, prefix=BOUND_BY_PERMISSIONS)

    assert done.code == 0
    assert pictures(tmp_path / "out") == ["lake/original.png", "lake/upscaled.png"]
    assert len(list((tmp_path / "out/superseded").rglob("original.png"))) == 1


def _forbid(out: Path) -> None:
    out.chmod(0o555)


def _replace_by_a_file(out: Path) -> None:
    shutil.rmtree(out)
    out.write_text("mine", encoding="utf-8")


@pytest.mark.parametrize(
    ("act", "reason"), [(_forbid, "no permission"), (_replace_by_a_file, "a file is where a folder should be")]
)
def test_a_folder_that_becomes_useless_meanwhile_is_named(
    server: StandIn, tmp_path: Path, act: Callable[[Path], None], reason: str
) -> None:
    running, gate = held(server, tmp_path, prefix=BOUND_BY_PERMISSIONS)
    act(tmp_path / "out")
    gate.open()

    done = running.end()

    (tmp_path / "out").chmod(0o755)
    assert done.code == 5
    assert reason in done.err
    assert is_tidy(done)


# Gone


def test_a_folder_that_is_removed_meanwhile_is_not_made_anew_before_the_next_run(server: StandIn, tmp_path: Path) -> None:
    running, gate = held(server, tmp_path)
    shutil.rmtree(tmp_path / "out")
    gate.open()

    done = running.end()
    is_there = (tmp_path / "out").exists()
    again = _run(server, tmp_path)

    assert (done.code, is_there, again.code) == (5, False, 0)
    assert "was moved or deleted while in use" in done.err
    assert is_tidy(done)
    assert pictures(tmp_path / "out") == ["lake/original.png", "lake/upscaled.png"]


def test_a_folder_that_is_moved_meanwhile_goes_on_at_its_new_place(server: StandIn, tmp_path: Path) -> None:
    running, gate = held(server, tmp_path)
    (tmp_path / "out").rename(tmp_path / "moved")
    gate.open()

    done = running.end()
    is_there = (tmp_path / "out").exists()
    again = _run(server, tmp_path, "--out", "moved")

    assert (done.code, is_there, again.code) == (5, False, 0)
    assert "hint: run the same command again; if the run folder was moved, give its new place with --out" in done.err
    assert is_tidy(done)
    assert pictures(tmp_path / "moved") == ["lake/original.png", "lake/upscaled.png"]
    assert len(server.state.requests("POST", "/prompt")) == 1  # it was collected


def test_a_current_folder_that_is_removed_meanwhile_is_an_error_of_the_run_folder(server: StandIn, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    running, gate = held(server, here)
    shutil.rmtree(here)
    gate.open()

    done = running.end()

    assert done.code == 5
    assert "was moved or deleted while in use" in done.err
    assert is_tidy(done)


@pytest.mark.parametrize("args", [("run", "quickstart"), ("validate", "quickstart"), ("local", "status"), ("init",)])
def test_a_command_in_a_folder_that_is_gone_says_so_or_does_without(tmp_path: Path, args: tuple[str, ...]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()

    done = shell(f'rmdir "{gone}"; "$@"', *args, folder=gone, changes={"COMFY_RUNNER_LOCAL_HOME": str(tmp_path / "home")})

    assert done.code == {"run": 5, "init": 2}.get(args[0], 0)
    assert is_tidy(done)


def test_a_run_folder_whose_lock_is_a_folder_is_an_error_of_the_folder(server: StandIn, tmp_path: Path) -> None:
    (tmp_path / "out/.lock").mkdir(parents=True)

    done = _run(server, tmp_path)

    assert done.code == 5
    assert is_tidy(done)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
