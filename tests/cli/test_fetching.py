"""How far models have come that are fetched, as people see it."""

from __future__ import annotations

import re

import pytest

from comfy_runner.cli.fetching import fetch_follower
from comfy_runner.model_files.fetch import FetchProgress
from tests.cli.terminal import Terminal, needs_terminal, on_terminal

_MIB = 1 << 20


@needs_terminal
@pytest.mark.usefixtures("plain_terminal")
def test_on_a_terminal_each_model_has_a_bar_until_it_is_there() -> None:
    with on_terminal(Terminal(100)) as terminal, fetch_follower(quiet=False) as tell:
        assert tell is not None
        tell(FetchProgress("one", "fetching", 30 * _MIB, 90 * _MIB))
        tell(FetchProgress("two", "another", 0, None))
        terminal.wait_until(lambda lines: re.search("^one ━.*/94.4 MB.*\ntwo ━.* waiting for another", "\n".join(lines)))
        tell(FetchProgress("one", "there", 90 * _MIB, 90 * _MIB))
        tell(FetchProgress("never begun", "there", 1, 1))
        terminal.wait_until(lambda lines: len(lines) == 2 and lines[1].startswith("two ━"))

    assert terminal.lines() == ["one: fetched and checked, 94.4 MB"]
    assert terminal.has_cursor


def test_elsewhere_each_model_is_a_line_when_it_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    with fetch_follower(quiet=False) as tell:
        assert tell is not None
        tell(FetchProgress("one", "fetching", 30 * _MIB, 90 * _MIB))
        tell(FetchProgress("one", "there", 90 * _MIB, 90 * _MIB))

    assert capsys.readouterr().err == "one: fetched and checked, 94.4 MB\n"


def test_quiet_tells_nothing() -> None:
    with fetch_follower(quiet=True) as tell:
        assert tell is None
