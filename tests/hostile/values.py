"""Nasty values, and ways to mix them: what somebody sends who wants a traceback, a file elsewhere, or a full memory."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings

from tests.example_counts import tried

TEXTS = (
    "",
    " ",
    "\0",
    "\n",
    "\r",
    "\x1b[2J\x1b[1;1H",
    "\x1b]0;title\x07",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x9b31m",
    "\x07" * 50,
    "\u202egnp.exe",
    "\u2066\u2069\u200b\ufeff",
    "\ud800",
    "\udfff\ud800",
    "\U0010ffff",
    "a\u0301" * 200,
    "x" * 300,
    "x" * 70_000,
    "%s%n%x",
    "{0.__class__}",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "#{",
    "../../etc/passwd",
    "..\\..\\windows\\system32",
    "/etc/passwd",
    "C:\\con",
    "\\\\host\\share\\x",
    "con.png",
    "nul",
    ".",
    "..",
    "-rf",
    "~root",
    "$(id)",
    "`id`",
    "'; drop table jobs; --",
    "<script>alert(1)</script>",
    "[bold red]x[/bold red][link=file:///etc/passwd]y[/link]",
    "[/]",
    "null",
    "true",
    "NaN",
    "1e999",
    "0x10",
    "1_000",
    "\u0661\u0662",
    "9" * 5000,
)
NUMBERS = (0, -1, 1, 2, 2**31, 2**53, 2**63, 2**64, -(2**64), 10**30, 10**400, 10**4200)
FLOATS = (float("inf"), float("-inf"), float("nan"), 1e308, -1e308, 5e-324, -0.0, 0.1)
SCALARS: tuple[Any, ...] = (None, True, False, *TEXTS, *NUMBERS, *FLOATS)


@contextmanager
def seeded(seed: object) -> Iterator[random.Random]:
    """Give the same dice for the same seed, which is named where something goes wrong."""
    try:
        yield random.Random(repr(seed))  # noqa: S311 - to be repeated, not to be secret
    except Exception as error:
        error.add_note(f"seed {seed!r}")
        raise


def tree(dice: random.Random, keys: Sequence[str], depth: int = 3) -> Any:
    """Return a JSON-like value whose objects mostly have such keys."""
    kind = dice.random()
    if depth == 0 or kind < 0.6:
        return dice.choice(SCALARS)
    if kind < 0.8:
        return [tree(dice, keys, depth - 1) for _ in range(dice.randrange(4))]
    return {key(dice, keys): tree(dice, keys, depth - 1) for _ in range(dice.randrange(4))}


def key(dice: random.Random, keys: Sequence[str]) -> str:
    """Return one of these keys, or sometimes a nasty one."""
    return dice.choice(keys) if dice.random() < 0.8 else dice.choice(TEXTS)


def spoiled(dice: random.Random, sound: Any, keys: Sequence[str]) -> Any:
    """Return a copy of a sound value in which some parts are gone, are moved, or are nonsense."""
    value = copy.deepcopy(sound)
    for _ in range(dice.randint(1, 3)):
        places = list(_places(value))
        if not places:
            return tree(dice, keys)
        holder, name = dice.choice(places)
        what = dice.random()
        if what < 0.15:
            del holder[name]
        elif what < 0.3 and isinstance(holder, dict):
            holder[key(dice, keys)] = holder.pop(name)
        elif what < 0.4:
            other, elsewhere = dice.choice(places)
            if elsewhere in other if isinstance(other, dict) else elsewhere < len(other):
                holder[name] = copy.deepcopy(other[elsewhere])
        else:
            holder[name] = tree(dice, keys)
    return value


def mangled(dice: random.Random, data: bytes) -> bytes:
    """Return bytes of which some are changed, gone, or there twice."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        start = dice.randrange(len(changed) + 1)
        end = min(len(changed), start + dice.choice((1, 1, 4, 50, 5000)))
        what = dice.randrange(4)
        if what == 0:
            changed[start:end] = dice.randbytes(end - start)
        elif what == 1:
            del changed[start:end]
        elif what == 2:
            changed[start:start] = changed[start:end]
        else:
            changed[start:start] = dice.choice((b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\r\n", b"\x1b[2J", b"\xed\xa0\x80"))
    return bytes(changed)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        pairs = list(holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ())
        yield from ((holder, name) for name, _ in pairs)
        waiting += [inner for _, inner in pairs]


def deep(levels: int, *, obj: bool = False) -> str:
    """Return JSON text that is nested so deeply."""
    return '{"a":' * levels + "1" + "}" * levels if obj else "[" * levels + "]" * levels


def many(examples: int) -> settings:
    """Return settings for so many examples, the same ones in every run, so that what fails can be replayed."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=tried(examples), deadline=None, derandomize=True, database=None, suppress_health_check=checks)
