"""The trade-off of a suggestion as a curve that a terminal can show: detail and drift over the values of the axis."""

from __future__ import annotations

from math import ceil

from comfy_runner.report.suggestion import Point, Suggestion

_ROWS = 10
_NARROWEST = 5
_WIDEST = 10
_DETAIL, _DRIFT, _BOTH, _LIMIT = "●", "○", "◉", "┄"
_MARGIN = 5


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
    plot[_row(suggestion.limits.drift, top)] = [_LIMIT] * (column * len(points))
    for number, point in enumerate(points):
        where = number * column + column // 2
        detail, drift = _row(point.detail or 0.0, top), _row(point.drift or 0.0, top)
        plot[detail][where] = _DETAIL
        plot[drift][where] = _DRIFT if detail != drift else _BOTH
    lines = [f"{_scale(number, top)} │{''.join(line).rstrip()}" for number, line in enumerate(plot)]
    lines.append(" " * _MARGIN + "└" + "─" * (column * len(points)))
    lines.append(" " * (_MARGIN + 1) + "".join(_short(point)[: column - 1].center(column) for point in points).rstrip())
    if suggestion.chosen in points:
        where = points.index(suggestion.chosen) * column + column // 2
        lines.append(" " * (_MARGIN + 1 + where) + "▲")
    return [*lines, f"{_DETAIL} detail   {_DRIFT} drift   {_LIMIT} the most drift that is allowed"]


def _row(value: float, top: float) -> int:
    return _ROWS - round(max(0.0, min(1.0, value / top)) * _ROWS)


def _scale(number: int, top: float) -> str:
    return f"{top * (_ROWS - number) / _ROWS:4.2f}" if number % 5 == 0 else "    "


def _short(point: Point) -> str:
    return " ".join(point.label.split())
