"""Every threshold and constant of the metrics but the vetoes' (`check.thresholds`), and the experiment that it comes from.

The experiments are those of tests/report/metrics: some forty scenes of the `TUNED` contents, at factors from 1.25 to 4, each
spoilt in some forty ways. docs/metrics.md has the results, also those of the contents that were held out.
"""

from __future__ import annotations

# Which pictures can be measured.

LEAST_SIDE = 16
"""Shortest side of an original, in pixels: with less there are no regions and hardly a patch."""

LEAST_FACTOR = 1.05
"""Least factor: below, there is no band above the original's Nyquist frequency to speak of."""

MOST_STRETCH = 1.05
"""Most that one side may be enlarged more than the other: rounding to whole latent cells of 8 pixels takes up to 3 %."""

# Composition.

LARGEST_WINDOW = 512
"""Side of the middle that a shift is looked for in, in pixels of the original."""

LEAST_SHIFT = 0.75
"""Least shift that is undone, in pixels of the upscaled picture: truths, which have none, came out below 0.4."""

FARTHEST_SHIFT = 12.0
"""Farthest shift that is undone, likewise. Beyond, it is another composition."""

SHIFT_COSTS = 0.01
"""Drift for each pixel of shift, so that of two like pictures the one in place is preferred."""

# Flat patches, detail and noise.

PATCH = 4
"""Side of a patch, in pixels of the original."""

FLATTEST = 0.05
"""Share of the patches that count as flat."""

QUIETEST = 0.1
"""Quantile of the patches that shows the noise where nothing is flat, as in gravel."""

NOISE_COUNTS = 1.15
"""Times what the floor of noise is subtracted, so that noise rather lowers detail than raises it."""

UNIFORM_COUNTS = 0.02
"""Least share of the energy that counts as detail even where everything is uniform, so an amplitude of 14 %."""

ROUNDING = 0.27 / 255
"""Standard deviation of what rounding to 8 bits leaves in both pictures: it is no detail."""

LEAST_CONTRAST = 2 / 255
"""Added to the original's contrast, so that next to nothing over nothing is next to nothing: skies, gradients."""

SHARPENING_COSTS = 3.0
"""Power of the gain of the finest octave that detail is divided by. With 2, sharpening by a radius of one pixel still gained."""

GRAIN_MAY_GROW = 1.3
"""Times what grain is expected to be, as energy: the truth's grain is not quite white."""

MOST_GROWTH = 5.0
"""Most that the energy of grain is expected to be over the original's, before the above: real grain is not white over octaves."""

# Seams.

STEP_REACH = 4
"""Pixels of the original on each side of a border that are compared."""

STEP_SCORE = 6.0
"""Robust standard deviations of all borders that a step has to stand out by."""

LINE_SCORE = 6.0
"""The same for lines."""

EDGE_MAY_STEP = 0.15
"""Share of a straight edge of the original that may be gained or lost there."""

EDGE_MAY_LINE = 1.0
"""Share of the slope of a straight edge, over one pixel of the original, that may be a line."""

# Blocks.

LARGEST_PERIOD = 64
"""Largest grid that is looked for, in pixels of the upscaled picture: a latent cell at the factor 8."""

SMALLEST_GRID = 5
"""From this period on, one phase has to be above four fifths of the others: what the factor alone repeats is not."""

GRID_SCORE = 5.0
"""Standard errors that a phase has to stand out by: some four thousand phases are looked at."""

REGULAR_MAY_GROW = 2.0
"""Times what is regular in the plain upscale may be in the upscaled picture: rows of windows become sharper, too."""

LINE_UNIT = 10 / 255
"""Height of the lines of a grid that counts as 1."""

# Memory.

MOST_REMEMBERED = 8 * 1024 * 1024
"""Largest upscaled picture, in pixels, of whose original the planes are kept for the next picture: two originals of 70 MB each."""
