from __future__ import annotations

from collections.abc import Callable

import pytest

from comfy_runner.cli.manual import pages
from tests.cli.support import Typed

Cli = Callable[..., Typed]


def test_all_pages_are_listed_with_their_titles(cli: Cli) -> None:
    done = cli("help")

    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == [*pages()]
    assert "sweeps           Sweeps" in lines


@pytest.mark.parametrize("topic", ["sweeps", "sweeps.md", "docs/sweeps.md", "docs/sweeps.md#axes"])
def test_a_page_is_shown_however_it_is_named(cli: Cli, topic: str) -> None:
    assert cli("help", topic).out.startswith("# Sweeps\n")


def test_a_command_without_a_page_shows_its_help(cli: Cli) -> None:
    assert cli("help", "verify").out.startswith("Usage: comfy-runner verify [OPTIONS] RUN\n")


def test_an_unknown_topic_names_the_nearest(cli: Cli) -> None:
    done = cli("help", "sweps")

    assert (done.code, done.out) == (2, "")
    assert done.err == "error: help: there is no page sweps\nhint: did you mean sweeps?\n"


def test_a_page_is_laid_out_on_a_terminal(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")

    done = cli("help", "glossary")

    assert "Glossary" in done.out
    assert "|---|" not in done.out
