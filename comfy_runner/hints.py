"""The nearest names to one that is not known, for the way out of an error."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable

LISTED = 12
"""Most names that a message lists."""

_LONGEST = 200  # comparing takes the square of it, and names can come from a server
_MOST = 5000


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the known names most like this one, best first; letter case does not count, nor do very long names."""
    short = itertools.islice((other for other in known if len(other) <= _LONGEST), _MOST)
    by_folded = {other.casefold(): other for other in short}
    found = difflib.get_close_matches(name[:_LONGEST].casefold(), by_folded, n=most, cutoff=0.6)
    return [by_folded[folded] for folded in found]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest known names, or else the names that there are."""
    names = [other if len(other) <= _LONGEST else other[:_LONGEST] + "..." for other in known]
    close = nearest(name, names)
    if close:
        return f"did you mean {' or '.join(close)}?"
    if not names:
        return "there is none"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"known are {', '.join(names[:LISTED])}{more}"
