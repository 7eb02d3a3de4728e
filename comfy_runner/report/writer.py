"""Writes a report into the run folder: the page with its thumbnails, ``metrics.json``, ``metrics.csv``.

Nothing of it is a picture that a GPU has made: it can be deleted and made again at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from comfy_runner._version import __version__
from comfy_runner.atomic_files import open_plain, remove_leftovers, write_atomically
from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.report.calibrations import told_limits
from comfy_runner.report.export import dumped, metrics_csv, metrics_json
from comfy_runner.report.eye_order import eye_order
from comfy_runner.report.found import told_by_search
from comfy_runner.report.measure_run import EXTRA, Progress, can_measure, measure_all
from comfy_runner.report.measures import Measured
from comfy_runner.report.page.embedding import MOST_BYTES
from comfy_runner.report.page.page import PAGE, write_page
from comfy_runner.report.page.picks_facts import picks_facts
from comfy_runner.report.page.single import write_single
from comfy_runner.report.page.zipped import write_zip
from comfy_runner.report.run_data import ORIGINAL, UPSCALED, Axis, Material, find_axis, read_material
from comfy_runner.report.suggest import Limits, Suggestion, suggest, usual_axis
from comfy_runner.report.target import check_target, publish
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.local import folder_errors, refuse_links
from comfy_runner.store.registry import local_part
from comfy_runner.store.run_folder import COMPARISON_FILES, REPORT_FILES
from comfy_runner.text_files import local_path, shown
from comfy_runner.wording import counted

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric

METRICS: Final = "metrics.json"
TABLE: Final = "metrics.csv"
SINGLE: Final = "report-single.html"
"""The page with its pictures in it, unless another place is named."""

ZIP: Final = "report.zip"
"""The page and its pictures in a zip, likewise."""

MADE_FROM: Final = "made-from.sha256"
"""What is written last of a report, in its folder of files."""

_LONGEST_STATE: Final = 100

WITHOUT_METRICS: Final = f"nothing is measured, because numpy is not installed: {EXTRA}"


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
        single: The page with its pictures in it, which opens alone; None where none was asked for.
        reduced: What was done to the pictures in it, a sentence; empty where they are the very files.
        zipped: The zip with the page and its full-size pictures; None where none was asked for.
    """

    page: Path
    metrics: Path | None
    table: Path | None
    measured: Mapping[str, Measured]
    suggestion: Suggestion | None
    notes: tuple[str, ...]
    single: Path | None = None
    reduced: str = ""
    zipped: Path | None = None


def write_report(
    run_folder: Path | str,
    *,
    axis: str | None = None,
    limits: Limits | None = None,
    metrics: Mapping[str, Metric] | None = None,
    progress: Progress | None = None,
    store: ArtifactStore | None = None,
    single_file: Path | str | None = None,
    max_size: int = MOST_BYTES,
    quality: int | None = None,
    zip_file: Path | str | None = None,
) -> Report:
    """Write ``report.html``, ``metrics.json`` and ``metrics.csv`` into a run folder, which may be in use.

    Without the extra ``comfy-runner[report]`` nothing is measured, and there is only the page.

    Args:
        run_folder: The folder of a run, which may be in use, or its URL: then the page is put beside the pictures there.
        axis: The axis of the suggestion, such as ``upscale.denoise``; None for denoise, or else the only one that is no seed.
        limits: The highest values that a picture may have to be suggested; None for the usual ones.
        metrics: Metrics of your own, by name; None for those that installed packages announce (docs/metrics.md).
        progress: Called with how many pairs of pictures have been measured, and how many there are; None for nothing.
        store: Where the pictures are; None for the folder itself.
        single_file: Where the page is written once more, as one file with its pictures in it that opens alone, as viewers of
            artifacts need it: a path that ends in ``.html``; None for nowhere.
        max_size: Largest size of that file, in bytes. To keep it, its pictures are made smaller and worse, all alike.
        quality: Of its pictures, as WebP, from 1 to 100; None for the very files where they fit, or else 90 and less.
        zip_file: Where the page is written with its full-size pictures beside it, in a zip: a path that ends in ``.zip``; None for
            nowhere.

    Raises:
        UsageError: There is no such axis, a metric of your own cannot be used, or the single file has no such place, cannot be
            kept that small, or no such quality.
        RunFolderError: It is not a run folder, cannot be read or cannot be written.
    """
    folder, limits = local_part(run_folder), limits or Limits()
    material = read_material(folder, store)
    named = find_axis(material, axis, "--axis") if axis is not None else None
    _refuse_pictures(material)
    if single_file is not None:
        check_target(material, local_path(single_file), suffix=".html", what="the page")
        if quality is not None and not 1 <= quality <= 100:
            raise UsageError(f"must be from 1 to 100 (got {quality})", where="--quality")
    if zip_file is not None:
        check_target(material, local_path(zip_file), suffix=".zip", what="the zip")
    refuse_links(folder, folder / REPORT_FILES)
    measured, suggestion, notes = judged(material, named or usual_axis(material), limits, metrics=metrics, progress=progress)
    with folder_errors(folder):
        # What an earlier report that was killed has left.
        for name in (PAGE, METRICS, TABLE):
            remove_leftovers(folder / name)
        if measured:
            told = metrics_json(material, measured, suggestion, limits)
            write_atomically(folder / METRICS, dumped(told))
            write_atomically(folder / TABLE, metrics_csv(told).encode("utf-8", "backslashreplace"))
    shown_notes = [note for note in (told_limits(limits), *notes) if note]
    page = write_page(material, measured, suggestion, notes=shown_notes)
    with folder_errors(folder):
        write_atomically(folder / REPORT_FILES / MADE_FROM, _state(material, named, limits).encode())
    single, reduced = Path(single_file) if single_file is not None else None, ""
    if single is not None:
        reduced = write_single(single, material, measured, suggestion, notes=shown_notes, most=max_size, quality=quality)
    zipped = Path(zip_file) if zip_file is not None else None
    if zipped is not None:
        beside = (METRICS, TABLE) if measured else ()
        gone = write_zip(zipped, material, measured, suggestion, notes=shown_notes, beside=beside)
        notes = (*notes, gone) if gone else notes
    pictures = (*(folder / REPORT_FILES).glob("*.webp"), *(folder / COMPARISON_FILES).rglob("*.*"))
    told_of = [folder / name for name in (METRICS, TABLE) if measured]
    # The page last: whoever looks at it finds all else.
    publish(material, (*pictures, *told_of, *(path for path in (single, zipped) if path is not None), page))
    metrics_file, table = (folder / METRICS, folder / TABLE) if measured else (None, None)
    return Report(page, metrics_file, table, measured, suggestion, notes, single, reduced, zipped)


def judged(
    material: Material,
    axis: Axis | None,
    limits: Limits,
    *,
    metrics: Mapping[str, Metric] | None = None,
    progress: Progress | None = None,
) -> tuple[Mapping[str, Measured], Suggestion | None, tuple[str, ...]]:
    """Measure a run, and return what was measured, what is suggested along an axis, and what the user should know of both.

    Args:
        material: The run.
        axis: The axis of the suggestion; None for none.
        limits: The highest values that a picture may have to be suggested.
        metrics: As of `write_report`.
        progress: Likewise.

    Raises:
        UsageError: A metric of the user's own cannot be used.
        RunFolderError: What was measured cannot be written down.
    """
    measured: Mapping[str, Measured] = {}
    notes: Sequence[str] = (WITHOUT_METRICS,)
    if can_measure():
        measured, notes = measure_all(material, custom=metrics, progress=progress)
        notes = (*notes, *_without_original(material))
    if searched := told_by_search(material.folder):
        notes = (searched, *notes)
    suggestion = suggest(material, measured, axis, limits=limits) if axis is not None and measured else None
    if suggestion is not None and axis is not None:
        named = suggestion.chosen.label if suggestion.chosen else None
        eyes, left_out = eye_order(material, measured, axis, named=named)
        suggestion, notes = replace(suggestion, eyes=eyes), (*left_out, *notes)
    return measured, suggestion, (*(suggestion.notes if suggestion is not None else ()), *notes)


def is_current(folder: Path, limits: Limits | None = None) -> bool:
    """Return whether there is a page that was made of what the run folder has now, for no other axis than the usual one.

    Args:
        folder: The run folder.
        limits: Those of the suggestion; None for the usual ones.

    Raises:
        RunFolderError: It is not a run folder, or cannot be read.
    """
    try:
        with open_plain(folder / REPORT_FILES / MADE_FROM) as file:
            made = file.read(_LONGEST_STATE).decode()
    except (OSError, ValueError):
        return False
    return (folder / PAGE).is_file() and made == _state(read_material(folder), None, limits or Limits())


def _state(material: Material, axis: Axis | None, limits: Limits) -> str:
    """Return a hash of all that a report is made from."""
    jobs = [
        (entry.name, entry.row.state, entry.row.seconds, entry.row.error, entry.pictures, entry.failed)
        for entry in material.entries
    ]
    made_from = (__version__, can_measure(), material.axes, axis, limits, jobs, material.differences, picks_facts(material))
    return hashlib.sha256(repr(made_from).encode("utf-8", "backslashreplace")).hexdigest()


def _without_original(material: Material) -> Iterator[str]:
    """Yield a note on jobs that have a picture but no original to measure it against: their workflow saves one picture only."""
    alone = {entry.job_id for entry in material.entries if UPSCALED in entry.pictures and ORIGINAL not in entry.pictures}
    if alone:
        has, them = counted(len(alone), "job has", "jobs have"), "it is" if len(alone) == 1 else "they are"
        yield f"{has} no original picture to compare with, so {them} not measured"


def _refuse_pictures(material: Material) -> None:
    taken = {row.path for entry in material.entries for rows in entry.pictures.values() for row in rows}
    for name in (PAGE, METRICS, TABLE):
        if name in taken:
            what = "is a picture of this run, which a report would overwrite"
            raise RunFolderError(what, where=shown(material.folder / name), hint="move it, or have the recipe name it differently")
