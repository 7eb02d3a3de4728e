"""From a run folder to what is asked of it: a suggestion, a contact sheet. The page and its files are made by `writer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from comfy_runner.errors import UsageError
from comfy_runner.report.axes import find_axis
from comfy_runner.report.measure_run import can_measure, measure_all
from comfy_runner.report.measures import Measured, Measures
from comfy_runner.report.metric_plugins import installed_metrics
from comfy_runner.report.run_data import Material, read_material
from comfy_runner.report.sheet.sheet import Sheet, draw_sheet
from comfy_runner.report.suggest import suggest, usual_axis
from comfy_runner.report.suggestion import Limits, Suggestion
from comfy_runner.text_files import shown

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric

Progress = Callable[[int, int], None]

SHEET: Final = "sheet.png"
"""Where a contact sheet goes, in the run folder."""

EXTRA: Final = "pip install 'comfy-runner[report]'"


def suggest_value(
    folder: Path,
    *,
    axis: str | None,
    limits: Limits | None,
    custom: Mapping[str, Metric] | None,
    progress: Progress | None,
) -> Suggestion:
    """See `comfy_runner.suggest`."""
    material = read_material(folder)
    chosen = find_axis(material, axis, "--axis") if axis is not None else usual_axis(material)
    if chosen is None:
        known = [one.field for one in material.axes]
        what = "no single axis suggests itself" if known else "has no axis to compare values of, for nothing was swept"
        hint = f"name one with --axis: {', '.join(known)}" if known else "sweep one: --sweep upscale.denoise=0.45:0.70:0.05"
        raise UsageError(what, where=shown(folder), hint=hint)
    _require_metrics()
    measured, _ = measure_run(material, custom, progress)
    return suggest(material, measured, chosen, limits=limits)


def draw(
    folder: Path,
    *,
    rows: str | None,
    columns: str | None,
    cell: int,
    target: Path | None,
    progress: Progress | None,
) -> Sheet:
    """See `comfy_runner.draw_sheet`."""
    material = read_material(folder)
    for name, option in ((rows, "--rows"), (columns, "--columns")):
        if name is not None:
            find_axis(material, name, option)  # measuring takes long, and is in vain for one that is not there
    measured = measure_run(material, None, progress)[0] if can_measure() else None
    return draw_sheet(material, rows=rows, columns=columns, cell=cell, target=target or folder / SHEET, measured=measured)


def measure_pair(original: Path, upscaled: Path, custom: Mapping[str, Metric]) -> Measures:
    """See `comfy_runner.measure`."""
    _require_metrics()
    from comfy_runner.report.metrics import measure

    return measure(original, upscaled, custom=custom)


def measure_run(
    material: Material, custom: Mapping[str, Metric] | None, progress: Progress | None
) -> tuple[dict[str, Measured], tuple[str, ...]]:
    """Measure what is not measured yet, with the metrics that are installed, or with these; see `measure_all`."""
    return measure_all(material, custom=installed_metrics() if custom is None else custom, progress=progress)


def _require_metrics() -> None:
    if not can_measure():
        raise UsageError("measuring needs numpy and scikit-image, which are not installed", hint=EXTRA)
