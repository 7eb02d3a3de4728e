"""What all formats say alike: values, findings and outcomes on one line, the worst of them first, and where they belong.

Job ids, messages and paths come from recipes, servers and files of other people. `plain` takes out of them what no format can hold:
characters that XML forbids, halves of surrogate pairs, line breaks, and what steers terminals. Marks of its own, such as ``|``, a
format escapes itself.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from comfy_runner.check.interface import Finding, Value
from comfy_runner.check.results import CheckedJob, CheckedRun, Comparison, Likeness, Outcome
from comfy_runner.wording import counted

LONGEST: Final = 300
"""Most characters of one text, such as a message."""

_PLACE = re.compile(r"(?P<file>.+):(?P<line>[0-9]{1,9})")
_RANKS = {Outcome.ERROR: 0, Outcome.FAILED: 1, Outcome.SKIPPED: 2, Outcome.PASSED: 3}
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNLIKE = (Likeness.DIFFERENT, Likeness.MISSING)


@dataclass(frozen=True, slots=True)
class Root:
    """The folder that a CI system's paths are relative to.

    Attributes:
        folder: That folder, absolute: usually the checkout.
        current: The folder that the run's paths are relative to, absolute.
    """

    folder: Path
    current: Path

    def relative(self, path: str | Path) -> str:
        """Return a path as it is seen from the root, with ``/``; one that is not below it stays absolute."""
        full = Path(os.path.normpath(self.current / path))
        return plain((full.relative_to(self.folder) if full.is_relative_to(self.folder) else full).as_posix(), longest=4096)

    def place(self, job: CheckedJob | None, found: Finding | None = None) -> tuple[str, int]:
        """Return the file and the line to show; an empty text and 0 where there is none.

        Args:
            job: The job; None for what is no job's.
            found: A finding of it: where its limit is set is shown if that is below the root, rather than the job's file.
        """
        if found is not None and (match := _PLACE.fullmatch(found.where)):
            file = self.relative(match["file"])
            if not Path(file).is_absolute():
                return file, int(match["line"])
        return (self.relative(job.file), job.line) if job is not None and job.file else ("", 0)


def plain(text: str, *, longest: int = LONGEST) -> str:
    """Return a text on one line, shortened, and with a replacement for each character that is not printable.

    Args:
        text: The text.
        longest: How many characters it may have.
    """
    # Line breaks are white space; what a text of many megabytes says is cut before anything is done to it.
    words = " ".join(text[: longest + 1].split())
    short = words if len(text) <= longest else words[:longest] + "…"
    return short if short.isprintable() else "".join(char if char.isprintable() else _REPLACEMENT for char in short)


def shown(value: Value) -> str:
    """Return a measured value or a limit as people read it; empty where there is none."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else plain(str(value))


def complaint(found: Finding) -> str:
    """Return what is wrong, such as ``upscaled is one flat colour``."""
    values = f"{found.label} {shown(found.measured)}, limit {shown(found.limit)}"
    return plain(f"{found.role} {found.message or values}".strip())


def subject(found: Finding) -> str:
    """Return what was looked at, such as ``upscaled drift``."""
    return plain(f"{found.role} {found.label}".strip())


def detail(found: Finding) -> str:
    """Return a finding with all that is known of it."""
    values = (("measured", shown(found.measured)), ("limit", shown(found.limit)))
    known = ", ".join(f"{name} {value}" for name, value in values if value)
    where = f"({plain(found.where)})" if found.where else ""
    text = " ".join(part for part in ("ok:" if found.passed else "failed:", subject(found), known, where) if part)
    return f"{text}: {plain(found.message)}" if found.message else text


def unlike(job: CheckedJob) -> list[Comparison]:
    """Return the pictures of a job that are not as the baseline's, first those that are least so."""
    found = [pair for pair in job.comparisons if pair.likeness in _UNLIKE]
    return sorted(found, key=lambda pair: -1.0 if pair.similarity is None else pair.similarity)


def excess(found: Finding) -> float:
    """Return how far a finding is from its limit, as a part of it; infinite where these are no numbers."""
    if isinstance(found.measured, int | float) and isinstance(found.limit, int | float):
        distance = abs(found.measured - found.limit) / max(abs(found.limit), 1e-9)
        return math.inf if math.isnan(distance) else distance
    return math.inf


def worst_first(jobs: Iterable[CheckedJob]) -> list[CheckedJob]:
    """Return jobs, first those that could not be done, then those that failed by most, then skipped ones, then the others."""
    return sorted(jobs, key=lambda job: (_RANKS[job.outcome], -max(map(excess, job.failures), default=0.0)))


def headline(run: CheckedRun) -> str:
    """Return what became of a run, such as ``24 jobs: 1 could not be done, 3 failed, 20 passed``."""
    words = {Outcome.ERROR: "could not be done", Outcome.FAILED: "failed", Outcome.SKIPPED: "skipped", Outcome.PASSED: "passed"}
    counts = [f"{run.count(outcome)} {text}" for outcome, text in words.items() if run.count(outcome)]
    if run.failures:
        counts.append(counted(len(run.failures), "limit of the whole run was", "limits of the whole run were") + " not kept")
    return counted(len(run.jobs), "job") + (": " + ", ".join(counts) if counts else "")
