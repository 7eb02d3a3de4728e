"""A measure that others have made, beside ours: SSIMULACRA2, where its package is installed.

Jon Sneyers' SSIMULACRA2 (https://github.com/cloudinary/ssimulacra2) was fitted to what many thousand people said of pictures beside
their originals. It is asked here whether an upscaled picture, made small again, still looks like its original.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

from comfy_runner.report.second_opinion import SECOND

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric

_LONGER_SIDE: Final = 512  # pixels that are looked at: 1024x576 of them take 0.9 s of one core, 512x288 0.2 s


def second_opinion() -> Mapping[str, Metric]:
    """Return the second measure by its name; nothing where its package is not installed (`comfy-runner[opinion]`)."""
    return {SECOND: ssimulacra2} if importlib.util.find_spec("ssimulacra2") else {}


def ssimulacra2(original: NDArray[np.float32], _plain: NDArray[np.float32], upscaled: NDArray[np.float32]) -> float:
    """Return how much an upscaled picture looks like its original, both at the original's size or at most 512 pixels a side.

    Args:
        original: RGB of 0 to 1, shape (h, w, 3).
        _plain: Its plain upscale, which is not looked at.
        upscaled: The upscaled picture, likewise of shape (H, W, 3).

    Returns:
        100 for the same picture; 90 is hard to tell apart, 70 of high quality, 50 of medium, below 0 broken.
    """
    from ssimulacra2 import compute_ssimulacra2

    height, width = original.shape[:2]
    scale = min(1.0, _LONGER_SIDE / max(height, width))
    size = round(width * scale), round(height * scale)
    return float(compute_ssimulacra2(*(_file(picture, size) for picture in (original, upscaled))))


def _file(picture: NDArray[np.float32], size: tuple[int, int]) -> io.BytesIO:
    """Return a picture at a size (width, height) as what the package opens."""
    file = io.BytesIO()
    Image.fromarray(np.round(picture * 255).astype(np.uint8)).resize(size, Resampling.LANCZOS).save(file, "BMP")
    file.seek(0)
    return file
