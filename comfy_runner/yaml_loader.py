"""YAML as people mean it: YAML 1.2 core scalars, line numbers, and limits against hostile text.

Used for recipes, the headers of templates and the config file. PyYAML parses; what a scalar means is decided here,
because ``yaml.safe_load`` follows YAML 1.1: ``16:9`` becomes 969, ``no`` becomes false, ``0123`` becomes 83, ``1e-3`` stays
text, and of two equal keys the last one wins silently.

What a plain (unquoted) scalar means: ``null``, ``~`` and nothing at all are null; ``true`` and ``false`` (also
``True``, ``TRUE``, ...) are booleans; ``[-+]?[0-9]+`` is a decimal number, so ``0123`` is 123; ``0o17`` and ``0x1f``
are octal and hexadecimal; ``1.5``, ``.5``, ``1e-3`` are floats; everything else is text, dates too. Numbers that are
not finite, tags, merge keys (``<<``), keys that are not text, equal keys and a second document are errors.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from comfy_runner.errors import InputError, Problem
from comfy_runner.text_files import MAX_BYTES, control_character
from comfy_runner.yaml_syntax import ESCAPED, QUOTE, explained

MAX_NODES = 10_000
"""Most values in one document, counted after aliases are written out."""

MAX_DEPTH = 50
"""Deepest nesting of one document, counted after aliases are written out."""

_MAX_DIGITS = 100
_MAX_PROBLEMS = 50

_COMMENT = re.compile(r" *(?:\r?\n( *))?(#[^\r\n]*)")
_HASHTAG = re.compile(r"#+[^#\s]")
# Letters that a folder or a file may well begin with; those of \n, \r and \t are meant often enough.
_ESCAPE = re.compile(r"\\(?:([0abefvNLP_])|.)", re.DOTALL)
_WORD = re.compile(r"[\w-]{1,80}")
_UNSENDABLE = re.compile("[\0\ud800-\udfff]")
_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER = re.compile(
    r"(?P<decimal>[-+]?[0-9]+)|(?P<based>0o[0-7]+|0x[0-9a-fA-F]+)"
    r"|(?P<real>[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
)

FieldPath = tuple[str | int, ...]
"""The way from a document to one of its values: keys of mappings, and numbers of list items from 0."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed text.

    Attributes:
        value: Plain Python: dict with text keys, list, str, int, float, bool, None.
        name: What the text is called in messages.
        remarks: What there is to say of the way in which single values are written: of comments that may be meant as text.
    """

    value: Any
    name: str
    remarks: Mapping[FieldPath, str] = field(repr=False)
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
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise error(f"must be at most {MAX_BYTES} bytes", where=name)
    if bad := control_character(text):
        what, line, column = bad
        raise error(what, where=f"{name}:{line}:{column}")
    reader = _Reader(text, name, error)
    try:
        value = reader.document()
    except yaml.MarkedYAMLError as fault:
        what, hint, mark = explained(fault, text, reader.last)
        place = name if mark is None else f"{name}:{mark.line + 1}:{mark.column + 1}"
        raise error(what, where=place, hint=hint) from None
    except (yaml.YAMLError, ValueError, OverflowError) as fault:
        # PyYAML lets ValueError and OverflowError out for escapes beyond Unicode ("\UFFFFFFFF").
        raise error(f"is not YAML ({fault})", where=name) from None
    if reader.problems:
        raise error.of(reader.problems)
    return Document(value, name, reader.remarks, reader.lines)


def dotted(path: Sequence[str | int], *, word: re.Pattern[str] = _WORD) -> str:
    """Return a path as people write it: ``upscale.denoise``, ``loras[0].name``; in quotes what `word` does not match."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step if word.fullmatch(step) else got(step)}" for step in path)
    return "".join(steps).removeprefix(".")


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
    found = _NUMBER.fullmatch(text)
    if found is None:
        return text
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number must have at most {_MAX_DIGITS} digits (got {len(text)})")
    if found.lastgroup != "real":
        return int(text, 10 if found.lastgroup == "decimal" else 0)
    number = float(text) if text[-1] not in "fFnN" else math.inf
    if not math.isfinite(number):
        raise ValueError(f"must be a finite number (got {text})")
    return number


def means_itself(text: str) -> bool:
    """Return whether an unquoted scalar means the text that it is: no number, no truth value, not null."""
    try:
        return plain_scalar(text) == text
    except ValueError:
        return False


class _Reader:
    """Makes plain Python of PyYAML's events, with aliases written out, and collects lines and problems.

    The events of an anchor are read once more for each of its aliases, so that the limits hold for what a document amounts to.
    """

    def __init__(self, text: str, name: str, error: type[InputError]) -> None:
        self.lines: dict[FieldPath, int] = {}
        self.remarks: dict[FieldPath, str] = {}
        self.problems: list[Problem] = []
        self._name = name
        self._text = text
        self._error = error
        self._source: Iterator[Any] = yaml.parse(text, Loader=yaml.BaseLoader)
        self._events: list[Any] = []
        self._at = 0
        self._anchors: dict[str, int | None] = {}
        self._unused: dict[str, tuple[Any, FieldPath]] = {}
        self._count = self._depth = self._indent = 0

    def document(self) -> Any:
        """Return the value of the only document."""
        value = None
        self._next()  # the start of the text
        if isinstance(self._next(), yaml.DocumentStartEvent):
            value = self._value(self._next(), ())
            for event, path in self._unused.values():
                self._is_unused(event, path)
            self._next()  # the end of the document
            if isinstance(event := self._next(), yaml.DocumentStartEvent):
                raise self._refusal("must be one document (got a second one after ---)", event)
        return value

    def _next(self) -> Any:
        if self._at == len(self._events):
            self._events.append(next(self._source))
        self._at += 1
        return self._events[self._at - 1]

    def _inside(self) -> Iterator[Any]:
        while not isinstance(event := self._next(), yaml.CollectionEndEvent):
            yield event

    @property
    def last(self) -> Any:
        """The last event that was read, but for the end of a document."""
        return next(event for event in reversed(self._events) if not isinstance(event, yaml.DocumentEndEvent))

    @property
    def _is_new(self) -> bool:
        """Whether the last event is read for the first time."""
        return self._at == len(self._events)

    def _value(self, event: Any, path: FieldPath) -> Any:
        self.lines.setdefault(path, _line(event))  # where it is not that of its key
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        start, anchor = self._at - 1, event.anchor if self._is_new else None
        if anchor is not None:
            self._anchors[anchor] = None
            if anchor in self._unused:
                self._is_unused(*self._unused[anchor])
            self._unused[anchor] = event, path
        if event.tag is not None:
            hint = "quote a value to make it text, remove the tag"
            self._problem(event, f"tags are not supported (got {got(event.tag)})", path, hint=hint)
        self._count += 1
        self._depth += 1
        if self._count > MAX_NODES:
            raise self._refusal(f"must have at most {MAX_NODES} values, aliases written out", event)
        if self._depth > MAX_DEPTH:
            raise self._refusal(f"must be nested at most {MAX_DEPTH} deep, aliases written out", event)
        if isinstance(event, yaml.MappingStartEvent):
            value: Any = self._mapping(path)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            for index, item in enumerate(self._inside()):
                self._indent = item.start_mark.column
                value.append(self._value(item, (*path, index)))
        else:
            if not hasattr(event, "meaning"):  # a long text may have thousands of aliases
                event.meaning = self._scalar(event, path)
            value = event.meaning
        self._depth -= 1
        if anchor is not None:
            self._anchors[anchor] = start
        return value

    def _alias(self, event: Any, path: FieldPath) -> Any:
        if self._is_new:
            if event.anchor not in self._anchors:
                what = f"there is no anchor &{event.anchor} before this alias"
                raise self._refusal(what, event, hint=f"if *{event.anchor} is meant as text, {QUOTE}")
            self._unused.pop(event.anchor, None)
            event.start = self._anchors[event.anchor]  # an anchor of the same name may follow
            if event.start is None:
                raise self._refusal(f"the alias *{event.anchor} is inside its own anchor", event)
        here, self._at = self._at, event.start
        value = self._value(self._next(), path)
        self._at = here
        return value

    def _scalar(self, event: Any, path: FieldPath) -> Any:
        # JSON, which YAML contains, writes an emoji as a pair of surrogates: \ud83c\udf32.
        text = event.value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        raw = self._text[event.start_mark.index : event.end_mark.index]
        if event.style == '"' and (bad := next((found[1] for found in _ESCAPE.finditer(raw) if found[1]), "")):
            what = f"\\{bad} in double quotes is the character U+{ord(yaml.Loader.ESCAPE_REPLACEMENTS[bad]):04X}"
            self._problem(event, what, path, hint=ESCAPED)
        elif wrong := unsendable(text):
            self._problem(event, wrong, path)
        if event.style:
            return text
        try:
            value = plain_scalar(text)
        except ValueError as fault:
            self._problem(event, str(fault), path)
            return None
        comment = _comment(self._text, event.end_mark.index, self._indent)
        # Where it is prose, or what follows is written like a hashtag, the comment may be meant as a part of the text.
        if comment and value == text and (" " in text or "prompt" in dotted(path) or _HASHTAG.match(comment)):
            self.remarks[path] = f"{got(comment)} is a comment, not part of {got(text)}; if it is meant as text, {QUOTE}"
        return value

    def _mapping(self, path: FieldPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in self._inside():
            name = self._value(key, path)
            here = (*path, name if isinstance(name, str) else "")
            if not isinstance(name, str):
                hint = "a value that starts with { needs quotes" if isinstance(name, dict) else "put it in quotes"
                self._problem(key, f"a key must be text (got {got(name)})", path, hint=hint)
            elif name == "<<" and not getattr(key, "style", "alias"):
                self._problem(key, "merge keys (<<) are not supported", path, hint="write out the values")
            elif name in found:
                self._problem(key, f"given twice (first on line {self.lines[here]})", here)
            else:
                self.lines[here] = _line(key)
            self._indent = key.start_mark.column + 1
            found[str(name)] = self._value(self._next(), here)
        return found

    def _is_unused(self, event: Any, path: FieldPath) -> None:
        hint = f"if &{event.anchor} is meant as text, {QUOTE}; otherwise remove it"
        self._problem(event, f"nothing uses the anchor &{event.anchor}", path, hint=hint)

    def _refusal(self, what: str, event: Any, *, hint: str = "") -> InputError:
        return self._error(what, where=f"{self._name}:{_line(event)}", hint=hint)

    def _problem(self, event: Any, what: str, path: FieldPath, *, hint: str = "") -> None:
        where = f"{self._name}:{_line(event)}"
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(Problem(what, f"{where}: {dotted(path)}" if path else where, hint))


def _comment(text: str, end: int, indent: int) -> str:
    """Return the comment behind an unquoted value: on its line, or on the next one where that is indented as if the value went on.

    Args:
        text: The whole text.
        end: The index at which the value ends.
        indent: The least column at which a line would belong to the value.
    """
    found = _COMMENT.match(text, end)
    return found[2] if found and (found[1] is None or len(found[1]) >= indent) else ""


def _line(start: Any) -> int:
    """Return the line, from 1, at which an event starts."""
    return int(start.start_mark.line) + 1
