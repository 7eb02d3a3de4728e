"""A run without a terminal: ``run --detach``, and ``attach``, which follows it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from comfy_runner.store.lock import holder
from comfy_runner.store.run_log import is_written
from tests.cli.support import Running, recipe_file, typed
from tests.standin import NodeFault, StandIn

# Where there are none, a process is killed by other means.
pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals")


def test_a_detached_run_goes_on_by_itself_and_is_followed_to_its_exit_code(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("second_pass")
    began = typed("run", str(recipe_file(tmp_path)), "--server", server.url, "--detach", folder=tmp_path)
    gate.wait()
    left = Running("attach", "runs/lake", folder=tmp_path)
    following = Running("attach", "runs/lake", folder=tmp_path)
    left.wait_for("Ctrl-C ends only")
    left.signal(signal.SIGINT)
    stopped = left.end()
    gate.open()
    done = following.end()
    afterwards = typed("attach", "runs/lake", folder=tmp_path)

    assert (began.code, began.out) == (0, "runs/lake\n")
    assert "comfy-runner attach runs/lake follows it" in began.err
    assert (stopped.code, "which continues" in stopped.err) == (130, True), stopped
    assert done.code == 0, done
    assert "lake: done" in done.out
    assert len([line for line in done.out.splitlines() if line.endswith(".png")]) == 2
    assert afterwards.out == done.out
    assert "exit code" not in done.out


def test_what_goes_wrong_before_the_run_has_begun_is_told_where_it_was_started(server: StandIn, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, upscale={"denoise": 7})

    wrong = typed("run", str(recipe), "--server", server.url, "--detach", folder=tmp_path)
    together = typed("run", str(recipe), "--server", server.url, "--detach", "--json", folder=tmp_path)

    assert (wrong.code, wrong.out) == (2, "")
    assert "upscale.denoise" in wrong.err
    assert together.code == 2
    assert not (tmp_path / "runs").exists()
    assert typed("attach", "runs/lake", folder=tmp_path).code == 5


def test_attach_tells_of_failures_and_of_a_process_that_was_killed(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass"] = NodeFault.ERROR
    typed("run", str(recipe_file(tmp_path, name="wrong")), "--server", server.url, "--detach", folder=tmp_path)
    failed = typed("attach", "runs/wrong", folder=tmp_path)
    server.state.node_faults.clear()
    gate = server.state.hold("second_pass")
    typed("run", str(recipe_file(tmp_path)), "--server", server.url, "--detach", folder=tmp_path)
    gate.wait()
    who = holder(tmp_path / "runs" / "lake")
    assert who is not None
    os.kill(who.pid, signal.SIGKILL)

    killed = typed("attach", "runs/lake", folder=tmp_path)
    gate.open()

    assert failed.code == 1
    assert "error: " in failed.out
    assert killed.code == 130
    assert "was killed" in killed.err
    assert not is_written(tmp_path / "runs" / "lake")
