"""Suggestions and measures for finished pictures. Reports and sheets are made in `report`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from comfy_runner.errors import UsageError
from comfy_runner.report import suggest as suggesting
from comfy_runner.report.eye_order import eye_order
from comfy_runner.report.measure_run import measure_all, require_metrics
from comfy_runner.report.measures import Measures
from comfy_runner.report.run_data import PICTURE, Material, find_axis, read_material
from comfy_runner.report.suggest import Limits, Suggestion
from comfy_runner.store.registry import local_part
from comfy_runner.text_files import shown

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric


def suggest(
    run_folder: Path | str,
    *,
    axis: str | None = None,
    limits: Limits | None = None,
    metrics: Mapping[str, Metric] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Suggestion:
    """Return which value of an axis gives the most real detail while the composition is kept, with the whole trade-off.

    Args:
        run_folder: The folder of a run, which may be in use.
        axis: The axis of the suggestion, such as ``upscale.denoise``; None for denoise, or for the only one that is not a seed.
        limits: The limits that a suggested picture must keep; None for the defaults.
        metrics: Your own metrics, by name; None for those of installed packages (docs/metrics.md).
        progress: Called with the number of pairs of pictures measured so far, and with their total; None for nothing.

    Raises:
        UsageError: There is no such axis, or no axis to choose, or measuring is not possible.
        RunFolderError: The folder is not a run folder, or cannot be read.
    """
    material = read_material(local_part(run_folder))
    chosen = find_axis(material, axis, "--axis") if axis is not None else suggesting.usual_axis(material)
    if chosen is None:
        raise _none_usual(material)
    require_metrics()
    measured, notes = measure_all(material, custom=metrics, progress=progress)
    found = suggesting.suggest(material, measured, chosen, limits=limits)
    eyes, left_out = eye_order(material, measured, chosen, named=found.chosen.label if found.chosen else None)
    return replace(found, eyes=eyes, notes=(*found.notes, *left_out, *notes))


def _none_usual(material: Material) -> UsageError:
    """Return the error for a run without a default axis, if none was named."""
    fields = [axis.field for axis in suggesting.comparable_axes(material)]
    swept = " and ".join(axis.field for axis in material.axes if axis.field != PICTURE)
    hint = "sweep a setting: --sweep upscale.denoise=0.45:0.70:0.05"
    if fields:
        what, hint = "there are several axes to choose from", f"name one with --axis: {', '.join(fields)}"
    elif swept:
        what = f"only {swept} was swept, whose values make different pictures, not better ones"
    else:
        what = "has no axis to compare values of, because nothing was swept"
    return UsageError(what, where=shown(material.folder), hint=hint)


def measure(original: Path | str, upscaled: Path | str, *, metrics: Mapping[str, Metric] | None = None) -> Measures:
    """Measure an upscaled picture against its original. Both are PNG, JPEG or WebP files from any source.

    Args:
        original: The picture of the first pass.
        upscaled: The picture of the second pass, with the same aspect ratio.
        metrics: Your own metrics, by name; None for none.

    Raises:
        UsageError: Measuring is not possible.
        VerificationError: A file is not a complete picture, or the two cannot be compared.
    """
    require_metrics()
    from comfy_runner.report.metrics import measure as measure_pair

    return measure_pair(Path(original), Path(upscaled), custom=metrics or {})
