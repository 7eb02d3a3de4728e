"""Second passes of growing strength, measured: first detail is painted, then the composition moves away and the colours with it.

What a real model does is different for every picture; how soon each of these begins is drawn for each scene.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from comfy_runner.report.measures import Measures
from comfy_runner.report.metrics import measure_pictures
from tests.report.metrics import pictures as paint
from tests.report.metrics.pictures import Picture, Scene

STRENGTHS = (0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.95)
"""Of the second passes, where nothing else is said."""

_NAMES = ("astronaut", "camera", "cat", "china", "coffee", "coins", "flower", "motorcycle", "retina", "rocket")


def sweeps(count: int, strengths: Sequence[float] = STRENGTHS, *, seed: int = 0) -> Iterator[list[Measures]]:
    """Yield what is measured of so many originals' second passes, one for each strength; those with a veto are left out.

    Args:
        count: How many originals.
        strengths: From 0 (the plain upscale) to 1.
        seed: Of what is drawn for each scene.
    """
    for number in range(count):
        original, passes = painted(number, strengths, seed=seed)
        measured = [measure_pictures(original, each) for each in passes]
        yield [each for each in measured if not each.vetoes]


def painted(
    number: int, strengths: Sequence[float], *, seed: int = 0, size: tuple[int, int] = (96, 72)
) -> tuple[Picture, list[Picture]]:
    """Return an original and its second passes of these strengths.

    Args:
        number: Of the original.
        strengths: From 0 (the plain upscale) to 1.
        seed: Of what is drawn for each scene.
        size: Of the original (width, height); the second passes are twice as large.
    """
    rng = np.random.default_rng([seed, number])
    one = paint.scene(_NAMES[number % len(_NAMES)], size=size, factor=2.0, seed=int(rng.integers(2**31)))
    return one.original, list(_passes(one, strengths, rng))


def _passes(one: Scene, strengths: Sequence[float], rng: np.random.Generator) -> Iterator[Picture]:
    """Yield second passes of a scene: a share of its detail, warped and tinted as strongly as the pass is."""
    height, width = one.truth.shape[:2]
    bend = [gaussian_filter(rng.normal(size=(height, width)), 10) for _ in range(2)]
    bend = [each / np.abs(each).max() for each in bend]
    soonest, reach, tint = rng.uniform(0.5, 0.8), rng.uniform(4.0, 16.0), rng.normal(0, 6, 3)
    rows, columns = np.mgrid[0:height, 0:width]
    for strength in strengths:
        painted = paint.mixed(one.plain, one.truth, min(1.0, strength / soonest)).astype(np.float64)
        way = reach * strength**2
        places = np.stack([rows + way * bend[0], columns + way * bend[1]])
        moved = [map_coordinates(painted[..., channel], places, order=1, mode="nearest") for channel in range(3)]
        yield paint.bytes_of(np.stack(moved, axis=-1) + strength**2 * tint)
