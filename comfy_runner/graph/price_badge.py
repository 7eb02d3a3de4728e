"""What a node that calls a paid service says of its price: ``price_badge`` of ``/object_info``, for the values of one node.

ComfyUI's page shows that price on the node. It is an expression in JSONata (https://jsonata.org) over the values of some inputs,
and gives one amount, a range, a list of amounts, or words. The values are given to it as the page gives them (``useNodePricing``
of ComfyUI's front end): numbers, truth values, and texts in lower case.

The expression comes from a server. It can call a few functions and nothing else: no regular expressions and no functions of its
own, which could run for ever, and none that make much of little.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

HAS_JSONATA = importlib.util.find_spec("jsonata") is not None
"""Whether expressions can be reckoned that are more than a constant: the extra ``prices`` is installed."""

_TEXTS = ("contains", "length", "lowercase", "string", "substring", "substringAfter", "substringBefore", "trim", "uppercase")
_NUMBERS = ("abs", "ceil", "floor", "max", "min", "number", "round", "sum")
_FUNCTIONS = frozenset((*_TEXTS, *_NUMBERS, "boolean", "count", "exists", "keys", "lookup", "merge", "not", "type"))
_TERMS = ("name", "number", "path", "string", "value", "variable")
_KINDS = frozenset((*_TERMS, "binary", "bind", "block", "condition", "filter", "function", "unary"))
_LONGEST, _MOST_GROWING, _MILLISECONDS, _DEEPEST = 10_000, 24, 2000, 200
_MOST_DOLLARS = 1_000_000.0
_A_RUN = ("", "/run")


@dataclass(frozen=True, slots=True)
class Amount:
    """What a node costs, in US dollars.

    Attributes:
        low: At least.
        high: At most.
        is_rough: Whether that is approximate, as the server says.
    """

    low: float
    high: float
    is_rough: bool = False


@dataclass(frozen=True, slots=True)
class PriceBadge:
    """A price that depends on the values of a node.

    Attributes:
        expression: The expression, in JSONata.
        widgets: The inputs whose values it needs, with their types.
        inputs: The inputs of which it needs to know whether they are linked.
        groups: The inputs that grow, of which it needs to know how many are linked.
    """

    expression: str
    widgets: tuple[tuple[str, str], ...] = ()
    inputs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def amount(self, values: Mapping[str, Any], linked: frozenset[str]) -> Amount | None:
        """Return what a node costs; None where that cannot be known: it depends on what other nodes give, or is only told in words.

        Args:
            values: The literals of its inputs, by name, with the defaults of those that are left out.
            linked: The inputs that other nodes give.
        """
        if any(name in linked for name, _ in self.widgets):
            return None
        context = {
            "widgets": {name: _normal(values.get(name), kind) for name, kind in self.widgets},
            "inputs": {name: {"connected": name in linked} for name in self.inputs},
            "inputGroups": {name: sum(each.startswith(f"{name}.") for each in linked) for name in self.groups},
        }
        return _amount(_reckoned(self.expression, json.dumps(context, sort_keys=True)))


def parse_badge(raw: Any) -> PriceBadge | None:
    """Return a price as ``/object_info`` tells it; None where it tells none that can be read."""
    if not isinstance(raw, dict) or raw.get("engine", "jsonata") != "jsonata" or not isinstance(raw.get("expr"), str):
        return None
    depends = raw.get("depends_on")
    depends = depends if isinstance(depends, dict) else {}
    widgets = [each for each in _list(depends.get("widgets")) if isinstance(each, dict)]
    return PriceBadge(
        raw["expr"],
        tuple((str(each.get("name")), str(each.get("type")).upper()) for each in widgets),
        tuple(map(str, _list(depends.get("inputs")))),
        tuple(map(str, _list(depends.get("input_groups")))),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _normal(value: Any, kind: str) -> Any:
    if kind in ("INT", "FLOAT"):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return None
        return (int(number) if number.is_integer() else number) if math.isfinite(number) else None
    if value is None or isinstance(value, bool) or (kind == "COMBO" and isinstance(value, int | float)):
        return value
    text = str(value).strip().lower()
    return {"true": True, "false": False}.get(text) if kind == "BOOLEAN" else text[:1000]


@lru_cache(maxsize=4096)
def _reckoned(expression: str, context: str) -> Any:
    """Return what an expression gives; None where it is no good, or too much."""
    if len(expression) > _LONGEST:
        return None
    try:
        return json.loads(expression)
    except (ValueError, RecursionError):
        pass
    if not HAS_JSONATA:
        return None
    from jsonata import Jsonata  # of an extra, and slow to import

    try:
        parsed = Jsonata(expression, timeout=_MILLISECONDS, stack=_DEEPEST)
        return parsed.evaluate(json.loads(context)) if _is_harmless(parsed.ast) else None
    except Exception:  # whatever an expression of somebody else's does to a library: then its price is not known
        return None


def _is_harmless(tree: Any) -> bool:
    growing = 0
    for symbol in _symbols(tree, set()):
        if symbol.type not in _KINDS:
            return False
        if symbol.type == "function" and getattr(symbol.procedure, "value", None) not in _FUNCTIONS:
            return False
        if symbol.type == "binary" and symbol.value == "..":
            return False
        # Each can double what there is: texts, lists and objects.
        grows = (symbol.type == "binary" and symbol.value == "&") or (symbol.type == "unary" and symbol.value in ("[", "{"))
        growing += grows and any(each.type == "variable" for each in _symbols(symbol, set()))
    return growing <= _MOST_GROWING


def _symbols(tree: Any, seen: set[int]) -> Iterator[Any]:
    """Yield all symbols of a parsed expression, which names neither its branches nor their kinds."""
    if isinstance(tree, list | tuple):
        for each in tree:
            yield from _symbols(each, seen)
    elif hasattr(tree, "type") and hasattr(tree, "position") and id(tree) not in seen:
        seen.add(id(tree))
        yield tree
        for name, each in vars(tree).items():
            if name != "_outer_instance":
                yield from _symbols(each, seen)


def _amount(told: Any) -> Amount | None:
    if not isinstance(told, dict):
        return None
    form = told.get("format")
    form = form if isinstance(form, dict) else {}
    if str(form.get("suffix") or "").strip().lower() not in _A_RUN:  # for each second, picture or token: of how many, nobody says
        return None
    found: list[Any]
    match told.get("type"):
        case "usd":
            found = [told.get("usd")]
        case "range_usd":
            found = [told.get("min_usd"), told.get("max_usd")]
        case "list_usd":
            found = _list(told.get("usd"))
        case _:
            return None
    amounts = [float(each) for each in found if type(each) in (int, float) and 0 <= each <= _MOST_DOLLARS]
    if not amounts or len(amounts) < len(found):
        return None
    return Amount(min(amounts), max(amounts), bool(form.get("approximate")))
