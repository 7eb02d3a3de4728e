r"""Faults of YAML's syntax in plain words: what people mostly meant by what they wrote, and how to write it.

The most frequent ones are texts that need quotes: ``prompt: "a "big" cat"``, ``prompt: [a:b:0.5], cat``, ``name: @home``; and
backslashes in double quotes: ``checkpoint: "SDXL\juggernaut"``. `yaml_loader` reads YAML.
"""

from __future__ import annotations

import re
from typing import Any

QUOTE = "put the whole text in quotes, or on separate lines below a |"
"""The way out for a text that YAML takes for something else."""

ESCAPED = "put the value in single quotes, or write / or \\\\ instead of the backslash"
"""The way out for a backslash in double quotes."""

_KEYS = "indent the keys of one mapping alike"

# By what PyYAML says: what is wrong, and the way out. The first that fits counts.
_WORDS = (
    ("found character '\\t'", "a tab cannot be used for indentation, or before a value or a comment", "write spaces"),
    (
        "mapping values are not allowed",
        "': ' where no key can be",
        f"put a text with ': ' in it in quotes, or below a |, and {_KEYS}",
    ),
    ("could not find expected ':'", "a key without ': ' after it", "write key: value, and indent continued lines with spaces"),
    ("stream", "the text ends too early", "close the quote or the bracket"),
    ("expected <block end>", "the indentation does not fit the lines above", _KEYS),
    ("expected ',' or", "a bracket is not closed", "close it, or put a text that has brackets in it in quotes"),
)
_BEGINS = re.compile(
    "(?!found character '.t)(.* cannot start any token|expected the node content, .*'.'|(sequence|mapping k).* not allowed)"
)
_BEGUN = re.compile("while (scanning|parsing) (a tag|an anchor|an alias|a block scalar|a node)")


def escape_hint(text: str) -> str:
    r"""Return the way out for a name in which YAML made a character of a backslash: ``"SDXL\new"``; empty for any other."""
    found = re.search("[\t\n\r]", text)
    return f"{repr(found[0])[1:-1]} in double quotes is that character: {ESCAPED}" if found else ""


def explained(fault: Any, text: str, last: Any) -> tuple[str, str, Any]:
    """Return what is wrong with a text, the way out, and the mark of the place; PyYAML's own words where nothing better is known.

    Args:
        fault: PyYAML's error, with its marks.
        text: The text.
        last: The last event that was read before it, but for the end of a document.
    """
    said, context = fault.problem or fault.context or "is not YAML", fault.context or ""
    mark, opened = fault.problem_mark or fault.context_mark, fault.context_mark
    if mark is None:
        return said, "", None
    if context == "while scanning a double-quoted scalar":
        escape = text[text.rindex("\\", 0, mark.index + 1) : mark.index + 1]
        return f"{escape} in double quotes is not an escape ({said})", ESCAPED, mark
    if found := _going_on(said, text, last, mark):
        return *found, mark
    if (is_begun := _BEGUN.match(context)) or _BEGINS.match(said):
        at = opened if is_begun else mark
        first = text[at.index]
        return f"an unquoted text cannot begin with {first}", QUOTE + ("; a list must be below its key" if first == "-" else ""), at
    what, hint = next(((words, way_out) for sign, words, way_out in _WORDS if sign in said), (said, ""))
    if opened is not None and opened.line != mark.line:
        what += f", {context} that starts on line {opened.line + 1}"
    if opened is not None and "bracket" in hint:
        inside = text[opened.index : mark.index]
        hint += "; what follows ' #' is a comment" if " #" in inside else ""
        hint += '; \\" in double quotes does not close them' if '\\"' in inside else ""
    return what, hint, mark


def _going_on(said: str, text: str, last: Any, mark: Any) -> tuple[str, str] | None:
    """Return what is wrong where a text goes on behind a quote, a bracket or a comment that ended it, and the way out."""
    start, end = last.start_mark, last.end_mark
    if not said.startswith(("expected", "mapping values")) or (end.line != mark.line and "'<scalar>'" not in said):
        return None
    closing, style = text[end.index - 1 : end.index], getattr(last, "style", "")
    if style in ("'", '"') or (style == "" and closing in ("]", "}") and start.index < end.index):
        since = f" on line {start.line + 1}" if start.line != mark.line else ""
        other = {'"': "single quotes", "'": "double quotes"}.get(closing, "quotes")
        return f"the text continues after a closing {closing}{since}", QUOTE.replace("quotes", other)
    if style is None and "#" in text[end.index : mark.index]:
        return "the text continues after a comment, which begins with # and ended it", QUOTE
    return None
