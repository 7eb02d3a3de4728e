"""A pair of pictures as the planes that all metrics look at: luma, resampled, split at the original's Nyquist frequency."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy import fft
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

from comfy_runner.report.metrics import thresholds

Plane = NDArray[np.float32]
"""One value per pixel, shape (height, width)."""

T = TypeVar("T")

_LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as in JPEG and in most published figures of SSIM."""


def luma(picture: NDArray[np.uint8]) -> Plane:
    """Return the luma of an RGB picture of 8 bits, 0 to 1."""
    weighed = np.zeros(picture.shape[:2], dtype=np.float32)
    for channel, weight in enumerate(_LUMA):
        weighed += np.multiply(picture[..., channel], np.float32(weight / 255), dtype=np.float32)
    return weighed


def colour_difference(picture: NDArray[np.uint8]) -> Plane:
    """Return blue less red, scaled so that independent noise of the channels keeps its deviation."""
    difference: Plane = np.subtract(picture[..., 2], picture[..., 0], dtype=np.float32)
    difference *= np.float32(1 / (255 * math.sqrt(2)))
    return difference


def resized(
    plane: Plane,
    shape: tuple[int, int],
    *,
    how: Resampling = Resampling.LANCZOS,
    box: tuple[float, float, float, float] | None = None,
) -> Plane:
    """Return a plane, or the box (left, top, right, bottom) of it, at another size (height, width), free of aliasing."""
    height, width = shape
    image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(image.resize((width, height), how, box))


def averages(plane: Plane, shape: tuple[int, int]) -> Plane:
    """Return the mean of each of the cells into which a plane is cut."""
    return resized(plane, shape, how=Resampling.BOX)


@dataclass(frozen=True, kw_only=True, eq=False)
class OfOriginal:
    """What is known of an original alone, for one size of its upscaled pictures; all pictures of a seed share it.

    Attributes:
        picture: The original, RGB of 8 bits.
        luma: Its luma.
        plain: Its plain (Lanczos) upscale, of the upscaled pictures' size.
        left: What Lanczos leaves of that above the original's Nyquist frequency.
        finest: What the original has in its own finest octave.
    """

    picture: NDArray[np.uint8]
    luma: Plane
    plain: Plane
    left: Plane
    finest: Plane
    _found: dict[object, Any] = field(default_factory=dict, init=False, repr=False)

    def once(self, name: object, find: Callable[[], T]) -> T:
        """Return what `find` returns, which is asked once for each name. Two threads may ask at the same time, for the same."""
        if name not in self._found:
            self._found[name] = find()
        found: T = self._found[name]
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planes:
    """Luma of a pair, 0 to 1.

    Attributes:
        known: What is known of the original alone.
        upscaled: The upscaled picture.
        small: The upscaled picture at the original's size.
        fine: What the upscaled picture has above the original's Nyquist frequency, less what the plain upscale has there.
        factor: Width and height of the upscaled picture over the original's, their geometric mean; above 1.
        shift: How far (down, right) the upscaled picture has been moved, in its own pixels.
    """

    known: OfOriginal
    upscaled: Plane
    small: Plane
    fine: Plane
    factor: float
    shift: tuple[float, float]

    @property
    def original(self) -> Plane:
        """The original."""
        return self.known.luma

    @property
    def plain(self) -> Plane:
        """The original's plain upscale."""
        return self.known.plain

    @property
    def patches(self) -> tuple[int, int]:
        """How many patches there are down and across."""
        height, width = self.original.shape
        return max(1, height // thresholds.PATCH), max(1, width // thresholds.PATCH)


def split(original: NDArray[np.uint8], upscaled: NDArray[np.uint8]) -> Planes:
    """Return the planes of two RGB pictures, the second larger than the first."""
    high = luma(upscaled)
    of_original = remembered if high.size <= thresholds.MOST_REMEMBERED else _of_original
    known = of_original(original.tobytes(), original.shape[:2], high.shape)
    low, left = known.luma, known.left
    small = resized(high, low.shape)
    fine = _above(high, small)
    moved = shift_between(low, small, factor=(high.shape[0] / low.shape[0], high.shape[1] / low.shape[1]))
    if moved != (0.0, 0.0):
        left = np.roll(left, (round(moved[0]), round(moved[1])), axis=(0, 1))
    energy = product(left, left)
    if energy > 0:
        fine -= np.float32(product(left, fine) / energy) * left
    return Planes(known=known, upscaled=high, small=small, fine=fine, factor=float((high.size / low.size) ** 0.5), shift=moved)


def _of_original(pixels: bytes, size: tuple[int, int], upscaled: tuple[int, int]) -> OfOriginal:
    """Return what is known of an original alone.

    Args:
        pixels: The original, RGB of 8 bits.
        size: Its height and width.
        upscaled: The upscaled picture's.
    """
    picture = np.frombuffer(pixels, np.uint8).reshape(*size, 3)
    low = luma(picture)
    plain = resized(low, upscaled)
    # Lanczos is no ideal filter: something is left of the plain upscale as well, and goes as far as it is in the picture.
    return OfOriginal(picture=picture, luma=low, plain=plain, left=_above(plain, resized(plain, low.shape)), finest=above_half(low))


# The pictures of a sweep come in an order in which those of one original are neighbours.
remembered = lru_cache(maxsize=2)(_of_original)


def product(one: Plane, other: Plane) -> float:
    """Return the sum of the products. `np.vdot` would start threads of its own, and many pictures are measured at once."""
    return float(np.sum(one * other, dtype=np.float64))


def mean_square(plane: Plane) -> float:
    """Return the energy of a plane, of each pixel."""
    return product(plane, plane) / plane.size


def _above(plane: Plane, small: Plane) -> Plane:
    """Return what a plane has that its small version lacks."""
    return plane - resized(small, plane.shape)


def shift_between(original: Plane, small: Plane, *, factor: tuple[float, float]) -> tuple[float, float]:
    """Return how far (down, right) the upscaled picture has been moved, in its own pixels; 0, 0 if that is next to nothing.

    By cross-correlation, to about a tenth of the original's pixels.
    """
    height, width = original.shape
    if min(height, width) < 32:
        return 0.0, 0.0
    # The middle is enough, and takes much less time.
    top, left = max(0, height - thresholds.LARGEST_WINDOW) // 2, max(0, width - thresholds.LARGEST_WINDOW) // 2
    middle = np.s_[top : top + thresholds.LARGEST_WINDOW, left : left + thresholds.LARGEST_WINDOW]
    original, small = original[middle], small[middle]
    window = np.outer(*(np.hanning(side).astype(np.float32) for side in original.shape))
    one, other = ((plane - plane.mean()) * window for plane in (original, small))
    if not one.any() or not other.any():
        return 0.0, 0.0
    correlation = fft.irfft2(fft.rfft2(other) * np.conj(fft.rfft2(one)), s=one.shape)
    moved = _peak(np.asarray(correlation, dtype=np.float32))
    down, right = moved[0] * factor[0], moved[1] * factor[1]
    if not thresholds.LEAST_SHIFT <= math.hypot(down, right) <= thresholds.FARTHEST_SHIFT:
        return 0.0, 0.0
    return down, right


def _peak(correlation: Plane) -> tuple[float, float]:
    """Return where a correlation over all (wrapped) shifts is highest, between the pixels as a parabola through three of them says.

    `skimage.registration` finds the same, but by a matrix product that starts threads of its own, which then wait in a busy loop.
    """
    where = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    found = []
    for axis, (at, side) in enumerate(zip(where, correlation.shape, strict=True)):
        before, here, after = np.take(correlation, (at - 1, at, at + 1), axis=axis, mode="wrap")[
            (slice(None), where[1]) if axis == 0 else (where[0], slice(None))
        ]
        bend = float(before - 2 * here + after)
        between = float(before - after) / (2 * bend) if bend else 0.0
        found.append((int(at) + side // 2) % side - side // 2 + between)
    return found[0], found[1]


def above_half(plane: Plane) -> Plane:
    """Return what is lost of a plane when it is halved and doubled again: its finest octave."""
    height, width = plane.shape
    return plane - resized(resized(plane, (max(1, height // 2), max(1, width // 2))), plane.shape)
