from __future__ import annotations

import re
from pathlib import Path

import pytest

from comfy_runner.cli.hyperlinks import knows_links, linked
from tests.cli.terminal import Terminal, needs_terminal, on_terminal


@pytest.mark.parametrize(
    ("variables", "known"),
    [
        ({}, False),
        ({"TERM": "xterm-256color"}, False),
        ({"TERM": "xterm-kitty"}, True),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, True),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, False),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7006"}, True),
        ({"TERM": "xterm-256color", "VTE_VERSION": "4803"}, False),
        ({"TERM": "xterm-256color", "VTE_VERSION": "new"}, False),
        ({"TERM": "tmux-256color", "VTE_VERSION": "7006"}, False),
        ({"TERM": "dumb", "WT_SESSION": "x"}, False),
        ({"WT_SESSION": "x"}, True),
    ],
)
def test_links_are_given_to_terminals_that_are_known_to_understand_them(variables: dict[str, str], known: bool) -> None:
    assert knows_links(variables) is known


@needs_terminal
def test_a_link_is_the_path_with_where_it_leads_and_elsewhere_only_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm-kitty")
    page = tmp_path / "a b\x1b" / "report.html"
    with on_terminal(Terminal()):
        found = linked(page)

    target, text = re.fullmatch(r"\x1b\]8;;(.*?)\x1b\\(.*)\x1b\]8;;\x1b\\", found).groups()  # type: ignore[union-attr]
    assert target.startswith("file://")
    assert target.endswith("/a%20b%1B/report.html")
    assert text == linked(page)
    assert text.isprintable()
