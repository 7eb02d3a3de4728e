"""YAML as people mean it: YAML 1.2 core scalars, line numbers, and limits against hostile text.

Used for recipes, the headers of templates and the config file. PyYAML's parser is used for the syntax only; what a
scalar means is decided here, because ``yaml.safe_load`` follows YAML 1.1: ``16:9`` becomes 969, ``no`` becomes false,
``0123`` becomes 83, ``1e-3`` stays text, and of two equal keys the last one wins silently.

What a plain (unquoted) scalar means: ``null``, ``~`` and nothing at all are null; ``true`` and ``false`` (also
``True``, ``TRUE``, ...) are booleans; ``[-+]?[0-9]+`` is a decimal number, so ``0123`` is 123; ``0o17`` and ``0x1f``
are octal and hexadecimal; ``1.5``, ``.5``, ``1e-3`` are floats; everything else is text, dates too. Numbers that are
not finite, tags, merge keys (``<<``), keys that are not text, equal keys and a second document are errors.

Not here: reading files (`textfile`), and what the keys mean.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from comfy_runner.errors import InputError, Problem
from comfy_runner.text_files import MAX_BYTES, control_character

MAX_NODES = 10_000
"""Most values in one document, counted after aliases are written out."""

MAX_DEPTH = 50
"""Deepest nesting of one document, counted after aliases are written out."""

_MAX_DIGITS = 100
_MAX_PROBLEMS = 50

_UNSENDABLE = re.compile("[\0\ud800-\udfff]")
_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Node:
    """A value with its place; `size` and `height` count the node itself."""

    value: Any
    line: int
    size: int = 1
    height: int = 1
    children: Mapping[str | int, _Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed text.

    Attributes:
        value: Plain Python: dict with text keys, list, str, int, float, bool, None.
        name: What the text is called in messages.
    """

    value: Any
    name: str
    _root: _Node = field(repr=False)

    def line(self, path: FieldPath) -> int:
        """Return the line (from 1) of a key or list item; of its nearest parent where there is no such thing."""
        node = self._root
        for step in path:
            child = node.children.get(step)
            if child is None:
                break
            node = child
        return node.line


def parse(text: str, *, name: str, error: type[InputError] = InputError) -> Document:
    """Parse one YAML document.

    Args:
        text: The text.
        name: What it is called in messages, usually the file as `textfile.shown` shows it.
        error: What to raise.

    Raises:
        InputError: (or the `error` given) with everything that is wrong up to the first fault of syntax.
    """
    builder = _Builder(name)
    try:
        root = builder.document(text)
    except _Fatal:
        raise error.of(builder.problems) from None
    if builder.problems:
        raise error.of(builder.problems)
    return Document(root.value, name, root)


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as people write it: ``upscale.denoise``, ``loras[0].name``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if re.fullmatch(r"[\w-]{1,80}", step) else got(step))
    return text


def _joined(text: str) -> str:
    r"""Return text whose surrogate pairs are characters: JSON, which YAML contains, writes an emoji as ``\ud83c\udf32``."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def got(value: object) -> str:
    """Return a value as messages quote it: short, on one line, never a secret's worth of text."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value if len(value) <= 60 else value[:57] + "...", ensure_ascii=not value.isprintable())
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    if isinstance(value, int) and value.bit_length() > 128:
        return "a very large number"
    if isinstance(value, int | float):
        return str(value)
    return f"a value of type {type(value).__name__}"


class _Fatal(Exception):
    """Parsing cannot go on; why is among the builder's problems."""


class _Builder:
    """Turns parser events into nodes and collects problems."""

    def __init__(self, name: str) -> None:
        self.problems: list[Problem] = []
        self._name = name
        self._anchors: dict[str, _Node | None] = {}
        self._size = 0

    def document(self, text: str) -> _Node:
        """Return the root of the only document."""
        self._check_text(text)
        self._events = self._guarded(text)
        event = self._next()
        while not isinstance(event, DocumentStartEvent | StreamEndEvent):
            event = self._next()
        if isinstance(event, StreamEndEvent):
            return _Node(None, 1)
        root = self._node(self._next(), (), 1)
        event = self._next()
        while isinstance(event, DocumentEndEvent):
            event = self._next()
        if not isinstance(event, StreamEndEvent):
            self._fatal(event, "must be one document (got a second one after ---)")
        return root

    def _check_text(self, text: str) -> None:
        if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            self._stop(Problem(f"must be at most {MAX_BYTES} bytes", self._name))
        if bad := control_character(text):
            what, line, column = bad
            self._stop(Problem(what, f"{self._name}:{line}:{column}"))

    def _guarded(self, text: str) -> Iterator[Event]:
        """Yield the parser's events; its faults become problems."""
        try:
            yield from yaml.parse(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as fault:
            self._stop(_syntax_problem(fault, self._name))
        except (yaml.YAMLError, ValueError, OverflowError) as fault:
            # PyYAML lets ValueError and OverflowError out for escapes beyond Unicode ("\UFFFFFFFF").
            self._stop(Problem(f"is not YAML ({fault})", self._name))

    def _next(self) -> Event:
        return next(self._events)

    def _stop(self, problem: Problem) -> NoReturn:
        self.problems.append(problem)
        raise _Fatal

    def _problem(self, event: Event, what: str, *, path: FieldPath = (), hint: str = "") -> None:
        where = f"{self._name}:{_line(event)}"
        self.problems.append(Problem(what, f"{where}: {dotted(path)}" if path else where, hint))
        if len(self.problems) >= _MAX_PROBLEMS:
            raise _Fatal

    def _fatal(self, event: Event, what: str, *, hint: str = "") -> NoReturn:
        self._problem(event, what, hint=hint)
        raise _Fatal

    def _grow(self, event: Event, *, size: int, depth: int) -> None:
        self._size += size
        if self._size > MAX_NODES:
            self._fatal(event, f"must have at most {MAX_NODES} values, aliases written out")
        if depth > MAX_DEPTH:
            self._fatal(event, f"must be nested at most {MAX_DEPTH} deep, aliases written out")

    def _node(self, event: Event, path: FieldPath, depth: int) -> _Node:
        if isinstance(event, AliasEvent):
            return self._alias(event, depth)
        self._grow(event, size=1, depth=depth)
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._problem(
                event,
                f"tags are not supported (got {got(tag)})",
                path=path,
                hint="quote a value to make it text, remove the tag",
            )
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = None
        if isinstance(event, MappingStartEvent):
            node = self._mapping(event, path, depth)
        elif isinstance(event, SequenceStartEvent):
            node = self._sequence(event, path, depth)
        else:
            node = self._scalar(event, path)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _alias(self, event: AliasEvent, depth: int) -> _Node:
        anchor = event.anchor or ""
        if anchor not in self._anchors:
            self._problem(event, f"there is no anchor &{anchor} before this alias")
            return _Node(None, _line(event))
        node = self._anchors[anchor]
        if node is None:
            self._fatal(event, f"the alias *{anchor} stands inside its own anchor")
        self._grow(event, size=node.size, depth=depth + node.height - 1)
        return _Node(node.value, _line(event), node.size, node.height, node.children)

    def _sequence(self, start: Event, path: FieldPath, depth: int) -> _Node:
        items: list[_Node] = []
        event = self._next()
        while not isinstance(event, SequenceEndEvent):
            items.append(self._node(event, (*path, len(items)), depth + 1))
            event = self._next()
        return _collection([item.value for item in items], start, dict(enumerate(items)))

    def _mapping(self, start: Event, path: FieldPath, depth: int) -> _Node:
        children: dict[str, _Node] = {}
        event = self._next()
        while not isinstance(event, MappingEndEvent):
            key = self._node(event, path, depth + 1)
            name = self._key(event, key, path)
            value = self._node(self._next(), path if name is None else (*path, name), depth + 1)
            if name is not None and name in children:
                first = children[name].line
                self._problem(event, f"given twice (first on line {first})", path=(*path, name))
            elif name is not None:
                children[name] = _Node(value.value, key.line, value.size, value.height, value.children)
            event = self._next()
        return _collection({name: child.value for name, child in children.items()}, start, children)

    def _key(self, event: Event, key: _Node, path: FieldPath) -> str | None:
        if isinstance(event, ScalarEvent) and event.value == "<<" and event.style is None:
            self._problem(event, "merge keys (<<) are not supported", path=path, hint="write the values out")
            return None
        if not isinstance(key.value, str):
            hint = "a value that starts with { needs quotes" if isinstance(key.value, dict) else "put it in quotes"
            self._problem(event, f"a key must be text (got {got(key.value)})", path=path, hint=hint)
            return None
        return key.value

    def _scalar(self, event: Event, path: FieldPath) -> _Node:
        text = _joined(getattr(event, "value", ""))
        value: Any = text
        if getattr(event, "style", None) is None:
            try:
                value = plain_scalar(text)
            except ValueError as fault:
                self._problem(event, str(fault), path=path)
        bad = _UNSENDABLE.search(text)
        if bad:
            self._problem(event, f"must not contain U+{ord(bad[0]):04X}", path=path)
        return _Node(value, _line(event))


def plain_scalar(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar means in the YAML 1.2 core schema.

    Raises:
        ValueError: for a number that is not finite or has too many digits.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if not text[0].isascii() or text[0] not in "+-.0123456789":
        return text
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"must be a finite number (got {text})")
    whole = _DECIMAL.fullmatch(text) or _BASED.fullmatch(text)
    if not whole and not _FLOAT.fullmatch(text):
        return text
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number must have at most {_MAX_DIGITS} digits (got {len(text)})")
    if whole:
        return int(text, 0) if _BASED.fullmatch(text) else int(text)
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"must be a finite number (got {text})")
    return number


def _collection(value: Any, start: Event, children: Mapping[Any, _Node]) -> _Node:
    nodes = children.values()
    size = 1 + sum(node.size for node in nodes)
    return _Node(value, _line(start), size, 1 + max((node.height for node in nodes), default=0), children)


def _line(event: Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else mark.line + 1


_READABLE: Sequence[tuple[str, str, str]] = (
    (
        "mapping values are not allowed here",
        "': ' where no key can be",
        "put a value with ': ' in it in quotes, and indent the keys of one mapping alike",
    ),
    ("cannot start any token", "", "put the value in quotes"),
    ("found character '\\t'", "a tab cannot indent", "indent with spaces"),
    ("expected <block end>", "the indentation does not fit the lines above", "indent the keys of one mapping alike"),
    ("could not find expected ':'", "a key without ': ' after it", "write key: value, and indent text that goes on"),
    ("got '<stream end>'", "the text ends too early", "close the quote or the bracket"),
    ("found unexpected end of stream", "the text ends too early", "close the quote or the bracket"),
)


def _syntax_problem(fault: yaml.MarkedYAMLError, name: str) -> Problem:
    """Return a fault of syntax in plain words, at ``name:line:column``."""
    said = fault.problem or fault.context or "is not YAML"
    mark = fault.problem_mark or fault.context_mark
    where = name if mark is None else f"{name}:{mark.line + 1}:{mark.column + 1}"
    what, hint = said, ""
    # The last that fits wins: a tab is also a character that cannot start a token.
    for sign, words, way_out in _READABLE:
        if sign in said:
            what, hint = words or said, way_out
    opened = fault.context_mark
    if fault.context and opened is not None and mark is not None and opened.line != mark.line:
        what += f", {fault.context} that starts on line {opened.line + 1}"
    return Problem(what, where, hint)
