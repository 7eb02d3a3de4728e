"""The command in this process, where a process of its own adds nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from comfy_runner.cli.main import main
from tests.cli.support import Typed


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Typed]:
    """The command, run in the test's empty folder and without the user's settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMFY_RUNNER_CONFIG", os.devnull)
    monkeypatch.delenv("COMFY_RUNNER_SERVER", raising=False)

    def call(*args: str) -> Typed:
        with pytest.raises(SystemExit) as caught:
            main(args)
        out, err = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Typed(caught.value.code, out, err)

    return call


@pytest.fixture
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a `tests.cli.terminal.Terminal` be as wide as it is, and without colours, which its emulator takes long for."""
    for name in ("COLUMNS", "LINES", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
