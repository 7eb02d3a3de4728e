"""Jobs of a plan that give the very same pixels, and why, in words where that is simple.

What is the same is decided by the pixel hash; nothing here is more than an explanation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from comfy_runner.graph.schedules import schedule_steps
from comfy_runner.planning.draft import Draft

_MOST_VALUES = 5
_UNSEEN = "filename_prefix"  # it changes a name, not a picture


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Jobs that give the very same pixels, so that one is rendered for all.

    Attributes:
        job_ids: The jobs, at least two, in the order of their recipe.
        why: Such as ``int(steps/denoise) is 20 for 0.48, 0.49 and 0.5``; empty where there are no simple words for it.
    """

    job_ids: tuple[str, ...]
    why: str


def duplicates(drafts: Sequence[Draft]) -> tuple[Duplicates, ...]:
    """Return the groups of jobs that give the very same pixels."""
    alike: dict[str, list[Draft]] = {}
    for draft in drafts:
        alike.setdefault(draft.pixel_hash, []).append(draft)
    return tuple(Duplicates(tuple(draft.job_id for draft in group), _why(group)) for group in alike.values() if len(group) > 1)


def _why(group: Sequence[Draft]) -> str:
    shape = group[0].filled.shape
    if any(draft.filled.shape is not shape for draft in group):
        return ""
    columns = zip(shape.places, zip(*(draft.filled.literals for draft in group), strict=True), strict=True)
    steps = {
        node_id: value for (node_id, name), value in zip(shape.places, group[0].filled.literals, strict=True) if name == "steps"
    }
    reasons: dict[str, None] = {}
    for (node_id, name), values in columns:
        first = values[0]
        if name == _UNSEEN or all(value is first or value == first for value in values):
            continue
        reason = _reason(name, steps.get(node_id), tuple(values))
        if not reason:
            return ""
        reasons[reason] = None
    return "; ".join(reasons) or "their graphs are the same"


def _reason(name: str, steps: Any, values: tuple[Any, ...]) -> str:
    if name == "denoise" and type(steps) is int and all(type(value) in (int, float) for value in values):
        return _same_schedule(steps, values)
    return "area is nearest-exact at whole factors" if name == "upscale_method" else ""


# A sweep has the same few values for every seed.
@lru_cache(maxsize=1 << 12)
def _same_schedule(steps: int, values: tuple[float, ...]) -> str:
    lengths = {schedule_steps(steps=steps, denoise=value) for value in values}
    if len(lengths) > 1 or None in lengths:
        return ""
    return f"int(steps/denoise) is {lengths.pop()} for {_listed(sorted(set(values)))}"


def _listed(values: Sequence[float]) -> str:
    def words() -> Iterator[str]:
        yield from map(str, values[:_MOST_VALUES] if len(values) > _MOST_VALUES + 1 else values)
        if len(values) > _MOST_VALUES + 1:
            yield f"{len(values) - _MOST_VALUES} more"

    *most, last = words()
    return f"{', '.join(most)} and {last}"
