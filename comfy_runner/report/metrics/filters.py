"""Filters of planes, by numpy alone: means, extremes and medians of neighbours, Gaussian blur, structural similarity.

scipy and scikit-image have the same, with the same numbers, but are three times as large as all that measuring needs.

Beyond its border a plane goes on in one of three ways: `symmetric` mirrors it with its last value twice, `edge` repeats the last
value, `wrap` begins again at the other side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Border = Literal["symmetric", "edge", "wrap"]

_Values = TypeVar("_Values", bound=NDArray[np.float32] | NDArray[np.float64] | NDArray[np.bool_])
_Lines = NDArray[np.float64]

_AT_ONCE = 2**16  # values of a strip: as many as a core's cache holds
_SSIM_SIGMA, _SSIM_REACH = 1.5, 3.5  # of the window of 11 pixels
_SSIM_CONSTANTS = 0.01**2, 0.03**2


def blurred(plane: _Values, sigma: float, *, reach: float = 4.0) -> _Values:
    """Return a plane blurred along each of its axes by a Gaussian.

    Args:
        plane: The values, mirrored at the borders.
        sigma: Standard deviation, in values; above 0.
        reach: How many of these the Gaussian goes to either side.
    """
    for axis in range(plane.ndim):
        plane = blurred_along(plane, sigma, axis=axis, reach=reach)
    return plane


def blurred_along(plane: _Values, sigma: float, *, axis: int, reach: float = 4.0) -> _Values:
    """Return a plane blurred along one axis, otherwise as `blurred` does it."""
    far = int(reach * sigma + 0.5)
    weights = np.exp(-0.5 / sigma**2 * np.arange(-far, far + 1) ** 2)
    weights /= weights.sum()

    def blur(lines: _Lines) -> _Lines:
        length = lines.shape[1] - 2 * far
        found: _Lines = lines[:, far : far + length] * weights[far]
        for away in range(far, 0, -1):
            found += (lines[:, far - away :][:, :length] + lines[:, far + away :][:, :length]) * weights[far + away]
        return found

    return _along(plane, axis, (far, far), "symmetric", blur)


def means(plane: _Values, sizes: int | tuple[int, ...], *, border: Border = "symmetric") -> _Values:
    """Return the mean of the window around each value.

    Args:
        plane: The values.
        sizes: How many values a window has along each axis, or all of them; of an even number one more lies before.
        border: How the plane goes on beyond its border.
    """
    for axis, size in enumerate((sizes,) * plane.ndim if isinstance(sizes, int) else sizes):

        def mean(lines: _Lines, size: int = size) -> _Lines:
            sums = np.cumsum(np.pad(lines, ((0, 0), (1, 0))), axis=1)
            found: _Lines = (sums[:, size:] - sums[:, :-size]) / size
            return found

        plane = _along(plane, axis, (size // 2, (size - 1) // 2), border, mean)
    return plane


def largest(plane: _Values, size: int, *, border: Border = "edge") -> _Values:
    """Return the largest value of the window around each one, of a size that counts along all axes."""
    for axis in range(plane.ndim):
        plane = _along(plane, axis, (size // 2, (size - 1) // 2), border, lambda lines: _windows(lines, size).max(axis=-1))
    return plane


def smallest(plane: _Values, size: int, *, border: Border = "edge") -> _Values:
    """Return the smallest value of the window around each one, of a size that counts along all axes."""
    for axis in range(plane.ndim):
        plane = _along(plane, axis, (size // 2, (size - 1) // 2), border, lambda lines: _windows(lines, size).min(axis=-1))
    return plane


def medians(profile: _Values, size: int) -> _Values:
    """Return the median of the window around each value of a row, whose ends go on; of an even size the upper one."""
    middle = size // 2
    sides = middle, (size - 1) // 2
    return _along(profile, 0, sides, "edge", lambda lines: np.partition(_windows(lines, size), middle, axis=-1)[..., middle])


def bend(plane: _Values) -> _Values:
    """Return the Laplacian of a plane: the sum over its axes of the second differences."""
    return sum(  # type: ignore[return-value]
        _along(plane, axis, (1, 1), "edge", lambda lines: lines[:, 1:-1] * -2.0 + (lines[:, :-2] + lines[:, 2:]))
        for axis in range(plane.ndim)
    )


def structural_similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how alike two planes of 0 to 1 are at each pixel, -1 to 1.

    By Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural similarity, IEEE TIP 13
    (2004), with its Gaussian window of 11 pixels and its constants. Planes may be smaller than a window.
    """
    mean, mean_other, square, square_other, product = (
        blurred(plane, _SSIM_SIGMA, reach=_SSIM_REACH) for plane in (one, other, one * one, other * other, one * other)
    )
    light, contrast = _SSIM_CONSTANTS
    above = (2 * mean * mean_other + light) * (2 * (product - mean * mean_other) + contrast)
    variances = (square - mean * mean) + (square_other - mean_other * mean_other)
    return np.asarray(above / ((mean**2 + mean_other**2 + light) * (variances + contrast)), dtype=np.float32)


def _along(plane: _Values, axis: int, reach: tuple[int, int], border: Border, work: Callable[[_Lines], _Lines]) -> _Values:
    """Return what is made of a plane's lines along an axis, each longer by what it reaches for before and behind itself."""
    found = np.empty_like(plane)
    lines, wanted = (np.moveaxis(np.atleast_2d(each), axis - plane.ndim, -1) for each in (plane, found))
    many = max(1, _AT_ONCE // max(1, lines.shape[1]))
    for start in range(0, len(lines), many):
        strip = lines[start : start + many].astype(np.float64)
        wanted[start : start + many] = work(np.pad(strip, ((0, 0), reach), mode=border))
    return found


def _windows(lines: _Lines, size: int) -> _Lines:
    return sliding_window_view(lines, size, axis=1)
