"""Templates rendered once for all jobs that differ in values which the template merely prints.

Every scalar of a job's values is a hole at first. One that the template looks at is given as a value from then on, and its value
belongs to what has to be equal for two jobs to share a rendering. At worst all are, and each job is rendered by itself.
Not here: how text becomes JSON (`rendering`), and what a hole lets a template do (`holes`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_runner.errors import InputError, WorkflowError
from comfy_runner.graph.filled import Filled, Shape
from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Workflow, as_link, parse_workflow
from comfy_runner.templating import leaves
from comfy_runner.templating.environment import environment
from comfy_runner.templating.placeholders import HOLE, PLAIN, TAGGED, Marks, Observed
from comfy_runner.templating.rendering import Mark, marks_in, parsed, text_of, without_tags
from comfy_runner.text_files import shown

if TYPE_CHECKING:
    from comfy_runner.templating.lookup import Template

__all__ = ["Filled", "Renderer", "Shape"]

_MOST_KEPT = 10_000
_MOST_TRIES = 50  # after so many, nothing is a hole any more; after as many again, nothing is marked


@dataclass(slots=True)
class _Form:
    """What is known of all jobs whose values have one form."""

    sources: list[str]
    levels: list[int]
    needed: tuple[int, ...] = ()
    renderings: dict[tuple[Any, ...], _Rendering] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Rendering:
    """A graph with holes: its shape, and its literals among the job's leaves and these further values."""

    shape: Shape
    picks: tuple[int, ...]
    constants: tuple[Any, ...]

    def filled(self, found: Sequence[Any]) -> Filled:
        pool = (*found, *self.constants)
        return Filled(self.shape, tuple([pool[pick] for pick in self.picks]))


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
        taken = leaves.take_apart(values)
        form, found = taken.form, taken.values
        known = self._forms.get(form) if form is not None else None
        if known is not None:
            rendering = known.renderings.get(_tokens(known, found))
            if rendering is not None:
                return rendering.filled(found)
        return self._rendered(values, form, found)

    def _rendered(self, values: Mapping[str, Any], form: tuple[Any, ...] | None, found: list[Any]) -> Filled:
        if form is None or not leaves.has_plain_keys(values):
            form = None
        lowest = HOLE if form is not None else TAGGED
        suspected: list[int] = []
        for tries in range(3 * _MOST_TRIES):
            lowest = max(lowest, min(tries // _MOST_TRIES, PLAIN))
            known = self._form(values, form, found)
            levels = [max(level, lowest) for level in known.levels]
            try:
                rendering = self._attempt(values, levels, known.sources)
            except Observed as observed:
                # Where it cannot be said what was observed, only this job is rendered without marks.
                lowest = max(lowest, HOLE if self._learn(observed, known.sources, levels) else PLAIN)
            except InputError:
                # It may be the holes' fault; an error is told as it is without them.
                suspected = [leaf for leaf, level in enumerate(levels) if level == HOLE]
                if not suspected:
                    raise
                lowest = TAGGED
            else:
                if suspected:
                    self._learn(Observed(dict.fromkeys(suspected, TAGGED)), known.sources, known.levels)
                if lowest == HOLE:
                    if len(known.renderings) >= _MOST_KEPT:
                        known.renderings.clear()
                    known.renderings[_tokens(known, found)] = rendering
                return rendering.filled(found)
        raise AssertionError("a rendering without marks observes nothing")

    def _form(self, values: Mapping[str, Any], form: tuple[Any, ...] | None, found: list[Any]) -> _Form:
        known = self._forms.get(form) if form is not None else None
        if known is None:
            sources = leaves.sources(values)
            levels = [
                max(leaves.least_level(value), self._least.get(leaves.family(source), HOLE))
                for value, source in zip(found, sources, strict=True)
            ]
            known = _Form(sources, levels, tuple(index for index, level in enumerate(levels) if level != HOLE))
            if form is not None:
                self._forms[form] = known
        return known

    def _learn(self, observed: Observed, sources: Sequence[str], levels: Sequence[int]) -> bool:
        """Remember how leaves have to be given; return whether that is news."""
        news = False
        for leaf, level in observed.needed.items():
            if levels[leaf] < level:
                family = leaves.family(sources[leaf])
                self._least[family] = max(level, self._least.get(family, HOLE))
                news = True
        if news:
            self._forms.clear()
        return news

    def _attempt(self, values: Mapping[str, Any], levels: Sequence[int], sources: Sequence[str]) -> _Rendering:
        marks = Marks("" if all(level == PLAIN for level in levels) else secrets.token_hex(8))
        self._sandbox.begin(marks)
        self.runs += 1
        text = text_of(self._path, leaves.given(values, levels), self._sandbox)
        data = parsed(text, self._path, marks)
        placed = _placed(data)
        data = without_tags(data, self._path)
        found = leaves.take_apart(values).values
        picked: dict[InputKey, int] = {}
        for (node_id, name), mark in placed.items():
            if mark.level == HOLE:
                data[node_id]["inputs"][name] = found[mark.leaf]
                picked[node_id, name] = mark.leaf
        if left := {mark.leaf: TAGGED for mark in marks_in(data)}:
            raise Observed(left)  # as a class, a title, or within a list: what it does there is not known without it
        workflow = parse_workflow(data, where=shown(self._path))
        if not workflow.outputs:
            raise WorkflowError(
                "no node saves anything",
                where=shown(self._path),
                hint='give the node that does a "_meta": {"role": "original"}',
            )
        told = {
            place: sources[mark.leaf] for place, mark in placed.items() if mark.alone and leaves.knows_its_field(found[mark.leaf])
        }
        shape = self._shape(workflow, told)
        return _rendering(shape, workflow, picked, len(found))

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


def _tokens(known: _Form, found: Sequence[Any]) -> tuple[Any, ...]:
    return tuple([leaves.token(found[index]) for index in known.needed])


def _placed(data: Any) -> dict[InputKey, Mark]:
    """Return the marks that are a node's input."""
    placed: dict[InputKey, Mark] = {}
    for node_id, node in data.items() if isinstance(data, dict) else ():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        for name, value in inputs.items() if isinstance(inputs, dict) else ():
            if isinstance(value, Mark):
                placed[node_id, name] = value
    return placed


def _rendering(shape: Shape, workflow: Workflow, picked: Mapping[InputKey, int], leaf_count: int) -> _Rendering:
    picks: list[int] = []
    constants: list[Any] = []
    for node_id, name in shape.places:
        leaf = picked.get((node_id, name))
        if leaf is None:
            leaf = leaf_count + len(constants)
            constants.append(workflow.nodes[node_id].inputs[name])
        picks.append(leaf)
    return _Rendering(shape, tuple(picks), tuple(constants))
