"""YAML as people mean it: YAML 1.2 core scalars, line numbers, and limits against hostile text.

Used for recipes, the headers of templates and the config file. PyYAML composes the nodes; what a scalar means is decided here,
because ``yaml.safe_load`` follows YAML 1.1: ``16:9`` becomes 969, ``no`` becomes false, ``0123`` becomes 83, ``1e-3`` stays
text, and of two equal keys the last one wins silently.

What a plain (unquoted) scalar means: ``null``, ``~`` and nothing at all are null; ``true`` and ``false`` (also
``True``, ``TRUE``, ...) are booleans; ``[-+]?[0-9]+`` is a decimal number, so ``0123`` is 123; ``0o17`` and ``0x1f``
are octal and hexadecimal; ``1.5``, ``.5``, ``1e-3`` are floats; everything else is text, dates too. Numbers that are
not finite, tags, merge keys (``<<``), keys that are not text, equal keys and a second document are errors.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

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
"""The way from a document to one of its values: keys of mappings, and numbers of list items from 0."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed text.

    Attributes:
        value: Plain Python: dict with text keys, list, str, int, float, bool, None.
        name: What the text is called in messages.
    """

    value: Any
    name: str
    _lines: Mapping[FieldPath, int] = field(repr=False)

    def line(self, path: FieldPath) -> int:
        """Return the line (from 1) of a key or list item; of its nearest parent where there is no such thing."""
        return next((self._lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self._lines), 1)


def parse(text: str, *, name: str, error: type[InputError] = InputError) -> Document:
    """Parse one YAML document.

    Args:
        text: The text.
        name: What it is called in messages, usually the file as `text_files.shown` shows it.
        error: What to raise.

    Raises:
        InputError: (or the `error` given) with the first fault of syntax, or else with everything that is wrong.
    """
    values = _Values(name)
    try:
        _check_text(text, name, error)
        value = values.of_document(_Loader(text))
    except yaml.MarkedYAMLError as fault:
        raise error.of([_syntax_problem(fault, name)]) from None
    except (yaml.YAMLError, ValueError, OverflowError) as fault:
        # PyYAML lets ValueError and OverflowError out for escapes beyond Unicode ("\UFFFFFFFF").
        raise error.of([Problem(f"is not YAML ({fault})", name)]) from None
    except _Refused as fault:
        raise error.of([Problem(str(fault), f"{name}:{fault.line}")]) from None
    if values.problems:
        raise error.of(values.problems)
    return Document(value, name, values.lines)


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as people write it: ``upscale.denoise``, ``loras[0].name``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if re.fullmatch(r"[\w-]{1,80}", step) else got(step))
    return text


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


def unsendable(text: str) -> str:
    """Return what is wrong with a text that JSON to a server cannot hold: NUL and lone surrogates; empty if nothing is."""
    bad = _UNSENDABLE.search(text)
    return f"must not contain U+{ord(bad[0]):04X}" if bad else ""


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


class _Refused(Exception):
    """The text is YAML, and is not read all the same."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


class _Limits:
    """Counts values, and how deep they are nested, so that neither memory nor stack overflows."""

    def __init__(self) -> None:
        self._count = self._depth = 0

    @contextlib.contextmanager
    def one_more(self, line: int) -> Iterator[None]:
        """Count a value, and what is in it as nested in it."""
        self._count += 1
        self._depth += 1
        if self._count > MAX_NODES:
            raise _Refused(f"must have at most {MAX_NODES} values, aliases written out", line)
        if self._depth > MAX_DEPTH:
            raise _Refused(f"must be nested at most {MAX_DEPTH} deep, aliases written out", line)
        yield
        self._depth -= 1


class _Loader(yaml.BaseLoader):
    """Composes nodes within the limits.

    Attributes:
        tags: The tag of each node that has one, by its identity.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.tags: dict[int, str] = {}
        self._limits = _Limits()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            known: Any = self.anchors.get(event.anchor or "")
            if known is None:
                raise _Refused(f"there is no anchor &{event.anchor} before this alias", _line(event))
            if known.end_mark is None:
                raise _Refused(f"the alias *{event.anchor} stands inside its own anchor", _line(event))
            self.get_event()  # type: ignore[no-untyped-call]
            alias = copy.copy(known)
            alias.start_mark = event.start_mark
            return alias  # type: ignore[no-any-return]
        self.anchors.pop(event.anchor, None)  # it may be given again, which PyYAML refuses
        with self._limits.one_more(_line(event)):
            node = super().compose_node(parent, index)
        if event.tag is not None:
            self.tags[id(node)] = event.tag
        return node


class _Values:
    """Makes plain Python of nodes, with aliases written out, and collects lines and problems."""

    def __init__(self, name: str) -> None:
        self.lines: dict[FieldPath, int] = {}
        self.problems: list[Problem] = []
        self._name = name
        self._limits = _Limits()
        self._tags: Mapping[int, str] = {}

    def of_document(self, loader: _Loader) -> Any:
        """Return the value of the only document."""
        self._tags = loader.tags
        root: Any = loader.get_node() if loader.check_node() else None
        if loader.check_node():
            raise _Refused("must be one document (got a second one after ---)", _line(loader.peek_event()))  # type: ignore[no-untyped-call]
        return None if root is None else self._of(root, ())

    def _of(self, node: Any, path: FieldPath) -> Any:
        self.lines.setdefault(path, _line(node))  # where it is not that of its key
        if id(node) in self._tags:
            hint = "quote a value to make it text, remove the tag"
            self._problem(node, f"tags are not supported (got {got(self._tags[id(node)])})", path, hint=hint)
        with self._limits.one_more(_line(node)):
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self._of(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._scalar(node, path)

    def _scalar(self, node: Any, path: FieldPath) -> Any:
        text = _joined(node.value)
        if wrong := unsendable(text):
            self._problem(node, wrong, path)
        try:
            return text if node.style else plain_scalar(text)
        except ValueError as fault:
            self._problem(node, str(fault), path)
            return None

    def _mapping(self, node: Any, path: FieldPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, inner in node.value:
            name = self._of(key, path)
            if not isinstance(name, str):
                hint = "a value that starts with { needs quotes" if isinstance(name, dict) else "put it in quotes"
                self._problem(key, f"a key must be text (got {got(name)})", path, hint=hint)
            elif name == "<<" and not key.style:
                self._problem(key, "merge keys (<<) are not supported", path, hint="write the values out")
            elif name in found:
                self._problem(key, f"given twice (first on line {self.lines[*path, name]})", (*path, name))
            else:
                self.lines[*path, name] = _line(key)
                found[name] = self._of(inner, (*path, name))
        return found

    def _problem(self, node: Any, what: str, path: FieldPath, *, hint: str = "") -> None:
        where = f"{self._name}:{_line(node)}"
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(Problem(what, f"{where}: {dotted(path)}" if path else where, hint))


def _check_text(text: str, name: str, error: type[InputError]) -> None:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise error(f"must be at most {MAX_BYTES} bytes", where=name)
    if bad := control_character(text):
        what, line, column = bad
        raise error(what, where=f"{name}:{line}:{column}")


def _joined(text: str) -> str:
    r"""Return text whose surrogate pairs are characters: JSON, which YAML contains, writes an emoji as ``\ud83c\udf32``."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _line(start: Any) -> int:
    """Return the line, from 1, at which a node or an event starts."""
    return int(start.start_mark.line) + 1


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
