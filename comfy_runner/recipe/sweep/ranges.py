"""Evenly spaced numbers, exact in decimals: 0.45 to 0.70 by 0.05 is six numbers, and none of them is 0.6000000000000001.

Pure arithmetic on fractions of the decimals as they are written.
"""

from __future__ import annotations

from fractions import Fraction

MOST_VALUES = 100_000
"""Most values of one axis."""

Number = int | float


def from_to(first: Number, last: Number, step: Number | None = None) -> list[Number]:
    """Return numbers from one to another, both ends included if they are hit.

    Args:
        first: The first number.
        last: Where they end; it need not be hit.
        step: From one to the next, negative to go down; one up or down if it is None.

    Raises:
        ValueError: Two whole numbers or a step are needed; the step is zero or leads away; or there are too many numbers.
    """
    if step is None:
        if not (isinstance(first, int) and isinstance(last, int)):
            raise ValueError("step is missing, which only whole numbers can do without")
        step = 1 if last >= first else -1
    if not step:
        raise ValueError("step must not be 0")
    start, stride, way = _exact(first), _exact(step), _exact(last) - _exact(first)
    if way * stride < 0:
        raise ValueError(f"step leads away from {_shown(last)} (got {_shown(step)} from {_shown(first)})")
    return _spaced(start, stride, way // stride + 1, whole=all(isinstance(number, int) for number in (first, last, step)))


def counted(first: Number, count: int, step: Number = 1) -> list[Number]:
    """Return so many numbers.

    Raises:
        ValueError: The step is zero, or there are too few or too many numbers.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1 (got {count})")
    if not step and count > 1:
        raise ValueError("step must not be 0")
    return _spaced(_exact(first), _exact(step), count, whole=isinstance(first, int) and isinstance(step, int))


def _exact(number: Number) -> Fraction:
    # The shortest decimal that gives the float is what was written.
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def _spaced(start: Fraction, stride: Fraction, count: int, *, whole: bool) -> list[Number]:
    if count > MOST_VALUES:
        raise ValueError(f"must be at most {MOST_VALUES} values (got {_shown(count)})")
    numbers = (start + stride * index for index in range(count))
    try:
        return [int(number) for number in numbers] if whole else [float(number) for number in numbers]
    except OverflowError:
        raise ValueError("must be finite numbers") from None


def _shown(number: Number) -> str:
    return "a very large number" if isinstance(number, int) and number.bit_length() > 128 else str(number)
