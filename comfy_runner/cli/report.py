"""Commands on a run's finished pictures: ``report``, ``sheet`` and ``suggest``, with a suggestion as people read it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.formatting import aligned
from comfy_runner.cli.hyperlinks import linked
from comfy_runner.cli.opening import open_option, open_page
from comfy_runner.cli.options import LocalPath, RunPlace, json_option, limit_options, limits_of, run_argument
from comfy_runner.cli.output import print_error, print_json, print_lines, print_notes, print_path, print_stderr, say
from comfy_runner.errors import ComfyRunnerError, Note, UsageError
from comfy_runner.text_files import shown
from comfy_runner.wording import counted, named

if TYPE_CHECKING:
    from comfy_runner.report.compare_runs import JoinedReport
    from comfy_runner.report.suggest import Limits, Point, Suggestion
    from comfy_runner.report.writer import Report

_WORTH_SAYING = 8  # pairs of pictures; fewer are measured in a moment

_ROWS = 10
_NARROWEST = 5
_WIDEST = 10
_DETAIL, _DRIFT, _BOTH, _LIMIT = "●", "○", "◉", "┄"
_MARGIN = 5


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=RunPlace())
@limit_options
@click.option("--out", type=LocalPath(file_okay=False), metavar="DIR", help="The folder for the page of several RUNs.")
@click.option(
    "--superseded", is_flag=True, help="Show the pictures that RUN has replaced beside its current ones, in the folder of --out."
)
@click.option(
    "--single-file",
    "single",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Also write the page as one file that contains its pictures (RUN/report-single.html).",
)
@click.option(
    "--zip",
    "zipped",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Also write a zip with the page and its full-size pictures (RUN/report.zip).",
)
@open_option
@click.option("--max-size", type=click.IntRange(1, 500), metavar="MB", help="Largest size of the single file (25).")
@click.option("--quality", type=click.IntRange(1, 100), metavar="N", help="WebP quality of its pictures (the files if they fit).")
def report(
    folders: tuple[Path, ...],
    *,
    out: Path | None,
    superseded: bool,
    axis: str | None,
    calibrated: bool,
    single: str | None,
    zipped: str | None,
    opens: bool,
    max_size: int | None,
    quality: int | None,
    **limits: float | None,
) -> None:
    """Write report.html, metrics.json and metrics.csv into the run folder RUN.

    The page opens in a browser, without a network. It works beside a live run, of which it shows what there is. Of several RUNs
    one page is written into --out, on which the run is one more axis; the run folders stay as they are.
    """
    from comfy_runner import api
    from comfy_runner.report.writer import SINGLE, ZIP

    if single is None and (max_size or quality):
        raise click.UsageError("--max-size and --quality need --single-file")
    is_joint = len(folders) > 1 or superseded
    if is_joint != (out is not None):
        raise click.UsageError("--out is needed with several RUNs or --superseded, and only then")
    folder = out or folders[0]
    options: dict[str, Any] = {"axis": axis, "quality": quality} | ({"max_size": max_size * 1_000_000} if max_size else {})
    if single is not None:
        options["single_file"] = Path(single) if single else folder / SINGLE
    if zipped is not None:
        options["zip_file"] = Path(zipped) if zipped else folder / ZIP
    found: Report | JoinedReport
    if is_joint:
        # What they are held to must not differ; calibrations of other checkpoints might.
        are_alike = calibrated and len({api.kept_limits(each) for each in folders}) == 1
        options["limits"] = limits_of(limits, folders[0], calibrated=are_alike)
        with measuring() as progress:
            found = api.compare_runs(folders, folder, superseded=superseded, progress=progress, **options)
        suggestions = [(f"{run.name}: ", run.suggestion) for run in found.runs]
        paths = [found.page, found.single, found.zipped]
    else:
        options["limits"] = limits_of(limits, folder, calibrated=calibrated)
        with measuring() as progress:
            found = api.write_report(folder, progress=progress, **options)
        suggestions = [("", found.suggestion)]
        paths = [found.page, found.metrics, found.table, found.single, found.zipped]
    print_notes(Note(note) for note in found.notes)
    if found.reduced:
        print_notes([Note(found.reduced, where=shown(found.single or folder), level="changed")])
    for path in filter(None, paths):
        print_path(path)
    for name, suggestion in suggestions:
        if suggestion is not None:
            say(name + sentence(suggestion))
    print_stderr(f"report: {linked(found.single or found.page)}")
    if opens:
        open_page(found.single or found.page)


@click.command()
@run_argument
@click.option("--rows", metavar="FIELD", help="The swept field of the rows (all but that of the columns).")
@click.option("--columns", metavar="FIELD", help="The swept field of the columns (upscale.denoise).")
@click.option(
    "--cell", type=click.IntRange(1, 4096), default=384, show_default=True, metavar="PIXELS", help="Longer side of a picture."
)
@click.option(
    "--crops",
    is_flag=False,
    flag_value=4,
    type=click.IntRange(1, 12),
    metavar="[N]",
    help="The N places (4) that differ most at 100 %, in RUN/crops.png.",
)
@click.option("--out", "target", type=LocalPath(dir_okay=False), metavar="FILE", help="The PNG (RUN/sheet.png).")
def sheet(folder: Path, *, target: Path | None, **given: Any) -> None:
    """Draw the pictures of the run folder RUN as one labelled grid, the original in the first column."""
    from comfy_runner import api

    with measuring() as progress:
        found = api.draw_sheet(folder, target=target, progress=progress, **given)
    print_notes(found.notes)
    if found.left_out:
        print_notes([Note(f"no upscaled picture to draw of {counted(len(found.left_out), 'job')}: {named(found.left_out)}")])
    for path in found.paths:
        print_path(path)


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=RunPlace())
@limit_options
@click.option("--calibrate", is_flag=True, help="Fit the limits to the picks in picks.json of each RUN.")
@click.option("--keep", is_flag=True, help="Use the fitted limits from now on, if they predict you better than the usual ones.")
@click.option("--models", metavar="PATTERN", help="The checkpoints to keep them for, such as '*xl*' (all).")
@json_option("Print one JSON object (docs/metrics.md).")
def suggest(
    folders: tuple[Path, ...],
    *,
    axis: str | None,
    calibrated: bool,
    calibrate: bool,
    keep: bool,
    models: str | None,
    as_json: bool,
    **limits: float | None,
) -> None:
    """Name the denoise value with the most real detail whose drift stays under the limit, from the pictures in RUN.

    Every value is shown, with the reason why it was not chosen. --axis chooses another swept field than denoise. With --calibrate
    and one RUN or several, it says instead which limits agree with your own picks (docs/metrics.md), and changes nothing unless
    --keep is given.
    """
    from comfy_runner import api

    if calibrate:
        from comfy_runner.cli.calibrating import print_calibration

        if axis is not None or not calibrated or any(value is not None for value in limits.values()):
            raise click.UsageError("--calibrate finds the limits: it takes neither --axis, nor limits, nor --no-calibration")
        if models is not None and not keep:
            raise UsageError("--models says for which checkpoints to keep a calibration", hint="add --keep")
        with measuring() as progress:
            limits_found = api.calibrate(folders, progress=progress)
        print_calibration(limits_found, keep=keep, checkpoints="*" if models is None else models, as_json=as_json)
        return
    if len(folders) > 1 or keep or models is not None:
        raise click.UsageError("several RUNs, --keep and --models need --calibrate")
    (folder,) = folders
    allowed = limits_of(limits, folder, calibrated=calibrated)
    with measuring() as progress:
        found = api.suggest(folder, axis=axis, limits=allowed, progress=progress)
    if as_json:
        from comfy_runner.report.export import suggestion_json

        print_json(suggestion_json(found))
        return
    print_notes(map(Note, found.notes))
    lines = [*_table(found), "", *curve(found, width=shutil.get_terminal_size().columns), ""]
    print_lines([*lines, sentence(found), *([found.eyes.told] if found.eyes else []), *_sureness(found), *_apart(found.apart)])


@contextmanager
def measuring(
    *, quiet: bool = False, verb: str = "measuring", noun: str = "picture", worth_saying: int = _WORTH_SAYING
) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes how many of how many pictures are measured: it shows a bar, or without a terminal a sentence.

    Args:
        quiet: Whether nothing is shown.
        verb: What is done.
        noun: What it is done with.
        worth_saying: Of how many of them that is said.
    """
    if quiet:
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from comfy_runner.cli.screen import live

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn())
    progress = Progress(*columns, auto_refresh=False)
    task = progress.add_task(verb, total=None, visible=False)
    with live(progress) as is_shown:
        if is_shown:
            yield lambda done, total: progress.update(task, completed=done, total=total, visible=total >= worth_saying)
        else:
            yield lambda done, total: say(f"{verb} {counted(total, noun)}") if done == 1 and total >= worth_saying else None


def write_report_at_end(folder: Path, limits: Limits | None = None, *, quiet: bool) -> None:
    """Write the report of a run folder after a search; what that has found holds without one, too.

    Args:
        folder: The run folder.
        limits: Those of the suggestion; None for the usual.
        quiet: Whether nothing is said but errors.
    """
    from comfy_runner import api

    try:
        with measuring(quiet=quiet) as progress:
            written = api.write_report(folder, limits=limits, progress=progress)
    except ComfyRunnerError as error:
        print_error(error)
        return
    if not quiet:
        print_stderr(f"report: {linked(written.page)}")


def sentence(found: Suggestion) -> str:
    """Return the suggestion in one sentence."""
    what = found.axis if found.chosen is None else f"{found.axis} {found.chosen.label}"
    return f"{what}: {found.reason}"


def curve(suggestion: Suggestion, *, width: int) -> list[str]:
    """Return the lines of a plot: a column per value, from 0 upwards; the values that are too many for the width are left out.

    Args:
        suggestion: What was suggested.
        width: Of the terminal, in characters.
    """
    points = [point for point in suggestion.points if point.detail is not None]
    if len(points) < 2:
        return []
    longest = max(len(_short(point)) for point in points)
    column = max(_NARROWEST, min(_WIDEST, longest + 2, (width - _MARGIN - 1) // len(points)))
    points = points[: max(2, (width - _MARGIN - 1) // column)]
    top = ceil(max(*(max(point.detail or 0.0, point.drift or 0.0) for point in points), suggestion.limits.drift) * 5) / 5
    plot = [[" "] * (column * len(points)) for _ in range(_ROWS + 1)]
    plot[_height(suggestion.limits.drift, top)] = [_LIMIT] * (column * len(points))
    for number, point in enumerate(points):
        where = number * column + column // 2
        detail, drift = _height(point.detail or 0.0, top), _height(point.drift or 0.0, top)
        plot[detail][where] = _DETAIL
        plot[drift][where] = _DRIFT if detail != drift else _BOTH
    lines = [f"{_scale(number, top)} │{''.join(line).rstrip()}" for number, line in enumerate(plot)]
    lines.append(" " * _MARGIN + "└" + "─" * (column * len(points)))
    lines.append(" " * (_MARGIN + 1) + "".join(_short(point)[: column - 1].center(column) for point in points).rstrip())
    if suggestion.chosen in points:
        where = points.index(suggestion.chosen) * column + column // 2
        lines.append(" " * (_MARGIN + 1 + where) + "▲")
    return [*lines, f"{_DETAIL} detail   {_DRIFT} drift   {_LIMIT} the most drift allowed"]


def _table(found: Suggestion) -> list[str]:
    heading = ("", found.axis, "pictures", "detail", "drift", "worst", "worst region", "")
    return aligned([heading, *(_row(point, chosen=point == found.chosen) for point in found.points)])


def _row(point: Point, *, chosen: bool) -> tuple[str, ...]:
    return (
        "▸" if chosen else "",
        " ".join(point.label.split())[:40],
        str(point.measured),
        _number(point.detail, point.detail_spread),
        _number(point.drift, point.drift_spread),
        _number(point.worst_drift),
        _number(point.worst_local_drift),
        point.why if not point.passes else "",
    )


def _number(value: float | None, spread: float | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if spread is None else f"{value:.2f} ±{spread:.2f}"


def _sureness(found: Suggestion) -> Iterator[str]:
    if not found.series:
        return
    if found.series < 2:
        yield "how much this varies is unknown, because there is only one series (sweep the seed: --sweep seed=1,2,3)"
        return
    votes = ", ".join(f"{value} ({count} of {found.series})" for value, count in found.votes.items())
    yield f"{found.sureness}: judged one by one, the series name {votes}"


def _apart(apart: Mapping[str, Mapping[str, str | None]]) -> Iterator[str]:
    for field, values in apart.items():
        if len(set(values.values())) > 1:
            told = ", ".join(f"{value}: {chosen or 'none'}" for value, chosen in values.items())
            yield f"by {field}: {told}"


def _height(value: float, top: float) -> int:
    return _ROWS - round(max(0.0, min(1.0, value / top)) * _ROWS)


def _scale(number: int, top: float) -> str:
    return f"{top * (_ROWS - number) / _ROWS:4.2f}" if number % 5 == 0 else "    "


def _short(point: Point) -> str:
    return " ".join(point.label.split())
