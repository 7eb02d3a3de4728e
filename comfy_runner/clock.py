"""When something happened, as it is written down; the only use of the clock that can be set."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """Return the moment as ISO 8601 with offset, in whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
