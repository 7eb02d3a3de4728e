"""How numbers and lists are put in words: counts, durations, sizes, the first few of many names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

MIB: Final = 1 << 20
"""Bytes of a mebibyte."""

GIB: Final = 1 << 30
"""Bytes of a gibibyte."""

_MOST_NAMED = 8


def counted(number: int, what: str, plural: str = "s") -> str:
    """Return a number with its noun, such as ``1 job`` or ``2 jobs``.

    Args:
        number: How many there are.
        what: The noun in the singular.
        plural: What is added to the noun for any number but one.
    """
    return f"{number} {what}{'' if number == 1 else plural}"


def named(names: Sequence[str]) -> str:
    """Return names in one line; of more than eight, the first eight and how many more there are."""
    more = [f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return ", ".join([*names[:_MOST_NAMED], *more])


def duration(seconds: float) -> str:
    """Return a time in seconds as people say it, such as ``40 s``, ``41 min`` or ``2 h 5 min``; never less than a second."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{max(1, round(seconds))} s"
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """Return a number of bytes in KiB or MiB, such as ``3.5 MiB``."""
    return f"{count / 1024:.1f} KiB" if count < MIB else f"{count / MIB:.1f} MiB"
