"""Links, pipes and giants in a run folder, which may come from anywhere: nothing is written past them, and nothing hangs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from comfy_runner.errors import RunFolderError
from comfy_runner.report.writer import is_current, write_report
from comfy_runner.store.control_files import fleet_requests, request_cancel
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.local import LocalStore, write_spool
from comfy_runner.store.lock import LOCK
from comfy_runner.store.run_folder import FolderView, RunFolder
from tests.running.support import files_in, rendered, small
from tests.standin import StandIn

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there, and there are no pipes")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of the user's that has nothing to do with the run."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "original.png").write_bytes(b"mine")
    return folder


def _untouched(folder: Path) -> bool:
    return files_in(folder) == ["original.png"] and (folder / "original.png").read_bytes() == b"mine"


def test_nothing_is_written_past_a_link(tmp_path: Path, elsewhere: Path) -> None:
    store = LocalStore(tmp_path / "run")
    store.put([write_spool(store, "there/original.png", [b"1"])])
    (tmp_path / "run/lake").symlink_to(elsewhere)
    uses: list[Callable[[], object]] = [
        lambda: store.spool("lake/original.png"),
        lambda: store.spool("lake/deeper/original.png"),
        lambda: store.copy("there/original.png", "lake/copy.png"),
        lambda: store.archive("there/original.png", "lake/original.png"),
        lambda: store.archive("lake/original.png", "superseded/original.png"),
    ]
    for use in uses:
        with pytest.raises(RunFolderError, match="run/lake: is a symbolic link"):
            use()

    assert _untouched(elsewhere)
    assert files_in(tmp_path / "run") == ["there/original.png"]
    with store.open("lake/original.png") as file:
        assert file.read() == b"mine", "reading is another matter"


@pytest.mark.parametrize("name", ["lake", "superseded"])
def test_a_run_writes_past_no_link(server: StandIn, tmp_path: Path, elsewhere: Path, name: str) -> None:
    rendered(server, tmp_path / "run", small(sampler={"steps": 3}))
    if name == "lake":
        (tmp_path / "run/lake").rename(tmp_path / "old")
    (tmp_path / "run" / name).symlink_to(elsewhere)

    (result,) = rendered(server, tmp_path / "run", small())

    assert isinstance(result.error, RunFolderError)
    assert "is a symbolic link" in str(result.error)
    assert _untouched(elsewhere)


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "real")
    store = LocalStore(tmp_path / "run")

    store.put([write_spool(store, "lake/original.png", [b"1"])])

    assert (tmp_path / "real/lake/original.png").read_bytes() == b"1"


def test_a_report_writes_past_no_link(server: StandIn, tmp_path: Path, elsewhere: Path) -> None:
    rendered(server, tmp_path / "run")
    (tmp_path / "run/report_files").symlink_to(elsewhere)

    with pytest.raises(RunFolderError, match="report_files: is a symbolic link"):
        write_report(tmp_path / "run")

    assert _untouched(elsewhere)


@pytest.mark.parametrize("name", [FILE, f"{FILE}-journal", f"{FILE}-wal"])
def test_a_ledger_is_no_link(tmp_path: Path, elsewhere: Path, name: str) -> None:
    (tmp_path / name).symlink_to(elsewhere / "original.png")

    for readonly in (False, True):
        with pytest.raises(RunFolderError, match=r"is not a plain file|does not exist"):
            Ledger(tmp_path / FILE, readonly=readonly)

    assert _untouched(elsewhere)


def test_a_lock_that_is_a_link_empties_nothing(tmp_path: Path, elsewhere: Path) -> None:
    (tmp_path / LOCK).symlink_to(elsewhere / "original.png")

    with pytest.raises(RunFolderError, match=r"\.lock"):
        RunFolder(tmp_path)

    assert _untouched(elsewhere)


def test_a_request_that_is_a_link_is_replaced(tmp_path: Path, elsewhere: Path) -> None:
    (tmp_path / ".cancel").symlink_to(elsewhere / "new")

    request_cancel(tmp_path)

    assert _untouched(elsewhere)
    assert not (tmp_path / ".cancel").is_symlink()


def test_a_pipe_is_not_waited_for(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path / "run")
    for name in ("lake/job.json", "lake/original.png"):
        (tmp_path / "run" / name).unlink()
        os.mkfifo(tmp_path / "run" / name)
    folder = FolderView(tmp_path / "run")

    with pytest.raises(RunFolderError, match=r"lake/job\.json: is not a plain file"):
        folder.sidecar("lake")
    with pytest.raises(OSError, match="not a plain file"):
        folder.store.open("lake/original.png")
    write_report(tmp_path / "run")


@pytest.mark.parametrize("name", ["run.json", "report_files/made-from.sha256", "report_files/measured.json", ".fleet-1.asked"])
def test_no_file_of_ours_is_waited_for(server: StandIn, tmp_path: Path, name: str) -> None:
    rendered(server, tmp_path / "run")
    write_report(tmp_path / "run")
    (tmp_path / "run" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "run" / name)

    assert list(fleet_requests(tmp_path / "run")) == []
    assert is_current(tmp_path / "run") is (name != "report_files/made-from.sha256")
    if name == "run.json":
        with pytest.raises(RunFolderError, match="is not a plain file"):
            FolderView(tmp_path / "run").seeds()
    else:
        write_report(tmp_path / "run")


def test_a_sidecar_of_any_length_is_not_read_into_memory(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    with (tmp_path / "lake/job.json").open("wb") as file:
        file.truncate(20 << 30)

    with pytest.raises(RunFolderError, match=r"lake/job\.json: is larger than 64 MiB"):
        JobFiles(LocalStore(tmp_path)).sidecar("lake")
