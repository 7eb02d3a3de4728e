"""The logs of servers that a run has started: which there are, and their ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.control.server_logs import ServerLog, server_logs
from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.store.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with the logs of two servers."""
    RunFolder(tmp_path).close()
    (tmp_path / "server_logs").mkdir()
    (tmp_path / "server_logs" / "north-gpu-0.log").write_text("starting\nready\n")
    (tmp_path / "server_logs" / "south-gpu-1.log").write_text("got http://me:secret@index/\n")
    return tmp_path


def test_all_are_told_without_secrets_and_each_by_the_name_of_its_lane(run: Path) -> None:
    assert server_logs(run, lines=1) == (
        ServerLog("north-gpu-0", "ready"),
        ServerLog("south-gpu-1", "got http://****@index/"),
    )
    assert server_logs(run, "north GPU 0") == server_logs(run, "north-gpu-0") == (ServerLog("north-gpu-0", "starting\nready"),)


def test_one_that_is_not_there_is_told_with_what_may_be_meant(run: Path) -> None:
    with pytest.raises(UsageError, match=r"has no log of this server \(got north GPU 1\)") as caught:
        server_logs(run, "north GPU 1")
    assert "north-gpu-0" in caught.value.problems[0].hint


def test_a_run_that_has_started_none_has_none(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").close()

    with pytest.raises(UsageError, match="has no server logs"):
        server_logs(tmp_path / "run")
    with pytest.raises(RunFolderError):
        server_logs(tmp_path / "nothing")
