"""What there is to run in many graphs, in small numbers: which results they share, and what each costs.

Two nodes have one number where ComfyUI's cache has one result for them (`signature`). Does not say in which order jobs are best
run (`planning.order`).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from comfy_runner.graph.filled import Filled, Shape
from comfy_runner.graph.schedules import SAMPLERS
from comfy_runner.graph.signature import Series, Signed
from comfy_runner.graph.sizes import Size, stepper, work
from comfy_runner.graph.workflow import Workflow

StepKind = Literal["load", "first", "second", "decode", "other"]

_UNKNOWN = Size(1024, 576)  # to be put in order, a sampler has to cost something
_LARGE_LOAD, _SMALL_LOAD = 40.0, 4.0
_LARGE_MODELS = ("checkpoint", "unet", "diffusion")
# Of a hash, in hex: two of a million results are taken for one another once in 10^6 plans, which is no worse than unordered.
_DIGITS = 15


class StepTable:
    """The catalogue of what the jobs of one plan have to run.

    A step is what one node computes. Numbers count from 0 in the order in which steps are first seen.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._column_of: array[int] = array("I")
        self._cost_of: array[float] = array("d")
        self._columns: dict[tuple[str, int, StepKind], int] = {}
        self._kinds: list[StepKind] = []
        self._rows_of: dict[Shape, list[_Row]] = {}

    def of(self, filled: Filled, signed: Signed | None = None) -> tuple[int, ...]:
        """Return the number of each step of a job, ordered by column.

        Nodes that only save are left out, and those that no output needs; equal nodes of one graph count once.

        Args:
            filled: The job's graph.
            signed: Its hashes, where they are known.
        """
        cells = (signed or filled.signed).cells
        found = []
        for row in self._rows(filled.shape):
            key = _key(cells[row.cell])
            number = self._numbers.get(key)
            found.append(self._add(key, row.column, _cost(row, filled)) if number is None else number)
        return _each_once(found)

    def of_series(self, first: Filled, series: Series) -> Callable[[Sequence[str]], tuple[int, ...]]:
        """Return what does the same for the graphs of a series, of which it takes what `Series.sign` returns.

        Args:
            first: The first graph of the series.
            series: The hashes of the others.
        """
        rows, cells = self._rows(first.shape), first.signed.cells
        start = [self._numbers.get(_key(cells[row.cell]), 0) for row in rows]
        differing = [
            (index, series.hashes[row.cell], row.column, _cost(row, first))
            for index, row in enumerate(rows)
            if row.cell in series.hashes
        ]

        def of(cells: Sequence[str]) -> tuple[int, ...]:
            found = start.copy()
            for index, cell, column, cost in differing:
                key = _key(cells[cell])
                number = self._numbers.get(key)
                found[index] = self._add(key, column, cost) if number is None else number
            return _each_once(found)

        return of

    def __len__(self) -> int:
        """Return how many steps there are."""
        return len(self._column_of)

    def column(self, step: int) -> int:
        """Return a step's column: the same for the n-th node of one class in every graph, whatever its template."""
        return self._column_of[step]

    def cost(self, step: int) -> float:
        """Return what a step costs, in steps of a sampler at 1024x576."""
        return self._cost_of[step]

    def kind(self, step: int) -> StepKind:
        """Return what a step is: a sampler with a sampler before it is a second pass."""
        return self._kinds[self._column_of[step]]

    def _add(self, key: int, column: int, cost: float) -> int:
        number = self._numbers[key] = len(self._column_of)
        self._column_of.append(column)
        self._cost_of.append(cost)
        return number

    def _rows(self, shape: Shape) -> list[_Row]:
        if shape in self._rows_of:
            return self._rows_of[shape]
        graph = shape.bare
        linked = {parent for parents in graph.parents.values() for parent in parents}
        position = {place: index for index, place in enumerate(shape.places)}
        kinds = node_kinds(graph)
        seen: Counter[str] = Counter()
        rows = []
        for node_id, cell in shape.cells.items():
            node = graph.nodes[node_id]
            if node.is_output and node_id not in linked:
                continue
            column = self._column(node.class_type, seen[node.class_type], kinds[node_id])
            seen[node.class_type] += 1
            rows.append(
                _Row(cell, column, node_id, node.class_type, kinds[node_id], position.get((stepper(graph, node_id), "steps")))
            )
        found = self._rows_of[shape] = sorted(rows, key=lambda row: row.column)
        return found

    def _column(self, class_type: str, ordinal: int, kind: StepKind) -> int:
        column = self._columns.setdefault((class_type, ordinal, kind), len(self._columns))
        if column == len(self._kinds):
            self._kinds.append(kind)
        return column


class _Row(NamedTuple):
    """A node of a shape."""

    cell: int
    column: int
    node_id: str
    class_type: str
    kind: StepKind
    steps: int | None  # where the literal is that says how many steps it makes


def _key(digest: str) -> int:
    return int(digest[:_DIGITS], 16)


def _each_once(steps: list[int]) -> tuple[int, ...]:
    return tuple(steps) if len(set(steps)) == len(steps) else tuple(dict.fromkeys(steps))


def node_kinds(graph: Workflow) -> dict[str, StepKind]:
    """Return what each node of a graph is: a sampler with a sampler before it is a second pass."""
    after_sampler: dict[str, bool] = {}
    found: dict[str, StepKind] = {}
    for node_id in graph.in_order:
        node = graph.nodes[node_id]
        after = any(after_sampler[parent] for parent in graph.parents[node_id])
        samples = node.class_type in SAMPLERS
        after_sampler[node_id] = after or samples
        if samples:
            found[node_id] = "second" if after else "first"
        elif node.class_type.startswith("VAEDecode"):
            found[node_id] = "decode"
        else:
            found[node_id] = "load" if _loads_a_model(node.class_type) else "other"
    return found


def _loads_a_model(class_type: str) -> bool:
    """Return whether a node loads what is worth keeping in memory: no LoRA, no VAE, no upscaler."""
    return "Loader" in class_type and any(word in class_type.lower() for word in _LARGE_MODELS)


def _cost(row: _Row, filled: Filled) -> float:
    if row.kind == "load":
        return _LARGE_LOAD
    if "Loader" in row.class_type:
        return _SMALL_LOAD
    steps = filled.literals[row.steps] if row.steps is not None else None
    sizes, counts, _ = filled.shape.extents(filled.literals)
    return work(row.class_type, steps, sizes[row.node_id] or _UNKNOWN) * (counts[row.node_id] or 1)
