"""What one rendering of a template may spend, and the filters of Jinja that have to be charged for before they work.

Charged is whatever can make or walk through something large, so that memory and time are bounded alike, the same on every
machine. Not here: where in a template the charging happens (`sandbox`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any

import jinja2
from jinja2 import filters
from jinja2.runtime import Context, LoopContext, markup_join
from markupsafe import Markup

BUDGET = 10_000_000
"""What one rendering may spend, in units of about one character."""

METER, EACH, JOINED = "the meter", "the steps", "the texts"
"""Filters for `sandbox` alone: names with a space cannot be written in a template."""

_STEP = 20
_ITEM = 8
_MOST_DIGITS = 1000
_MOST_BITS = 3322  # of a number of so many digits
_MOST_DECIMALS = 100
_CONVERSION = re.compile(r"%([^a-zA-Z%]*)([a-zA-Z%]|\Z)")
_WIDE = re.compile(r"[*(]|[0-9]{3}")


class TooMuch(Exception):
    """A template wants more than it may have."""


class Budget:
    """The budget of one rendering."""

    def __init__(self) -> None:
        self._left = BUDGET

    def spend(self, units: int) -> None:
        """Take units from the budget.

        Raises:
            TooMuch: There are not that many left.
        """
        self._left -= units
        if self._left < 0:
            raise TooMuch("makes more, or takes more steps, than a template may")

    def charge(self, *values: Any) -> int:
        """Charge for a step and for values as large as they are when written out, however often one part appears in them.

        Returns:
            What it came to.
        """
        before = self._left
        self.spend(_STEP)
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                self.spend(len(value))
            elif isinstance(value, int):
                self.spend(value.bit_length() // 8)
            elif isinstance(value, dict):
                self.spend(2 * _ITEM * len(value))
                waiting += [*value.keys(), *value.values()]
            elif isinstance(value, (list, tuple)):
                self.spend(_ITEM * len(value))
                waiting += value
            elif isinstance(value, Sized) and not isinstance(value, (jinja2.Undefined, LoopContext)):
                self.spend(_ITEM * len(value))
        return before - self._left

    def metered(self, value: Any) -> Any:
        """Return a value that is charged for: at once, or item by item where it is made while it is read."""
        if isinstance(value, Iterator) and not isinstance(value, LoopContext):
            return (self.metered(item) for item in value)
        self.charge(value)
        return value

    def charge_method(self, owner: Any, name: str, args: Sequence[Any]) -> Sequence[Any]:
        """Charge for a method of one of Python's own types, and return the arguments to call it with."""
        self.charge(owner, args)
        if isinstance(owner, str) and name == "replace" and len(args) > 1:
            self._charge_replacing(owner, args[0], args[1])
        elif isinstance(owner, str) and name == "join" and args:
            items = [self.metered(item) for item in args[0]]
            self.spend(len(owner) * len(items))
            return [items]
        return args

    def charge_operator(self, operator: str, left: Any, right: Any) -> None:
        """Charge for ``left operator right``.

        Raises:
            TooMuch: It cannot be paid for, or would make a number of more than 1000 digits.
        """
        self.charge(left, right)
        if operator == "%" and isinstance(left, str):
            self._charge_format(left, right)
        if operator not in ("*", "**"):
            return
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() + right.bit_length() if operator == "*" else left.bit_length() * max(0, right)
            if bits > _MOST_BITS:
                raise TooMuch(f"makes a number of more than {_MOST_DIGITS} digits")
        elif operator == "*":
            count, repeated = (left, right) if isinstance(left, int) else (right, left)
            if isinstance(count, int) and isinstance(repeated, (str, list, tuple)):
                self.spend(max(0, count) * self.charge(repeated))

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters that spend from this budget."""
        return {
            "batch": self._batch,
            "format": self._format,
            "join": self._join,
            "replace": self._replace,
            "round": self._round,
            "slice": self._slice,
            "sum": self._sum,
            "tojson": self._tojson,
            METER: self._metered,
            EACH: self._each,
            JOINED: self._joined,
        }

    # A filter that asks for the context is not computed while the template is compiled, which happens without a budget.

    @jinja2.pass_context
    def _metered(self, _context: Context, value: Any) -> Any:
        return self.metered(value)

    @jinja2.pass_context
    def _each(self, _context: Context, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.charge()
            yield item

    @jinja2.pass_context
    def _joined(self, _context: Context, items: Sequence[Any]) -> str:
        return markup_join(items)

    @jinja2.pass_context
    def _join(self, context: Context, value: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
        items = value if attribute is None else filters.sync_do_map(context, value, attribute=attribute)
        found = []
        for item in items:
            self.charge(item, d)
            found.append(item)
        return filters.sync_do_join(context.eval_ctx, found, d)

    @jinja2.pass_context
    def _replace(self, context: Context, s: str, old: str, new: str, count: int | None = None) -> str:
        self._charge_replacing(str(s), old, new)
        return filters.do_replace(context.eval_ctx, s, old, new, count)

    @jinja2.pass_context
    def _batch(self, _context: Context, value: Iterable[Any], linecount: int, fill_with: Any = None) -> Iterator[list[Any]]:
        self.spend(_ITEM * abs(linecount))
        return filters.do_batch(value, linecount, fill_with)

    @jinja2.pass_context
    def _slice(self, _context: Context, value: Iterable[Any], slices: int, fill_with: Any = None) -> Iterator[list[Any]]:
        self.spend(_STEP * abs(slices))
        return filters.sync_do_slice(list(value), slices, fill_with)

    @jinja2.pass_context
    def _round(self, _context: Context, value: float, precision: int = 0, method: Any = "common") -> float:
        if abs(precision) > _MOST_DECIMALS:
            raise TooMuch(f"rounds to more than {_MOST_DECIMALS} digits")
        return filters.do_round(value, precision, method)

    @jinja2.pass_context
    def _sum(self, context: Context, iterable: Iterable[Any], attribute: str | int | None = None, start: float = 0) -> Any:
        if not isinstance(start, (int, float)):
            raise TypeError("sum is for numbers")
        return filters.sync_do_sum(context.environment, iterable, attribute, start)

    @jinja2.pass_context
    def _format(self, _context: Context, value: str, *args: Any) -> str:
        self._charge_format(value, args)
        return str(value) % args

    @jinja2.pass_context
    def _tojson(self, _context: Context, value: Any) -> Markup:
        self.charge(value)
        return Markup(to_json(value))  # noqa: S704 - what printing the value would give

    def _charge_replacing(self, text: str, old: Any, new: Any) -> None:
        self.spend(len(text) + text.count(str(old)) * len(str(new)))

    def _charge_format(self, text: str, values: Any) -> None:
        conversions = _CONVERSION.findall(text)
        if any(_WIDE.search(flags) for flags, _ in conversions):
            raise TooMuch("formats to a width of more than two digits, or by name")
        for _ in conversions:
            self.charge(values)


def to_json(value: Any) -> str:
    """Return a value as JSON.

    Raises:
        TypeError: It is no JSON value.
        UndefinedError: It is undefined.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_refuse)


def _refuse(value: Any) -> Any:
    if isinstance(value, jinja2.Undefined):
        str(value)  # a StrictUndefined raises, naming itself
    raise TypeError(f"{type(value).__name__} is no JSON value")
