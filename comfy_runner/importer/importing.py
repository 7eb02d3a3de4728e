"""From the graph that a file holds, or the page's workflow converted to one, to a template and a recipe that are proved to give it.

Nothing is written here (`api.importing` does), and no server is asked, unless the caller's function does so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from comfy_runner.errors import Note, UsageError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Workflow, parse_workflow
from comfy_runner.importer.a1111 import A1111Recipe, recipe_of
from comfy_runner.importer.a1111_text import parse_parameters
from comfy_runner.importer.convert.convert import convert
from comfy_runner.importer.found import Found
from comfy_runner.importer.recognise import recognise
from comfy_runner.importer.recognised import Recognised
from comfy_runner.importer.write import Pair, pair_name, prove, write_pair
from comfy_runner.shipped import shipped
from comfy_runner.templating.lookup import SUFFIX
from comfy_runner.text_files import is_file, shown
from comfy_runner.yaml_loader import got

AskServer = Callable[[], ObjectInfo | None]
"""Gives what a server says of its nodes, where one was named; None where none was."""

_OF_TEXT = (".json", ".txt", "")
_NEEDS_SERVER = "give --server URL, or export it in ComfyUI: Workflow > Export (API)"


@dataclass(frozen=True, slots=True)
class FoundGraph:
    """A graph that was found in a file.

    Attributes:
        workflow: The graph.
        origin: Which part of the file it is, for people: ``ComfyUI's graph (prompt)``.
        notes: What the user should know of how it came about.
    """

    workflow: Workflow
    origin: str
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedGraph:
    """A graph as a template and a recipe.

    Attributes:
        graph: The graph.
        recognised: What of it became what.
        pair: The texts of the template and the recipe, which were proved to give the graph.
    """

    graph: FoundGraph
    recognised: Recognised
    pair: Pair


def name_for(path: Path) -> str:
    """Return a name for the recipe and the template of a file: as the file's, but not that of a shipped template."""
    name = pair_name(path.name.partition(".")[0] or path.stem)
    # The shipped one would be out of reach for all other recipes in that folder.
    names = {name, name.replace("-", "_")}
    return f"{name}-imported" if any(is_file(shipped("templates") / f"{each}{SUFFIX}") for each in names) else name


def graph_in(found: Found, ask: AskServer) -> FoundGraph:
    """Return the graph that a file holds: that which was run, else the page's workflow, converted.

    Args:
        found: What the file holds, a graph or a workflow among it.
        ask: Gives what a server says of its nodes; called only where it is needed.

    Raises:
        WorkflowError: The graph is malformed, or the workflow cannot be converted.
        UsageError: It needs a server, and there is none.
    """
    where = shown(found.path)
    if found.graph is not None:
        origin = "ComfyUI's graph" if found.path.suffix.lower() in _OF_TEXT else "ComfyUI's graph (prompt)"
        return FoundGraph(parse_workflow(found.graph, where=where), origin, found.notes)
    if found.ui is None:
        raise UsageError("contains no ComfyUI workflow", where=where)
    info = ask()
    if info is None:
        what = "is in the format of ComfyUI's page, which cannot be converted without a server that has its nodes"
        raise UsageError(what, where=where, hint=_NEEDS_SERVER)
    converted = convert(found.ui, info, where=where)
    origin = f"ComfyUI's workflow, converted with the nodes of {info.source}"
    return FoundGraph(parse_workflow(converted.graph, where=where), origin, (*found.notes, *converted.notes))


def is_parameters_alone(found: Found, ask: AskServer) -> bool:
    """Return whether A1111's parameters are what counts in a file: it holds no graph, and no workflow that can be converted.

    Args:
        found: What the file holds.
        ask: Gives what a server says of its nodes; called only where the file holds parameters beside a workflow.
    """
    return bool(found.parameters) and found.graph is None and (found.ui is None or ask() is None)


def translate(found: Found, models: Mapping[str, Sequence[str]] | None = None) -> A1111Recipe:
    """Return the recipe that the parameters of A1111 or Forge in a file come to; what is said of it names the file.

    Args:
        found: What the file holds, parameters among it.
        models: What a server has, by kind; None for no server.

    Raises:
        UsageError: They come to none.
    """
    where = shown(found.path)
    try:
        recipe = recipe_of(parse_parameters(found.parameters), size=found.size, models=models)
    except UsageError as error:
        raise UsageError.of(replace(problem, where=_in_file(where, problem.where)) for problem in error.problems) from error
    notes = tuple(replace(note, where=_in_file(where, note.where)) for note in recipe.notes)
    return replace(recipe, notes=(*found.notes, *notes))


def _in_file(file: str, place: str) -> str:
    return f"{file}: {place}" if place else file


def import_graph(
    graph: FoundGraph, path: Path, *, name: str, info: ObjectInfo | None = None, params: Mapping[InputKey, str] | None = None
) -> ImportedGraph:
    """Return a graph as a template and a recipe, which are proved to give it node for node.

    Args:
        graph: The graph.
        path: The file that it was found in; its name alone is told in the texts.
        name: Of the recipe and the template.
        info: What a server says of its nodes, for the ranges of parameters; None where there is no server.
        params: Inputs that are to be parameters, and what these are called, by node id and name of the input.

    Raises:
        WorkflowError: What is rendered is not the graph, or a parameter cannot be.
        UsageError: There is no such input.
    """
    where = shown(path)
    recognised = recognise(graph.workflow, info=info, params=params or {}, where=where)
    pair = write_pair(recognised, name=name, source=path.name)
    prove(pair, graph.workflow, where=where)
    return ImportedGraph(graph, recognised, pair)


def parse_param(given: str, workflow: Workflow) -> tuple[InputKey, str]:
    """Return what ``NODE.INPUT=NAME`` means: the node's id and its input, and the parameter's name.

    Args:
        given: What the user wrote. Ids and inputs may have dots themselves; what the graph has is what is meant.
        workflow: The graph, which need not have it (`recognise` tells).

    Raises:
        UsageError: It is written otherwise.
    """
    place, equals, name = given.partition("=")
    parts = place.split(".")
    splits = [(".".join(parts[:dots]), ".".join(parts[dots:])) for dots in range(1, len(parts))]
    if not (equals and name and splits):
        what = f"must be NODE.INPUT=NAME (got {got(given)})"
        raise UsageError(what, where="--param", hint="such as --param 10.blur_radius=radius")
    known = [(node, field) for node, field in splits if node in workflow.nodes]
    best = [(node, field) for node, field in known if field in workflow.nodes[node].inputs]
    return [*best, *known, *splits][0], name
