"""Signals and terminals that are closed: jobs are taken back, exit code 130, what was finished is safe; and no clock matters."""

from __future__ import annotations

import ast
import signal
import socket
import sys
from pathlib import Path

import pytest

import comfy_runner
from tests.cli.support import Running, recipe_file, typed
from tests.standin import HELD, StandIn
from tests.system.support import Window, held, is_tidy, pictures

_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="no terminals and signals of this kind")
_PACKAGE = Path(comfy_runner.__file__).parent


def _ours(server: StandIn) -> list[str]:
    """Return our prompts that the server still has to make."""
    posted = {asked.body["prompt_id"] for asked in server.state.requests("POST", "/prompt")}
    memory = server.state.memory
    return [item[1] for item in [*memory.pending, *memory.running] if item[1] in posted]


@_POSIX
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_was_finished_before_a_signal_is_kept(server: StandIn, tmp_path: Path, name: str) -> None:
    first, second = (str(recipe_file(tmp_path, name=which, seed=seed)) for seed, which in enumerate("ab", 1))
    assert typed("run", first, "--server", server.url, "--out", "out", folder=tmp_path).code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out/a").iterdir()}
    gate = server.state.hold("second_pass")
    running = Running("run", first, second, "--server", server.url, "--out", "out", folder=tmp_path)
    gate.wait()
    running.wait_for("b: submitted")
    running.signal(signal.Signals[name])

    done = running.end()

    assert done.code == 130
    assert "1 done (1 already), 1 partial" in done.err
    assert is_tidy(done)
    assert done.out.splitlines()[:2] == ["out/a/original.png", "out/a/upscaled.png"]
    assert {path: path.read_bytes() for path in (tmp_path / "out/a").iterdir()} == before


@_POSIX
def test_the_original_that_a_signal_finds_finished_is_collected(server: StandIn, tmp_path: Path) -> None:
    running, _ = held(server, tmp_path)
    running.signal(signal.SIGTERM)

    done = running.end()

    assert done.code == 130
    assert _ours(server) == []
    assert pictures(tmp_path / "out") == ["lake/original.png"]


@_POSIX
def test_a_terminal_that_is_closed_ends_the_run_in_good_order(server: StandIn, tmp_path: Path) -> None:
    server.state.hold("second_pass")
    window = Window("run", str(recipe_file(tmp_path)), "--server", server.url, "--out", "out", folder=tmp_path)
    window.wait_for("Second pass")

    assert window.close() == 130
    assert _ours(server) == []
    assert pictures(tmp_path / "out") == ["lake/original.png"]


@_POSIX
def test_a_shell_that_passes_on_the_end_of_its_terminal_is_in_no_hurry(server: StandIn, tmp_path: Path) -> None:
    # At this gate the server heeds no interruption, as in the middle of a decode.
    running, gate = held(server, tmp_path, place="history")
    running.signal(signal.SIGHUP)
    running.wait_for("interrupting")
    running.signal(signal.SIGHUP)
    gate.open()

    done = running.end()

    assert done.code in (0, 130)
    assert "exited at once" not in done.err
    assert _ours(server) == []
    assert pictures(tmp_path / "out") == ["lake/original.png", "lake/upscaled.png"]


@_POSIX
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_every_command_ends_at_a_signal_as_at_ctrl_c(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        running = Running("validate", str(recipe_file(tmp_path)), "--server", url, folder=tmp_path)
        silent.settimeout(HELD)
        connection, _ = silent.accept()
        running.signal(signal.Signals[name])
        done = running.end()
        connection.close()

    assert done.code == 130
    assert done.err.strip() == "error: interrupted"


@_POSIX
def test_a_terminal_that_is_closed_before_anything_was_rendered_is_an_interruption(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        window = Window("run", str(recipe_file(tmp_path)), "--server", url, folder=tmp_path)
        silent.settimeout(HELD)
        connection, _ = silent.accept()
        code = window.close()
        connection.close()

    assert code == 130


# Clocks


def _wall_clock(path: Path) -> set[str]:
    """Return the functions of a file that ask what time of day it is."""
    found = set()
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        named = {
            (node.value.id, node.attr)
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        if named & {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today")}:
            found.add(function.name)
    return found


def test_only_stamps_depend_on_the_clock_that_can_be_set() -> None:
    asking = {path.relative_to(_PACKAGE).as_posix(): _wall_clock(path) for path in _PACKAGE.rglob("*.py")}

    assert {name: functions for name, functions in asking.items() if functions} == {
        "wording.py": {"now", "today"},  # when a job was submitted, collected and so on; the day of a path with {date}
        "store/lease.py": {"_time_of"},  # a store's clock is asked by putting an object, which those who may only read cannot
    }


def test_no_module_takes_a_clock_under_another_name() -> None:
    taken = [
        (path.name, alias.name)
        for path in _PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
    ]

    assert taken == []
