"""How far models have come that are fetched, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from comfy_runner.byte_sizes import told_size
from comfy_runner.cli.output import clean, one_line, say
from comfy_runner.cli.screen import live

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from comfy_runner.model_files.fetch import FetchProgress

_SAY_EVERY_SECONDS = 15.0
_DOING = {"fetching": "", "reading": "reading the part that is there", "another": "waiting for another comfy-runner to fetch it"}


@contextmanager
def fetch_follower(*, quiet: bool) -> Iterator[Callable[[FetchProgress], None] | None]:
    """Yield what shows how far models have come; None for silence. What is on the screen is gone in the end, however that comes."""
    if quiet:
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[doing]}", markup=False),
    )
    bars = Progress(*columns, auto_refresh=False)
    with live(bars) as is_shown:
        yield _Bars(bars).tell if is_shown else _Lines().tell


def _ending(progress: FetchProgress) -> str:
    return f"{one_line(progress.name)}: fetched and checked, {told_size(progress.done)}"


class _Lines:
    """Shows it as lines: one every fifteen seconds, and one for each model in the end."""

    def __init__(self) -> None:
        self._said = time.monotonic()
        self._stages: dict[str, str] = {}

    def tell(self, progress: FetchProgress) -> None:
        before = self._stages.get(progress.name)
        if progress.stage == "there":
            if before is not None:
                say(_ending(progress))
        elif (progress.stage == "another" and before != "another") or time.monotonic() - self._said > _SAY_EVERY_SECONDS:
            total = f" of {told_size(progress.total)}" if progress.total else ""
            doing = f", {_DOING[progress.stage]}" if _DOING[progress.stage] else ""
            say(f"{one_line(progress.name)}: {told_size(progress.done)}{total}{doing}")
            self._said = time.monotonic()
        self._stages[progress.name] = progress.stage


class _Bars:
    """Shows it as a bar for each model, which is gone when the model is there.

    Args:
        bars: What is shown.
    """

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def tell(self, progress: FetchProgress) -> None:
        task = self._tasks.get(progress.name)
        if progress.stage == "there":
            if task is not None:
                self._bars.remove_task(self._tasks.pop(progress.name))
                say(_ending(progress))
            return
        if task is None:
            task = self._tasks[progress.name] = self._bars.add_task(
                clean(one_line(progress.name, longest=60)), total=None, doing=""
            )
        self._bars.update(task, completed=progress.done, total=progress.total, doing=_DOING[progress.stage])
