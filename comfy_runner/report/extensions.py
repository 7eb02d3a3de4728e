"""What installed packages add to a report: metrics, and checks that rule pictures out; docs/metrics.md has an example of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from comfy_runner.check.interface import Check, Output, failures
from comfy_runner.check.registry import installed_checks
from comfy_runner.errors import RunFolderError
from comfy_runner.plugins import plugins
from comfy_runner.report.measures import NUMBERS, Measured, Measures
from comfy_runner.report.run_data import Entry, Material
from comfy_runner.store.job_files import JobFiles

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric

METRICS: Final = "comfy_runner.metrics"
"""The group of entry points of metrics."""


def installed_metrics() -> Mapping[str, Metric]:
    """Return all announced metrics by name.

    Raises:
        UsageError: One cannot be imported, is not callable, or is called as one of ours.
    """
    return plugins(METRICS, "metric", taken=NUMBERS)


def ruled_out(material: Material, measured: Mapping[str, Measured]) -> tuple[dict[str, Measured], tuple[str, ...]]:
    """Return what was measured with what installed checks find wrong as further vetoes, and which of these checks failed.

    Args:
        material: The run.
        measured: What was measured, by the entries' names.

    Raises:
        UsageError: An announced check cannot be used.
    """
    checks = installed_checks()
    judged, problems = dict(measured), dict[str, None]()
    for entry in material.entries if checks else ():
        measures = measured[entry.name].measures
        if measures is not None:
            wrong = _wrong(_output(material, entry, measures), checks, problems)
            judged[entry.name] = replace(measured[entry.name], measures=replace(measures, vetoes=(*measures.vetoes, *wrong)))
    return judged, tuple(problems)


def _output(material: Material, entry: Entry, measures: Measures) -> Output:
    try:
        sidecar = JobFiles(material.store).sidecar(entry.job_id)
    except RunFolderError:
        sidecar = None
    return Output(
        job_id=entry.job_id,
        role=entry.output,
        record=next(iter(sidecar.files.get(entry.output, ())), None) if sidecar else None,
        metrics={**{name: getattr(measures, name) for name in NUMBERS}, **measures.extra},
        values=entry.values,
    )


def _wrong(output: Output, checks: Mapping[str, Check], problems: dict[str, None]) -> Iterator[str]:
    """Yield what checks find wrong with an output, and note which of them failed: the others are still wanted."""
    for name, check in checks.items():
        try:
            yield from [found.label for found in failures(output, [check])]
        except Exception as error:  # whatever a foreign function raises
            problems[f"check {name} failed ({type(error).__name__}: {error})"] = None
