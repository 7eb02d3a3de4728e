"""A second opinion on a suggestion: what would be named if a measure that others have made had a say. Pure functions of values.

The measure is SSIMULACRA2 (`report.metrics.ssimulacra`), which tells how much a picture, made small again, looks like its original.
It knows nothing of detail, so it chooses among the values that pass, and leaves out those that it finds too different from their
originals. On the sets of benchmarks/metric_sets, ours is right half as often where this opinion is another one (docs/metrics.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from comfy_runner.report.measures import Measures

SECOND: Final = "ssimulacra2"
"""The name of the second measure among `Measures.extra`."""

LEAST_ALIKE: Final = 70.0
"""Lowest score of a picture that the second opinion takes: its authors call 70 high quality. Truths, parts of their detail and
plain upscales of the tuned half of the sets have 77 to 100, however the originals were made small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondOpinion:
    """What a second measure says of a suggestion.

    Attributes:
        measure: Its name among the numbers of each picture.
        least: The lowest score that it takes for alike.
        score: The lowest score of the suggested value's pictures; None where none is suggested, or it has no score.
        chosen: The value that it would have named; None for none.
        agrees: Whether that is the one that is suggested.
    """

    measure: str
    least: float
    score: float | None
    chosen: Any
    agrees: bool


def lowest_score(pictures: Iterable[Measures]) -> float | None:
    """Return the lowest score of some pictures by the second measure; None where none has one."""
    return min((one.extra[SECOND] for one in pictures if SECOND in one.extra), default=None)


def disagreement(opinion: SecondOpinion, suggested: str, instead: str | None) -> str:
    """Return what is said of an opinion that is another one, as a sentence.

    Args:
        opinion: The opinion.
        suggested: The label of the value that is suggested.
        instead: The label of the value that it would have named; None for none.
    """
    named = f"would name {instead}" if instead is not None else "would name no value"
    score = f"{opinion.score:.0f} of 100; at least {opinion.least:g} is fine"
    return f"{opinion.measure} {named}: a picture of {suggested}, reduced again, resembles its original by {score}"
