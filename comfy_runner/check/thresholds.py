"""Limits of metrics: what a picture is vetoed for, and how a metric is held against any other limit.

The vetoes' thresholds come from the experiments of tests/report/metrics, as those of `report.metrics.thresholds` do.
"""

from __future__ import annotations

from collections.abc import Iterator

from comfy_runner.check.interface import Check, Finding, Output, finding

LEAST_DEVIATION = 1 / 255
"""Standard deviation of a channel below which it is flat: less than one step of 8 bits."""

MOST_NOISE = 0.0095
"""Most added noise, of full scale. No truth had any; noise of 0.02 in each channel comes out as 0.013 (luma) to 0.020 (colour)."""

MOST_BLOCKS = 0.2
"""Most that steps on a grid may be stronger. Truths had at most 0.06, but for rows of windows at factor 3; JPEG of quality 30 has
0.2 to 3, nearest-neighbour upscaling 5 and more."""

MOST_SEAMS = 1.0
"""Highest line or step, in 255ths of full scale. Truths had none; borders of tiles 4/255 apart come out as 2 to 4."""

MOST_HALOS = 0.3
"""Most gain of fine structures over coarse ones. Truths had at most 0.1, also where the original was made small by averaging;
sharpening by 100 % and a radius of two pixels comes out as 0.37."""

MOST_RINGING = 1.3
"""Most that the very finest waves may be amplified more. Truths had at most 0.8, also where a Gaussian had made the original small,
and sharpened ones 1.2; edges with several echoes have 2 to 9."""

MOST_REPETITION = 0.4
"""Most that fine structures may be like themselves elsewhere. Truths had at most 0.2, also facades and walls of bricks; repeated
tiles and checkers come out as 0.5 to 1."""

MOST_DEAD = 0.008
"""Most of the picture that may be flat where the plain upscale is not. Truths had next to none."""

DEVIATION = "deviation"
"""The metric behind ``flat``: the largest standard deviation of a channel, of full scale."""


def most(metric: str, limit: float) -> Check:
    """Return a check that holds a metric against the most that it may be; it finds nothing where the metric is missing.

    Args:
        metric: Its name, which is also that of the check.
        limit: The highest value that passes.
    """

    def check(output: Output, /) -> Iterator[Finding]:
        value = output.metrics.get(metric)
        if value is not None:
            problem = f"{metric.replace('_', ' ')} {value:.4g}, at most {limit:g} is fine" if value > limit else ""
            yield finding(output, metric, measured=value, limit=limit, problem=problem)

    return check


def flat(output: Output, /) -> Iterator[Finding]:
    """Find whether a picture shows hardly more than one colour."""
    value = output.metrics.get(DEVIATION)
    if value is not None:
        problem = "is one flat colour" if value < LEAST_DEVIATION else ""
        yield finding(output, "flat", measured=value, limit=LEAST_DEVIATION, problem=problem)


VETOES: tuple[Check, ...] = (
    flat,
    most("noise", MOST_NOISE),
    most("blocks", MOST_BLOCKS),
    most("seams", MOST_SEAMS),
    most("halos", MOST_HALOS),
    most("ringing", MOST_RINGING),
    most("repetition", MOST_REPETITION),
    most("dead_areas", MOST_DEAD),
)
"""What rules a picture out, whatever its detail."""

VETO_NAMES = frozenset(("flat", "noise", "blocks", "seams", "halos", "ringing", "repetition", "dead_areas"))
"""The names of their checks."""
