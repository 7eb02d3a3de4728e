"""Holes: values that a template can print and pass along, but not look at.

A template that is rendered with holes gives one graph for all jobs that differ in nothing but what stands in the holes. A hole
shows nothing: not its type, its truth, its text. Whatever would have to know it raises `Observed`, and the value is needed.
Not here: which values become holes (`leaves`), and what is done about one that was observed (`shape`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from markupsafe import Markup

HOLE, TAGGED, PLAIN = range(3)
"""How a leaf is given to a template: as a hole, as a value that knows where it comes from, as a mere value."""

LONGEST = 1000
"""The characters of a text that may be a hole: what it costs a template is charged for as if it were that long."""

_OPERATORS = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or"
_METHODS = """
    eq ne lt le gt ge hash bool len length_hint iter next reversed contains getitem setitem delitem missing str repr bytes format
    html html_format int float complex index neg pos abs invert round trunc floor ceil call enter exit await aiter anext dir
    sizeof reduce reduce_ex getstate copy deepcopy fspath buffer setattr delattr
"""


class Observed(BaseException):
    """A template looked at what it was not to see.

    It is no `Exception`, because Jinja takes many of those for an answer.

    Attributes:
        needed: How each observed leaf, by its index, has to be given instead.
    """

    def __init__(self, needed: Mapping[int, int]) -> None:
        super().__init__(needed)
        self.needed = dict(needed)


class Hole:
    """An opaque value: a leaf, or a piece of output in which there are leaves."""

    __slots__ = ("leaves", "text")

    leaves: tuple[int, ...]
    text: str | None

    def __init__(self, leaves: tuple[int, ...], text: str | None = None) -> None:
        _LEAVES.__set__(self, leaves)
        _TEXT.__set__(self, text)


_LEAVES: Any = Hole.__dict__["leaves"]
_TEXT: Any = Hole.__dict__["text"]


def text_of(hole: Hole) -> str | None:
    """Return the output that a hole stands for; None where it is a leaf."""
    text: str | None = _TEXT.__get__(hole)
    return text


def leaf_of(hole: Hole) -> int:
    """Return the index of the leaf that a hole stands for."""
    leaf: int = _LEAVES.__get__(hole)[0]
    return leaf


def needs(holes: Iterable[Hole]) -> Observed:
    """Return the error that says what these holes have to be instead."""
    needed: dict[int, int] = {}
    for hole in holes:
        # Output with tags in it is no more what the template would see than output with holes.
        level = TAGGED if text_of(hole) is None else PLAIN
        for leaf in _LEAVES.__get__(hole):
            needed[leaf] = max(level, needed.get(leaf, HOLE))
    return Observed(needed)


def _observe(self: Hole, *_args: Any, **_kwargs: Any) -> NoReturn:
    raise needs([self])


for _name in (*_METHODS.split(), *(prefix + name for name in _OPERATORS.split() for prefix in ("", "r", "i"))):
    setattr(Hole, f"__{_name}__", _observe)
Hole.__getattribute__ = _observe  # type: ignore[method-assign, assignment] # from here on an instance shows nothing at all


def holes_in(values: Iterable[Any]) -> list[Hole]:
    """Return the holes among these values and in lists, tuples and dicts of them."""
    found: list[Hole] = []
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if type(value) is Hole:
            found.append(value)
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
    return found


# The attribute has an underscore because the sandbox keeps such names from templates.
class Text(str):
    """A text that knows its leaf."""

    _leaf: int


class Integer(int):
    """A whole number that knows its leaf."""

    _leaf: int


class Number(float):
    """A number that knows its leaf."""

    _leaf: int


_TAGGING: dict[type, Any] = {str: Text, int: Integer, float: Number}


def tagged(value: Any, leaf: int) -> Any:
    """Return a text or a number that knows its leaf; other values as they are (true, false and null cannot know it)."""
    tagging = _TAGGING.get(type(value))
    if tagging is None:
        return value
    made = tagging(value)
    made._leaf = leaf
    return made


class Marks:
    """How leaves are marked in output: each as a JSON object with one key that nothing else can have.

    Args:
        key: That key; empty where there are no marks.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self._mark = re.compile(r'\{"' + re.escape(key) + r'": \[?(-?\d+)')

    def are_in(self, text: str) -> bool:
        """Return whether there is a mark in a text."""
        return bool(self.key) and self.key in text

    def count(self, text: str) -> int:
        """Return how many marks there are in a text."""
        return text.count(self.key) if self.key else 0

    def printed(self, text: str) -> str | Hole:
        """Return output as it is, or opaque if there are marks in it."""
        return Hole(self._leaves(text), text) if self.are_in(text) else text

    def refuse(self, text: str) -> None:
        """Raise `Observed` if a text, about to be looked at, has marks."""
        if self.are_in(text):
            raise Observed(dict.fromkeys(self._leaves(text), PLAIN))

    def hole(self, hole: Hole, *, alone: bool) -> dict[str, int]:
        """Return how a leaf that is a hole prints: alone, or within a printed value, which has no source."""
        leaf = leaf_of(hole)
        return {self.key: leaf if alone else -1 - leaf}

    def tag(self, leaf: int, text: str) -> str:
        """Return how a value that knows its leaf prints."""
        return f'{{"{self.key}": [{leaf}, {text}]}}'

    def misplaced(self, text: str, position: int) -> list[int]:
        """Return the leaves whose marks are why a text is no JSON: within a JSON string, or where reading stopped."""
        found, within = [], False
        for match in re.finditer(self._mark.pattern + r'|\\.|"', text, re.DOTALL):
            if match[0] == '"':
                within = not within
            elif match[1] and (within or abs(match.start() - position) <= 1):
                found.append(_leaf(match[1]))
        return found

    def _leaves(self, text: str) -> tuple[int, ...]:
        return tuple({_leaf(match[1]) for match in self._mark.finditer(text)})


def _leaf(number: str) -> int:
    return max(int(number), -1 - int(number))


def output_of(hole: Hole) -> Markup:
    """Return the output that a hole stands for, to be printed.

    Raises:
        Observed: It is a leaf, or a text that would have to be encoded first.
    """
    text = text_of(hole)
    if not isinstance(text, Markup):
        raise needs([hole])
    return text
