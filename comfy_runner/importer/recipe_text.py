"""A recipe as a file that people like to read: YAML with comments, which loads back to the very same values.

Texts stand without quotes where that is safe, long ones are folded or written line by line; whatever YAML could take for something
else is quoted. A comment never gets out of its line, whatever it says. `yaml_loader` reads what is written here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comfy_runner import yaml_loader
from comfy_runner.errors import InputError

WIDTH = 110
"""The longest line that is aimed at, in characters."""

UNSEEN = "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202f\\u2060-\\u206f\\ufeff\\ud800-\\udfff\\ufff0-\\uffff"
"""What is escaped, as members of a set of a regular expression: control characters, ends of lines to some programs, what turns the
direction of writing, what nobody sees, surrogates."""

_INDENT = "  "
# What starts or contains nothing that YAML knows, in a block or between braces.
_PLAIN = re.compile(r"[A-Za-z0-9_./(][A-Za-z0-9_./()+*=~^$@%;|<>!?'\" &-]*", re.ASCII)
_FLOW_SAFE = re.compile(r"[A-Za-z0-9_./(][A-Za-z0-9_./()+*=~^$@%;|<>!? &-]*", re.ASCII)
_COMMENTED = re.compile(r"[ \t]#|#[ \t]|: |:$")
_PRINTABLE_LINE = re.compile(f"[^{UNSEEN}]*")
_ESCAPED = re.compile(f'[{UNSEEN}"\\\\]')
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_LONGEST_COMMENT = 300

# Keys of a recipe that begin a new paragraph.
_PARAGRAPHS = ("prompt", "size", "sampler", "upscale", "vae_decode", "output", "params", "models", "sweep", "retry", "expect")


def recipe_text(fields: Mapping[str, Any], *, comments: Mapping[str, str] | None = None, head: str = "", tail: str = "") -> str:
    """Return a recipe as commented YAML.

    Args:
        fields: The recipe's fields as mappings and lists within each other, in the order in which they are written; texts, numbers,
            true, false and null.
        comments: A remark beside or above single fields, by dotted name: ``sampler.cfg``, ``loras.0``; it is put on one line.
        head: What is said at the top, one comment for each of its lines; empty for nothing.
        tail: What is said at the end, likewise.

    Raises:
        ValueError: A value has no YAML that loads back to it: a text with a lone surrogate, NaN, a number of over 100 digits.
    """
    said = {name: comment_line(text) for name, text in (comments or {}).items()}
    lines = [*_comment_block(head)]
    for index, (key, value) in enumerate(fields.items()):
        if index and key in _PARAGRAPHS and lines and lines[-1]:
            lines.append("")
        lines += _entry(key, value, "", key, said)
    if tail:
        lines += ["", *_comment_block(tail)]
    text = "\n".join(lines) + "\n"
    if not _loads_as(text, fields):
        raise ValueError("these values cannot be written as YAML")
    return text


def comment_line(text: str) -> str:
    """Return a text as it can stand in a comment: on one line, with nothing unseen in it, at most 300 characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _LONGEST_COMMENT else line[: _LONGEST_COMMENT - 3] + "..."


def scalar(value: Any, *, in_flow: bool = False, spaces: bool = True) -> str:
    """Return one value as YAML on one line.

    Args:
        value: A text, a number, true, false or null; lists and mappings are written as JSON.
        in_flow: Whether it stands between braces or brackets.
        spaces: Whether a text with spaces may go without quotes, which it may not before a comment.
    """
    if isinstance(value, str):
        return _text(value, in_flow=in_flow, spaces=spaces)
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{scalar(str(key), in_flow=True)}: {scalar(item, in_flow=True)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, Sequence):
        return "[" + ", ".join(scalar(item, in_flow=True) for item in value) + "]"
    return json.dumps(value)


def _text(value: str, *, in_flow: bool, spaces: bool) -> str:
    pattern = _FLOW_SAFE if in_flow else _PLAIN
    is_plain = pattern.fullmatch(value) and value == value.strip() and not _COMMENTED.search(value) and (spaces or " " not in value)
    if is_plain and yaml_loader.means_itself(value):
        return value
    if ('"' in value or "\\" in value) and "'" not in value and _PRINTABLE_LINE.fullmatch(value):
        return f"'{value}'"
    return quoted(value)


def quoted(text: str) -> str:
    """Return a text in double quotes, in which everything that nobody sees is escaped."""
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    return _ESCAPES.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}")


def _comment_block(text: str) -> Iterator[str]:
    for line in text.splitlines():
        # Spaces at the beginning are kept: they are how examples stand apart.
        indent = " " * min(8, len(line) - len(line.lstrip(" ")))
        yield f"# {indent}{comment_line(line)}".rstrip()


def _entry(key: str, value: Any, indent: str, name: str, said: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of one field.

    Args:
        key: What it is called.
        value: Its value.
        indent: What stands before each line.
        name: Its dotted name.
        said: The comments by dotted name.
    """
    comment = said.get(name, "")
    start = f"{indent}{scalar(key)}:"
    inner = any(other.startswith(f"{name}.") for other in said)
    if isinstance(value, (Mapping, list, tuple)) and value and (inner or not _fits_one_line(value, start)):
        yield from _beside(start, comment, indent)
        yield from _items(value, indent + _INDENT, name, said)
        return
    if isinstance(value, str) and (block := _block(value, indent + _INDENT, start)):
        if comment:
            yield f"{indent}# {comment}"
        yield f"{start} {block[0]}"
        yield from block[1:]
        return
    # The reader asks whether a comment behind a prompt without quotes is meant as a part of it.
    written = quoted(value) if comment and isinstance(value, str) and "prompt" in name else scalar(value, spaces=not comment)
    yield from _beside(f"{start} {written}", comment, indent)


def _items(value: Any, indent: str, name: str, said: Mapping[str, str]) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(str(key), item, indent, f"{name}.{key}", said)
        return
    for index, item in enumerate(value):
        yield from _beside(
            f"{indent}- {scalar(item, spaces=f'{name}.{index}' not in said)}", said.get(f"{name}.{index}", ""), indent
        )


def _beside(line: str, comment: str, indent: str) -> Iterator[str]:
    """Yield a line with its comment: behind it where there is room, else above."""
    if comment and len(line) + len(comment) + 3 > WIDTH:
        yield f"{indent}# {comment}"
        yield line
    else:
        yield f"{line} # {comment}" if comment else line


def _fits_one_line(value: Any, start: str) -> bool:
    items = value.values() if isinstance(value, Mapping) else value
    if any(isinstance(item, (Mapping, list, tuple)) and item for item in items):
        return False
    return len(start) + 1 + len(scalar(value)) <= WIDTH


def _block(text: str, indent: str, start: str) -> list[str]:
    """Return a long text below its key: folded, or line by line where it has lines; nothing where it is better quoted."""
    lines = text.split("\n")
    is_clean = all(map(_PRINTABLE_LINE.fullmatch, lines)) and bool(lines[0].strip()) and not text[:1].isspace()
    if not is_clean or text.isspace():
        return []
    if len(lines) > 1:
        if not lines[-2] and not lines[-1]:
            return []  # several empty lines at the end would go on into those of the file
        style, kept = ("|-", lines) if lines[-1] else ("|", lines[:-1])
        return [style, *(f"{indent}{line}" if line else "" for line in kept)]
    if len(start) + len(text) < WIDTH or "  " in text or text != text.strip():
        return []
    return [">-", *(indent + line for line in _folded(text, WIDTH - len(indent)))]


def _folded(text: str, width: int) -> Iterator[str]:
    """Yield lines that a fold joins with single spaces to the text again."""
    line = ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _loads_as(text: str, fields: Mapping[str, Any]) -> bool:
    try:
        found = yaml_loader.parse(text, name="recipe")
    except InputError:
        return False
    return not found.remarks and _same(found.value, _plain(fields))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return repr(one) == repr(other)
