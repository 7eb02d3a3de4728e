from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from comfy_runner.cli.local import describe
from comfy_runner.engine.local import LocalStatus

_STOPPED = LocalStatus(
    home=Path("/home"),
    is_set_up=True,
    engine_version="0.3.75",
    running=False,
    answers=False,
    url=None,
    pid=None,
    log=Path("/home/server.log"),
    stale_pid=None,
)
_RUNNING = replace(_STOPPED, running=True, answers=True, url="http://127.0.0.1:8188", pid=42)


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (_STOPPED, ["engine: ComfyUI 0.3.75", "server: not running"]),
        (
            replace(_STOPPED, is_set_up=False, engine_version=None),
            ["engine: not set up (comfy-runner local setup)", "server: not running"],
        ),
        (replace(_STOPPED, stale_pid=41), ["engine: ComfyUI 0.3.75", "server: not running, process 41 ended by itself"]),
        (_RUNNING, ["engine: ComfyUI 0.3.75", "server: running at http://127.0.0.1:8188, process 42"]),
        (
            replace(_RUNNING, answers=False),
            ["engine: ComfyUI 0.3.75", "server: running at http://127.0.0.1:8188, process 42, but does not answer"],
        ),
    ],
)
def test_the_status_tells_what_there_is_and_where(found: LocalStatus, lines: list[str]) -> None:
    assert describe(found) == [*lines, "folder: /home", "log: /home/server.log"]
