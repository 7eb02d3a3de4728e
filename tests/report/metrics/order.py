"""The order in which a suggestion takes pictures, and every content spoilt in every way, measured once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from PIL.Image import Resampling

from benchmarks.metric_sets.damages import is_seen
from comfy_runner.report.measures import Measures
from comfy_runner.report.metrics import measure_pictures
from comfy_runner.report.suggest import Limits, faults
from comfy_runner.search.choice import UNSEEN_DETAIL
from tests.report.metrics import pictures as paint
from tests.report.metrics.pictures import HELD_OUT, TUNED, Picture, Scene

SIZES = (((192, 144), 2.0), ((160, 120), 1.5), ((150, 100), 3.0), ((161, 121), 2.0), ((240, 135), 1.25), ((96, 72), 4.0))
FILTERS = (Resampling.LANCZOS, Resampling.BOX, Resampling.BICUBIC, None, Resampling.BILINEAR)

Spoiling = Callable[[Scene, Picture, int], Picture]
"""Returns a picture for a scene, another picture and a seed."""

SPOILINGS: Mapping[str, Spoiling] = {
    "truth": lambda s, _o, _n: s.truth,
    "plain": lambda s, _o, _n: s.plain,
    "half": lambda s, _o, _n: paint.mixed(s.plain, s.truth, 0.5),
    "three quarters": lambda s, _o, _n: paint.mixed(s.plain, s.truth, 0.75),
    "blur": lambda s, _o, _n: paint.blurred(s.truth, 1.5),
    "blurred plain": lambda s, _o, _n: paint.blurred(s.plain, 1.5),
    "noise": lambda s, _o, n: paint.noisy(s.truth, 0.02, n),
    "much noise": lambda s, _o, n: paint.noisy(s.truth, 0.06, n),
    "noise in luma": lambda s, _o, n: paint.grey_noisy(s.truth, 0.03, n),
    "noisy half": lambda s, _o, n: paint.noisy(paint.mixed(s.plain, s.truth, 0.5), 0.03, n),
    "nearest": lambda s, _o, _n: paint.resize(s.original, (s.truth.shape[1], s.truth.shape[0]), Resampling.NEAREST),
    "mosaic": lambda s, _o, _n: paint.mosaic(s.truth, 8),
    "stepped blocks": lambda s, _o, n: paint.stepped_blocks(s.truth, 16, 4, n),
    "grid": lambda s, _o, _n: paint.grid(s.truth, 16, 8),
    "jpeg": lambda s, _o, _n: paint.jpeg(s.truth, 15),
    "tiles": lambda s, _o, n: paint.tiled(s.truth, (3, 2), 6, n),
    "lines": lambda s, _o, _n: paint.lined(s.truth, (3, 2), 10, 2),
    "sharpened": lambda s, _o, _n: paint.sharpened(s.truth, 2, 120),
    "sharpened plain": lambda s, _o, _n: paint.sharpened(s.plain, 2, 200),
    "tint": lambda s, _o, _n: paint.tinted(s.truth, 0, 10, 0),
    "a tenth elsewhere": lambda s, o, n: paint.elsewhere(s.truth, o, 0.1, n),
    "two fifths elsewhere": lambda s, o, n: paint.elsewhere(s.truth, o, 0.4, n),
    "moved": lambda s, _o, _n: paint.moved(s.truth, 2, 0),
    "black": lambda s, _o, _n: np.zeros_like(s.truth),
}


@cache
def scenes() -> dict[str, Scene]:
    """Return a scene of every content; sizes, factors and filters change from one to the next."""
    found = {}
    for number, name in enumerate((*TUNED, *HELD_OUT)):
        size, factor = SIZES[number % len(SIZES)]
        how = FILTERS[number % len(FILTERS)]
        found[name] = paint.scene(name, size=size, factor=factor, how=how, seed=number)
    return found


def picture(content: str, spoiling: str) -> Picture:
    """Return the picture of a content's scene, spoilt."""
    names = (*TUNED, *HELD_OUT)
    number = names.index(content)
    return SPOILINGS[spoiling](scenes()[content], paint.content(names[(number + 3) % len(names)]), number)


@cache
def measured(content: str, spoiling: str) -> Measures:
    """Return the numbers of that picture."""
    return measure_pictures(scenes()[content].original, picture(content, spoiling))


@cache
def is_told_apart(content: str, spoiling: str, other: str) -> bool:
    """Return whether a difference between two of a content's pictures can be seen."""
    return is_seen(picture(content, spoiling), picture(content, other))


def passes(found: Measures) -> bool:
    """Return whether a picture can be suggested."""
    return not faults(found, Limits())


def is_better(this: Measures, other: Measures) -> bool:
    """Return whether a suggestion would take this picture rather than the other."""
    if passes(this) != passes(other):
        return passes(this)
    if abs(this.detail - other.detail) > max(0.025 * max(this.detail, other.detail), UNSEEN_DETAIL):
        return this.detail > other.detail
    return this.drift < other.drift
