"""Text laid out for a terminal: tables, and sentences in lines as wide as the terminal."""

from __future__ import annotations

import io
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from comfy_runner.cli.output import clean, one_line

LONGEST = 2000
"""The most characters of somebody else's words that are shown."""

_LONGEST_NAME = 20


def line_width() -> int:
    """Return how many characters a line may have: as many as the terminal is wide, but at least 40."""
    return max(40, shutil.get_terminal_size().columns)


def prose(text: str, indent: int) -> Iterator[str]:
    """Yield somebody's sentences in lines; how they are broken into lines in the text does not matter.

    Args:
        text: The sentences.
        indent: How many blanks each line begins with.
    """
    if words := " ".join(text.split()):
        yield from wrapped(" " * indent + one_line(words, longest=LONGEST), indent)


def wrapped(text: str, indent: int) -> list[str]:
    """Return a text in lines; names and addresses are not cut in two.

    Args:
        text: The text, on one line.
        indent: How many blanks each line but the first begins with.
    """
    return textwrap.wrap(text, line_width(), subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return names of servers as they fit into a column: without what they begin with as URLs, long ones without their middle.

    Where two would look alike so, all stay whole.
    """
    bare = {name: name.removeprefix("http://").removeprefix("https://") for name in names}
    half = _LONGEST_NAME // 2
    short = {name: text if len(text) <= _LONGEST_NAME else f"{text[: half - 1]}…{text[-half:]}" for name, text in bare.items()}
    return short if len(set(short.values())) == len(short) else {name: name for name in names}


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines, every column as wide as its widest cell; no line is broken."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def folded_table(columns: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table as lines that are no wider than the terminal; long cells are folded.

    Args:
        columns: The heading of each column, and whether it holds numbers: these stand at the right, and are never folded.
        rows: The cells.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, is_number in columns:
        table.add_column(name, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for row in rows:
        table.add_row(*map(clean, row))
    out = io.StringIO()
    width = shutil.get_terminal_size().columns
    Console(file=out, width=width, color_system=None, markup=False, emoji=False, highlight=False).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]
