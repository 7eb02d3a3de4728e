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

MOVING_COSTS = 0.01
"""Share of the detail that is taken off for each pixel of shift. The small picture is moved back, which makes it a little softer:
a truth moved by two pixels looked less sharpened than the one in place, and had up to 10 % more detail."""

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

LEAST_SEEN = 1 / 255
"""Contrast that hardly anybody sees: half of it or twice it is no difference."""

LEAST_CONTRAST = 3 / 255
"""Added to the original's contrast, so that next to nothing over nothing is next to nothing: skies, gradients."""

SHARPENING_COSTS = 2.15
"""Power of the gain of the finest octave that detail is divided by. With 1.75, sharpening gained more; with 2.5, three quarters of
the detail came before all of it where a bilinear filter or a Gaussian had made the original small."""

RESTORING_COSTS = 1.0
"""The same for as much of the gain as may be contrast that the original has lost. With 1.5, three quarters of the detail came
before all of it where a Gaussian had made the original small: there, truths have gains of 1.8 to 2."""

USUAL_OCTAVE = 0.85
"""Contrast of an original's finest octave over that of the next one, below which it may be soft: photographs made small with
Lanczos had 0.7 to 1, by a bilinear filter 0.6, by a Gaussian 0.5."""

SOFT_POWER = 1.5
"""The power of how far it is below that is the gain that the truth may have."""

MOST_RESTORED = 2.2
"""Most gain of the finest octave that counts as restored."""

LEAST_KEPT = 0.9
"""Least contrast of the original's finest octave that a picture has to keep: truths had at least that."""

BLUR_COSTS = 0.25
"""Detail that a picture without any of that contrast has less than none; and what a gain of 1 costs that no detail comes with."""

DETAIL_MAY_SHARPEN = 0.8
"""Gain beyond 1 that comes with as much detail as the original has contrast: truths had 0.5 to 0.7 where a Gaussian had made the
original small, and next to none else; plain upscales that were sharpened 1.1 to 3."""

GRAIN_MAY_GROW = 1.3
"""Times what grain is expected to be, as energy: the truth's grain is not quite white."""

MOST_GROWTH = 5.0
"""Most that the energy of grain is expected to be over the original's, before the above: real grain is not white over octaves."""

GRAIN_COUNTS = 2.0
"""Times the energy of the original's grain up to which what is uniform may be detail: gravel's was 1.3 at factor 2.5. Checkers and
tiles of which the original shows nothing stay noise."""

WHITE_MAY_BE = 1.5
"""Times the energy that white noise is expected to have by what there is at the original's size: there, coarse grain and repainted
textures leave less."""

# What belongs to the picture.

LEAST_EVIDENCE = 0.35
"""Alignment and likeness of places, in sum, from which on fine structures count as detail. Worms, other photographs' detail and
noise had less than 0.7, mostly less than 0.5."""

FULL_EVIDENCE = 0.85
"""The same from which on all of it counts. Of truths, all but text too small to be read had 0.77 (gravel) and more, mostly 1.5."""

LEAST_OWN = 1.3
"""The same with the picture's own structures, above which what is repainted counts, too. Another photograph's detail, laid over
the plain upscale, has up to 1.35."""

FULLY_OWN = 1.6
"""The same from which on all of it counts: another picture altogether has mostly 1.6 to 1.9."""

SAYING = 0.2
"""Evidence of the original's own finest octave below which evidence says nothing: noise of any slope had at most 0.1, photographs
and gravel 0.18 to 1.7."""

UNFAITHFUL_COSTS = 0.4
"""Share of the detail that is taken off where hardly anything of the original is left. What second passes paint is mostly new: it
has to stay detail, and of two of them the one with more has to have more."""

HALF_UNFAITHFUL = 0.35
"""Contrast that the original does not explain, over that of its finest octave, that costs half of that. Truths had 0.06 to 0.2,
networks 0.05 to 0.6, bent pictures about 1."""

# Structure.

FINEST_WAVES = (0.375, 0.5)
"""Frequencies of the original's finest waves, in cycles a pixel of it: where ringing is."""

FINE_WAVES = (0.2, 0.35)
"""Frequencies of the next ones."""

LEAST_GAIN = 0.3
"""Least gain of the next ones that the finest are compared with: a picture that has lost them does not ring."""

LOUDNESS_WINDOW = 17
"""Side of the window, in pixels of the upscaled picture, over which fine structures are made equally strong."""

NEAREST_REPETITION = 6
"""Distance in pixels up to which everything is like itself."""

DEAD_DEVIATION = 1 / 255
"""Standard deviation of a patch below which it is flat: less than one step of 8 bits."""

LIVE_DEVIATION = 4 / 255
"""Standard deviation of a patch of the plain upscale above which there is something to see."""

# Seams.

STEP_REACH = 4
"""Pixels of the original on each side of a border that are compared."""

STEP_SCORE = 6.0
"""Robust standard deviations of all borders that a step has to stand out by."""

LINE_SCORE = 6.0
"""The same for lines."""

FEW_STRIPS = 0.2
"""Share of the thin strips across a line in which it need not be. Where half of the strips made an edge of the original, more than
half of the lines of 10 to 20 steps were allowed by some edge; now one in eighty is."""

UNEVEN_COSTS = 0.2
"""How much of what thin strips differ in is taken off the height of a line: one that is laid over a picture is even."""

EDGE_MAY_STEP = 0.15
"""Share of a straight edge of the original that may be gained or lost there."""

EDGE_MAY_LINE = 1.0
"""Share of the slope of a straight edge, over one pixel of the original, that may be a line."""

OWN_MAY_LINE = 0.9
"""Share of what rows (or columns) of the original are lighter or darker than their neighbors that may be a line: rows of text too
small to be read become rows of letters."""

# Blocks.

LARGEST_PERIOD = 64
"""Largest grid that is looked for, in pixels of the upscaled picture: a latent cell at the factor 8."""

SMALLEST_GRID = 5
"""From this period on, one phase has to be above four fifths of the others: what the factor alone repeats is not."""

GRID_SCORE = 5.0
"""Standard errors that a phase has to stand out by: some four thousand phases are looked at."""

REGULAR_MAY_GROW = 2.0
"""Times what is regular in the plain upscale may be in the upscaled picture: rows of windows become sharper, too."""

MOST_OF_A_GRID = 0.5
"""Share of the lines of a grid that have to be there, all lighter or all darker."""

LINE_UNIT = 5 / 255
"""Height of the lines of a grid that counts as 1."""

SAME_COLUMN = 0.5 / 255
"""Highest step from a column to the next below which they are the same in all rows."""

OTHER_COLUMN = 8 / 255
"""Highest step above which columns of the plain upscale are different ones."""

DRAWN_COLUMNS = 0.4
"""Share of the columns that may be the same as the next ones though those of the plain upscale are not. Mosaics of four pixels have
0.75; photographs have none, but drawn facades have up to 0.5, where rows of windows have echoes in the plain upscale."""

# Memory.

MOST_REMEMBERED = 8 * 1024 * 1024
"""Largest upscaled picture, in pixels, of whose original the planes are kept for the next picture: two originals of 70 MB each."""
