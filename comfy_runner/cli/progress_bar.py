"""A bar on stderr for what takes a while, such as measuring many pictures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from comfy_runner.cli.output import say

_WORTH_SAYING = 8  # pairs of pictures; fewer are measured in a moment


@contextmanager
def measuring(*, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes how many of how many pictures are measured: it shows a bar, or without a terminal a sentence.

    Args:
        quiet: Whether nothing is shown.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, markup=False, highlight=False)
    if quiet:
        yield lambda _done, _total: None
        return
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield lambda done, total: say(f"measuring {total} pictures") if done == 1 and total >= _WORTH_SAYING else None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=total >= _WORTH_SAYING)
