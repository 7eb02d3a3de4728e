"""How far composition and colours have moved: structural similarity at the original's size, a global shift undone; mean colours."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

from comfy_runner.report.metrics import thresholds
from comfy_runner.report.metrics.filters import means, structural_similarity
from comfy_runner.report.metrics.planes import Plane, Planes, averages, resized

_CELLS = 96
# IEC 61966-2-1 (sRGB), from linear RGB to XYZ, and the white of its D65, by the two-degree observer.
_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


def moved_composition(pair: Planes) -> tuple[float, float, float]:
    """Return drift, local drift and shift: 1 - the mean of SSIM, the same of the worst region, and pixels of the upscaled picture.

    The drifts are a little more for a shift.
    """
    apart = 1 - np.clip(structural_similarity(*aligned(pair)), -1, 1)
    shift = math.hypot(*pair.shift)
    extra = thresholds.SHIFT_COSTS * min(shift, thresholds.FARTHEST_SHIFT)
    return float(apart.mean(dtype=np.float64)) + extra, float(_worst(apart)) + extra, shift


def aligned(pair: Planes) -> tuple[Plane, Plane]:
    """Return the original and the upscaled picture at its size with a shift undone.

    Where there is a shift, both lack a margin.
    """
    down, right = pair.shift
    if not (down or right):
        return pair.original, pair.small
    height, width = pair.original.shape
    tall, wide = pair.upscaled.shape[0] / height, pair.upscaled.shape[1] / width
    # The margin is whole pixels of the original, wide enough for the box to stay inside.
    margin_y, margin_x = math.ceil(abs(down) / tall) + 1, math.ceil(abs(right) / wide) + 1
    inner = (height - 2 * margin_y, width - 2 * margin_x)
    box = (
        margin_x * wide + right,
        margin_y * tall + down,
        (width - margin_x) * wide + right,
        (height - margin_y) * tall + down,
    )
    moved = resized(pair.upscaled, inner, box=box)
    return pair.original[margin_y : height - margin_y, margin_x : width - margin_x], moved


def colour_shift(original: NDArray[np.uint8], upscaled: NDArray[np.uint8]) -> float:
    """Return the distance of the mean colours in Lab (CIE 1976, D65), of pictures brought down to at most 96 cells a side."""
    one, other = (_mean(picture, original.shape) for picture in (original, upscaled))
    return float(np.linalg.norm(one - other))


def _worst(apart: Plane) -> float:
    """Return the largest mean over windows of a quarter of each side."""
    height, width = apart.shape
    # Thirty-two cells a side are enough to find the place.
    cells = averages(apart, (min(height, 32), min(width, 32)))
    reach = tuple(max(1, round(side / 4)) for side in cells.shape)
    found = means(cells, (reach[0], reach[1]), border="edge")
    inside = tuple(slice(size // 2, side - (size - 1) // 2) for size, side in zip(reach, cells.shape, strict=True))
    return float(found[inside].max())


def _mean(picture: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.float64]:
    size = min(_CELLS, shape[1]), min(_CELLS, shape[0])
    cells = np.asarray(Image.fromarray(picture).resize(size, Resampling.BOX), dtype=np.float64) / 255
    mean: NDArray[np.float64] = _lab(cells).mean(axis=(0, 1))
    return mean


def _lab(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sRGB colours of 0 to 1 in Lab, as CIE 15 defines it."""
    linear = np.where(picture > 0.04045, ((picture + 0.055) / 1.055) ** 2.4, picture / 12.92)
    # A matrix product would start threads of its own.
    relative = np.stack([(linear * row).sum(axis=-1) for row in _XYZ], axis=-1) / _WHITE
    x, y, z = np.moveaxis(np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
