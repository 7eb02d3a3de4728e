"""Templates rendered once for all jobs that differ in values which the template merely prints.

Every scalar of a job's values is a placeholder at first. One that the template looks at is given as a value from then on, and its
value belongs to what has to be equal for two jobs to share a rendering. At worst all are, and each job is rendered by itself.
The judge of it all: a graph is always the one that the job's values, all given plainly, would have made.
Does not know how a template runs (`environment`), and what a placeholder lets it do (`placeholders`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_runner.errors import InputError, TemplateError, WorkflowError
from comfy_runner.graph.filled import Filled, Shape
from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Workflow, as_link, parse_workflow
from comfy_runner.templating import placeholders
from comfy_runner.templating.environment import environment, failure, said
from comfy_runner.templating.lookup import Template
from comfy_runner.templating.placeholders import NAMED, REFERENCE, Observed
from comfy_runner.text_files import shown
from comfy_runner.yaml_loader import got

_MOST_KEPT = 10_000
_QUOTES = (
    "{{ value }} prints a whole JSON value: write no quotes around it, and join texts with ~ inside it; "
    "put a text that must keep its braces between {% raw %} and {% endraw %}"
)
_COMMA = "remove the comma before the closing bracket; JSON allows none there"


class _Form:
    """What is known of all jobs whose values have one form: the field of each scalar, how it has to be given, what was rendered."""

    def __init__(self, fields: list[str], least: Mapping[str, int]) -> None:
        self.fields = fields
        self.levels = [least.get(name, REFERENCE) for name in fields]
        self.renderings: dict[tuple[Any, ...], _Rendering] = {}
        self._needed = [index for index, level in enumerate(self.levels) if level != REFERENCE]

    def key(self, scalars: Sequence[Any]) -> tuple[Any, ...]:
        """Return what has to be equal for two jobs to share a rendering."""
        return tuple([placeholders.same_only(scalars[index]) for index in self._needed])


@dataclass(frozen=True, slots=True)
class _Rendering:
    """A graph whose literals are values, or references to a job's scalars."""

    shape: Shape
    literals: tuple[Any, ...]

    def filled(self, scalars: Sequence[Any]) -> Filled:
        return Filled(self.shape, tuple([scalars[each.index] if type(each) is _Reference else each for each in self.literals]))


class Renderer:
    """Renders one template for many jobs; the files are read and compiled once. Not for two threads at once.

    Args:
        template: The template.
        folders: Where ``{% import %}`` finds shared macros, after the template's own folder.

    Attributes:
        runs: How often the template was run so far.
    """

    def __init__(self, template: Template, folders: Sequence[Path]) -> None:
        self.runs = 0
        self._path = template.path
        self._sandbox = environment([template.path.parent, *folders])
        self._least: dict[str, int] = {}
        self._forms: dict[tuple[Any, ...], _Form] = {}
        self._shapes: dict[str, Shape] = {}

    def render(self, values: Mapping[str, Any]) -> Filled:
        """Render the template with one job's values.

        Args:
            values: JSON-like values by name, as the template sees them.

        Raises:
            TemplateError: Something is undefined, forbidden or not JSON; the file and line are named.
            WorkflowError: What was rendered is not an API-format graph.
        """
        form, scalars = placeholders.take_apart(values)
        _, rendering = self._known(form, scalars)
        if rendering is not None:
            return rendering.filled(scalars)
        if form is None or not placeholders.has_plain_keys(values):
            return self.plain(values)
        return self._rendered(values, form, scalars)

    def printed(self, values: Mapping[str, Any]) -> dict[str, tuple[InputKey, ...]]:
        """Return the values that the template does nothing with but print them: which inputs of the graph each of them is.

        Args:
            values: Those of a job that was rendered.
        """
        known, rendering = self._known(*placeholders.take_apart(values))
        if known is None or rendering is None:
            return {}
        found: dict[str, tuple[InputKey, ...]] = {
            field: () for field, level in zip(known.fields, known.levels, strict=True) if level == REFERENCE
        }
        for place, literal in zip(rendering.shape.places, rendering.literals, strict=True):
            if type(literal) is _Reference and (field := known.fields[literal.index]) in found:
                found[field] += (place,)
        return found

    def _known(self, form: tuple[Any, ...] | None, scalars: Sequence[Any]) -> tuple[_Form | None, _Rendering | None]:
        known = self._forms.get(form) if form is not None else None
        return known, known.renderings.get(known.key(scalars)) if known is not None else None

    def plain(self, values: Mapping[str, Any]) -> Filled:
        """Render the template with one job's values, all of them given; nothing is learned or shared but the shape."""
        self.runs += 1
        workflow = self._workflow(_parsed(self._text(values), self._path))
        return Filled(shape := self._shape(workflow, {}), tuple(workflow.nodes[id_].inputs[name] for id_, name in shape.places))

    def _rendered(self, values: Mapping[str, Any], form: tuple[Any, ...], scalars: list[Any]) -> Filled:
        while True:
            known = self._forms.get(form) or self._forms.setdefault(form, _Form(placeholders.fields_of(values), self._least))
            try:
                rendering = self._by_reference(values, known, scalars)
            except Observed as seen:
                self._least.update({known.fields[index]: level for index, level in seen.needed.items()})
                self._forms.clear()
            except InputError:
                # It may be the placeholders' fault; an error is told as it is without them.
                return self.plain(values)
            else:
                if len(known.renderings) >= _MOST_KEPT:
                    known.renderings.clear()
                known.renderings[known.key(scalars)] = rendering
                return rendering.filled(scalars)

    def _by_reference(self, values: Mapping[str, Any], known: _Form, scalars: Sequence[Any]) -> _Rendering:
        """Render the template with values at their levels.

        Raises:
            InputError: It fails, perhaps for that alone.
            Observed: It looks at a value that it was not given.
        """
        self.runs += 1
        data = _parsed(self._text(placeholders.given(values, known.levels)), self._path)
        whole = [data]
        placed = _fill_in(whole, scalars, known.levels)
        workflow = self._workflow(whole[0])
        told = {
            place: known.fields[found.index]
            for place, found in placed.items()
            if found.alone and placeholders.tells_its_field(scalars[found.index])
        }
        shape = self._shape(workflow, told)
        return _Rendering(shape, tuple(placed.get(place, workflow.nodes[place[0]].inputs[place[1]]) for place in shape.places))

    def _text(self, values: Mapping[str, Any]) -> str:
        try:
            return self._sandbox.text_of(self._path.name, dict(values))
        except Exception as error:  # an expression in a template can raise anything
            raise failure(error, self._path) from error

    def _workflow(self, data: Any) -> Workflow:
        where = shown(self._path)
        workflow = parse_workflow(data, where=where)
        if not workflow.outputs:
            hint = 'give the node that does a "_meta": {"role": "original"}'
            raise WorkflowError("no node saves anything", where=where, hint=hint)
        return workflow

    def _shape(self, workflow: Workflow, sources: Mapping[InputKey, str]) -> Shape:
        """Return the shape of a graph, the same one for all graphs of that shape."""
        nodes = [
            [node_id, node.class_type, [[name, as_link(value)] for name, value in node.inputs.items()], node.meta]
            for node_id, node in workflow.nodes.items()
        ]
        key = json.dumps([nodes, sorted(sources.items())])
        if key not in self._shapes:
            if len(self._shapes) >= _MOST_KEPT:
                self._shapes.clear()
            self._shapes[key] = Shape(workflow, sources)
        return self._shapes[key]


@dataclass(frozen=True, slots=True)
class _Reference:
    """A value in what a template has printed, still to be filled in: which it is, and whether it was printed alone."""

    index: int
    alone: bool


class _DuplicateKey(Exception):
    """The same key twice in one JSON object."""


def _parsed(text: str, path: Path) -> Any:
    """Return the JSON that a template has printed, with references in the places of tokens.

    Raises:
        TemplateError: It is no JSON.
        Observed: There are tokens in it without which it may be JSON, or would be another.
    """
    where = shown(path)
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_float=_float)
    except json.JSONDecodeError as error:
        if found := placeholders.plainly_at(text, error.pos):
            raise Observed(found) from error
        raise _no_json(error, where) from error
    except _DuplicateKey as error:
        raise TemplateError(f"the key {got(str(error))} is twice in one object", where=where) from error
    except RecursionError as error:
        raise TemplateError("the result is nested too deeply", where=where) from error
    except ValueError as error:  # a number of thousands of digits
        raise TemplateError(f"does not render to JSON: {said(error)}", where=where) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _DuplicateKey(next(key for index, key in enumerate(keys) if key in keys[:index]))
    return found


def _integer(text: str) -> Any:
    found = placeholders.read_token(text)
    return int(text) if found is None else _Reference(*found)


def _float(text: str) -> float:
    placeholders.read_token(text)
    return float(text)


def _fill_in(data: list[Any], scalars: Sequence[Any], levels: Sequence[int]) -> dict[InputKey, _Reference]:
    """Put values in the places of references in a list that has a graph, and return those that are a node's input.

    Raises:
        Observed: A value is a class, a title or a key, or within a list or a text, and decides there what nobody can know without.
    """
    needed: dict[int, int] = {}
    placed: dict[InputKey, _Reference] = {}
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            here = (*path[:4], key)
            for text in (key, item):
                if isinstance(text, str):
                    needed |= placeholders.plainly(text)
            if isinstance(item, _Reference):
                match here:
                    case (0, str(node_id), "inputs", str(name)):
                        placed[node_id, name] = item
                    case _ if levels[item.index] == REFERENCE:
                        needed.setdefault(item.index, NAMED)
                value[key] = scalars[item.index]
            elif isinstance(item, (dict, list)):
                waiting.append((here, item))
    if needed:
        raise Observed(needed)
    return placed


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
