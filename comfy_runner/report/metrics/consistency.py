"""What of an upscaled picture, made small again, no filter can have made of its original.

How an original was made small is not known, nor how sharp a picture was painted: both are filters, which make all waves of a length
stronger or weaker alike. Detail that is right leaves only that. What is painted anew, bent, or white noise leaves more.
"""

from __future__ import annotations

import numpy as np

from comfy_runner.report.metrics import thresholds
from comfy_runner.report.metrics.filters import bend
from comfy_runner.report.metrics.planes import Plane, mean_square, product


def unexplained(finest: Plane, finest_small: Plane) -> Plane:
    """Return what of the picture's finest octave no filter makes of the original's.

    Filters are told by the slopes of a regression on the original's octave and its second derivative, which are steeper or
    shallower towards the finest waves.

    Args:
        finest: The finest octave of the original, aligned.
        finest_small: The same of the upscaled picture at its size.
    """
    bands = (finest, bend(finest))
    products = np.array([[product(one, other) for other in bands] for one in bands])
    slopes, *_ = np.linalg.lstsq(products, np.array([product(band, finest_small) for band in bands]), rcond=None)
    left: Plane = finest_small - np.float32(slopes[0]) * bands[0] - np.float32(slopes[1]) * bands[1]
    return left


def faithfulness(finest: Plane, left: Plane) -> float:
    """Return the share of the detail that counts: 1 where all is explained, less where the picture shows something else.

    Args:
        finest: The finest octave of the original, aligned.
        left: What is left unexplained.
    """
    apart = max(0.0, mean_square(left) - thresholds.ROUNDING**2) / (mean_square(finest) + thresholds.LEAST_SEEN**2)
    return 1 - thresholds.UNFAITHFUL_COSTS * apart / (apart + thresholds.HALF_UNFAITHFUL**2)
