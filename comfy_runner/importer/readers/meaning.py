"""What texts and JSON documents say of how a picture was made: graphs, workflows of the page, A1111's parameters.

The wrappings in which a graph is met: a body of ``POST /prompt`` (``{"prompt": …, "extra_data": …}``), or what a serverless host
takes (``{"input": {"workflow": …}}``); an entry of ``/history`` (``{"ID": {"prompt": [number, ID, graph, extra data, outputs]}}``)
or of ``/api/jobs`` (``{"workflow": {"prompt": …}}``); what the page's ``graphToPrompt`` returns (``{"output": …, "workflow": …}``);
and comments of films, which hold JSON within JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from comfy_runner.errors import Note
from comfy_runner.importer.readers.embedded import COMMENTS, OTHERS, Embedded
from comfy_runner.importer.readers.json_values import NoJson, parse_json
from comfy_runner.wording import counted, named
from comfy_runner.yaml_loader import got

_WRAPPINGS: Final = ("prompt", "workflow", "output", "input", "extra_data", "extra_pnginfo", "comfy_runner")
_MOST_WRAPPINGS = 6
_GRAPH_IN_ENTRY = 2  # [number, ID, graph, extra data, outputs]
_NODES = re.compile(r"\"(?:class_type|nodes)\"\s{0,99}:")
_PARAMETERS = re.compile(r"(?:^|\n)[ \t]{0,40}Steps: ?\d{1,5}, ?[A-Z]\w")


@dataclass(slots=True)
class Meaning:
    """What was understood so far.

    Attributes:
        where: What messages call the file.
        graph: As in `Found`.
        ui: As in `Found`.
        parameters: As in `Found`.
        about: As in `Found`.
        notes: As in `Found`.
        problems: Why something that should have been one of them is not, as messages say it.
        program: The other program that has made the file; empty where none is known.
    """

    where: str
    graph: dict[str, Any] | None = None
    ui: dict[str, Any] | None = None
    parameters: str = ""
    about: dict[str, Any] | None = None
    notes: list[Note] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    program: str = ""

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was found."""
        return self.graph is None and self.ui is None and self.about is None and not self.parameters

    def read_texts(self, embedded: Embedded) -> None:
        """Understand the texts of a file."""
        texts = embedded.texts
        for name in ("prompt", "workflow", "comfy_runner"):
            if name in texts:
                self._read_named(name, texts[name])
        self._note_program(texts)
        if text := texts.get("parameters"):
            told = _json_or_none(text)
            if isinstance(told, dict):
                self._note_program(told)
                if not self.take(told) and not self.program:
                    self.problems.append(f"its text parameters contains JSON of another program (got {got(text)})")
            else:
                self.parameters = text
        for name in COMMENTS:
            text = texts.get(name, "")
            if (told := _json_or_none(text)) is not None:
                self.take(told)
                self._note_program(told if isinstance(told, dict) else {})
            elif is_parameters(text):
                self.parameters = self.parameters or text
            elif _NODES.search(text):
                self._read_named(name, text)
        if self.problems and not self.is_empty:
            self.notes += [Note(problem, self.where) for problem in self.problems]

    def _read_named(self, name: str, text: str) -> None:
        try:
            value = parse_json(text)
        except NoJson as error:
            self.problems.append(f"its text {name} is not JSON ({error}; got {got(text)})")
            return
        if name == "comfy_runner" and isinstance(value, dict):
            self.about = self.about or value
        elif not self.take(value):
            self.problems.append(f"its text {name} is JSON, but not a workflow (got {got(text)})")

    def take(self, value: Any, depth: int = 0) -> bool:
        """Take what is a graph or a workflow in a JSON document, and return whether there was any.

        Args:
            value: The document, or what is in it.
            depth: How many wrappings it is in.
        """
        if depth > _MOST_WRAPPINGS:
            return False
        if isinstance(value, str):
            inner = _json_or_none(value)
            return inner is not None and self.take(inner, depth + 1)
        if isinstance(value, list):
            found = [self.take(item, depth + 1) for item in value[_GRAPH_IN_ENTRY : _GRAPH_IN_ENTRY + 2]]
            return any(found)
        if not isinstance(value, dict):
            return False
        # As the page decides: some files of its own have nodes of the API format beside it.
        if is_ui(value):
            self.ui = self.ui or value
            return True
        if is_graph(value):
            if self.graph is None:
                self.graph = self._nodes_of(value)
            return True
        if isinstance(about := value.get("comfy_runner"), dict):
            self.about = self.about or about
        found = [self.take(value[name], depth + 1) for name in _WRAPPINGS if isinstance(value.get(name), dict | list | str)]
        if not any(found):
            found += self._take_history(value, depth)
        return any(found)

    def _take_history(self, value: Mapping[str, Any], depth: int) -> list[bool]:
        entries = [entry for entry in value.values() if isinstance(entry, dict) and isinstance(entry.get("prompt"), list)]
        if len(entries) > 1:
            self.problems.append(f"it is a history of {counted(len(entries), 'graph')}; one is read at a time")
            return []
        return [self.take(entry["prompt"], depth + 1) for entry in entries]

    def _nodes_of(self, graph: dict[str, Any]) -> dict[str, Any]:
        """Return a graph without what is not of its nodes."""
        others = [name for name, node in graph.items() if not (isinstance(node, dict) and {"class_type", "inputs"} & node.keys())]
        if others:
            entries = named([got(name) for name in others])
            self.notes.append(Note(f"left out of the graph, because they are not nodes: {entries}", self.where, level="changed"))
        return {name: _without_is_changed(node) for name, node in graph.items() if name not in others}

    def _note_program(self, texts: Mapping[str, Any]) -> None:
        self.program = self.program or next(_programs(texts), "")


def is_graph(value: Any) -> bool:
    """Return whether a JSON value is a graph in the API format: any of its values is a node."""
    return isinstance(value, dict) and any(
        isinstance(node, dict) and isinstance(node.get("class_type"), str) for node in value.values()
    )


def is_ui(value: Any) -> bool:
    """Return whether a JSON value is a workflow of ComfyUI's page, of any age."""
    if not isinstance(value, dict) or not isinstance(value.get("nodes"), list):
        return False
    return bool({"links", "last_node_id", "last_link_id", "definitions", "state"} & value.keys()) and "edges" not in value


def is_parameters(text: str) -> bool:
    """Return whether a text looks like what A1111 and Forge write: it has a line that begins with ``Steps: 20, Sampler: …``."""
    return _PARAMETERS.search(text) is not None


def _without_is_changed(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != "is_changed"}


def _json_or_none(text: str) -> Any:
    """Return the object or list that a text is as JSON; None for any other text."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return parse_json(text)
    except NoJson:
        return None


def _programs(texts: Mapping[str, Any]) -> Iterator[str]:
    software = texts.get("software")
    if isinstance(software, str) and "novelai" in software.lower():
        yield "NovelAI"
    yield from (OTHERS[name] for name in texts if OTHERS.get(name))
