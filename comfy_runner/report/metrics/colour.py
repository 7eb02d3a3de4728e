"""The mean colour, and how far a picture deviates from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling
from skimage.color import rgb2lab

_CELLS = 96


def colour_shift(original: NDArray[np.uint8], upscaled: NDArray[np.uint8]) -> float:
    """Return the distance of the mean colours in Lab (CIE 1976, D65), of pictures brought down to at most 96 cells a side."""
    one, other = (_mean(picture, original.shape) for picture in (original, upscaled))
    return float(np.linalg.norm(one - other))


def deviation(picture: NDArray[np.uint8]) -> float:
    """Return the largest standard deviation of a channel, of full scale."""
    return max(float(np.std(picture[..., channel], dtype=np.float32)) for channel in range(3)) / 255


def _mean(picture: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.float64]:
    size = min(_CELLS, shape[1]), min(_CELLS, shape[0])
    cells = np.asarray(Image.fromarray(picture).resize(size, Resampling.BOX), dtype=np.float64) / 255
    mean: NDArray[np.float64] = rgb2lab(cells).mean(axis=(0, 1))
    return mean
