"""What is made of finished pictures: reports, suggestions, contact sheets, measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from comfy_runner.report import from_folder, writer
from comfy_runner.report.measures import Measures
from comfy_runner.report.sheet.sheet import Sheet
from comfy_runner.report.suggestion import Limits, Suggestion
from comfy_runner.report.writer import Report

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric


def write_report(
    run_folder: Path | str,
    *,
    axis: str | None = None,
    limits: Limits | None = None,
    metrics: Mapping[str, Metric] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write ``report.html``, ``metrics.json`` and ``metrics.csv`` into a run folder, which may be in use.

    Without the extra ``comfy-runner[report]`` nothing is measured, and there is only the page.

    Args:
        run_folder: The folder of a run, which may be in use.
        axis: The axis of the suggestion, such as ``upscale.denoise``; None for denoise, or else the only one that is no seed.
        limits: The highest values that a picture may have to be suggested; None for the usual ones.
        metrics: Metrics of your own, by name; None for those that installed packages announce (docs/metrics.md).
        progress: Called with how many pairs of pictures have been measured, and how many there are; None for nothing.

    Raises:
        UsageError: There is no such axis, or a metric of your own cannot be used.
        RunFolderError: It is no run folder, cannot be read or cannot be written.
    """
    return writer.write_report(Path(run_folder), axis=axis, limits=limits, custom=metrics, progress=progress)


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
        axis: The axis of the suggestion, such as ``upscale.denoise``; None for denoise, or else the only one that is no seed.
        limits: The highest values that a picture may have to be suggested; None for the usual ones.
        metrics: Metrics of your own, by name; None for those that installed packages announce (docs/metrics.md).
        progress: Called with how many pairs of pictures have been measured, and how many there are; None for nothing.

    Raises:
        UsageError: There is no such axis, or none to choose from, or measuring is not possible.
        RunFolderError: It is no run folder, or cannot be read.
    """
    return from_folder.suggest_value(Path(run_folder), axis=axis, limits=limits, custom=metrics, progress=progress)


def draw_sheet(
    run_folder: Path | str,
    *,
    rows: str | None = None,
    columns: str | None = None,
    cell: int = 384,
    target: Path | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sheet:
    """Draw the pictures of a run as one labelled grid, a PNG.

    Args:
        run_folder: The folder of a run, which may be in use.
        rows: The axis of the rows; None for all that are not the columns'.
        columns: The axis of the columns; None for denoise, or else the last.
        cell: The longer side of the largest picture in the sheet, in pixels.
        target: The file; None for ``sheet.png`` in the run folder.
        progress: Called with how many pairs of pictures have been measured, and how many there are; None for nothing.

    Raises:
        UsageError: There is no such axis, or the target is no place for a sheet.
        RunFolderError: It is no run folder, cannot be read or cannot be written.
    """
    where = None if target is None else Path(target)
    return from_folder.draw(Path(run_folder), rows=rows, columns=columns, cell=cell, target=where, progress=progress)


def measure(original: Path | str, upscaled: Path | str, *, metrics: Mapping[str, Metric] | None = None) -> Measures:
    """Measure an upscaled picture against its original; any two PNG, JPEG or WebP files will do.

    Args:
        original: The picture of the first pass.
        upscaled: The picture of the second pass, of the same aspect.
        metrics: Metrics of your own, by name; None for none.

    Raises:
        UsageError: Measuring is not possible.
        VerificationError: A file is no whole picture, or the two cannot be compared.
    """
    return from_folder.measure_pair(Path(original), Path(upscaled), metrics or {})
