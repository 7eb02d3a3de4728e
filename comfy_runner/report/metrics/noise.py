"""Noise that the original has not: what there is in its flattest patches, beyond the grain that it has there itself."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling

from comfy_runner.report.metrics.patches import Patches
from comfy_runner.report.metrics.planes import Plane, Planes, above_half, averages, colour_difference, resized
from comfy_runner.report.metrics.thresholds import GRAIN_MAY_GROW, MOST_GROWTH, PATCH


def added_noise(pair: Planes, cells: Patches, original: NDArray[np.uint8], upscaled: NDArray[np.uint8]) -> float:
    """Return the standard deviation of the noise, of full scale: in luma or in colour, wherever there is more.

    White grain of a deviation g in the truth has g / factor in the original, so that much more is expected and is no noise. Colour
    is looked at because textures have little of it: there, noise is seen that luma hides.
    """
    in_luma = _excess(cells.fine, cells.fine_original, pair.factor, cells)
    large, small = colour_difference(upscaled), colour_difference(original)
    # Bicubic will do for noise, and takes two thirds of Lanczos' time.
    fine = large - resized(resized(large, small.shape, how=Resampling.BICUBIC), large.shape, how=Resampling.BICUBIC)
    shape = cells.fine.shape
    finest = above_half(small)
    in_colour = _excess(averages(fine * fine, shape), averages(finest * finest, shape), pair.factor, cells)
    return math.sqrt(max(in_luma, in_colour))


def _excess(fine: Plane, fine_original: Plane, factor: float, cells: Patches) -> float:
    floor = cells.floor(fine, PATCH**2 * factor**2) / (1 - 1 / factor**2)
    grain = cells.floor(fine_original, PATCH**2) / 0.75
    return max(0.0, floor - GRAIN_MAY_GROW * min(factor**2, MOST_GROWTH) * grain)
