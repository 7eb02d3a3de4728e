"""How many examples of random values the tests try that say so themselves: a quarter of them while one is working.

Those that do not say it get Hypothesis' own hundred, or what the profile says that `make quick` asks for.
"""

from __future__ import annotations

from hypothesis import settings

_USUAL = 100


def tried(number: int) -> int:
    """Return how many of so many examples are tried in this session, by its profile; to be asked when a test is defined."""
    return max(1, number * settings().max_examples // _USUAL)
