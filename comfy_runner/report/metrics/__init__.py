"""What an upscaled picture is measured by: how far it drifted, how much real detail it has, and what spoils it.

What the numbers mean together is decided in `suggest`. Each module has one idea, works on arrays alone, and keeps no state, so that
many threads can measure at once. docs/metrics.md tells it in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

from comfy_runner.check.interface import Finding, Output, failures
from comfy_runner.check.thresholds import DEVIATION, VETOES
from comfy_runner.errors import VerificationError
from comfy_runner.report.measures import Measures
from comfy_runner.report.metrics import thresholds
from comfy_runner.report.metrics.belonging import belonging
from comfy_runner.report.metrics.composition import aligned, colour_shift, moved_composition
from comfy_runner.report.metrics.consistency import faithfulness, unexplained
from comfy_runner.report.metrics.detail import added_noise, cut, gained_detail, gains
from comfy_runner.report.metrics.planes import above_half, split
from comfy_runner.report.metrics.straight_lines import blockiness, highest_seam
from comfy_runner.report.metrics.structure import dead_areas, repetition, ringing
from comfy_runner.report.read_pictures import read_rgb
from comfy_runner.store.interface import Artifact
from comfy_runner.text_files import shown

VERSION = 7
"""Goes into caches; raised whenever a number of the same pictures changes, or what is kept beside the numbers."""

Metric = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], float]
"""A metric of the user's own: original, plain upscale, upscaled picture, RGB of 0 to 1; shapes (h, w, 3), (H, W, 3), (H, W, 3)."""


def measure(
    original: Path | Artifact,
    upscaled: Path | Artifact,
    *,
    custom: Mapping[str, Metric] | None = None,
    failed: list[str] | None = None,
) -> Measures:
    """Measure the picture in one file against its original in another.

    Args:
        original: The small picture.
        upscaled: The large one, of the same shape but for what rounding to whole latent cells takes.
        custom: More metrics, by name. What they find is in `Measures.extra`, unless it is not finite.
        failed: Is given which of these did not return a number, and why: the others are still wanted. None to raise it.

    Raises:
        VerificationError: A file is no whole picture, the two do not fit each other, or a metric of the user's own fails.
    """
    small, large = (np.asarray(read_rgb(path)) for path in (original, upscaled))
    problem = _misfit(small, large)
    where = shown(upscaled) if isinstance(upscaled, Path) else str(upscaled)
    if problem:
        raise VerificationError(problem, where=where)
    return measure_pictures(small, large, extra=_extra(small, large, custom or {}, failed, where=where))


def measure_pictures(
    original: NDArray[np.uint8], upscaled: NDArray[np.uint8], *, extra: Mapping[str, float] | None = None
) -> Measures:
    """Measure a picture against its original, both RGB of 8 bits; they have to fit each other."""
    pair = split(original, upscaled)
    cells = cut(pair)
    base, small = aligned(pair)
    finest, finest_small = above_half(base), above_half(small)
    sharpening = gains(base, small, finest, finest_small)
    left = unexplained(finest, finest_small)
    drift, local_drift, shift = moved_composition(pair)
    belongs, along_edges = belonging(pair, finest_small, cells.fine)
    numbers = {
        "drift": drift,
        "local_drift": local_drift,
        "detail": gained_detail(pair, cells, sharpening, left, belongs * faithfulness(finest, left)),
        "noise": added_noise(pair, cells, original, upscaled),
        "blocks": blockiness(pair),
        "seams": highest_seam(pair, base, small),
        "halos": sharpening.overshoot,
        "colour_shift": colour_shift(original, upscaled),
        "shift": shift,
        "alignment": along_edges,
        "ringing": ringing(base, small),
        "repetition": repetition(pair, along_edges),
        "dead_areas": dead_areas(pair),
    }
    wrong = failures(Output(metrics={**numbers, DEVIATION: _deviation(upscaled)}), VETOES)
    return Measures(**numbers, vetoes=tuple(found.check for found in sorted(wrong, key=_severity)), extra=dict(extra or {}))


def _misfit(original: NDArray[np.uint8], upscaled: NDArray[np.uint8]) -> str:
    """Return why two pictures cannot be measured against each other; empty where they can."""
    (low, narrow), (tall, wide) = original.shape[:2], upscaled.shape[:2]
    if min(low, narrow) < thresholds.LEAST_SIDE:
        return f"has an original too small to measure, less than {thresholds.LEAST_SIDE} pixels a side (got {narrow}x{low})"
    if min(tall / low, wide / narrow) < thresholds.LEAST_FACTOR:
        return f"is not larger than its original of {narrow}x{low} pixels (got {wide}x{tall})"
    stretch = (wide / narrow) / (tall / low)
    if max(stretch, 1 / stretch) > thresholds.MOST_STRETCH:
        return f"has a different shape from its original of {narrow}x{low} pixels (got {wide}x{tall})"
    return ""


def _extra(
    original: NDArray[np.uint8], upscaled: NDArray[np.uint8], custom: Mapping[str, Metric], failed: list[str] | None, *, where: str
) -> dict[str, float]:
    if not custom:
        return {}
    size = upscaled.shape[1], upscaled.shape[0]
    plain = np.asarray(Image.fromarray(original).resize(size, Resampling.LANCZOS))
    small, middle, large = (picture.astype(np.float32) / np.float32(255) for picture in (original, plain, upscaled))
    found = {}
    for name, metric in custom.items():
        try:
            value = float(metric(small, middle, large))
        except Exception as error:  # whatever other people's code raises
            if failed is None:
                raise VerificationError(f"metric {name} failed: {str(error) or type(error).__name__}", where=where) from error
            failed.append(f"metric {name} failed ({type(error).__name__}: {error})")
            continue
        if math.isfinite(value):
            found[name] = value
        elif failed is not None:
            failed.append(f"metric {name} did not return a number (got {value})")
    return found


def _deviation(picture: NDArray[np.uint8]) -> float:
    """Return the largest standard deviation of a channel, of full scale."""
    return max(float(np.std(picture[..., channel], dtype=np.float32)) for channel in range(3)) / 255


def _severity(found: Finding) -> float:
    """Return what is lowest for the worst finding: one of flatness, then how often its limit the value is."""
    return -math.inf if found.check == "flat" else -float(found.measured or 0) / float(found.limit or 1)
