"""The commands about run folders: what they print, and their exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from comfy_runner.store.ledger import FILE
from tests.cli.support import Running, Typed, recipe_file
from tests.running.support import rendered, small
from tests.standin import NodeFault, StandIn
from tests.system.support import BOUND_BY_PERMISSIONS, shell

Cli = Callable[..., Typed]


def _swept(server: StandIn, tmp_path: Path, *seeds: int) -> Path:
    """Render a sweep into ``runs/lake``."""
    out = tmp_path / "runs/lake"
    rendered(server, out, small(sweep={"seed": list(seeds)}))
    return out


# status


def test_the_status_of_a_finished_run_is_a_line_and_who_works_on_it(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    _swept(server, tmp_path, 1, 2, 3)
    _swept(server, tmp_path, 1, 2)

    done = cli("status", "runs/lake")

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == ["runs/lake: 2 done", "1 removed from the recipe, kept", "no run is active"]


def test_the_status_tells_every_job_that_failed_and_why(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass"] = NodeFault.ERROR
    rendered(server, tmp_path / "run", small())

    lines = cli("status", "run").out.splitlines()

    assert lines[0] == "run: 1 partial"
    assert lines[-1].startswith('lake: partial: node "second_pass" (Second pass, KSampler) failed')
    assert cli("status", "run", "--failed").out.splitlines() == lines[2:]


def test_without_failed_jobs_only_that_is_said(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    _swept(server, tmp_path, 1)

    done = cli("status", "runs/lake", "--failed")

    assert (done.code, done.out, done.err) == (0, "", "no job has failed\n")


def test_the_status_as_json_has_every_job(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    _swept(server, tmp_path, 1, 2)
    _swept(server, tmp_path, 1)

    (line,) = cli("status", "runs/lake", "--json").out.splitlines()

    found = json.loads(line)
    assert sorted(found) == ["counts", "folder", "holder", "jobs", "removed", "shard", "shard_counts", "submissions", "v"]
    assert (found["v"], found["removed"], found["counts"]["done"], found["holder"]) == (1, 1, 1, None)
    first, second = found["jobs"]
    assert sorted(first) == sorted(
        ["job", "state", "removed", "assignments", "reason", "error", "seconds", "finished", "files", "shares", "prompt_id"]
    )
    assert (first["job"], first["state"], first["removed"], first["assignments"]) == ("lake-s1", "done", False, {"seed": 1})
    assert [Path(path) for path in first["files"]["upscaled"]] == [Path("runs/lake/lake-s1/upscaled.png")]
    assert (second["job"], second["removed"]) == ("lake-s2", True)


@pytest.mark.parametrize("name", ["nowhere", "n" * 5000])
@pytest.mark.parametrize("command", ["status", "cancel", "clean", "repair"])
def test_what_is_no_run_folder_is_an_error(cli: Cli, tmp_path: Path, command: str, name: str) -> None:
    done = cli(command, name)

    assert (done.code, done.out) == (5, "")
    assert "internal" not in done.err
    assert ("hint: " in done.err) == (name == "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_json_where_json_is_wanted(cli: Cli) -> None:
    done = cli("status", "nowhere", "--json")

    assert done.code == 5
    assert json.loads(done.out)["code"] == "run-folder"


def test_a_live_run_is_told_with_its_process_and_its_servers(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("second_pass")
    running = Running("run", str(recipe_file(tmp_path)), "--server", server.url, folder=tmp_path)
    gate.wait()

    lines = cli("status", "runs/lake").out.splitlines()
    listed = cli("runs").out
    cleaned = cli("clean", "runs/lake", "--yes")
    gate.open()

    assert running.end().code == 0
    assert lines[0] == "runs/lake: 1 submitted"
    assert lines[1].startswith(f"runs now: process {running.process.pid} on ")
    assert lines[2] == f"on {server.url}: 1 prompt (lake)"
    assert f"runs now: process {running.process.pid} " in listed
    assert cleaned.code == 5


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such permissions there")
def test_a_folder_that_can_only_be_read_has_a_status(server: StandIn, tmp_path: Path) -> None:
    out = _swept(server, tmp_path, 1)
    for path in (*out.rglob("*"), out):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        looked = shell('exec "$@"', "status", "runs/lake", folder=tmp_path, prefix=BOUND_BY_PERMISSIONS)
        cleaned = shell('exec "$@"', "clean", "runs/lake", folder=tmp_path, prefix=BOUND_BY_PERMISSIONS)
    finally:
        for path in (out, *out.rglob("*")):
            path.chmod(0o755)

    assert (looked.code, looked.out.splitlines()[0]) == (0, "runs/lake: 1 done")
    assert cleaned.code == 5


def test_no_text_from_a_server_steers_the_terminal(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    body = json.dumps({"error": {"type": "x", "message": "\x1b]0;pwned\x07", "details": ""}, "node_errors": {}})
    server.state.fail_next("/prompt", 400, body=body)
    rendered(server, tmp_path / "run", small())

    done = cli("status", "run")

    assert "pwned" in done.out
    assert not {"\x1b", "\x07"} & set(done.out)


# runs


def test_run_folders_are_listed_in_columns(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    _swept(server, tmp_path, 1, 2)
    rendered(server, tmp_path / "runs/a-long-name", small())
    (tmp_path / "runs/broken").mkdir()
    (tmp_path / "runs/broken" / FILE).write_bytes(b"nonsense" * 1000)

    done = cli("runs")

    assert done.code == 0
    first, second, third = done.out.splitlines()
    assert first.startswith("a-long-name  1 done               20")
    assert second.startswith("broken       damaged: is damaged  20")
    assert third.startswith("lake         2 done               20")


def test_the_list_as_json_names_the_damaged_ones(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    _swept(server, tmp_path, 1)
    (tmp_path / "runs/broken").mkdir()
    (tmp_path / "runs/broken" / FILE).write_bytes(b"nonsense" * 1000)

    found = json.loads(cli("runs", "--json").out)

    assert found["v"] == 1
    assert [(Path(run["folder"]), run["problem"]) for run in found["runs"]] == [
        (Path("runs/broken"), "is damaged"),
        (Path("runs/lake"), ""),
    ]


def test_where_nothing_ran_yet_the_list_is_empty(cli: Cli) -> None:
    done = cli("runs")

    assert (done.code, done.out, done.err) == (0, "", "there are no run folders below runs\n")


# cancel


def test_a_client_that_was_killed_is_cancelled_by_another(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("second_pass")
    running = Running("run", str(recipe_file(tmp_path)), "--server", server.url, folder=tmp_path)
    gate.wait()
    running.process.kill()
    running.end()

    server.state.go_away()
    unreachable = cli("cancel", "runs/lake")
    server.state.come_back()
    done = cli("cancel", "runs/lake")
    again = cli("cancel", "runs/lake")

    assert unreachable.code == 3
    assert "nobody answers" in unreachable.err
    assert (done.code, done.out) == (0, "1 partial: lake\n")
    assert (again.code, again.out, again.err) == (0, "", "no run is active, and servers have none of its prompts\n")
    assert server.state.memory.running == []


def test_a_live_run_is_cancelled(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("first_pass")
    running = Running("run", str(recipe_file(tmp_path)), "--server", server.url, folder=tmp_path)
    gate.wait()

    done = cli("cancel", "runs/lake")

    assert done.code == 0
    assert running.end().code == 130
    assert done.err.splitlines()[-1].endswith(" has ended")
    assert cli("status", "runs/lake").out.splitlines()[0] == "runs/lake: 1 cancelled"


# clean and repair


def test_clean_shows_first_and_then_removes(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    out = _swept(server, tmp_path, 1)
    rendered(server, out, small(sweep={"seed": [1]}), force=True)

    shown = cli("clean", "runs/lake")
    removed = cli("clean", "runs/lake", "--yes", "--server-files")
    again = cli("clean", "runs/lake", "--server-files")

    assert shown.code == removed.code == again.code == 0
    first, second, third = shown.out.splitlines()
    assert first.startswith("would remove replaced pictures and their sidecars: 3 files, ")
    assert second == f"kept in the history of {server.url}: 2 of our prompts (with --server-files)"
    assert third == f"on {server.url}: 4 files stay under output/comfy_runner/lake; ComfyUI has no way to delete them"
    assert shown.err == "nothing was removed; --yes removes it\n"
    assert removed.out.startswith("removed replaced pictures and their sidecars: 3 files, ")
    assert removed.err == ""
    assert not (out / "superseded").exists()
    assert "replaced pictures" not in again.out


def test_repair_tells_how_many_jobs_and_where_the_old_ledger_is(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    out = _swept(server, tmp_path, 1, 2)
    (out / FILE).write_bytes(os.urandom(10_000))
    (out / "lake-s2/job.json").write_text("{", encoding="utf-8")

    broken = cli("status", "runs/lake")
    done = cli("repair", "runs/lake")

    assert broken.code == 5
    assert "comfy-runner repair runs/lake" in broken.err
    assert (done.code, done.out) == (0, "runs/lake/ledger.sqlite: 1 job\n")
    assert "runs/lake/lake-s2/job.json: is damaged" in done.err
    assert done.err.splitlines()[-1] == "the old ledger is runs/lake/ledger.sqlite.damaged-1"
    assert cli("status", "runs/lake").out.splitlines()[0] == "runs/lake: 1 done"
