"""Which value of an axis gives the most real detail while the composition is kept. Pure functions of values.

A value can be named only if every picture of it keeps the limits and has no veto. Among those `search.choice` decides: the most
detail, and where several have as much, the one that drifts least.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Final, Literal

from comfy_runner.check.interface import Output, failures
from comfy_runner.check.thresholds import most
from comfy_runner.notebook_html import escaped, table
from comfy_runner.report.dimensions import dimensions, is_of_prompts
from comfy_runner.report.eye_order import EyeOrder
from comfy_runner.report.measures import NUMBERS, Measured, Measures
from comfy_runner.report.run_data import DENOISE, ORIGINAL, PICTURE, RECIPE, UPSCALED, Axis, Entry, Material, key, label
from comfy_runner.report.second_opinion import LEAST_ALIKE, SECOND, SecondOpinion, disagreement, lowest_score
from comfy_runner.search.choice import SERIES_TO_KNOW, AllowedValue, choice, most_detailed
from comfy_runner.wording import counted

NONE: Final = "none"
"""The vote of a series of which no value passes."""

LIMITED: Final = ("drift", "local_drift", "colour_shift")
"""The numbers that have a limit of the user's own."""

_SURE: Final = 0.8
_FAIRLY_SURE: Final = 0.5
_SERIES_TO_BE_SURE: Final = 3
_SEEDS: Final = ("seed", "upscale.seed", PICTURE)
_WORDS_OF_A_NAME: Final = 4

Sureness = Literal["sure", "fairly sure", "not sure", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a picture may have at most to be suggested, and what its drift costs where it has less.

    Attributes:
        drift: Of `Measures.drift`.
        local_drift: Of `Measures.local_drift`.
        colour_shift: Of `Measures.colour_shift`. A cast of ten 8-bit steps of one channel is 4.2 (red), 5.6 (blue) or 7.2 (green).
        drift_cost: How much detail a drift of 1 outweighs among pictures that keep the limits; 0 (none) upwards.
        calibration: The checkpoints of the kept calibration that these come from (`report.calibrations`); empty for none.
    """

    drift: float = 0.3
    local_drift: float = 0.65
    colour_shift: float = 4.0
    drift_cost: float = 0.0
    calibration: str = ""

    def most(self) -> dict[str, float]:
        """Return the most that each limited number may be, by its name."""
        return {name: getattr(self, name) for name in LIMITED}

    def worth(self, measures: Measures) -> float:
        """Return what pictures that keep the limits are compared by: their detail, less what their drift costs."""
        return measures.detail - self.drift_cost * measures.drift


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
        chosen: The point that is named; None where no value passes.
        reason: Why that one, or why none, in one sentence.
        sureness: How far the single series (for instance one per seed) agree; ``unknown`` where there is only one.
        series: How many series there are: combinations of all other axes with pictures of several values.
        votes: How many series would name each value, by label, if each were alone; ``none`` for those that would name none.
        apart: For every other axis but seeds: what would be named for each of its values alone, by label; None for none.
        limits: What was allowed.
        points: Every value of the axis, in its order.
        second: What a second measure says of it; None where it is not installed.
        eyes: What a person prefers who has compared pictures of the run; None where nobody has.
        notes: What else is to be known, a sentence each: a second opinion that is another one, pictures that were not measured,
            metrics that failed.
    """

    axis: str
    chosen: Point | None
    reason: str
    sureness: Sureness
    series: int
    votes: Mapping[str, int]
    apart: Mapping[str, Mapping[str, str | None]]
    limits: Limits
    points: tuple[Point, ...]
    second: SecondOpinion | None = None
    eyes: EyeOrder | None = None
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """Return the suggestion for notebooks: which value and why, and what was measured of all values."""
        what = f"{self.axis}: {self.chosen.label if self.chosen else 'no suggestion'}"
        rows = []
        for point in self.points:
            numbers = ("" if each is None else f"{each:.2f}" for each in (point.detail, point.drift, point.worst_drift))
            rows.append(("▸" if point == self.chosen else "", point.label, point.measured, *numbers, point.why))
        headings = ("", self.axis, "pictures", "detail", "drift", "worst drift", "")
        notes = "".join(f"<li>{escaped(note)}</li>" for note in self.notes)
        return (
            f"<div><strong>{escaped(what)}</strong><p>{escaped(self.reason)}</p>{table(headings, rows)}"
            + (f"<ul>{notes}</ul>" if notes else "")
            + "</div>"
        )


_Measuring = tuple[Entry, Measures]
_Series = list[dict[str, _Measuring]]
"""Of each series, the pictures by the key of the axis's value."""


def suggest(material: Material, measured: Mapping[str, Measured], axis: Axis, *, limits: Limits | None = None) -> Suggestion:
    """Return the value of an axis to use, or why there is none, with the whole trade-off.

    Args:
        material: The run.
        measured: What was measured, by the entries' names.
        axis: Any of the run's axes.
        limits: What a picture may have at most; None for the usual.
    """
    limits = limits or Limits()
    found = _found(material, measured)
    points = _points(axis, found, limits)
    series = _series(material, axis, found)
    chosen = _choose(points, series, limits)
    votes = Counter(_label(_choose(_points(axis, one.values(), limits), [], limits)) for one in series)
    second, notes = _second_opinion(axis, found, points, chosen, series, limits)
    return Suggestion(
        axis=axis.field,
        limits=limits,
        points=points,
        chosen=chosen,
        reason=_reason(points, chosen, series, limits) if found else _why_nothing(material),
        sureness=_sureness(votes, chosen),
        series=len(series),
        votes=dict(votes.most_common()),
        apart=_apart(material, axis, found, limits),
        second=second,
        notes=notes,
    )


def usual_axis(material: Material) -> Axis | None:
    """Return the axis of a suggestion where none is named: denoise, or the only one that can be compared, else None."""
    found = comparable_axes(material)
    denoise = next((axis for axis in found if axis.field == DENOISE), None)
    return denoise or (found[0] if len(found) == 1 else None)


def comparable_axes(material: Material) -> list[Axis]:
    """Return the axes of which one value can be better than another for the same picture.

    Seeds, recipes, prompts and words in them, what moves together with those, and texts of many words, of which prompts are made,
    are none.
    """
    with_prompts = [each.axes for each in dimensions(material) if any(map(is_of_prompts, each.axes))]
    beside = {axis.field for axes in with_prompts for axis in axes}
    return [
        axis for axis in material.axes if axis.field not in (*_SEEDS, RECIPE) and axis.field not in beside and not _is_prose(axis)
    ]


def _is_prose(axis: Axis) -> bool:
    return any(isinstance(value, str) and len(value.split()) > _WORDS_OF_A_NAME for value in axis.values)


def faults(measures: Measures, limits: Limits) -> list[str]:
    """Return why a picture cannot be suggested, in a few words each; nothing where it can."""
    output = Output(role=UPSCALED, metrics={name: getattr(measures, name) for name in NUMBERS})
    checks = [most(metric, limit) for metric, limit in limits.most().items()]
    return [*measures.vetoes, *(found.label for found in failures(output, checks))]


def ranking(material: Material, measured: Mapping[str, Measured], limits: Limits) -> list[str]:
    """Return the names of what was measured, best first: what passes by detail, what exceeds a limit, what has a veto."""
    return [entry.name for entry, _ in sorted(_found(material, measured), key=lambda job: rank(job[1], limits))]


def rank(measures: Measures, limits: Limits) -> tuple[int, float]:
    """Return what is lower for the better one of two pictures."""
    wrong = faults(measures, limits)
    return (2 if measures.vetoes else 1 if wrong else 0), (measures.drift if wrong else -limits.worth(measures))


def _found(material: Material, measured: Mapping[str, Measured]) -> list[_Measuring]:
    return [(entry, got.measures) for entry in material.entries if (got := measured.get(entry.name)) and got.measures]


def _points(axis: Axis, found: Iterable[_Measuring], limits: Limits) -> tuple[Point, ...]:
    by_value: dict[str, list[Measures]] = {}
    for entry, measures in found:
        by_value.setdefault(key(entry.values.get(axis.field)), []).append(measures)
    return tuple(_point(value, by_value.get(key(value), ()), limits) for value in axis.values)


def _point(value: object, measures: Sequence[Measures], limits: Limits) -> Point:
    wrong = [faults(one, limits) for one in measures]
    reasons = Counter(reason for found in wrong for reason in found)
    passing = sum(not found for found in wrong)
    why = "nothing was measured"
    if measures:
        of = f" of {len(measures)}" if len(measures) > 1 else ""
        why = ", ".join(f"{reason} ({count}{of})" if of else reason for reason, count in reasons.most_common())
    return Point(
        value=value,
        label=label(value),
        measured=len(measures),
        passing=passing,
        detail=_mean(one.detail for one in measures),
        detail_spread=_spread([one.detail for one in measures]),
        drift=_mean(one.drift for one in measures),
        drift_spread=_spread([one.drift for one in measures]),
        worst_drift=max((one.drift for one in measures), default=None),
        worst_local_drift=max((one.local_drift for one in measures), default=None),
        vetoes=dict(Counter(veto for one in measures for veto in one.vetoes).most_common()),
        passes=bool(measures) and passing == len(measures),
        why=why,
    )


def _series(material: Material, axis: Axis, found: Iterable[_Measuring]) -> _Series:
    """Return the pictures that differ in this axis only, together; of several pictures at one place, the last."""
    others = [other.field for other in material.axes if other.field != axis.field]
    series: dict[str, dict[str, _Measuring]] = {}
    for entry, measures in found:
        name = " ".join(key(entry.values.get(field)) for field in others)
        series.setdefault(name, {})[key(entry.values.get(axis.field))] = entry, measures
    return [one for one in series.values() if len(one) > 1]


def _choose(points: Sequence[Point], series: _Series, limits: Limits) -> Point | None:
    found = choice(_candidates(points, series, limits))
    return points[found.value] if found else None


def _candidates(points: Sequence[Point], series: _Series, limits: Limits) -> list[AllowedValue]:
    """Return the points that can be named."""
    return [
        AllowedValue(
            value=place,
            detail=point.detail or 0.0,
            drift=point.drift or 0.0,
            worth=(point.detail or 0.0) - limits.drift_cost * (point.drift or 0.0),
            worths={number: limits.worth(one[key(point.value)][1]) for number, one in enumerate(series) if key(point.value) in one},
        )
        for place, point in enumerate(points)
        if point.passes and point.measured >= _least_measured(points)
    ]


def _least_measured(points: Iterable[Point]) -> int:
    """Return in how many pictures a value has to pass, since others do: a search leaves values that it has tried in one series."""
    return min(SERIES_TO_KNOW, max((point.measured for point in points if point.passes), default=0))


def how_sure(share: float) -> Sureness:
    """Return in a word how sure a value is that a share of all speaks for."""
    if share >= _SURE:
        return "sure"
    return "fairly sure" if share >= _FAIRLY_SURE else "not sure"


def _second_opinion(
    axis: Axis, found: Sequence[_Measuring], points: Sequence[Point], chosen: Point | None, series: _Series, limits: Limits
) -> tuple[SecondOpinion | None, tuple[str, ...]]:
    """Return what the second measure says, and a note where it would name another value; None where it measured nothing."""
    scores = {
        point.label: lowest_score(measures for entry, measures in found if key(entry.values.get(axis.field)) == key(point.value))
        for point in points
    }
    if all(score is None for score in scores.values()):
        return None, ()
    # A value without a score is left to ours.
    alike = [point for point in points if (score := scores[point.label]) is None or score >= LEAST_ALIKE]
    other = _choose(alike, series, limits)
    opinion = SecondOpinion(
        measure=SECOND,
        least=LEAST_ALIKE,
        score=scores[chosen.label] if chosen else None,
        chosen=other.value if other else None,
        agrees=other is chosen,
    )
    if chosen is None or opinion.agrees:
        return opinion, ()
    return opinion, (disagreement(opinion, chosen.label, other.label if other else None),)


def _sureness(votes: Mapping[str, int], chosen: Point | None) -> Sureness:
    total = sum(votes.values())
    if total < 2:
        return "unknown"
    found = how_sure(votes.get(_label(chosen), 0) / total)
    return "fairly sure" if found == "sure" and total < _SERIES_TO_BE_SURE else found


def _apart(material: Material, axis: Axis, found: Sequence[_Measuring], limits: Limits) -> dict[str, dict[str, str | None]]:
    """Return what would be named for each value of another axis alone: a checkpoint may want another denoise."""
    apart: dict[str, dict[str, str | None]] = {}
    for other in material.axes:
        if other.field in (axis.field, *_SEEDS):
            continue
        for value in other.values:
            part = [(entry, measures) for entry, measures in found if key(entry.values.get(other.field)) == key(value)]
            chosen = _choose(_points(axis, part, limits), _series(material, axis, part), limits)
            apart.setdefault(other.field, {})[label(value)] = chosen.label if chosen else None
    return apart


def _why_nothing(material: Material) -> str:
    """Return why no value is named where nothing was measured."""
    made = dict.fromkeys(role for entry in material.entries for role in entry.pictures)
    if made and not {ORIGINAL, UPSCALED} <= made.keys():
        roles = " and ".join(made)
        return f"no value is named: {UPSCALED} pictures are compared with their {ORIGINAL}, and the jobs have {roles} alone"
    return "no picture could be measured, so no value is named"


def _reason(points: Sequence[Point], chosen: Point | None, series: _Series, limits: Limits) -> str:
    if chosen is None:
        measured = [point for point in points if point.measured]
        nearest = min(measured, key=lambda point: (sum(point.vetoes.values()), point.worst_drift or 0.0))
        return f"no value passes; the nearest is {nearest.label}, but: {nearest.why}"
    passing = _candidates(points, series, limits)
    few = [point.label for point in points if point.passes and point.measured < _least_measured(points)]
    best = points[most_detailed(passing).value]
    within = f"of the {counted(len(passing), 'value')} that pass" if len(passing) > 1 else "and is the only value that passes"
    numbers = f"(detail {chosen.detail:.2f}, drift {chosen.drift:.2f} of at most {limits.drift:g})"
    left_out = f"; {' and '.join(few)} {'was' if len(few) == 1 else 'were'} rendered in fewer series" if few else ""
    if limits.drift_cost:
        return (
            f"{chosen.label} paints the most detail for its drift, which costs {limits.drift_cost:g} of it, {within} "
            f"{numbers}{left_out}"
        )
    if chosen is best:
        return f"{chosen.label} paints the most detail {within} {numbers}{left_out}"
    return f"{chosen.label} paints as much detail as {best.label} (detail {best.detail:.2f}) and drifts less {numbers}{left_out}"


def _label(point: Point | None) -> str:
    return point.label if point else NONE


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None


def _spread(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None
