"""One rendering: a template's text with values in it, read as JSON, every failure an error with file and line.

Every ``{{ expression }}`` prints exactly one JSON value, in a sandbox that knows no unescaped output (`sandbox`). A leaf of the
values is followed to the node input in which it lands, by marks in the text (`holes`). Not here: what a graph is, and which values
are given as holes (`shape`).
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from jinja2.exceptions import SecurityError

from comfy_runner.errors import TemplateError
from comfy_runner.templating.budget import TooMuch
from comfy_runner.templating.environment import Environment
from comfy_runner.templating.placeholders import HOLE, PLAIN, TAGGED, Marks, Observed
from comfy_runner.text_files import shown
from comfy_runner.yaml_loader import got

_NO_VALUE = re.compile(r"'dict object' has no attribute '(.*)'")


@dataclass(frozen=True, slots=True)
class Mark:
    """A leaf in a parsed result.

    Attributes:
        leaf: Its index.
        alone: Whether it was printed by itself, not within a list or an object.
        level: Whether it was a hole, or a value that knows its leaf.
        value: That value; None for a hole.
    """

    leaf: int
    alone: bool
    level: int
    value: Any


def text_of(path: Path, given: Mapping[str, Any], sandbox: Environment) -> str:
    """Return what a template prints.

    Raises:
        TemplateError: It fails; the innermost line of a template is named.
        Observed: It looks at a hole.
    """
    try:
        return sandbox.get_template(path.name).render(given)
    except jinja2.TemplateSyntaxError as error:  # in an imported file
        raise TemplateError(said(error), where=f"{shown(Path(error.filename or path))}:{error.lineno}") from error
    except Exception as error:  # an expression in a template can raise anything
        raise runtime_error(error, where=_place(error, path)) from error


def parsed(text: str, path: Path, marks: Marks) -> Any:
    """Return the JSON that a template has printed, with a `Mark` for each leaf in it.

    Raises:
        TemplateError: It is no JSON.
        Observed: There are marks in it without which it may be JSON, or would be another.
    """
    where = shown(path)
    try:
        data = _loads(text, marks)
    except json.JSONDecodeError as error:
        if marks.are_in(text):
            raise Observed(dict.fromkeys(marks.misplaced(text, error.pos), PLAIN)) from error
        raise _no_json(error, where) from error
    except _DuplicateKey as error:
        raise TemplateError(f"the key {got(str(error))} is there twice in one object", where=where) from error
    except RecursionError as error:
        raise _too_deep(where) from error
    except ValueError as error:  # a number of thousands of digits
        raise TemplateError(f"does not render to JSON: {said(error)}", where=where) from error
    if marks.key:
        _refuse_marked_texts(data, marks)
    return data


def marks_in(value: Any) -> Iterator[Mark]:
    """Yield the marks anywhere in a parsed result."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mark):
            yield value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def without_tags(data: Any, path: Path) -> Any:
    """Return a parsed result with the values of leaves in the place of their marks; those of holes stay.

    Raises:
        TemplateError: It is nested too deeply.
    """
    try:
        return _without_tags(data)
    except RecursionError as error:
        raise _too_deep(shown(path)) from error


def runtime_error(error: Exception, *, where: str) -> TemplateError:
    """Return the error of ours for whatever a template has raised."""
    if isinstance(error, jinja2.TemplateNotFound):
        hint = "imported files are looked for beside the template, then in the template folders"
        return TemplateError(f"imports a file that is not there (got {error.message})", where=where, hint=hint)
    if isinstance(error, TemplateError):  # an imported file cannot be read
        return error
    if isinstance(error, TooMuch):
        return TemplateError(str(error), where=where, hint="docs/templates.md says what is bounded")
    if isinstance(error, RecursionError):
        return TemplateError("is nested too deeply, or calls itself without end", where=where)
    if isinstance(error, SecurityError):
        return TemplateError(f"forbidden in a template: {said(error)}", where=where)
    if isinstance(error, jinja2.UndefinedError):
        return TemplateError(
            _NO_VALUE.sub(r"there is no value called \1", said(error)),
            where=where,
            hint="docs/templates.md lists what a template sees; a parameter is declared in the header, and written params.NAME",
        )
    return TemplateError(f"{said(error)} ({type(error).__name__})", where=where)


def said(error: Exception | str) -> str:
    """Return another library's message in our style."""
    text = str(error.message if isinstance(error, jinja2.TemplateError) else error).rstrip(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _place(error: Exception, path: Path) -> str:
    """Return the innermost line of a template that an error comes from; Jinja puts its templates into the traceback."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.endswith(".py") and Path(frame.filename).is_file():
            return f"{shown(Path(frame.filename))}:{frame.lineno}"
    return shown(path)


_QUOTES = "{{ value }} prints a whole JSON value: write no quotes around it, and join texts with ~ inside it"
_COMMA = "take away the comma before the closing bracket; JSON has none there"


def _no_json(problem: json.JSONDecodeError, where: str) -> TemplateError:
    line = problem.doc.split("\n")[problem.lineno - 1]
    before, after = problem.doc[: problem.pos].rstrip(), problem.doc[problem.pos :].lstrip()
    # Python 3.13 points at the comma itself.
    is_comma = (after[:1] in ("}", "]") and before.endswith(",")) or (after[:1] == "," and after[1:].lstrip()[:1] in ("}", "]"))
    start = max(0, problem.colno - 30)
    return TemplateError(
        f"does not render to JSON: {said(problem.msg)} at line {problem.lineno} of the result "
        f"(got {got(line[start : start + 60].strip())})",
        where=where,
        hint=_COMMA if is_comma else _QUOTES,
    )


def _too_deep(where: str) -> TemplateError:
    return TemplateError("the result is nested too deeply", where=where)


def _without_tags(value: Any) -> Any:
    if isinstance(value, Mark):
        return value if value.level == HOLE else value.value
    if isinstance(value, dict):
        return {key: _without_tags(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_tags(item) for item in value]
    return value


class _DuplicateKey(Exception):
    """The same key twice in one JSON object."""


def _loads(text: str, marks: Marks) -> Any:
    def to_object(pairs: list[tuple[str, Any]]) -> Any:
        if marks.key and len(pairs) == 1 and pairs[0][0] == marks.key:
            return _mark(pairs[0][1])
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise _DuplicateKey(key)
            found[key] = value
        return found

    return json.loads(text, object_pairs_hook=to_object)


def _mark(marked: Any) -> Mark:
    if isinstance(marked, list):
        return Mark(marked[0], alone=True, level=TAGGED, value=marked[1])
    return Mark(marked if marked >= 0 else -1 - marked, alone=marked >= 0, level=HOLE, value=None)


def _refuse_marked_texts(data: Any, marks: Marks) -> None:
    """Refuse marks that have become part of a text, which then is another than without them."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            marks.refuse(value)
        elif isinstance(value, Mark):
            waiting.append(value.value)
        elif isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
