"""Terminals, pipes that break, and signals; on systems that have them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import COMMAND, Running, environment, recipe_file, typed
from tests.standin import Gate, StandIn, Trouble

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no terminals and signals of this kind"),
    pytest.mark.slow,  # each starts the command as a process of its own
]

# As many terminals are.
_SIZE = {"COLUMNS": "80", "LINES": "24"}
_COLOUR = re.compile(r"\x1b\[[0-9;]*(3[0-8]|4[0-8]|9[0-7])[0-9;]*m")


def _running(server: StandIn, folder: Path, *args: str, terminal: bool = False, **changes: str) -> Running:
    line = ("run", str(recipe_file(folder)), "--server", server.url, *args)
    return Running(*line, folder=folder, terminal=terminal, changes=changes)


def _held(server: StandIn, folder: Path, place: str = "first_pass", *, terminal: bool = False) -> tuple[Running, Gate]:
    """Return a run whose job stands at a node."""
    gate = server.state.hold(place)
    running = _running(server, folder, terminal=terminal)
    gate.wait()
    running.wait_for("0%" if terminal else "submitted")
    return running, gate


def _sweep(folder: Path) -> str:
    return str(recipe_file(folder, sweep={"seed": list(range(1, 9))}))


def _address(server: StandIn) -> str:
    return server.url.removeprefix("http://")


# Terminals


def test_a_terminal_shows_the_job_while_it_runs_and_gets_its_cursor_back(server: StandIn, tmp_path: Path) -> None:
    running, gate = _held(server, tmp_path, "second_pass", terminal=True)
    running.wait_for("Second pass")
    gate.open()

    done = running.end()

    assert done.code == 0
    assert len(done.out.splitlines()) == 2
    cursor = re.findall(r"\x1b\[\?25[lh]", done.err)
    assert cursor[0] == "\x1b[?25l"
    assert cursor[-1] == "\x1b[?25h"
    assert re.search(r"lake.*Second pass", done.err)
    assert "lake: done" in done.err
    assert re.search(r"1 done, 2 pictures in \d+ s: runs/lake$", done.err.rstrip())


def test_each_of_several_servers_has_a_line_on_a_terminal_and_what_becomes_of_them_is_told(server: StandIn, tmp_path: Path) -> None:
    with StandIn() as other:
        both = (server, other)
        gates = [each.state.hold("second_pass") for each in both]
        servers = [part for each in both for part in ("--server", each.url)]
        running = Running("run", _sweep(tmp_path), *servers, folder=tmp_path, terminal=True, changes=_SIZE)
        for each, gate in zip(both, gates, strict=True):
            gate.wait()
            running.wait_for(f"{_address(each)} lake-s")
        running.wait_for("Second pass")
        other.state.troubles.append(Trouble("broken gpu", node="second_pass", until_free=False))
        for gate in gates:
            gate.open()
        done = running.end()

    assert done.code == 0, done.err
    assert f"8 jobs on {server.url} and {other.url}, run folder" in done.err
    assert re.search(r":\d+ lake-s.*Second pass +0 done", done.err)
    told = " ".join(done.err.split())
    assert f"{other.url} is out of order, tried again in 2 s: 2 jobs in a row have failed because of a broken GPU state" in told
    assert f"8 jobs on {server.url} and none on {other.url}" in told
    assert re.findall(r"\x1b\[\?25[lh]", done.err)[-1] == "\x1b[?25h"
    assert re.search(r"8 done, 16 pictures in \d+ s: runs/lake$", done.err.rstrip())


def test_a_server_that_joins_a_live_run_gets_a_line_on_the_terminal(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("first_pass")
    with StandIn() as other:
        there = other.state.hold("first_pass")
        running = Running("run", _sweep(tmp_path), "--server", server.url, folder=tmp_path, terminal=True, changes=_SIZE)
        gate.wait()
        typed("fleet", "add", "runs/lake", other.url, folder=tmp_path)
        running.wait_for(f"{other.url} has joined")
        there.wait()
        for each in (server, other):
            running.wait_for(f"{_address(each)} lake-s")
        there.open()
        gate.open()

        assert running.end().code == 0


def test_quiet_is_quiet_on_a_terminal_too(server: StandIn, tmp_path: Path) -> None:
    done = _running(server, tmp_path, "-q", terminal=True).end()

    assert (done.code, done.err) == (0, "")


def test_errors_on_a_terminal_have_colours_and_none_with_no_color(tmp_path: Path) -> None:
    coloured = Running("run", "nowhere.yaml", folder=tmp_path, terminal=True).end()
    plain = Running("run", "nowhere.yaml", folder=tmp_path, terminal=True, changes={"NO_COLOR": "1"}).end()

    assert _COLOUR.search(coloured.err)
    assert plain.err == "error: nowhere.yaml: no such file\r\n"


# Pipes that break


@pytest.mark.parametrize("args", [("schema",), ("render", "quickstart"), ("--help",)])
def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path, args: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [*COMMAND, *args], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()

    assert err == b""


def test_a_run_whose_reader_has_left_still_tells_its_errors_and_exit_code(server: StandIn, tmp_path: Path) -> None:
    server.state.output_names["save_upscaled"] = "gone.png"
    command = [*COMMAND, "run", str(recipe_file(tmp_path)), "--server", server.url]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read().decode()

    assert process.returncode == 3
    assert "status 404" in err
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_a_run_goes_on_where_nobody_listens_to_its_talk(server: StandIn, tmp_path: Path) -> None:
    command = [*COMMAND, "run", str(recipe_file(tmp_path)), "--server", server.url]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        out = process.stdout.read()

    assert process.returncode == 0
    assert len(out.splitlines()) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_went_wrong_is_told_also_where_its_json_cannot_be_written(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [*COMMAND, "plan", "nothing.yaml", "--json"]
        done = subprocess.run(command, cwd=tmp_path, env=environment(), stdout=full, stderr=subprocess.PIPE, check=False)

    assert done.returncode == 2
    assert done.stderr.decode().startswith("error: nothing.yaml: no such")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("args", [(), ("--json",)])
def test_a_run_whose_output_cannot_be_written_is_done_and_says_so(server: StandIn, tmp_path: Path, args: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "run", str(recipe_file(tmp_path)), "--server", server.url, *args],
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert done.returncode == 1
    *_, error, hint, last = done.stderr.decode().splitlines()
    assert error == "error: stdout: cannot be written: no space left on device"
    assert hint == "hint: the run has ended nevertheless; its pictures are in runs/lake"
    assert last.startswith("1 done, 2 pictures in ")
    assert len([*(tmp_path / "runs" / "lake").rglob("*.png")]) == 2


# Signals


@pytest.mark.parametrize("args", [("plan", "quickstart"), ("run", "quickstart", "--json")])
def test_ctrl_c_while_a_library_is_imported_is_an_interruption_and_nobodys_fault(tmp_path: Path, args: tuple[str, ...]) -> None:
    library = """
import sys, time
print("importing", file=sys.stderr, flush=True)
try:
    time.sleep(60)
except BaseException:
    raise ImportError("cannot be imported, for whatever reason")
"""
    (tmp_path / "jinja2.py").write_text(library, encoding="utf-8")
    running = Running(*args, folder=tmp_path, changes={"PYTHONPATH": str(tmp_path)})
    running.wait_for("importing")
    running.signal(signal.SIGINT)

    done = running.end()

    assert (done.code, done.out) == (130, "")
    assert done.err.split() == ["importing", "error:", "interrupted"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_takes_our_jobs_back_and_ends_the_run(server: StandIn, tmp_path: Path, number: signal.Signals) -> None:
    running, _ = _held(server, tmp_path)
    (foreign,) = server.state.add_foreign()
    running.signal(number)

    done = running.end()

    assert done.code == 130
    assert "interrupting: taking our jobs back" in done.err
    assert "hint: run the same command again to continue" in done.err
    assert "1 cancelled" in done.err
    assert "Traceback" not in done.err
    memory = server.state.memory
    (ours,) = [post.body["prompt_id"] for post in server.state.requests("POST", "/prompt")]
    assert ours not in {item[1] for item in [*memory.pending, *memory.running]}
    assert foreign in {item[1] for item in [*memory.pending, *memory.running]} | set(memory.history)


def test_an_interruption_on_a_terminal_gives_its_cursor_back_and_the_numbers_that_status_tells(
    server: StandIn, tmp_path: Path
) -> None:
    gate = server.state.hold("first_pass")
    running = Running("run", _sweep(tmp_path), "--server", server.url, folder=tmp_path, terminal=True)
    gate.wait()
    running.wait_for("waits behind 1")
    running.signal(signal.SIGINT)

    done = running.end()

    assert done.code == 130
    assert re.findall(r"\x1b\[\?25[lh]", done.err)[-1] == "\x1b[?25h"
    *_, error, hint, last = done.err.splitlines()
    assert error.endswith("interrupted")
    assert hint.endswith("run the same command again to continue")
    assert last.startswith("2 cancelled, 6 not begun in ")
    assert "not begun" not in done.err.removesuffix(f"{last}\r\n")
    assert typed("status", "runs/lake", folder=tmp_path).out.startswith("runs/lake: 2 cancelled, 6 pending\n")


@pytest.mark.parametrize("terminal", [False, True])
def test_the_second_signal_leaves_at_once_and_names_what_still_runs(server: StandIn, tmp_path: Path, terminal: bool) -> None:
    # At this gate the server heeds no interruption, as in the middle of a decode.
    running, _ = _held(server, tmp_path, "history", terminal=terminal)
    running.signal(signal.SIGINT)
    running.wait_for("interrupting")
    running.signal(signal.SIGINT)

    done = running.end()

    (ours,) = [post.body["prompt_id"] for post in server.state.requests("POST", "/prompt")]
    assert done.code == 130
    assert f"exited at once; still on the server: {ours}" in done.err
    assert "Traceback" not in done.err
    if terminal:
        assert re.findall(r"\x1b\[\?25[lh]", done.err)[-1] == "\x1b[?25h"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_run_begins_is_an_interruption_without_a_traceback(tmp_path: Path, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        running = Running("run", str(recipe_file(tmp_path)), "--server", url, folder=tmp_path)
        silent.settimeout(20)
        connection, _ = silent.accept()
        connection.recv(1)
        running.signal(number)
        done = running.end()
        connection.close()

    assert done.code == 130
    assert done.err.strip() == "error: interrupted"


def test_nohup_still_works(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("first_pass")
    running = Running(
        "run",
        str(recipe_file(tmp_path)),
        "--server",
        server.url,
        folder=tmp_path,
        prefix=("sh", "-c", 'trap "" HUP; exec "$@"', "sh"),
    )
    gate.wait()
    running.signal(signal.SIGHUP)
    gate.open()

    assert running.end().code == 0


def test_the_run_folder_is_free_after_the_process_was_killed(server: StandIn, tmp_path: Path) -> None:
    running, gate = _held(server, tmp_path)
    os.kill(running.process.pid, signal.SIGKILL)
    running.end()
    gate.open()

    done = typed("run", "lake.yaml", "--server", server.url, folder=tmp_path)

    assert done.code == 0
