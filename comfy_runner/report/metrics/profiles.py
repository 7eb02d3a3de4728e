"""Profiles: what a picture has at each of its columns or rows, in several strips across them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from comfy_runner.report.metrics.planes import Plane

Profile = NDArray[np.float64]
"""One value per column (or row); in strips: shape (strips, columns)."""

STRIPS = 8


def strips(plane: Plane) -> Profile:
    """Return the mean of each column in each strip of rows."""
    many = min(STRIPS, plane.shape[0])
    edges = np.linspace(0, plane.shape[0], many + 1).astype(int)
    return np.stack([plane[top:bottom].mean(axis=0, dtype=np.float64) for top, bottom in pairwise(edges)])


def everywhere(profile: Profile) -> Profile:
    """Return the signed value that nearly all strips reach, of the one sign or the other; 0 where they do not agree."""
    low, middle, high = np.quantile(profile, (0.25, 0.5, 0.75), axis=0)
    return np.where((low > 0) | (high < 0), middle, 0.0)


def nearly_everywhere(profile: Profile) -> Profile:
    """Return the absolute value that nearly all strips reach, whatever their sign."""
    found: Profile = np.quantile(np.abs(profile), 0.25, axis=0)
    return found


def spread(profile: Profile) -> float:
    """Return a robust standard deviation."""
    return float(1.4826 * np.median(np.abs(profile - np.median(profile))))


def widest(profile: Profile, reach: int) -> Profile:
    """Return the largest absolute value within a reach."""
    found: Profile = ndimage.maximum_filter1d(np.abs(profile), 2 * reach + 1, mode="nearest")
    return found
