"""The UI format of any age as one typed form: nodes with their sockets, links of both kinds, and subgraphs.

Schema 0.4 writes links as lists ``[id, from, slot, to, slot, type]``; schema 1, and all subgraphs, write them as objects. All of it
comes from outside: what is not of its type is refused with its place, or left out where the page would not miss it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from comfy_runner.errors import Problem
from comfy_runner.text_files import on_one_line

MUTED = 2
"""Mode of a node that does not run, and gives nothing."""

BYPASSED = 4
"""Mode of a node that passes on what it is given."""

INPUT_SIDE = "-10"
"""Id of the node within a subgraph that stands for the subgraph's inputs."""

_MOST = 50_000
_DEEPEST = 20


class PageLink(NamedTuple):
    """A link.

    Attributes:
        origin: The id of the node that it comes from.
        origin_slot: The index of that node's output.
        target: The id of the node that it goes to.
        target_slot: The index of that node's input, as the file has it.
    """

    origin: str
    origin_slot: int
    target: str
    target_slot: int


@dataclass(frozen=True, slots=True)
class Socket:
    """An input of a node.

    Attributes:
        name: Its name.
        type: Its type; ``*`` for anything.
        link: The id of the link that ends here; None for none.
        control: The name of the control that it stands for; empty for none.
    """

    name: str
    type: str
    link: str | None
    control: str


@dataclass(frozen=True, slots=True)
class PageNode:
    """A node of the page.

    Attributes:
        id: Its id in its graph.
        class_type: Its class, or the id of a subgraph.
        mode: `MUTED`, `BYPASSED`, or another number for one that runs.
        title: The title that it has been given; empty for none.
        sockets: Its inputs as the file has them.
        outputs: The types of its outputs.
        given: The ids of the links that begin at its outputs, as the node has them.
        values: What its controls say: by position, or by name; None where the file has nothing.
        named_values: The same by name, where the file has that, too.
        properties: Whatever else the page keeps.
        subgraph: What the subgraph is called that it is an instance of; empty for none, or for one without a name.
    """

    id: str
    class_type: str
    mode: int
    title: str
    sockets: tuple[Socket, ...]
    outputs: tuple[str, ...]
    given: frozenset[str]
    values: tuple[Any, ...] | Mapping[str, Any] | None
    named_values: Mapping[str, Any] | None
    properties: Mapping[str, Any]
    subgraph: str = ""

    @property
    def is_off(self) -> bool:
        """Return whether the node itself does not run."""
        return self.mode in (MUTED, BYPASSED)

    @property
    def shown(self) -> str:
        """Return how messages call it."""
        kind = f"subgraph {self.subgraph}" if self.subgraph else self.class_type
        title = f'"{self.title}", ' if self.title and self.title not in (self.class_type, self.subgraph) else ""
        return f"node {self.id} ({title}{kind})"


class Boundary(NamedTuple):
    """An input or an output of a subgraph.

    Attributes:
        name: Its name.
        type: Its type.
        links: The ids of the links within that begin or end there.
    """

    name: str
    type: str
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PageGraph:
    """A graph of the page, or the definition of a subgraph.

    Attributes:
        id: The id of the subgraph; empty for the graph itself.
        name: What it is called; empty for the graph itself.
        nodes: Its nodes by id.
        links: Its links by id.
        inputs: The inputs of a subgraph.
        outputs: The outputs of a subgraph.
    """

    id: str
    name: str
    nodes: Mapping[str, PageNode]
    links: Mapping[str, PageLink]
    inputs: tuple[Boundary, ...] = ()
    outputs: tuple[Boundary, ...] = ()


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page.

    Attributes:
        root: The graph.
        subgraphs: The definitions of subgraphs by id.
        has_far_links: Whether a node pack (Anything Everywhere) makes links in the page that are not in the list of links.
        problems: What is malformed.
    """

    root: PageGraph
    subgraphs: Mapping[str, PageGraph]
    has_far_links: bool
    problems: tuple[Problem, ...]


def parse_page(data: Mapping[str, Any], *, where: str) -> PageFile:
    """Read a workflow in the UI format.

    Args:
        data: The parsed JSON.
        where: The place for messages.
    """
    reader = _Reader(where)
    definitions = list(reader.definitions(data))
    reader.names = {_id(each.get("id")): _text(each.get("name")) for each in definitions}
    if not isinstance(data.get("nodes"), list):
        reader.problem("is not a workflow of ComfyUI's page: it has no list of nodes")
    root = reader.graph(data, id_="", name="")
    subgraphs: dict[str, PageGraph] = {}
    for definition in definitions:
        id_ = _id(definition.get("id"))
        if id_ in subgraphs:
            reader.problem(f"two subgraphs have the id {id_}")
        elif id_:
            subgraphs[id_] = reader.graph(definition, id_=id_, name=_text(definition.get("name")))
    extra = data.get("extra")
    has_far_links = isinstance(extra, Mapping) and bool(extra.get("ue_links"))
    return PageFile(root, subgraphs, has_far_links, tuple(reader.problems))


@dataclass(slots=True)
class _Reader:
    where: str
    problems: list[Problem] = field(default_factory=list)
    left: int = _MOST
    names: Mapping[str, str] = field(default_factory=dict)

    def problem(self, what: str, hint: str = "") -> None:
        if len(self.problems) < 50:
            self.problems.append(Problem(on_one_line(what), self.where, hint))

    def definitions(self, data: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
        """Yield the definitions of subgraphs, also those within definitions, as files of some versions have them."""
        holder = data.get("definitions")
        found = holder.get("subgraphs") if isinstance(holder, Mapping) else None
        for definition in found if isinstance(found, list) and depth < _DEEPEST else ():
            if isinstance(definition, Mapping):
                yield definition
                yield from self.definitions(definition, depth + 1)

    def graph(self, data: Mapping[str, Any], *, id_: str, name: str) -> PageGraph:
        nodes: dict[str, PageNode] = {}
        given = data.get("nodes")
        for item in given if isinstance(given, list) else ():
            self.left -= 1
            if self.left < 0:
                self.problem(f"has more than {_MOST} nodes and links")
                break
            node = self.node(item)
            if node is None:
                continue
            if node.id in nodes:
                self.problem(f"{node.shown}: another node has the same id", "load the file in ComfyUI's page and save it again")
            nodes[node.id] = node
        return PageGraph(
            id_,
            name,
            nodes,
            self.links(data.get("links"), name),
            _boundaries(data.get("inputs")) if id_ else (),
            _boundaries(data.get("outputs")) if id_ else (),
        )

    def node(self, item: Any) -> PageNode | None:
        if not isinstance(item, Mapping):
            self.problem("a node is not an object")
            return None
        id_, class_type = _id(item.get("id")), item.get("type")
        if not id_ or not isinstance(class_type, str) or not class_type:
            self.problem("a node has no id or no type" + (f" (node {id_[:50]})" if id_ else ""))
            return None
        values, named, properties = item.get("widgets_values"), item.get("widgets_values_named"), item.get("properties")
        sockets, outputs = item.get("inputs"), item.get("outputs")
        return PageNode(
            id=id_,
            class_type=class_type,
            mode=_index(item.get("mode")),
            title=_text(item.get("title")),
            sockets=tuple(_socket(each) for each in sockets if isinstance(each, Mapping)) if isinstance(sockets, list) else (),
            outputs=tuple(_type(each.get("type") if isinstance(each, Mapping) else None) for each in outputs)
            if isinstance(outputs, list)
            else (),
            given=_given(outputs),
            values=tuple(values) if isinstance(values, list) else values if isinstance(values, Mapping) else None,
            named_values=named if isinstance(named, Mapping) else None,
            properties=properties if isinstance(properties, Mapping) else {},
            subgraph=self.names.get(class_type, ""),
        )

    def links(self, given: Any, name: str) -> dict[str, PageLink]:
        links: dict[str, PageLink] = {}
        items = given if isinstance(given, list) else list(given.values()) if isinstance(given, Mapping) else []
        place = f" of subgraph {name}" if name else ""
        for item in items:
            self.left -= 1
            if self.left < 0:
                self.problem(f"has more than {_MOST} nodes and links")
                break
            parts: list[Any]
            if isinstance(item, list) and len(item) >= 5:
                parts = item[:5]
            elif isinstance(item, Mapping):
                parts = [item.get(key) for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
            else:
                continue
            id_ = _id(parts[0])
            if id_:
                link = PageLink(_id(parts[1]), _index(parts[2]), _id(parts[3]), _index(parts[4]))
                if links.setdefault(id_, link) != link:
                    self.problem(f"two links{place} have the id {id_[:50]}", "load the file in ComfyUI's page and save it again")
        return links


def _socket(item: Mapping[str, Any]) -> Socket:
    control = item.get("widget")
    return Socket(
        name=_text(item.get("name")),
        type=_type(item.get("type")),
        link=_id(item.get("link")) or None,
        control=_text(control.get("name")) if isinstance(control, Mapping) else "",
    )


def _given(outputs: Any) -> frozenset[str]:
    lists = [each.get("links") for each in outputs if isinstance(each, Mapping)] if isinstance(outputs, list) else []
    return frozenset(_id(link) for links in lists if isinstance(links, list) for link in links)


def _boundaries(given: Any) -> tuple[Boundary, ...]:
    items = [each if isinstance(each, Mapping) else {} for each in given] if isinstance(given, list) else []
    return tuple(
        Boundary(
            _text(each.get("name")),
            _type(each.get("type")),
            tuple(id_ for link in each["linkIds"] if (id_ := _id(link))) if isinstance(each.get("linkIds"), list) else (),
        )
        for each in items
    )


def _id(value: Any) -> str:
    """Return an id as text, for files of several ages write the same one as number and as text; empty for none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    # Larger than any number that a page writes; Python refuses to write those of many digits.
    return value if isinstance(value, str) else str(value) if -(10**20) < value < 10**20 else ""


def _index(value: Any) -> int:
    """Return an index, which some files write as text; -1 for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e9:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9 else -1


def _type(value: Any) -> str:
    """Return a type as text: 0 and nothing stand for any, and a list for each of its members."""
    if isinstance(value, list):
        return ",".join(each for each in value if isinstance(each, str))
    if isinstance(value, str):
        return value
    return "*" if value is None or value == 0 else "?"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
