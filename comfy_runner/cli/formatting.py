"""How the parts of a plan are put for people: tables that fit the terminal, counts, durations."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Sequence

from comfy_runner.cli.output import clean


def table_lines(columns: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table as lines that are no wider than the terminal.

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


def counted(number: int, what: str, plural: str = "s") -> str:
    """Return such as ``1 job`` or ``2 jobs``."""
    return f"{number} {what}{'' if number == 1 else plural}"


def duration(seconds: float) -> str:
    """Return such as ``40 s``, ``41 min`` or ``2 h 5 min``."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{max(1, round(seconds))} s"
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
