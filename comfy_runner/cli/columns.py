"""Sentences and facts in lines as wide as the terminal, for commands that describe things."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator

from comfy_runner.cli.output import one_line

LONGEST = 2000
"""The most characters of somebody else's words that are shown."""


def columns() -> int:
    """Return how many characters a line may have."""
    return max(60, shutil.get_terminal_size().columns)


def prose(text: str, indent: int) -> Iterator[str]:
    """Yield what somebody says in sentences; how they break them into lines does not matter."""
    if words := " ".join(text.split()):
        yield from wrapped(" " * indent + one_line(words, longest=LONGEST), indent)


def wrapped(text: str, indent: int) -> list[str]:
    """Return a text in lines, all but the first indented."""
    return textwrap.wrap(text, columns(), subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
