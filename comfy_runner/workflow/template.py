"""Templates: JSON with Jinja, rendered so that no value can break the JSON or reach Python.

Every ``{{ expression }}`` prints exactly one JSON value, in a sandbox that knows no unescaped output (`sandbox`). A value that
comes straight from the recipe is followed to the node input in which it lands, so that a later error can name the recipe's line.
Not here: which recipe fields exist, and what the nodes mean.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.exceptions import SecurityError

from comfy_runner.errors import TemplateError, WorkflowError
from comfy_runner.hints import did_you_mean
from comfy_runner.textfile import is_file, read, shown
from comfy_runner.workflow.budget import TooMuch
from comfy_runner.workflow.graph import Workflow, parse_workflow
from comfy_runner.workflow.params import Param, declared_params
from comfy_runner.workflow.sandbox import environment
from comfy_runner.yamltext import got

SUFFIX = ".json.j2"
_HEADER = re.compile(r"\A\s*\{#-?(.*?)-?#\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Template:
    """A template file.

    Attributes:
        name: Its name in a recipe.
        path: The file.
        description: One or more sentences from its header.
        sha256: Of the file's text, hex.
        params: The free parameters that it declares, by name; None where it has no declaration and takes any.
        uses: The recipe fields that appear in it, such as ``checkpoint``.
    """

    name: str
    path: Path
    description: str
    sha256: str
    params: Mapping[str, Param] | None
    uses: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A workflow, and where its literals come from.

    Attributes:
        workflow: The graph.
        sources: Dotted recipe field by (node id, input name), for the inputs that take a recipe value as it is.
    """

    workflow: Workflow
    sources: Mapping[tuple[str, str], str]


def find_template(name: str, folders: Sequence[Path], *, where: str = "") -> Template:
    """Return the template of this name from the first folder that has it.

    Raises:
        TemplateError: No folder has it, or the file cannot be read or is not a template.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise TemplateError(f"not the name of a template (got {name!r})", where=where, hint="letters, digits, _ - .")
    for folder in folders:
        path = folder / (name + SUFFIX)
        if is_file(path):
            return _read(name, path)
    hint = did_you_mean(name, template_names(folders))
    raise TemplateError(f"no template of this name (got {name})", where=where, hint=hint)


def template_names(folders: Sequence[Path]) -> list[str]:
    """Return the names of all templates in these folders."""
    names: set[str] = set()
    for folder in folders:
        with contextlib.suppress(OSError):  # a name that no folder can have
            names.update(path.name.removesuffix(SUFFIX) for path in folder.glob("*" + SUFFIX))
    return sorted(names)


def render(template: Template, values: Mapping[str, Any], *, folders: Sequence[Path]) -> Rendered:
    """Render a template with a job's values.

    Args:
        template: The template.
        values: JSON-like values by name, as the template sees them.
        folders: Where ``{% import %}`` finds shared macros, after the template's own folder.

    Raises:
        TemplateError: Something is undefined, forbidden or not JSON; the file and line are named.
        WorkflowError: What was rendered is not an API-format graph.
    """
    search = [template.path.parent, *folders]
    where = shown(template.path)
    # A value printed with its source is one JSON object, so it is no JSON inside a text such as "lora_{{ n }}".
    # There the sources are given up, not the template.
    for key, given in ((f"source {secrets.token_hex(8)}", _tagged(values, "")), ("", values)):
        text = _render_text(template, given, environment(search, source_key=key))
        try:
            return _rendered(_loads(text, key), template)
        except json.JSONDecodeError as error:
            problem = error
        except _DuplicateKey as error:
            raise TemplateError(f"the key {got(str(error))} is there twice in one object", where=where) from error
        except RecursionError as error:
            raise TemplateError("the result is nested too deeply", where=where) from error
        except ValueError as error:  # a number of thousands of digits
            raise TemplateError(f"does not render to JSON: {_said(error)}", where=where) from error
    line = problem.doc.split("\n")[problem.lineno - 1]
    start = max(0, problem.colno - 30)
    raise TemplateError(
        f"does not render to JSON: {_said(problem.msg)} at line {problem.lineno} of the result "
        f"(got {got(line[start : start + 60].strip())})",
        where=where,
        hint="{{ value }} prints a whole JSON value: write no quotes around it, and join texts with ~ inside it",
    )


def _read(name: str, path: Path) -> Template:
    source = read(path, error=TemplateError)
    try:
        uses = meta.find_undeclared_variables(environment([path.parent]).parse(source))
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(_said(error), where=f"{shown(path)}:{error.lineno}") from error
    except Exception as error:  # Jinja computes constant expressions, which can raise anything
        raise _runtime_error(error, where=shown(path)) from error
    header = _HEADER.match(source)
    description, params = "", None
    if header:
        above = "\n" * source.count("\n", 0, header.start(1))  # so that its lines count as those of the file
        description, params = declared_params(above + header.group(1), path=path)
    sha256 = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    return Template(name, path, description, sha256, params, frozenset(uses))


def _render_text(template: Template, values: Mapping[str, Any], sandbox: jinja2.Environment) -> str:
    try:
        return sandbox.get_template(template.path.name).render(values)
    except jinja2.TemplateSyntaxError as error:  # in an imported file
        raise TemplateError(_said(error), where=f"{shown(Path(error.filename or template.path))}:{error.lineno}") from error
    except Exception as error:  # an expression in a template can raise anything
        raise _runtime_error(error, where=_place(error, template.path)) from error


def _runtime_error(error: Exception, *, where: str) -> TemplateError:
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
        return TemplateError(f"forbidden in a template: {_said(error)}", where=where)
    if isinstance(error, jinja2.UndefinedError):
        return TemplateError(
            _said(error), where=where, hint="give it in the recipe; a template's free parameters stand under `params:`"
        )
    return TemplateError(f"{_said(error)} ({type(error).__name__})", where=where)


def _said(error: Exception | str) -> str:
    """Return another library's message in our style."""
    text = str(error.message if isinstance(error, jinja2.TemplateError) else error).rstrip(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _place(error: Exception, path: Path) -> str:
    """Return the innermost line of a template that an error comes from; Jinja puts its templates into the traceback."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.endswith(".py") and Path(frame.filename).is_file():
            return f"{shown(Path(frame.filename))}:{frame.lineno}"
    return shown(path)


# The attribute has an underscore because the sandbox keeps such names from templates.
class Text(str):
    """A text that knows its field in the recipe."""

    _source: str


class Integer(int):
    """A whole number that knows its field in the recipe."""

    _source: str


class Number(float):
    """A number that knows its field in the recipe."""

    _source: str


def _tagged(value: Any, source: str) -> Any:
    """Return the value with every leaf remembering its dotted field (true, false and null cannot)."""
    if isinstance(value, Mapping):
        return {key: _tagged(item, f"{source}.{key}" if source else str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tagged(item, f"{source}.{index}") for index, item in enumerate(value)]
    for plain, tagging in ((str, Text), (int, Integer), (float, Number)):
        if type(value) is plain:
            leaf = tagging(value)
            leaf._source = source
            return leaf
    return value


@dataclass(frozen=True, slots=True)
class _Sourced:
    source: str
    value: Any


def _loads(text: str, source_key: str) -> Any:
    def to_object(pairs: list[tuple[str, Any]]) -> Any:
        if source_key and len(pairs) == 1 and pairs[0][0] == source_key:
            return _Sourced(*pairs[0][1])
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise _DuplicateKey(key)
            found[key] = value
        return found

    return json.loads(text, object_pairs_hook=to_object)


class _DuplicateKey(Exception):
    """The same key twice in one JSON object."""


def _rendered(data: Any, template: Template) -> Rendered:
    sources: dict[tuple[str, str], str] = {}
    for node_id, node in data.items() if isinstance(data, dict) else ():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        for name, value in inputs.items() if isinstance(inputs, dict) else ():
            if isinstance(value, _Sourced):
                sources[node_id, name] = value.source
    workflow = parse_workflow(_plain(data), where=shown(template.path))
    if not workflow.outputs:
        raise WorkflowError(
            "no node saves anything",
            where=shown(template.path),
            hint='give the node that does a "_meta": {"role": "original"}',
        )
    return Rendered(workflow, sources)


def _plain(value: Any) -> Any:
    if isinstance(value, _Sourced):
        return _plain(value.value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
