"""What became of holding a run against what its recipes expect, and against a baseline: plain values that `formats` print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from comfy_runner.check.interface import Finding


class Outcome(StrEnum):
    """What became of a job, in the words of test reports."""

    PASSED = "passed"
    """It was done, and everything that was checked of it is as wanted."""
    FAILED = "failed"
    """It was done, and something is not as wanted."""
    ERROR = "error"
    """It could not be done, or only in part."""
    SKIPPED = "skipped"
    """It was not begun, or taken back."""


class Likeness(StrEnum):
    """How a picture compares with that of the baseline."""

    SAME = "same"
    """The same pixels."""
    SIMILAR = "similar"
    """Other pixels, and as similar as was asked for."""
    DIFFERENT = "different"
    """Less similar than was asked for, or of another size."""
    MISSING = "missing"
    """The baseline has no such picture."""
    WRITTEN = "written"
    """The baseline had no such picture, and has this one now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A picture of a run beside that of the baseline.

    Attributes:
        role: The output role, such as ``upscaled``.
        number: Which of the pictures of that role, from 1.
        likeness: How they compare.
        similarity: How similar they are, 0 to 1; None where nothing was measured.
        limit: The least similarity that was asked for, 0 to 1.
        actual: The picture, as a path relative to the run folder: a copy of it where it differs; empty where there is none.
        expected: A copy of the baseline's picture, likewise, where it differs; empty where there is none.
        difference: A picture of where they differ, relative to the run folder; empty where there is none.
        message: In which way they differ, in words that follow the name of the picture; empty where that is fine.
    """

    role: str
    number: int
    likeness: Likeness
    similarity: float | None
    limit: float
    actual: str
    expected: str = ""
    difference: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedJob:
    """A job, with all that was found of it.

    Attributes:
        job_id: The job.
        recipe: The name of its recipe.
        file: The recipe's file, relative to the current folder where it is below it; empty where it is not known.
        line: The line of that file which is shown for the job, from 1: that of its ``expect``, or 1; 0 where there is no file.
        outcome: What became of it.
        findings: All that was checked, in order; those that did not pass have messages.
        comparisons: Its pictures beside the baseline's.
        metrics: What was measured of it, by name: metrics of its outputs as ``role.name`` where it has several, ``seconds``,
            and ``similarity`` to the baseline, of the picture that has least.
        problem: Why it could not be done or was not begun; empty where it was done.
        seconds: How long its server worked on it; None where that is not known.
        finished: When it ended, ISO 8601 with offset; empty where it has not.
        exit_code: What a command that ends with it exits with: 0 where it passed, 4 where what was collected is not as wanted, 3
            where its server is to blame, 1 where it failed otherwise.
    """

    job_id: str
    recipe: str
    file: str
    line: int
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
    seconds: float | None = None
    finished: str = ""
    exit_code: int = 0

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that did not pass."""
        return tuple(found for found in self.findings if not found.passed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRun:
    """A run, held against what its recipes expect and against a baseline.

    Attributes:
        folder: The run folder.
        jobs: All jobs in the order of the plan.
        findings: What was checked of the run as a whole, such as how many first passes it took; their job is empty.
        baseline: The folder of the baseline; None where none was asked for.
        orphans: The jobs of the baseline that the run does not have.
        notes: What the user should know, such as that the baseline was made by another ComfyUI.
        finished: When the run's last job ended, ISO 8601 with offset; empty where none has.
    """

    folder: Path
    jobs: tuple[CheckedJob, ...]
    findings: tuple[Finding, ...] = ()
    baseline: Path | None = None
    orphans: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    finished: str = ""

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings on the run as a whole that did not pass."""
        return tuple(found for found in self.findings if not found.passed)

    def count(self, outcome: Outcome) -> int:
        """Return how many jobs have an outcome."""
        return sum(job.outcome is outcome for job in self.jobs)
