"""Sizes of large files as people write them, read and told: ``6.94 GB`` (steps of 1000) and ``6.46 GiB`` (steps of 1024)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

PATTERN: Final = r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([KMGT]?)(i?)B"
"""A size with its unit, as a regular expression."""

_SIZE = re.compile(PATTERN)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def sizes_of(size: int | str) -> range:
    """Return the numbers of bytes that are meant by a size: of ``6.94 GB`` all those that are written so.

    Args:
        size: Bytes, or a text of the form `PATTERN`.

    Raises:
        ValueError: It is none, or none that a file can have.
    """
    if isinstance(size, bool) or not isinstance(size, int | str):
        raise ValueError("must be a number of bytes, or a size such as 6.94 GB or 6.46 GiB")
    parts = _SIZE.fullmatch(f"{size} B" if isinstance(size, int) and size >= 0 else str(size))
    if parts is None:
        raise ValueError("must be a number of bytes, or a size such as 6.94 GB or 6.46 GiB")
    number, unit = Decimal(parts[1]), Decimal(1024 if parts[3] else 1000) ** _POWERS[parts[2]]
    if not number:
        raise ValueError("must be more than 0 bytes")
    # The last digit is rounded, but for that of bytes.
    half = Decimal(5).scaleb(int(number.as_tuple().exponent) - 1) if unit > 1 else Decimal(0)
    return range(int((number - half) * unit), int((number + half) * unit) + 1)


def size_in_bytes(size: object) -> int:
    """Return a limit in bytes, such as that of ``200 GB``.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(size, int | str):
        raise ValueError("must be a number of bytes, or a size such as 200 GB")
    found = sizes_of(size)
    return (found[0] + found[-1] + 1) // 2


def told_size(count: int) -> str:
    """Return a number of bytes as ``6.94 GB``, with three digits at least."""
    number, unit = float(count), "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if number < 999.5:
            break
        number, unit = number / 1000, larger
    if unit == "B":
        return f"{count} B"
    digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{digits}f} {unit}"
