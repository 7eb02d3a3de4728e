"""Real detail: energy above the original's Nyquist frequency, without what is noise, straight lines or sharpening."""

from __future__ import annotations

import math

import numpy as np

from comfy_runner.report.metrics.halos import Gains
from comfy_runner.report.metrics.patches import Patches
from comfy_runner.report.metrics.planes import Plane, Planes
from comfy_runner.report.metrics.thresholds import LEAST_CONTRAST, NOISE_COUNTS, PATCH, ROUNDING, SHARPENING_COSTS, UNIFORM_COUNTS


def gained_detail(pair: Planes, cells: Patches, gains: Gains) -> float:
    """Return the contrast that the plain upscale lacks, as a share of the contrast in the original's finest octave.

    Uniform noise is in the flattest patches as it is everywhere, so their energy is subtracted from the whole. What is the same
    all along a row or column is no detail either.
    """
    gained = _energy(pair.fine, cells.fine, cells, PATCH**2 * pair.factor**2)
    had = _energy(pair.fine_original, cells.fine_original, cells, PATCH**2) + LEAST_CONTRAST**2
    return math.sqrt(gained / had) / math.pow(max(1.0, gains.finest), SHARPENING_COSTS)


def _energy(plane: Plane, by_patch: Plane, cells: Patches, samples: float) -> float:
    everywhere = float(np.mean(plane * plane, dtype=np.float64))
    lines = float(np.var(plane.mean(axis=0), dtype=np.float64) + np.var(plane.mean(axis=1), dtype=np.float64))
    whole = max(0.0, everywhere - lines - ROUNDING**2)
    floor = max(0.0, cells.floor(by_patch, samples) - ROUNDING**2)
    # A texture that is the same all over looks like noise; a little of it counts, so that more of it is still more.
    return max(whole - NOISE_COUNTS * floor * float(cells.clipped.mean()), UNIFORM_COUNTS * whole)
