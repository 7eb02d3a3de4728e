"""How hostile inputs are tried: each is counted under its kind, and may only succeed or be refused in our own words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from comfy_runner.cli.output import clean
from comfy_runner.errors import ComfyRunnerError

LEAST = 10_000
"""Hostile inputs per run of the whole suite."""

TRIED: Counter[str] = Counter()
"""How many were tried, by kind."""

_LONGEST_MESSAGE = 5000
_MOST_SHOWN = 5

R = TypeVar("R")


def survives(kind: str, call: Callable[[], R]) -> R | ComfyRunnerError:
    """Try one hostile input: return what comes out, or our error; any other exception is a fault of ours and gets out."""
    TRIED[kind] += 1
    try:
        return call()
    except ComfyRunnerError as error:
        refusal = error
    for problem in refusal.problems[:_MOST_SHOWN]:
        said = f"{problem} {problem.hint}"
        assert problem.what, "an error without a reason"
        assert len(said) < _LONGEST_MESSAGE, f"a message of {len(said)} characters"
        assert harmless(clean(said))
    return refusal


def harmless(text: str) -> bool:
    """Return whether a terminal can be given this text."""
    return all(char.isprintable() or char == "\n" for char in text)
