"""Which paths lead to a place inside of a run folder: the one check for what sidecars, ledgers and parcels say."""

from __future__ import annotations


def is_inside(path: object) -> bool:
    """Return whether this is a relative path with ``/`` that stays in its folder, on every system, and that can be written."""
    if not isinstance(path, str) or {"", ".", ".."} & set(path.split("/")) or set(path) & set("\\:\0"):
        return False
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
