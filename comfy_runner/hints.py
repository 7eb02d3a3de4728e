"""The nearest names to one that is not known, for the way out of an error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LISTED = 12


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the known names most like this one, best first; letter case does not count."""
    by_folded = {other.casefold(): other for other in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=most, cutoff=0.6)
    return [by_folded[folded] for folded in found]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest known names, or else the names that there are."""
    names = list(known)
    close = nearest(name, names)
    if close:
        return f"did you mean {' or '.join(close)}?"
    if not names:
        return "there is none"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"known are {', '.join(names[:_LISTED])}{more}"
