"""A suggestion as people read it: the table of all values, the curve, the sentence, how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from typing import TYPE_CHECKING

from comfy_runner.cli.formatting import aligned
from comfy_runner.cli.output import clean

if TYPE_CHECKING:
    from comfy_runner.report.suggest import Point, Suggestion

_ROWS = 10
_NARROWEST = 5
_WIDEST = 10
_DETAIL, _DRIFT, _BOTH, _LIMIT = "●", "○", "◉", "┄"
_MARGIN = 5


def describe(found: Suggestion, *, width: int) -> list[str]:
    """Return a suggestion as people read it: the table, the curve, the sentence, how sure it is."""
    lines = [*_table(found), "", *curve(found, width=width), ""]
    return [clean(line) for line in (*lines, sentence(found), *_sureness(found), *_apart(found.apart))]


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
    return [*lines, f"{_DETAIL} detail   {_DRIFT} drift   {_LIMIT} the most drift that is allowed"]


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


def _height(value: float, top: float) -> int:
    return _ROWS - round(max(0.0, min(1.0, value / top)) * _ROWS)


def _scale(number: int, top: float) -> str:
    return f"{top * (_ROWS - number) / _ROWS:4.2f}" if number % 5 == 0 else "    "


def _short(point: Point) -> str:
    return " ".join(point.label.split())
