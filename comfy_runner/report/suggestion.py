"""What a suggestion consists of: limits, one point per value of the axis, and which of them is chosen, if any.

How it is found is in `suggest`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Sureness = Literal["sure", "fairly sure", "not sure", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a picture may have at most to be suggested.

    Attributes:
        drift: Of `Measures.drift`.
        local_drift: Of `Measures.local_drift`.
        colour_shift: Of `Measures.colour_shift`. A cast of ten 8-bit steps of one channel is 4.2 (red), 5.6 (blue) or 7.2 (green).
    """

    drift: float = 0.3
    local_drift: float = 0.65
    colour_shift: float = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """All pictures of one value of the axis.

    Attributes:
        value: The value.
        label: It, as people read it.
        measured: How many pictures were measured.
        passing: How many of them keep all limits and have no veto.
        detail: Mean of `Measures.detail`; None where none was measured.
        detail_spread: Its standard deviation over the pictures; None for fewer than two.
        drift: Mean of `Measures.drift`; None where none was measured.
        drift_spread: Its standard deviation; None for fewer than two.
        worst_drift: The largest drift; None where none was measured.
        worst_local_drift: The largest local drift; None where none was measured.
        vetoes: How many pictures each veto rules out.
        passes: Whether it can be suggested: something was measured, and all of it passes.
        why: Why it cannot be, in a few words; empty where it can.
    """

    value: Any
    label: str
    measured: int
    passing: int
    detail: float | None
    detail_spread: float | None
    drift: float | None
    drift_spread: float | None
    worst_drift: float | None
    worst_local_drift: float | None
    vetoes: Mapping[str, int]
    passes: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Which value of an axis gives the most real detail within the limits, and how sure that is.

    Attributes:
        axis: The swept field.
        limits: What was allowed.
        points: Every value of the axis, in its order.
        chosen: The point that is named; None where no value passes.
        reason: Why that one, or why none, in one sentence.
        sureness: How far the single series (for instance one per seed) agree; ``unknown`` where there is only one.
        series: How many series there are: combinations of all other axes with pictures of several values.
        votes: How many series would name each value, by label, if each were alone; ``none`` for those that would name none.
        apart: For every other axis but seeds: what would be named for each of its values alone, by label; None for none.
    """

    axis: str
    limits: Limits
    points: tuple[Point, ...]
    chosen: Point | None
    reason: str
    sureness: Sureness
    series: int
    votes: Mapping[str, int]
    apart: Mapping[str, Mapping[str, str | None]]
