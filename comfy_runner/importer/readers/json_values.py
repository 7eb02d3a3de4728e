"""JSON from files that may hold anything, read as ComfyUI's page reads it, within limits."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

MOST_VALUES: Final = 2_000_000
"""Most values of a document: hundreds of times the largest workflow."""

DEEPEST: Final = 100
"""Deepest nesting of a document."""

_SURROGATE = re.compile("[\ud800-\udfff]")


class NoJson(ValueError):
    """A text is no JSON, or none that is sensible. The text is the reason, as a message says it."""


def parse_json(text: str) -> Any:
    """Return what a JSON text says.

    ``NaN``, ``Infinity`` and numbers beyond all bounds are null, as for JavaScript, which writes them so. A half emoji, which the
    page leaves where it cuts a title, becomes U+FFFD. Of two equal keys the last one counts.

    Raises:
        NoJson: It is none, is nested deeper than 100 levels, or has more than 2,000,000 values.
    """
    if text.count(",") + text.count("[") + text.count("{") > MOST_VALUES:
        raise NoJson(f"it has more than {MOST_VALUES} values")
    try:
        value = json.loads(text, parse_constant=lambda _: None, parse_float=_float)
    except json.JSONDecodeError as error:
        raise NoJson(f"{error.msg[:1].lower()}{error.msg[1:]}, line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise NoJson(f"it is nested deeper than {DEEPEST} levels") from None
    except ValueError:  # Python makes no number of more than some thousand digits
        raise NoJson("a number in it has too many digits") from None
    return _checked(value)


def _float(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _checked(value: Any) -> Any:
    """Return a value whose nesting is bounded, with whole characters only."""
    if isinstance(value, str):
        return _whole(value)
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _cleaned(outer)]
        if not level:
            return value
    raise NoJson(f"it is nested deeper than {DEEPEST} levels")


def _cleaned(holder: Any) -> list[Any]:
    """Make the characters of one list or mapping whole, and return the lists and mappings in it."""
    if isinstance(holder, dict):
        for key in [key for key, inner in holder.items() if _SURROGATE.search(key)]:
            holder[_whole(key)] = holder.pop(key)
    items = [*holder.items()] if isinstance(holder, dict) else [*enumerate(holder)] if isinstance(holder, list) else []
    for place, inner in items:
        if isinstance(inner, str) and _SURROGATE.search(inner):
            holder[place] = _whole(inner)
    return [inner for _, inner in items if isinstance(inner, dict | list)]


def _whole(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)
