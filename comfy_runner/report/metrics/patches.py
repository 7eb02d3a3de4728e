"""The original's small patches, and which of them are flat: there, what the upscaled picture has is noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from comfy_runner.report.metrics.planes import Plane, Planes, averages
from comfy_runner.report.metrics.thresholds import FLATTEST, PATCH, QUIETEST


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patches:
    """Energies (mean squares) by patch.

    Attributes:
        fine: Of `Planes.fine`.
        fine_original: Of `Planes.fine_original`.
        flat: The share of the flattest patches, as a mask.
        clipped: Share of noise energy that is left where black or white cuts it off: 1 elsewhere.
    """

    fine: Plane
    fine_original: Plane
    flat: NDArray[np.bool_]
    clipped: Plane

    def floor(self, by_patch: Plane, samples: float) -> float:
        """Return the energy of what is uniform: that of the flattest patches, or of the quietest, whichever is less.

        Args:
            by_patch: One of the energies.
            samples: How many independent pixels there are to a patch; of uniform noise the quietest patches have so much less.
        """
        whole = by_patch / self.clipped
        flattest = float(np.mean(whole[self.flat], dtype=np.float64))
        large = averages(whole, (max(1, whole.shape[0] // 2), max(1, whole.shape[1] // 2)))
        quietest = float(np.quantile(large, QUIETEST)) / max(0.3, 1 - 1.28 * math.sqrt(2 / (4 * samples)))
        return min(flattest, quietest)


def cut(pair: Planes) -> Patches:
    """Return the patches of a pair."""
    height, width = pair.original.shape
    shape = (max(1, height // PATCH), max(1, width // PATCH))
    rough = pair.original - ndimage.gaussian_filter(pair.original, 2.0, truncate=2.0)
    busy = ndimage.maximum_filter(averages(rough * rough, shape), 3, mode="nearest")
    means = averages(pair.original, shape)
    rail = np.minimum(means, 1 - means) < 2 / 255
    candidates = busy[~rail] if (~rail).mean() > 0.1 else busy.ravel()
    limit = np.quantile(candidates, FLATTEST)
    flat = busy <= limit
    if (flat & ~rail).sum() >= max(4, 0.2 * flat.sum()):
        flat &= ~rail
    return Patches(
        fine=averages(pair.fine * pair.fine, shape),
        fine_original=averages(pair.fine_original * pair.fine_original, shape),
        flat=flat,
        clipped=np.where(rail, np.float32(0.34), np.float32(1)),
    )
