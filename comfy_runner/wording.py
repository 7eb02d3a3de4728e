"""How things are put in words: counts, durations, sizes, moments, the first few of many names, the nearest to an unknown one."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

MIB: Final = 1 << 20
"""Bytes of a mebibyte."""

GIB: Final = 1 << 30
"""Bytes of a gibibyte."""

LISTED = 12
"""Most names that a message lists."""

MISSPELT: Final = 0.85
"""How like a name is to the one that it is a misspelling of, at least (`nearest`)."""

_MOST_NAMED = 8
_LIKE = 0.6
_PACK = "install the node pack that has it"
_LONGEST = 200  # comparing takes the square of it, and names can come from a server
_MOST = 5000


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun, such as ``1 job`` or ``2 jobs``, or with more words that go with the number.

    Args:
        number: How many there are.
        one: What follows the number 1, such as ``job has``.
        many: What follows any other, such as ``jobs have``; empty for `one` with an s.
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


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


def now() -> str:
    """Return the moment as ISO 8601 with offset, in whole seconds. With `today` the only use of the clock that can be set."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def today() -> str:
    """Return the day as ISO 8601, such as 2026-11-30: that of this machine's time zone, as ComfyUI has it in names of files."""
    return datetime.now().astimezone().date().isoformat()


def nearest(name: str, known: Iterable[str], *, most: int = 3, like: float = _LIKE) -> list[str]:
    """Return the known names most like this one, best first; letter case does not count, nor do very long names.

    Args:
        name: The unknown name.
        known: The known ones.
        most: How many at most.
        like: How like they have to be, from 0 to 1, the very same.
    """
    short = itertools.islice((other for other in known if len(other) <= _LONGEST), _MOST)
    by_folded = {other.casefold(): other for other in short}
    found = difflib.get_close_matches(name[:_LONGEST].casefold(), by_folded, n=most, cutoff=like)
    return [by_folded[folded] for folded in found]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest known names, or else the names that there are; empty where there are none."""
    names = [other if len(other) <= _LONGEST else other[:_LONGEST] + "..." for other in known]
    close = nearest(name, names)
    if close:
        return f"did you mean {' or '.join(close)}?"
    if not names:
        return ""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"known are {', '.join(names[:LISTED])}{more}"


def misspelt_or_lacking(class_type: str, known: Iterable[str]) -> str:
    """Return a hint for a node class that a server lacks: what it may be a misspelling of, and how the server comes by it.

    Node packs have thousands of classes, many of whose names are somewhat like ComfyUI's own, so only those very like it count.
    """
    close = nearest(class_type, known, like=MISSPELT)
    return f"did you mean {' or '.join(close)}? If not, {_PACK}" if close else _PACK
