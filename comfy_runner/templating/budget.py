"""What one rendering of a template may spend, and the filters of Jinja that have to be charged for before they work.

Charged is whatever can make or walk through something large, so that memory and time are bounded alike, the same on every
machine; a hole counts as the largest value that it may stand for. Not here: where in a template the charging happens (`sandbox`).
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

from comfy_runner.templating.placeholders import LONGEST, Hole, Marks, holes_in, needs, text_of

BUDGET = 10_000_000
"""What one rendering may spend, in units of about one character."""

METER, EACH, JOINED, SEALED = "the meter", "the steps", "the texts", "the seal"
"""Filters for `sandbox` alone: names with a space cannot be written in a template."""

_STEP = 20
_ITEM = 8
_MOST_DIGITS = 1000
_MOST_BITS = 3322  # of a number of so many digits
_MOST_DECIMALS = 100
_LONGEST_PRINTED = 6 * LONGEST + 100  # each character escaped, with its mark
_CONVERSION = re.compile(r"%([^a-zA-Z%]*)([a-zA-Z%]|\Z)")
_WIDE = re.compile(r"[*(]|[0-9]{3}")


class TooMuch(Exception):
    """A template wants more than it may have."""


class Budget:
    """The budget of one rendering.

    Args:
        marks: How leaves are marked in what is printed.
    """

    def __init__(self, marks: Marks) -> None:
        self._left = BUDGET
        self._marks = marks

    def renew(self, marks: Marks) -> None:
        """Begin another rendering."""
        self._left = BUDGET
        self._marks = marks

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

        Raises:
            TooMuch: There is not that much left.
            Observed: There is a text among them in which leaves are marked, and which would be another without the marks.
        """
        before = self._left
        self.spend(_STEP)
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if type(value) is Hole:
                text = text_of(value)
                self.spend(LONGEST if text is None else self._printed_length(text))
            elif isinstance(value, str):
                self._marks.refuse(value)
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
        if type(value) is not Hole and isinstance(value, Iterator) and not isinstance(value, LoopContext):
            return (self.metered(item) for item in value)
        self.charge(value)
        return value

    def output(self, value: Any) -> Any:
        """Return what a call has made, charged for; it may be output with marks."""
        if type(value) is not Hole and isinstance(value, str) and self._marks.are_in(value):
            self.spend(_STEP + self._printed_length(value))
            return value
        return self.metered(value)

    def _printed_length(self, text: str) -> int:
        return len(text) + self._marks.count(text) * _LONGEST_PRINTED

    def charge_method(self, owner: Any, name: str, args: Sequence[Any]) -> Sequence[Any]:
        """Charge for a method of one of Python's own types, and return the arguments to call it with."""
        self.charge(owner, args)
        if isinstance(owner, str):
            refuse(args)
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
        refuse_alone((left, right))
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
            "d": self._default,
            "default": self._default,
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
            SEALED: self._sealed,
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
        refuse(items)
        made = markup_join(items)
        self._marks.refuse(made)
        return made

    @jinja2.pass_context
    def _sealed(self, _context: Context, value: Any) -> Any:
        return self._marks.printed(value) if type(value) is not Hole and isinstance(value, str) else value

    @jinja2.pass_context
    def _default(self, _context: Context, value: Any, default_value: Any = "", boolean: Any = False) -> Any:
        if type(value) is Hole:
            if boolean:
                refuse((value,))
            return value
        return filters.do_default(value, default_value, boolean)

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
    def _tojson(self, _context: Context, value: Any) -> Any:
        self.charge(value)
        return self._marks.printed(Markup(to_json(value, self._marks)))  # noqa: S704 - what printing the value would give

    def _charge_replacing(self, text: str, old: Any, new: Any) -> None:
        self.spend(len(text) + text.count(str(old)) * len(str(new)))

    def _charge_format(self, text: str, values: Any) -> None:
        conversions = _CONVERSION.findall(text)
        if any(_WIDE.search(flags) for flags, _ in conversions):
            raise TooMuch("formats to a width of more than two digits, or by name")
        for _ in conversions:
            self.charge(values)


def refuse(values: Iterable[Any]) -> None:
    """Raise `Observed` if there is a hole among these values, or in them."""
    if found := holes_in(values):
        raise needs(found)


def refuse_alone(values: Iterable[Any]) -> None:
    """Raise `Observed` if there is a hole among these values; lists and dicts may have some."""
    if found := [value for value in values if type(value) is Hole]:
        raise needs(found)


def to_json(value: Any, marks: Marks) -> str:
    """Return a value as JSON, with its holes marked.

    Raises:
        TypeError: It is no JSON value.
        UndefinedError: It is undefined.
    """

    def other(value: Any) -> Any:
        if type(value) is Hole:
            if text_of(value) is not None:  # output that would be encoded a second time
                raise needs([value])
            return marks.hole(value, alone=False)
        if isinstance(value, jinja2.Undefined):
            str(value)  # a StrictUndefined raises, naming itself
        raise TypeError(f"{type(value).__name__} is no JSON value")

    whole = other(value) if type(value) is Hole else value  # json asks what it is before it asks `other`
    return json.dumps(whole, ensure_ascii=False, allow_nan=False, default=other)
