"""The checks of a picture that was just collected: it is whole, as large as planned, and shows something."""

from __future__ import annotations

from collections.abc import Iterator

from comfy_runner.check.interface import Check, Finding, Output, finding
from comfy_runner.graph.sizes import Size

CONTRAST = "contrast"
"""The metric of `NotFlat`: the largest difference of two whole values of one channel, over all frames; 0 for one flat
colour."""

MOST_PIXELS = 256 * 1024 * 1024
"""Largest picture that is taken where its size was not planned."""


def not_empty(output: Output, /) -> Iterator[Finding]:
    """Find whether a file has any content."""
    if output.record is not None:
        size = output.record.size_bytes
        yield finding(output, "empty", measured=size, limit=1, problem="" if size else "is empty")


def whole(output: Output, /) -> Iterator[Finding]:
    """Find whether a file could be read to its end as what it is; `FileRecord.problem` says why not."""
    if output.record is not None:
        problem = output.record.problem
        yield finding(output, "whole", measured=problem, limit=None, problem=problem)


def planned_size(expected: Size | None) -> Check:
    """Return a check that finds whether a picture is as large as planned; it finds nothing on what is no picture.

    Args:
        expected: The size that was planned; None where it is not known, and the picture only has to be at most `MOST_PIXELS`.
    """

    def check(output: Output, /) -> Iterator[Finding]:
        record = output.record
        if record is None or record.width is None or record.height is None:
            return
        size, problem = Size(record.width, record.height), ""
        if expected is not None and size != expected:
            problem = f"does not have the planned size, {expected} pixels (got {size})"
        elif expected is None and size.pixels > MOST_PIXELS:
            problem = f"is larger than {MOST_PIXELS} pixels (got {size})"
        limit = MOST_PIXELS if expected is None else str(expected)
        yield finding(output, "size", measured=str(size), limit=limit, problem=problem)

    return check


def not_flat(output: Output, /) -> Iterator[Finding]:
    """Find whether a picture is more than one flat colour, which a model's never is: black or NaN looks like that."""
    contrast = output.metrics.get(CONTRAST)
    if contrast is not None:
        yield finding(output, "flat", measured=contrast, limit=1, problem="is one flat colour" if contrast < 1 else "")
