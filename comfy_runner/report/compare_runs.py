"""One page of several runs, with the run as an axis. What is measured and suggested stays that of each run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from comfy_runner.atomic_files import open_plain, write_atomically
from comfy_runner.errors import UsageError
from comfy_runner.report.fixed_values import fixed_values
from comfy_runner.report.joined_runs import NOW, RunPart, join, parts_of
from comfy_runner.report.measure_run import Progress, can_measure, measure_all
from comfy_runner.report.measures import Measured
from comfy_runner.report.page.embedding import MOST_BYTES
from comfy_runner.report.page.joined_facts import JoinedRun
from comfy_runner.report.page.page import PAGE, write_page
from comfy_runner.report.page.single import write_single
from comfy_runner.report.page.thumbnails import thumbnail_key
from comfy_runner.report.page.zipped import write_zip
from comfy_runner.report.run_data import RUN, Axis, Material, find_axis
from comfy_runner.report.suggest import Limits, suggest, usual_axis
from comfy_runner.report.target import check_target, refuse_foreign, url_from
from comfy_runner.report.writer import WITHOUT_METRICS
from comfy_runner.store.local import folder_errors, refuse_links
from comfy_runner.store.registry import local_part
from comfy_runner.store.run_folder import REPORT_FILES
from comfy_runner.store.status import is_run_folder
from comfy_runner.text_files import local_path, shown

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric

_MOST_THUMBNAIL = 1024 * 1024
_OURS = b" comfy_runner</title>"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedReport:
    """A page of several runs that was written.

    Attributes:
        page: ``report.html``.
        runs: What is said of each, with its suggestion, in their order.
        measured: What was measured, by ``run/job``, or ``run/job/output``.
        notes: What the user should know.
        single: The page with its pictures in it; None where none was asked for.
        reduced: What was done to the pictures in it, a sentence; empty where they are the very files.
        zipped: The zip with the page and its full-size pictures; None where none was asked for.
    """

    page: Path
    runs: tuple[JoinedRun, ...]
    measured: Mapping[str, Measured]
    notes: tuple[str, ...]
    single: Path | None = None
    reduced: str = ""
    zipped: Path | None = None


def compare_runs(
    run_folders: Sequence[Path | str],
    out: Path | str,
    *,
    superseded: bool = False,
    axis: str | None = None,
    limits: Limits | None = None,
    metrics: Mapping[str, Metric] | None = None,
    progress: Progress | None = None,
    single_file: Path | str | None = None,
    max_size: int = MOST_BYTES,
    quality: int | None = None,
    zip_file: Path | str | None = None,
) -> JoinedReport:
    """Write a page that shows several runs beside each other: ``report.html`` in a folder of its own.

    In the run folders nothing is written but what was measured. The page leads to pictures by their place relative to it; those
    that lie at a URL are shown small.

    Args:
        run_folders: At least two folders of runs, which may be in use, or their URLs; one with `superseded`.
        out: The folder of the page, which is made; no run folder.
        superseded: Whether the run is shown beside what it has replaced: what was there last of each job is the run ``earlier 1``.
        axis: The axis of the suggestions, such as ``upscale.denoise``; None for that of each run.
        limits: The highest values that a picture may have to be suggested, the same for all; None for the usual ones.
        metrics: Metrics of your own, by name; None for those that installed packages announce (docs/metrics.md).
        progress: Called with how many pairs of pictures of a run have been measured, and how many there are; None for nothing.
        single_file: Where the page is written as one file, too: a path that ends in ``.html``; None for nowhere.
        max_size: Largest size of that file, in bytes.
        quality: Of its pictures, as WebP, from 1 to 100; None for the very files where they fit, or else 90 and less.
        zip_file: Where the page is written with its pictures in a zip: a path that ends in ``.zip``; None for nowhere.

    Raises:
        UsageError: There are too few runs, none has the axis, or a file has no such place or cannot be kept that small.
        RunFolderError: One is no run folder, cannot be read, or something cannot be written.
    """
    folder, folders, limits = local_path(out), [local_part(each) for each in run_folders], limits or Limits()
    if len(folders) != 1 if superseded else len(folders) < 2:
        what = "has only one run" if superseded else "needs two runs or more"
        raise UsageError(what, where="--superseded" if superseded else "a comparison")
    if is_run_folder(folder):
        raise UsageError(
            "is a run folder, which has a report of its own", where=shown(folder), hint="name another folder with --out"
        )
    refuse_foreign(folder / PAGE, _OURS)
    parts = parts_of(folders, superseded=superseded)
    material = join(parts, folder)
    for target, suffix, what in ((single_file, ".html", "the page"), (zip_file, ".zip", "the zip")):
        if target is not None:
            check_target(material, local_path(target), suffix=suffix, what=what)
    axes = _axes(parts, axis)
    with folder_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    refuse_links(folder, folder / REPORT_FILES)
    measured, notes = _measured(parts, material, metrics, progress) if can_measure() else ({}, [WITHOUT_METRICS])
    runs = tuple(_runs(parts, material, axes, measured, limits))
    with folder_errors(folder):
        _take_thumbnails(parts, folder)
    page = write_page(material, measured, None, notes=notes, joined=runs)
    single, reduced = None if single_file is None else local_path(single_file), ""
    if single is not None:
        reduced = write_single(single, material, measured, None, notes=notes, most=max_size, quality=quality, joined=runs)
    zipped = None if zip_file is None else local_path(zip_file)
    if zipped is not None and (gone := write_zip(zipped, material, measured, None, notes=notes, joined=runs)):
        notes = [*notes, gone]
    return JoinedReport(page=page, runs=runs, measured=measured, notes=tuple(notes), single=single, reduced=reduced, zipped=zipped)


def _axes(parts: Sequence[RunPart], name: str | None) -> dict[str, Axis]:
    """Return the axis of the suggestion of each run that has one."""
    found: dict[str, Axis] = {}
    fault: UsageError | None = None
    for part in parts:
        if part.material is None:
            continue
        try:
            axis = find_axis(part.material, name, "--axis") if name is not None else usual_axis(part.material)
        except UsageError as error:
            fault = error
            continue
        if axis is not None:
            found[part.name] = axis
    if fault is not None and not found:
        raise fault
    return found


def _measured(
    parts: Sequence[RunPart], material: Material, metrics: Mapping[str, Metric] | None, progress: Progress | None
) -> tuple[dict[str, Measured], list[str]]:
    """Return what was measured of all runs, by the entries' names in the page, and what is to be known of it."""
    found: dict[str, Measured] = {}
    notes: list[str] = []
    for part in parts:
        if part.material is None:
            continue
        own, told = measure_all(part.material, custom=metrics, progress=progress)
        notes += [f"{part.name}: {note}" for note in told]
        for name, one in own.items():
            same, close = (each and f"{part.name}/{each}" for each in (one.same_as, one.close_to))
            found[f"{part.name}/{name}"] = replace(one, same_as=same, close_to=close)
    replaced = {part.name for part in parts if part.material is None}
    if replaced:
        earlier = replace(material, entries=tuple(entry for entry in material.entries if entry.values.get(RUN) in replaced))
        own, told = measure_all(earlier, custom=metrics, progress=progress)
        found |= own
        notes += told
    return found, notes


def _runs(
    parts: Sequence[RunPart], material: Material, axes: Mapping[str, Axis], measured: Mapping[str, Measured], limits: Limits
) -> Iterator[JoinedRun]:
    alone = {
        part.name: part.material
        or replace(material, entries=tuple(entry for entry in material.entries if entry.values.get(RUN) == part.name))
        for part in parts
    }
    values = {name: fixed_values(one) for name, one in alone.items()}
    for part in parts:
        suggestion, curve = None, None
        if part.material is not None and part.name in axes and measured:
            own = {name.partition("/")[2]: one for name, one in measured.items() if name.partition("/")[0] == part.name}
            curve = suggestion = suggest(part.material, own, axes[part.name], limits=limits)
        elif part.material is None and measured and (axis := axes.get(NOW)) is not None:
            # Of what was replaced nothing is suggested, but it can be seen whether it was better.
            along = next((each for each in material.axes if each.field == axis.field), axis)
            curve = suggest(alone[part.name], measured, along, limits=limits)
        report = part.folder / PAGE
        yield JoinedRun(
            name=part.name,
            place=shown(part.folder),
            url=url_from(material.folder, report) if part.material is not None and report.is_file() else "",
            limits=limits,
            suggestion=suggestion,
            axis=curve.axis if curve else "",
            points=tuple(point for point in curve.points if point.measured or suggestion) if curve else (),
            differs={
                name: text for name, text in values[part.name].items() if any(other.get(name) != text for other in values.values())
            },
        )


def _take_thumbnails(parts: Sequence[RunPart], folder: Path) -> None:
    """Copy the thumbnails that reports of the runs have made already."""
    for part in parts:
        entries = part.material.entries if part.material is not None else ()
        keys = {thumbnail_key(row.sha256) for entry in entries for rows in entry.pictures.values() for row in rows}
        for key in keys:
            if (folder / key).exists() or not (part.folder / key).is_file():
                continue
            with open_plain(part.folder / key) as file:
                content = file.read(_MOST_THUMBNAIL)
            write_atomically(folder / key, content, durable=False)
