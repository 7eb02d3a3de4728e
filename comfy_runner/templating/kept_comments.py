"""Texts with ``{#`` and ``#}`` in them, such as prompts of an exported graph, stay as they are typed: they are no comments.

Jinja drops a comment wherever it stands, also between the quotes of a JSON string. A comment that begins within such a text and
ends on the same line is put between ``{% raw %}`` and ``{% endraw %}`` before the template is compiled. One that ends on another
line would take what is between the two with it, and is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from jinja2 import TemplateSyntaxError

# Quotes, and what is none: an escape, and the end of a line, beyond which no text of JSON goes.
_TEXT_BOUNDS = re.compile(r'\\.|"|\n')
_NEWLINE = re.compile(r"\r\n|\r|\n")
_OPENING, _CLOSING = re.compile(r"\{[{%#]"), re.compile(r"[}%#]\}")
_MOST_LINES = 50


def with_kept_comments(source: str, tokens: Iterable[tuple[int, str, str]]) -> str:
    """Return a template in which comments within texts are printed as they are typed.

    Args:
        source: The template.
        tokens: What `jinja2.Environment.lex` says of it.

    Raises:
        TemplateSyntaxError: A comment that begins within a text goes on beyond its line, or has the end of a raw block in it.
    """
    whole = _NEWLINE.sub("\n", source)
    pieces: list[str] = []
    done = at = 0
    for line, start, end in _comments(whole, tokens):
        if "\n" in whole[start:end]:
            what = "{# within a text begins a comment, which ends on another line, and all between them would vanish"
            raise TemplateSyntaxError(what, line)
        if "endraw" in whole[start:end]:
            raise TemplateSyntaxError("{# within a text begins a comment with endraw in it, and cannot stay as it is", line)
        pieces += [whole[done:start], "{% raw %}", whole[start:end], "{% endraw %}"]
        done = at = end
    return "".join([*pieces, whole[done:]]) if at else source


def _comments(source: str, tokens: Iterable[tuple[int, str, str]]) -> Iterator[tuple[int, int, int]]:
    """Yield the line, the start and the end of each comment within a text."""
    in_text = False
    begun = at = 0
    for line, kind, piece in tokens:
        # Between the tokens there is nothing but what Jinja strips.
        start = max(at, source.find(piece, at))
        at = start + len(piece)
        if kind == "data":
            for found in _TEXT_BOUNDS.finditer(piece):
                if len(found[0]) == 1:
                    in_text = found[0] == '"' and not in_text
        elif kind == "comment_begin":
            begun = start
        elif kind == "comment_end" and in_text:
            # With a minus or a newline that belongs to its end for Jinja, and to the text here.
            yield line, begun, start + piece.index("}") + 1


def line_of_opening(source: str, line: int) -> int:
    """Return the line on which an expression, a tag or a comment begins that an error is found in: perhaps one before it.

    Args:
        source: The template.
        line: The line of the error, from 1.
    """
    lines = _NEWLINE.split(source)
    if not 1 <= line <= len(lines) or _OPENING.search(lines[line - 1]):
        return line
    for number in range(line - 1, max(0, line - 1 - _MOST_LINES), -1):
        text = lines[number - 1]
        if len(_OPENING.findall(text)) > len(_CLOSING.findall(text)):
            return number
    return line
