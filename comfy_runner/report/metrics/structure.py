"""Structures that no picture has: rings around edges, the same patch again and again, dead areas.

They are no noise and have no grid, and some are as fine as detail: they are told by what the original says of the places where
they are.
"""

from __future__ import annotations

import numpy as np
from numpy import fft
from numpy.typing import NDArray

from comfy_runner.report.metrics import thresholds
from comfy_runner.report.metrics.filters import means, smallest
from comfy_runner.report.metrics.planes import Plane, Planes, averages, product


def ringing(base: Plane, small: Plane) -> float:
    """Return how many times more the original's very finest waves were amplified than those of about twice the length, less 1.

    Around edges, such waves are echoes. Amplification is a slope, which neither noise nor other contents raise.

    Args:
        base: The original, aligned.
        small: The upscaled picture at its size, aligned.
    """
    down, right = (np.hanning(min(side, thresholds.LARGEST_WINDOW)).astype(np.float32) for side in base.shape)
    window = np.outer(down, right)
    had, has = (fft.rfft2((plane - plane.mean()) * window) for plane in (_middle(base), _middle(small)))
    waves = np.hypot(fft.fftfreq(window.shape[0])[:, None], fft.rfftfreq(window.shape[1])[None])
    # What rounding to 8 bits leaves at each frequency: 1/12 of a step's square, and three eighths squared are left by the window.
    least = float(np.sum(window * window)) / 12 / 255**2

    def gain(low: float, high: float) -> float:
        ring = (waves >= low) & (waves < high)
        energy = float(np.sum(np.abs(had[ring]) ** 2, dtype=np.float64))
        if energy < 20 * least * np.count_nonzero(ring):
            return 1.0
        return float(np.sum((had[ring].conj() * has[ring]).real, dtype=np.float64)) / energy

    return max(0.0, gain(*thresholds.FINEST_WAVES) / max(gain(*thresholds.FINE_WAVES), thresholds.LEAST_GAIN) - 1)


def repetition(pair: Planes, aligned: float) -> float:
    """Return how alike fine structures are to themselves a few pixels away: 1 for a tile that is repeated, about 0.05 for pictures.

    Args:
        pair: The planes.
        aligned: Their alignment: what repeats along the original's own edges, as windows do, does so by right.
    """
    fine = _middle(pair.fine)
    # Each place counts as much as any other.
    loudness = np.sqrt(np.maximum(means(fine * fine, thresholds.LOUDNESS_WINDOW), 0))
    even = fine / (loudness + np.float32(1 / 255))
    even -= even.mean()
    shape = [_fast_length(2 * side) for side in even.shape]
    found = fft.irfft2(np.abs(fft.rfft2(even, shape)) ** 2, shape)
    height, width = (side // 2 for side in even.shape)
    # Both halves of the plane are the same, turned; the sums are of fewer pixels the farther it is.
    found = np.concatenate([found[-height:, :width], found[: height + 1, :width]])
    down, right = np.arange(-height, height + 1)[:, None], np.arange(width)[None]
    found /= (1 - np.abs(down) / even.shape[0]) * (1 - right / even.shape[1])
    here = product(even, even)
    far = down**2 + right**2 > thresholds.NEAREST_REPETITION**2
    if here <= 0 or not far.any():
        return 0.0
    return max(0.0, float(found[far].max()) / here) * (1 - max(0.0, aligned))


def dead_areas(pair: Planes) -> float:
    """Return the share of the picture that is flat where the plain upscale clearly is not."""
    flat = _deviation(pair.upscaled, pair.patches) < thresholds.DEAD_DEVIATION
    # Beside lines on white, the plain upscale has echoes that a drawing has not. There, the next patch is not flat.
    flat = smallest(flat, 3)
    lives = pair.known.once("lives", lambda: _deviation(pair.plain, pair.patches) > thresholds.LIVE_DEVIATION)
    return float(np.mean(flat & lives))


def _deviation(plane: Plane, shape: tuple[int, int]) -> Plane:
    """Return the standard deviation in each patch."""
    mean = averages(plane, shape)
    return np.sqrt(np.maximum(averages(plane * plane, shape) - mean * mean, 0))


def _fast_length(least: int) -> int:
    """Return the next length that has no prime factors but 2, 3 and 5, of which a Fourier transform is fast."""
    length = least
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


def _middle(plane: Plane) -> NDArray[np.float32]:
    top, left = (max(0, side - thresholds.LARGEST_WINDOW) // 2 for side in plane.shape)
    return plane[top : top + thresholds.LARGEST_WINDOW, left : left + thresholds.LARGEST_WINDOW]
