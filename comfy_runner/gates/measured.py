"""What is measured of the pictures of a run, as far as it is expected, and what checks of installed packages say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from comfy_runner.check.findings import MeasuredFacts
from comfy_runner.check.interface import Check, Finding, finding
from comfy_runner.check.thresholds import VETO_NAMES
from comfy_runner.report.measure_run import EXTRA, can_measure, measure_all, output_of
from comfy_runner.report.measures import NUMBERS, Measured
from comfy_runner.report.run_data import Entry, Material

NOT_INSTALLED = f"numpy is not installed: {EXTRA}"


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """What was measured of a run.

    Attributes:
        facts: Of each job, by its id: of each of its pictures that is held against an original.
        findings: What checks of installed packages found of each job.
        notes: What the user should know.
    """

    facts: Mapping[str, tuple[MeasuredFacts, ...]] = field(default_factory=dict)
    findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def measure(material: Material, checks: Mapping[str, Check], *, progress: Callable[[int, int], None] | None) -> MeasuredRun:
    """Return what is measured of all jobs of a run.

    Args:
        material: The run.
        checks: Those of installed packages, by name.
        progress: Told how many of how many pairs of pictures have been measured.

    Raises:
        UsageError: An announced metric or check cannot be used.
        RunFolderError: What was measured cannot be written down.
    """
    measured, notes = measure_all(material, progress=progress) if can_measure() else ({}, ())
    facts: dict[str, tuple[MeasuredFacts, ...]] = {}
    findings: dict[str, tuple[Finding, ...]] = {}
    for entry in material.entries:
        one = measured.get(entry.name) or Measured(measures=None, problem=NOT_INSTALLED)
        facts[entry.job_id] = (*facts.get(entry.job_id, ()), _facts(entry, one))
        findings[entry.job_id] = (*findings.get(entry.job_id, ()), *_findings(material, entry, one, checks))
    return MeasuredRun(facts, findings, tuple(notes))


def _facts(entry: Entry, one: Measured) -> MeasuredFacts:
    if one.measures is None:
        return MeasuredFacts(role=entry.output, number=entry.number, problem=one.problem)
    numbers = {**{name: getattr(one.measures, name) for name in NUMBERS}, **one.measures.extra}
    vetoes = tuple(name for name in one.measures.vetoes if name in VETO_NAMES)
    problem = "; ".join(one.failed)
    return MeasuredFacts(role=entry.output, number=entry.number, metrics=numbers, vetoes=vetoes, problem=problem)


def _findings(material: Material, entry: Entry, one: Measured, checks: Mapping[str, Check]) -> Iterator[Finding]:
    output = output_of(material, entry, one.measures)
    for name, check in checks.items():
        try:
            yield from check(output)
        except Exception as error:  # whatever a foreign function raises
            problem = f"check {name} failed ({type(error).__name__}: {error})"
            yield finding(output, name, measured=None, limit=None, problem=problem)
