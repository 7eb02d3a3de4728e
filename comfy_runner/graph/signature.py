"""What a node's result, and a whole job, *is*: hashes over class, literals and ancestry.

The rule is that of ComfyUI's own cache (``comfy_execution/caching.py``, ``CacheKeySetInputSignature``): node ids and titles do
not count, links count as what they lead to. ComfyUI tells two equal nodes from one that is used twice; here they are the same.
Where many graphs differ in their literals alone, a `Signer` hashes again only what lies downstream of a literal that changed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from comfy_runner.graph.equivalence import RULES, Rule
from comfy_runner.graph.sizes import Size
from comfy_runner.graph.workflow import Workflow, as_link

InputKey = tuple[str, str]
"""A node's id and the name of an input."""

Sizes = Callable[[], Mapping[str, Size | None]]
"""Gives the size of each node's result; asked only where it matters."""

_PREFIX = "filename_prefix"
_encode_any = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode


def signatures(workflow: Workflow) -> dict[str, str]:
    """Return a hex SHA-256 per node id, equal for two nodes exactly where they compute the same thing."""
    places, literals = literals_of(workflow)
    signer = Signer(workflow, places, of=workflow.nodes)
    cells = signer.sign(literals, dict).cells
    return {node_id: cells[cell] for node_id, cell in signer.cell_of.items()}


def literals_of(workflow: Workflow) -> tuple[tuple[InputKey, ...], tuple[Any, ...]]:
    """Return where the literals of a graph are, node by node, and what they are."""
    found = [
        ((node_id, name), value)
        for node_id, node in workflow.nodes.items()
        for name, value in node.inputs.items()
        if as_link(value) is None
    ]
    return tuple(place for place, _ in found), tuple(value for _, value in found)


class _Text:
    """A text with the contents of some cells in it, of which a hash is taken.

    Args:
        parts: Its parts, of which the numbers are cells.
    """

    __slots__ = ("_begin", "_rest", "cells", "parts", "pick")

    def __init__(self, parts: Sequence[str | int]) -> None:
        self.parts = parts
        self.cells = tuple(part for part in parts if isinstance(part, int))
        self.pick: Callable[[list[str]], Any] = itemgetter(*self.cells) if self.cells else lambda _cells: ()
        begin = "".join(itertools.takewhile(lambda part: isinstance(part, str), parts))  # type: ignore[arg-type] # texts alone
        self._begin = hashlib.sha256(begin.encode("ascii"))
        text = "".join("%s" if isinstance(part, int) else part.replace("%", "%%") for part in parts)
        self._rest = text[len(begin.replace("%", "%%")) :]

    def digest(self, cells: list[str]) -> str:
        return self.digest_with(self.pick(cells))

    def digest_with(self, picked: Any) -> str:
        digest = self._begin.copy()  # that far, it is the same text each time
        digest.update((self._rest % picked).encode("ascii"))
        return digest.hexdigest()

    def bound(self, cells: Mapping[int, int], known: Sequence[str]) -> _Text:
        """Return the text with what is known in it; only these cells are left, by the numbers that they are given."""
        return _Text([cells.get(part, known[part]) if isinstance(part, int) else part for part in self.parts])


@dataclass(frozen=True, slots=True)
class _Alike:
    """An input that is read otherwise where only the pixels matter."""

    cell: int
    rule: Rule
    reads: tuple[int, ...]
    node: str
    measured: str

    def stands_for(self, literals: Sequence[Any], sizes: Sizes) -> Any:
        read = {name: literals[cell] for name, cell in zip(self.rule.reads, self.reads, strict=True)}
        known = sizes() if self.rule.measured else {}
        return self.rule.stands_for(read, known.get(self.measured), known.get(self.node))


@dataclass(frozen=True, slots=True)
class _Line:
    """How a node is hashed: as it is, and as what it shows."""

    cell: int
    content: _Text
    pixels: _Text
    alike: _Alike | None


@dataclass(frozen=True, slots=True)
class Signed:
    """The hashes of one graph.

    Attributes:
        signer: Where they come from.
        literals: What the graph has in the signer's places.
        sizes: Gives the sizes in it.
        cells: The literals as JSON, then the hashes of the nodes.
    """

    signer: Signer
    literals: Sequence[Any]
    sizes: Sizes
    cells: list[str]

    @property
    def content(self) -> str:
        """Return the identity of a job: its output roles and what is saved under each.

        File prefixes are left out, so that the same job in another folder is the same job.
        """
        return self.signer.total.digest(self.cells)

    @property
    def pixels(self) -> str:
        """Return the identity of what a job shows: one for all graphs that are known to give the very same pixels."""
        return self.signer.total.digest(self.signer.shown(self))


class Signer:
    """The hashes of graphs that differ in their literals alone.

    Args:
        workflow: One of these graphs.
        places: Where the literals are: all of them.
        of: The nodes to hash, with everything that they depend on, file prefixes included; without it, what the outputs need.

    Attributes:
        cell_of: The cell of each node's hash, by node id.
        total: What the content hash is a hash of.
        lines: How each node is hashed, in the order of the links.
    """

    def __init__(self, workflow: Workflow, places: Sequence[InputKey], *, of: Collection[str] | None = None) -> None:
        outputs = workflow.outputs
        needed = workflow.ancestors(outputs.values() if of is None else of)
        order = [node_id for node_id in workflow.in_order if node_id in needed]
        self._places = {place: cell for cell, place in enumerate(places)}
        self._blank = set(outputs.values()) if of is None else set()
        self.cell_of = {node_id: cell for cell, node_id in enumerate(order, len(places))}
        self._more = len(places) + len(order)
        self.lines = [self._line(workflow, node_id) for node_id in order]
        self._unlike = _downstream(self.lines)
        roles = [(role, self.cell_of[node_id]) for role, node_id in sorted(outputs.items()) if node_id in self.cell_of]
        parts: list[str | int] = []
        for role, cell in roles:
            parts += ["," if parts else "{", f'{_encode(role)}:"', cell, '"']
        self.total = _Text([*(parts or ["{"]), "}"])
        self._last: Signed | None = None

    def sign(self, literals: Sequence[Any], sizes: Sizes) -> Signed:
        """Return the hashes of the graph with these literals, in the order of the places, and of these sizes.

        Only what lies downstream of a literal that differs from the last graph's is hashed again: neighbours differ in little.
        """
        last = self._last  # read once, and never changed: another thread may sign meanwhile
        if last is None:
            cells = [_encode(value) for value in literals] + [""] * len(self.cell_of)
            changed = set(range(len(literals)))
        else:
            cells = last.cells.copy()
            pairs = enumerate(zip(literals, last.literals, strict=True))
            changed = {cell for cell, (new, old) in pairs if new is not old and not _same(new, old)}
            for cell in changed:
                cells[cell] = _encode(literals[cell])
        for line in self.lines if changed or last is None else ():
            if last is None or not changed.isdisjoint(line.content.cells):
                cells[line.cell] = line.content.digest(cells)
                changed.add(line.cell)
        self._last = Signed(self, literals, sizes, cells)
        return self._last

    def shown(self, signed: Signed) -> list[str]:
        """Return the cells of a graph that was signed with what each node shows in place of what it is."""
        content = signed.cells
        cells = content + [""] * (self._more - len(content))
        for line in self._unlike:
            if line.alike is not None:
                cells[line.alike.cell] = _encode(line.alike.stands_for(signed.literals, signed.sizes))
            picked = line.pixels.pick(cells)
            if picked != line.content.pick(content):
                cells[line.cell] = line.pixels.digest_with(picked)
        return cells

    def _line(self, workflow: Workflow, node_id: str) -> _Line:
        node = workflow.nodes[node_id]
        alike = self._alike(workflow, node_id)
        content: list[str | int] = [f'{{"class_type":{_encode(node.class_type)},"inputs":{{']
        pixels = content.copy()
        for index, name in enumerate(sorted(node.inputs)):
            link = as_link(node.inputs[name])
            begin = f"{',' if index else ''}{_encode(name)}:"
            if name == _PREFIX and node_id in self._blank:
                piece: list[str | int] = [f'{begin}{{"value":""}}']
            elif link is not None:
                piece = [f'{begin}{{"link":["', self.cell_of[link.node], f'",{_encode(link.slot)}]}}']
            else:
                piece = [f'{begin}{{"value":', self._places[node_id, name], "}"]
            content += piece
            pixels += [piece[0], alike.cell, piece[2]] if alike is not None and alike.rule.input == name else piece
        return _Line(self.cell_of[node_id], _Text([*content, "}}"]), _Text([*pixels, "}}"]), alike)

    def _alike(self, workflow: Workflow, node_id: str) -> _Alike | None:
        node = workflow.nodes[node_id]
        rule = RULES.get(node.class_type)
        if rule is None or not all((node_id, name) in self._places for name in rule.reads):
            return None
        measured = as_link(node.inputs.get(rule.measured))
        self._more += 1
        reads = tuple(self._places[node_id, name] for name in rule.reads)
        return _Alike(self._more - 1, rule, reads, node_id, measured.node if measured else "")


class Series:
    """The hashes of graphs that differ from a first one in the same few literals: nothing else is hashed again.

    Args:
        first: The hashes of the first graph, whose sizes are those of all.
        varying: The cells of the literals that differ; none of them may be one that sizes or pixel hashes are worked out from.

    Attributes:
        hashes: Which of the cells that `sign` returns is the hash of a node that differs, by its cell in the first graph.
        content: Which one is the content hash.
        pixels: Which one is the pixel hash.
    """

    def __init__(self, first: Signed, varying: Sequence[int]) -> None:
        signer, content = first.signer, first.cells
        shown = signer.shown(first)
        self._varying = varying
        self._lines: list[_Text] = []
        cells = {cell: number for number, cell in enumerate(varying)}
        for line in signer.lines:
            if not cells.keys().isdisjoint(line.content.cells):
                cells[line.cell] = self._add(line.content.bound(cells, content))
        self.hashes = {cell: place for cell, place in cells.items() if cell not in varying}
        self.content = self._add(signer.total.bound(cells, content))
        # What shows in the first graph what it is does so in all of them.
        for line in signer.lines:
            if line.cell in cells and shown[line.cell] != content[line.cell]:
                cells[line.cell] = self._add(line.pixels.bound(cells, shown))
        self.pixels = self._add(signer.total.bound(cells, shown))

    def _add(self, text: _Text) -> int:
        self._lines.append(text)
        return len(self._varying) + len(self._lines) - 1

    def sign(self, values: Sequence[Any]) -> list[str]:
        """Return the cells of the graph with these literals in the varying places: the literals, then what was hashed.

        Which of them is what is said by `hashes`, `content` and `pixels`.
        """
        cells = [_encode(value) for value in values]
        for text in self._lines:
            cells.append(text.digest(cells))
        return cells


def _downstream(lines: Sequence[_Line]) -> list[_Line]:
    """Return the lines of nodes with an input that is read otherwise, and of those that depend on one."""
    found, cells = [], set[int]()
    for line in lines:
        if line.alike is not None or not cells.isdisjoint(line.content.cells):
            found.append(line)
            cells.add(line.cell)
    return found


def _encode(value: Any) -> str:
    """Return a literal as canonical JSON."""
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return repr(value)  # what the encoder writes, sooner
    return _encode_any(value)


def _same(new: Any, old: Any) -> bool:
    """Return whether two literals are written alike; a doubtful case counts as not."""
    # 0.0 and -0.0 are equal, as are 1, 1.0 and true, within lists too.
    return type(new) is type(old) and new == old and (type(new) is not float or new != 0) and type(new) not in (list, dict)
