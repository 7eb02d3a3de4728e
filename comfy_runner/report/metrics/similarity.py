"""How alike two renderings of one picture are, judged by the region that differs most; docs/baselines.md shows what that finds.

The mean of a whole picture hides what people look at: an eye painted anew moves it by 0.003. And SSIM is about structures: of a
picture that is a fifth darker it says 0.96. So the mean colour of a region counts, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comfy_runner.report.metrics.filters import means, structural_similarity

UNSEEN = 3
"""Difference of 8-bit values that counts as none: what rounding on other hardware gives, and nobody sees. Where a picture is dark,
SSIM would call it another picture."""

REGION = 32
"""Side of a region, in pixels: about an eye of a face that fills a picture of 512 pixels."""

_PER_STEP = 0.01
"""What each step (of 255) costs by which the mean of a region is off, beyond `UNSEEN`: 8 of them, 3 %, give 0.95."""

_REACH = 5  # of SSIM's window, in pixels
_ROWS = 512  # that are compared at once, which bounds the memory


@dataclass(frozen=True, slots=True)
class Similarity:
    """How alike two pictures are.

    Attributes:
        worst: That of the region and the channel that differ most, -1 to 1: the lesser of its mean SSIM and of how near its mean
            value is; 1 where no difference can be seen.
        left: Of that region, in pixels from the left.
        top: Likewise from the top.
    """

    worst: float
    left: int
    top: int


def similarity(first: Image.Image, second: Image.Image) -> Similarity:
    """Compare two pictures of one size and one mode, RGB or RGBA.

    Args:
        first: The one that is expected.
        second: The one that there is.
    """
    expected, actual = np.asarray(first), np.asarray(second)
    box = _differing(expected, actual)
    if box is None:
        return Similarity(1.0, 0, 0)
    # What lies farther off than a region and a window is the same, and cannot be in the worst region.
    rows, columns = (
        slice(max(0, first - REGION - _REACH), min(side, last + REGION + _REACH))
        for (first, last), side in zip(box, expected.shape[:2], strict=True)
    )
    worst = Similarity(1.0, 0, 0)
    for channel in range(expected.shape[2]):
        value, top, left = _worst_region(expected[rows, columns, channel], actual[rows, columns, channel])
        if value < worst.worst:
            worst = Similarity(value, columns.start + left, rows.start + top)
    return worst


def _differing(expected: NDArray[np.uint8], actual: NDArray[np.uint8]) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the rows and the columns of what differs, each from its first to behind its last; None where nothing can be seen."""
    rows = np.zeros(expected.shape[0], dtype=bool)
    columns = np.zeros(expected.shape[1], dtype=bool)
    for top in range(0, len(rows), _ROWS):
        strip = slice(top, top + _ROWS)
        seen = (np.maximum(expected[strip], actual[strip]) - np.minimum(expected[strip], actual[strip])).max(axis=2) > UNSEEN
        rows[strip] = seen.any(axis=1)
        columns |= seen.any(axis=0)
    if not rows.any():
        return None
    tall, wide = ((int(found[0]), int(found[-1]) + 1) for found in map(np.flatnonzero, (rows, columns)))
    return tall, wide


def _ssim(expected: NDArray[np.uint8], actual: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the structural similarity at each pixel of a channel."""
    found = np.empty(expected.shape, dtype=np.float32)
    for top in range(0, len(found), _ROWS):
        # With a window's reach around it, a strip is compared as it is in the whole.
        start, stop = max(0, top - _REACH), min(len(found), top + _ROWS + _REACH)
        one, other = (plane[start:stop].astype(np.float32) for plane in (expected, actual))
        difference = other - one
        other = one + np.sign(difference) * np.maximum(np.abs(difference) - UNSEEN, 0)
        found[top : top + _ROWS] = structural_similarity(one / np.float32(255), other / np.float32(255))[top - start :][:_ROWS]
    return found


def _worst_region(expected: NDArray[np.uint8], actual: NDArray[np.uint8]) -> tuple[float, int, int]:
    """Return how alike the region of a channel is that differs most, and its top and left."""
    off = np.abs(_means(np.subtract(actual, expected, dtype=np.float32)))
    alike = np.minimum(_means(_ssim(expected, actual)), 1 - _PER_STEP * np.maximum(off - UNSEEN, 0))
    top, left = np.unravel_index(int(np.argmin(alike)), alike.shape)
    return float(alike[top, left]), int(top), int(left)


def _means(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of each region that lies within a channel, at its top and left."""
    height, width = (min(REGION, side) for side in values.shape)
    found = means(values, (height, width), border="edge")
    inside: NDArray[np.float32] = found[height // 2 :, width // 2 :][: values.shape[0] - height + 1, : values.shape[1] - width + 1]
    return inside
