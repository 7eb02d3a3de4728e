"""The port by which outputs are judged: a check looks at what is known of an output, and yields findings.

Our own are in `pictures` (is it whole, as large as planned, not one flat colour) and `thresholds` (limits of metrics). Installed
packages add others: one says ``[project.entry-points."comfy_runner.checks"]`` and ``faces = "my_package:faces"``, and a picture of
which such a check did not pass is ruled out, as by a veto. A check reads no file and asks no server: whatever it needs is in its
input, so that it can be run anywhere and again. What prints findings does not judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from comfy_runner.plugins import plugins
from comfy_runner.store.sidecar import FileRecord

GROUP: Final = "comfy_runner.checks"
"""The group of entry points of checks."""

BUILT_IN: Final = frozenset(
    (
        "empty",
        "whole",
        "size",
        "flat",
        "noise",
        "blocks",
        "seams",
        "halos",
        "ringing",
        "repetition",
        "dead_areas",
        "drift",
        "local_drift",
        "colour_shift",
    )
)
"""The names of our own checks."""

Value = str | int | float | None
"""What was measured, or the limit that it was checked against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of a job, as far as it is known.

    Attributes:
        job_id: The job; empty for a file that belongs to none.
        role: The output role, such as ``upscaled``; likewise.
        record: What is recorded of its file; None where nothing is.
        metrics: What was measured of it, by name: those of docs/metrics.md, and those of installed packages. One that could not
            be measured is missing.
        values: The job's place in the sweep, by recipe field.
    """

    job_id: str = ""
    role: str = ""
    record: FileRecord | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One value of an output, held against a limit.

    Attributes:
        check: What was checked, in a word or two with ``_``, such as ``drift``; the same for every output.
        job_id: The job; empty where the output belongs to none.
        role: The output role; likewise.
        measured: What was found.
        limit: What it was held against; None where there is no such value.
        passed: Whether that is fine.
        message: What is wrong, in a few words that follow the name of the output; empty where it passed.
        where: Where the limit is set, such as ``fox.yaml:12``; empty for a limit that no file sets.
    """

    check: str
    job_id: str
    role: str
    measured: Value
    limit: Value
    passed: bool
    message: str = ""
    where: str = ""

    @property
    def label(self) -> str:
        """Return the name of the check as people read it."""
        return self.check.replace("_", " ")


class Check(Protocol):
    """Judges one output at a time; any function of this shape is a check. It may be called by several threads."""

    def __call__(self, output: Output, /) -> Iterable[Finding]:
        """Yield a finding for each value that it looks at; none where the output lacks what it needs."""
        ...


def finding(output: Output, check: str, *, measured: Value, limit: Value, problem: str) -> Finding:
    """Return a finding on an output.

    Args:
        output: The output.
        check: What was checked.
        measured: What was found.
        limit: What it was held against.
        problem: What is wrong; empty where it passed.
    """
    return Finding(
        check=check,
        job_id=output.job_id,
        role=output.role,
        measured=measured,
        limit=limit,
        passed=not problem,
        message=problem,
    )


def failures(output: Output, checks: Iterable[Check]) -> list[Finding]:
    """Return what checks find wrong with an output, in their order."""
    return [found for check in checks for found in check(output) if not found.passed]


def installed_checks() -> Mapping[str, Check]:
    """Return all checks that installed packages announce, by name.

    Raises:
        UsageError: One cannot be imported, is not callable, or is called as one of ours.
    """
    return plugins(GROUP, "check", taken=BUILT_IN)
