"""The commands that look at pictures: report, sheet, suggest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from comfy_runner.cli.output import clean, put, put_json, put_path, say, tell
from comfy_runner.cli.runs import errors_as_json, named, run_argument
from comfy_runner.errors import Note

if TYPE_CHECKING:
    from comfy_runner.report.suggestion import Limits, Point, Suggestion

_Command = TypeVar("_Command", bound=Callable[..., Any])
_WORTH_A_BAR = 8  # pairs of pictures; fewer are measured in a moment


def _limit_options(command: _Command) -> _Command:
    """Add what a suggestion may be made of; each option is named as a field of `Limits`."""
    command = click.option(
        "--max-colour-shift",
        "colour_shift",
        type=click.FloatRange(0),
        metavar="DISTANCE",
        help="The most that the mean colour may move (4; 2.3 is just visible).",
    )(command)
    command = click.option(
        "--max-local-drift",
        "local_drift",
        type=click.FloatRange(0, 2),
        metavar="DRIFT",
        help="The most that any region may drift (0.65).",
    )(command)
    command = click.option(
        "--max-drift",
        "drift",
        type=click.FloatRange(0, 2),
        metavar="DRIFT",
        help="The most that a picture may drift from its original (0.3).",
    )(command)
    return click.option("--axis", metavar="FIELD", help="The swept field to choose a value of (upscale.denoise).")(command)


@click.command()
@run_argument
@_limit_options
def report(folder: Path, *, axis: str | None, **limits: float | None) -> None:
    """Write report.html, metrics.json and metrics.csv into the run folder RUN.

    The page opens in a browser, without a network. It works beside a live run, of which it shows what there is.
    """
    from comfy_runner import api

    with measuring() as progress:
        found = api.write_report(folder, axis=axis, limits=_limits(limits), progress=progress)
    tell(Note(note) for note in found.notes)
    for path in (found.page, found.metrics, found.table):
        if path is not None:
            put_path(path)
    if found.suggestion is not None:
        say(sentence(found.suggestion))


@click.command()
@run_argument
@click.option("--rows", metavar="FIELD", help="The swept field of the rows (all that are not the columns').")
@click.option("--columns", metavar="FIELD", help="The swept field of the columns (upscale.denoise).")
@click.option(
    "--cell", type=click.IntRange(1, 4096), default=384, show_default=True, metavar="PIXELS", help="Longer side of a picture."
)
@click.option("--out", "target", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="The PNG (RUN/sheet.png).")
def sheet(folder: Path, *, target: Path | None, **given: Any) -> None:
    """Draw the pictures of the run folder RUN as one labelled grid, the original in the first column."""
    from comfy_runner import api

    with measuring() as progress:
        found = api.draw_sheet(folder, target=target, progress=progress, **given)
    tell(found.notes)
    if found.left_out:
        tell([Note(f"{len(found.left_out)} jobs have no upscaled picture: {named(found.left_out)}")])
    for path in found.paths:
        put_path(path)


@click.command()
@run_argument
@_limit_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (docs/metrics.md).")
def suggest(folder: Path, *, axis: str | None, as_json: bool, **limits: float | None) -> None:
    """Name the denoise value with the most real detail whose drift stays under the limit, from the pictures in RUN.

    Every value is shown, with why it is not the one. It works for any swept field, by --axis.
    """
    from comfy_runner import api

    with errors_as_json(as_json), measuring() as progress:
        found = api.suggest(folder, axis=axis, limits=_limits(limits), progress=progress)
    if as_json:
        from comfy_runner.report.export import suggestion_json

        put_json(json.dumps(suggestion_json(found)))
        return
    for line in describe(found, width=shutil.get_terminal_size().columns):
        put(line)


def describe(found: Suggestion, *, width: int) -> list[str]:
    """Return a suggestion as people read it: the table, the curve, the sentence, how sure it is."""
    from comfy_runner.cli.suggestion_curve import curve

    lines = [*_table(found), "", *curve(found, width=width), ""]
    return [clean(line) for line in (*lines, sentence(found), *_sureness(found), *_apart(found.apart))]


def sentence(found: Suggestion) -> str:
    """Return the suggestion in one sentence."""
    what = found.axis if found.chosen is None else f"{found.axis} {found.chosen.label}"
    return f"{what}: {found.reason}"


def _table(found: Suggestion) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [("", found.axis, "pictures", "detail", "drift", "worst", "worst region", "")]
    rows += [_row(point, chosen=point == found.chosen) for point in found.points]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


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
    if found.series < 2:
        yield "how much that varies is not known: there is one series only (sweep the seed to know: --sweep seed=1,2,3)"
        return
    votes = ", ".join(f"{count} for {value}" for value, count in found.votes.items())
    yield f"{found.sureness}: of {found.series} series alone, {votes}"


def _apart(apart: Mapping[str, Mapping[str, str | None]]) -> Iterator[str]:
    for field, values in apart.items():
        if len(set(values.values())) > 1:
            told = ", ".join(f"{value}: {chosen or 'none'}" for value, chosen in values.items())
            yield f"by {field}: {told}"


def _limits(given: Mapping[str, float | None]) -> Limits:
    from comfy_runner import api

    return api.Limits(**{name: value for name, value in given.items() if value is not None})


@contextmanager
def measuring(*, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield what is told how many pictures have been measured: a bar on a terminal, a sentence elsewhere, silence if asked for."""
    from comfy_runner.cli.follow import counter

    if quiet:
        yield lambda _done, _total: None
        return
    with counter("measuring", worth=_WORTH_A_BAR) as count:
        yield count
