"""Writes a report into the run folder: the page with its thumbnails, ``metrics.json``, ``metrics.csv``.

Nothing of it is a picture that a GPU has made: it can be deleted and made again at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from comfy_runner._version import __version__
from comfy_runner.atomic_files import open_plain, remove_leftovers, write_atomically
from comfy_runner.errors import RunFolderError
from comfy_runner.report.export import dumped, metrics_csv, metrics_json
from comfy_runner.report.measure_run import EXTRA, Progress, can_measure, measure_all
from comfy_runner.report.measures import Measured
from comfy_runner.report.page.page import PAGE, write_page
from comfy_runner.report.run_data import ORIGINAL, UPSCALED, Axis, Material, find_axis, read_material
from comfy_runner.report.suggest import Limits, Suggestion, suggest, usual_axis
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.local import folder_errors, refuse_links
from comfy_runner.store.run_folder import REPORT_FILES
from comfy_runner.text_files import shown
from comfy_runner.wording import counted

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric

METRICS: Final = "metrics.json"
TABLE: Final = "metrics.csv"

_MADE_FROM: Final = "made-from.sha256"
_LONGEST_STATE: Final = 100

WITHOUT_METRICS: Final = f"nothing is measured, for numpy and scikit-image are not installed: {EXTRA}"


@dataclass(frozen=True, slots=True)
class Report:
    """What was written.

    Attributes:
        page: ``report.html``.
        metrics: ``metrics.json``; None where nothing can be measured.
        table: ``metrics.csv``; likewise.
        measured: What was measured of each job, or of each of its outputs: ``job/output``.
        suggestion: The value to use; None where no axis was swept that could have one.
        notes: What the user should know.
    """

    page: Path
    metrics: Path | None
    table: Path | None
    measured: Mapping[str, Measured]
    suggestion: Suggestion | None
    notes: tuple[str, ...]


def write_report(
    run_folder: Path | str,
    *,
    axis: str | None = None,
    limits: Limits | None = None,
    metrics: Mapping[str, Metric] | None = None,
    progress: Progress | None = None,
    store: ArtifactStore | None = None,
) -> Report:
    """Write ``report.html``, ``metrics.json`` and ``metrics.csv`` into a run folder, which may be in use.

    Without the extra ``comfy-runner[report]`` nothing is measured, and there is only the page.

    Args:
        run_folder: The folder of a run, which may be in use.
        axis: The axis of the suggestion, such as ``upscale.denoise``; None for denoise, or else the only one that is no seed.
        limits: The highest values that a picture may have to be suggested; None for the usual ones.
        metrics: Metrics of your own, by name; None for those that installed packages announce (docs/metrics.md).
        progress: Called with how many pairs of pictures have been measured, and how many there are; None for nothing.
        store: Where the pictures are; None for the folder itself.

    Raises:
        UsageError: There is no such axis, or a metric of your own cannot be used.
        RunFolderError: It is no run folder, cannot be read or cannot be written.
    """
    folder, limits = Path(run_folder), limits or Limits()
    material = read_material(folder, store)
    named = find_axis(material, axis, "--axis") if axis is not None else None
    _refuse_pictures(material)
    refuse_links(folder, folder / REPORT_FILES)
    measured: Mapping[str, Measured] = {}
    notes: Sequence[str] = (WITHOUT_METRICS,)
    if can_measure():
        measured, notes = measure_all(material, custom=metrics, progress=progress)
        notes = (*notes, *_without_original(material))
    chosen = named or usual_axis(material)
    suggestion = suggest(material, measured, chosen, limits=limits) if chosen is not None and measured else None
    with folder_errors(folder):
        # What an earlier report that was killed has left.
        for name in (PAGE, METRICS, TABLE):
            remove_leftovers(folder / name)
        if measured:
            told = metrics_json(material, measured, suggestion, limits)
            write_atomically(folder / METRICS, dumped(told))
            write_atomically(folder / TABLE, metrics_csv(told).encode("utf-8", "backslashreplace"))
    page = write_page(material, measured, suggestion, notes=notes)
    with folder_errors(folder):
        write_atomically(folder / REPORT_FILES / _MADE_FROM, _state(material, named, limits).encode())
    metrics_file, table = (folder / METRICS, folder / TABLE) if measured else (None, None)
    return Report(page, metrics_file, table, measured, suggestion, tuple(notes))


def is_current(folder: Path) -> bool:
    """Return whether there is a page that was made of what the run folder has now, in the usual way.

    Raises:
        RunFolderError: It is no run folder, or cannot be read.
    """
    try:
        with open_plain(folder / REPORT_FILES / _MADE_FROM) as file:
            made = file.read(_LONGEST_STATE).decode()
    except (OSError, ValueError):
        return False
    return (folder / PAGE).is_file() and made == _state(read_material(folder), None, Limits())


def _state(material: Material, axis: Axis | None, limits: Limits) -> str:
    """Return a hash of all that a report is made from."""
    jobs = [(entry.name, entry.row.state, entry.row.seconds, entry.row.error, entry.pictures) for entry in material.entries]
    made_from = (__version__, can_measure(), material.axes, axis, limits, jobs)
    return hashlib.sha256(repr(made_from).encode("utf-8", "backslashreplace")).hexdigest()


def _without_original(material: Material) -> Iterator[str]:
    """Yield a note on jobs that have a picture but no original to measure it against: their workflow saves one picture only."""
    alone = {entry.job_id for entry in material.entries if UPSCALED in entry.pictures and ORIGINAL not in entry.pictures}
    if alone:
        has, them = counted(len(alone), "job has", "jobs have"), "it" if len(alone) == 1 else "them"
        yield f"{has} no original picture to be held against, so nothing is measured of {them}"


def _refuse_pictures(material: Material) -> None:
    taken = {row.path for entry in material.entries for rows in entry.pictures.values() for row in rows}
    for name in (PAGE, METRICS, TABLE):
        if name in taken:
            what = "is a picture of this run, which a report would overwrite"
            raise RunFolderError(what, where=shown(material.folder / name), hint="move it, or let the recipe name it otherwise")
