"""Graphs as light as can be: a shape, shared by all graphs that differ in their literals alone, and those literals.

A sweep has very many jobs and very few shapes. Does not make graphs of a job's values (`templating.compiled`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

from comfy_runner.graph.equivalence import RULES
from comfy_runner.graph.signature import InputKey, Series, Signed, Signer, literals_of
from comfy_runner.graph.sizes import COUNTS, MEASURES, Size, node_counts, node_sizes, output_counts
from comfy_runner.graph.workflow import Workflow

_MOST_SIZES = 1000
# What tells more of a graph than that its hashes are others: sizes, costs, and what is alike.
_TELLING = MEASURES.union(COUNTS, {"steps"}, *(rule.reads for rule in RULES.values()))


class Extents(NamedTuple):
    """How much the results of a graph are.

    Attributes:
        sizes: The size of each node's result, in pixels; None where it is not known.
        counts: How many pictures it has, likewise.
        files: How many files each output role has, where that is known.
    """

    sizes: Mapping[str, Size | None]
    counts: Mapping[str, int | None]
    files: Mapping[str, int]


class Shape:
    """A graph with nothing in the places of its literals.

    Args:
        workflow: One graph of this shape.
        sources: Dotted recipe field by (node id, input name), for the inputs that take a recipe value as it is.

    Attributes:
        places: Where the literals are, node by node.
        sources: As given.
    """

    def __init__(self, workflow: Workflow, sources: Mapping[InputKey, str]) -> None:
        self.sources = sources
        self.places, self._sample = literals_of(workflow)
        self._workflow = workflow
        measures = [index for index, (_, name) in enumerate(self.places) if name in MEASURES or name in COUNTS]
        # Of at least two, so that it gives a tuple.
        self._measured: Callable[[Sequence[Any]], Any] = itemgetter(*measures, measures[0]) if measures else lambda _literals: ()
        self._extents: dict[tuple[Any, ...], Extents] = {}

    @cached_property
    def _signer(self) -> Signer:
        return Signer(self._workflow, self.places)

    @property
    def outputs(self) -> dict[str, str]:
        """Return the node id of each output role of which files are collected."""
        return self._workflow.collected

    @property
    def bare(self) -> Workflow:
        """Return a graph of this shape, to be asked for classes and links alone."""
        return self._workflow

    @property
    def cells(self) -> Mapping[str, int]:
        """Return which of the cells of a `Signed` is a node's hash, for the nodes that outputs need, in the order of the links."""
        return self._signer.cell_of

    def workflow(self, literals: Sequence[Any]) -> Workflow:
        """Return the graph with these literals; nodes with the same literals are shared between graphs."""
        changed: dict[str, dict[str, Any]] = {}
        for (node_id, name), value, known in zip(self.places, literals, self._sample, strict=True):
            if value is not known:
                changed.setdefault(node_id, {})[name] = value
        nodes = dict(self._workflow.nodes)
        for node_id, inputs in changed.items():
            nodes[node_id] = replace(nodes[node_id], inputs={**nodes[node_id].inputs, **inputs})
        return Workflow(nodes)

    def signed(self, literals: Sequence[Any]) -> Signed:
        """Return the hashes of the graph with these literals."""
        return self._signer.sign(literals, lambda: self.sizes(literals))

    def series(self, literals: Sequence[Any], varying: Sequence[int]) -> Series | None:
        """Return what hashes graphs that differ from one in some literals alone; None where sizes or costs may differ with these.

        Args:
            literals: What the one graph has in the places.
            varying: The indices of the places in which the others may have something else.
        """
        if any(self.places[index][1] in _TELLING for index in varying):
            return None
        return Series(self.signed(literals), varying)

    def sizes(self, literals: Sequence[Any]) -> Mapping[str, Size | None]:
        """Return the size of each node's result in the graph with these literals."""
        return self.extents(literals).sizes

    def extents(self, literals: Sequence[Any]) -> Extents:
        """Return how much the results of the graph with these literals are."""
        given = self._measured(literals)
        key = (given, tuple(map(type, given)))
        try:
            known = self._extents.get(key)
        except TypeError:  # a list or an object, which is no size
            return _extents(self.workflow(literals))
        if known is None:
            if len(self._extents) >= _MOST_SIZES:
                self._extents.clear()
            known = self._extents[key] = _extents(self.workflow(literals))
        return known


def _extents(workflow: Workflow) -> Extents:
    return Extents(node_sizes(workflow), node_counts(workflow), output_counts(workflow))


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """A graph: a shape, shared with others, and its own literals.

    Attributes:
        shape: The shape.
        literals: What stands in the shape's places.
    """

    shape: Shape
    literals: tuple[Any, ...]

    @property
    def workflow(self) -> Workflow:
        """Return the graph; made anew each time."""
        return self.shape.workflow(self.literals)

    @property
    def sources(self) -> Mapping[InputKey, str]:
        """Return the dotted recipe field by (node id, input name), for the inputs that take a recipe value as it is."""
        return self.shape.sources

    @property
    def signed(self) -> Signed:
        """Return its hashes."""
        return self.shape.signed(self.literals)

    @property
    def sizes(self) -> dict[str, Size]:
        """Return the size in pixels of each output role whose size is known."""
        known = self.shape.sizes(self.literals)
        return {role: size for role, node_id in self.shape.outputs.items() if (size := known[node_id]) is not None}

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many files each output role has, where that is known."""
        return self.shape.extents(self.literals).files
