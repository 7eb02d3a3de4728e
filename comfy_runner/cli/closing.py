"""What a run says at its end: where its pictures are, what went wrong, and in the last line what became of it and where to look."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from comfy_runner.cli.hyperlinks import linked
from comfy_runner.cli.output import print_error, print_path, print_stderr
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.text_files import shown
from comfy_runner.wording import counted, duration

if TYPE_CHECKING:
    from comfy_runner.running.events import JobResult

_Value = TypeVar("_Value")

_MOST_PATHS = 4  # on a terminal


class Stdout:
    """What a run prints on stdout. Where that is not possible, the run goes on, and the user learns how it ended all the same.

    Attributes:
        error: Why no more can be printed; None where all could.
    """

    def __init__(self) -> None:
        self.error: ComfyRunnerError | None = None

    def print(self, write: Callable[[_Value], None], values: Iterable[_Value]) -> None:
        """Print values, unless one could not be printed before."""
        try:
            for value in values if self.error is None else ():
                write(value)
        except ComfyRunnerError as error:
            self.error = error

    def print_pictures(self, folder: Path, results: Sequence[JobResult]) -> None:
        """Print where the pictures are: for programs each path, for people who look at a terminal the folder of many."""
        paths = [path for result in results for found in result.files.values() for path in found]
        self.print(print_path, [folder] if len(paths) > _MOST_PATHS and sys.stdout.isatty() else paths)

    def print_error(self, folder: Path) -> None:
        """Say why not all could be printed, where that is so."""
        if self.error is not None:
            hint = f"the run has ended nevertheless; its pictures are in {shown(folder)}"
            print_error(ComfyRunnerError(self.error.problems[0].what, where="stdout", hint=hint))


def print_errors(results: Sequence[JobResult]) -> None:
    """Print why jobs are not done; what several have in common once."""
    print_error(*{id(result.error): result.error for result in results if result.error is not None}.values())


def print_last_line(results: Sequence[JobResult], seconds: float, place: Path) -> None:
    """Print what became of a run, how long it took, how many pictures there are, and where.

    Args:
        results: Of its jobs; nothing is printed where there are none.
        seconds: How long it took.
        place: The page, or the run folder where there is none.
    """
    if results:
        print_stderr(f"{last_line(results, seconds)}: {linked(place)}")


def last_line(results: Sequence[JobResult], seconds: float) -> str:
    """Return what became of a run, such as ``3 done (1 already), 6 pictures in 41 min``."""
    pictures = sum(len(paths) for result in results for paths in result.files.values())
    return ", ".join([summary(results), *([counted(pictures, "picture")] if pictures else [])]) + f" in {duration(seconds)}"


def summary(results: Sequence[JobResult]) -> str:
    """Return how many jobs ended how, such as ``3 done (1 already), 1 on the server (the same command collects it)``.

    These are the numbers that `comfy-runner status` tells afterwards.
    """
    counts = Counter(str(result.state) for result in results)
    already = Counter(str(result.state) for result in results if result.was_done)
    words = {"done": "done", "partial": "partial", "failed": "failed", "cancelled": "cancelled"}
    words["submitted"] = f"on the server (the same command collects {'it' if counts['submitted'] == 1 else 'them'})"
    words["pending"] = "not begun"
    return ", ".join(
        f"{counts[state]} {word}" + (f" ({already[state]} already)" if already[state] else "")
        for state, word in words.items()
        if counts[state]
    )
