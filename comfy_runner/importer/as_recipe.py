"""A workflow or a picture in the place of a recipe: what `run`, `plan`, `render` and `validate` make of one.

Nothing is written beside it. Its template goes to the cache folder (`template_cache`); the recipe is never a file. Of a job's
sidecar whose template is gone, the graph is taken that was posted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_runner.errors import Note, WorkflowError
from comfy_runner.graph.workflow import parse_workflow
from comfy_runner.importer.found import Found
from comfy_runner.importer.importing import (
    AskServer,
    FoundGraph,
    ImportedGraph,
    graph_in,
    import_graph,
    is_parameters_alone,
    name_for,
    translate,
)
from comfy_runner.importer.own_picture import OtherRecipe, own_recipe
from comfy_runner.importer.read import is_importable, read_file
from comfy_runner.importer.template_cache import cache_template
from comfy_runner.importer.write import pair_name
from comfy_runner.recipe.load import LoadedRecipe, NamedBy, from_mapping
from comfy_runner.recipe.sources import RECIPES_ARE_YAML, load_source, read_json
from comfy_runner.templating.lookup import SUFFIX
from comfy_runner.text_files import is_file, shown
from comfy_runner.wording import counted, named
from comfy_runner.yaml_loader import got, parse


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What there is around a file that is to be rendered.

    Attributes:
        ask: Gives what a server says of its nodes, where one was named.
        templates: Folders that are searched for templates first.
        caches: The user's cache folder; None where there is none.
    """

    ask: AskServer
    templates: Sequence[Path] = ()
    caches: Path | None = None


def load_given(source: str | Path, around: Surroundings, *, sets: Sequence[str] = (), sweeps: Sequence[str] = ()) -> LoadedRecipe:
    """Load a recipe, or what a workflow or a picture says as one.

    Args:
        source: What the user gives: a workflow's file, a picture, film or sound with metadata, or all that `load_source` takes.
        around: What there is around it.
        sets: Overrides, each ``field=value``.
        sweeps: Axes, each ``field=values``.

    Raises:
        InputError: A recipe is wrong, a file holds nothing that can be rendered, or an override is wrong.
        ServerError: A server was named and cannot be asked.
    """
    path = Path(source)
    named_by: NamedBy = "recipe"
    if is_importable(path):
        values, notes, named_by = _of_file(read_file(path), around)
    elif path.suffix == ".json" and (posted := _whose_template_is_gone(path)) is not None:
        values, notes = _of_sidecar(posted, path, around)
    else:
        return load_source(source, sets=sets, sweeps=sweeps)
    return from_mapping(values, sets=sets, sweeps=sweeps, path=path, notes=notes, named_by=named_by)


def _whose_template_is_gone(path: Path) -> Mapping[str, Any] | None:
    """Return a job's sidecar whose template is no shipped one and not there any more; None for all else."""
    data = read_json(path, hint=RECIPES_ARE_YAML)
    recipe, graph = (data.get("recipe"), data.get("workflow")) if isinstance(data, dict) else (None, None)
    if not isinstance(recipe, dict) or not isinstance(graph, dict):
        return None
    template = recipe.get("template")
    is_gone = isinstance(template, str) and template.endswith(SUFFIX) and not is_file(Path(template))
    return data if is_gone else None


def _of_sidecar(sidecar: Mapping[str, Any], path: Path, around: Surroundings) -> tuple[Mapping[str, Any], list[Note]]:
    """Return the recipe of the graph that a sidecar says was posted, and what the user should know of it."""
    recipe, where = sidecar["recipe"], shown(path)
    graph = FoundGraph(parse_workflow(sidecar["workflow"], where=where), "the graph that was posted")
    gone = Note(f"the template of its recipe no longer exists (got {got(recipe['template'])})", where)
    values, notes = _of_graph(graph, path, pair_name(str(recipe.get("name", ""))), around)
    return values, [gone, *notes]


def _of_file(found: Found, around: Surroundings) -> tuple[Mapping[str, Any], list[Note], NamedBy]:
    """Return the recipe of what was found in a file, what the user should know of it, and what its name comes from."""
    where, notes = shown(found.path), list[Note]()
    if found.about is not None and "recipe" in found.about:
        try:
            own = own_recipe(found, templates=around.templates, caches=around.caches)
        except OtherRecipe as error:
            notes.append(Note(f"{error}; its graph is rendered instead", where))
        else:
            said = f"made by comfy_runner: its own recipe is rendered, {own.values.get('name')}, with the template {own.template}"
            return own.values, [Note(said, where, "changed"), *found.notes], "picture"
    if is_parameters_alone(found, around.ask):
        translated = translate(found)
        fields = {"name": name_for(found.path), **translated.fields}
        said = f"made by A1111 or Forge: its parameters are rendered with the template {fields.get('template')}"
        return fields, [Note(said, where, "changed"), *translated.notes], "file"
    values, more = _of_graph(graph_in(found, around.ask), found.path, name_for(found.path), around)
    return values, [*notes, *more], "file"


def _of_graph(graph: FoundGraph, path: Path, name: str, around: Surroundings) -> tuple[Mapping[str, Any], list[Note]]:
    """Return the recipe of a graph, whose template is kept, and what the user should know of it."""
    try:
        imported = import_graph(graph, path, name=name)
    except WorkflowError:
        # Which nodes of node packs save something, a server may know.
        if (info := around.ask()) is None:
            raise
        imported = import_graph(graph, path, name=name, info=info)
    values = parse(imported.pair.recipe, name=shown(path)).value
    values["template"] = str(cache_template(imported.pair.template, name=name, caches=around.caches))
    return values, [Note(_taken(imported), shown(path), "changed"), *graph.notes]


def _taken(imported: ImportedGraph) -> str:
    """Return which part of a file is rendered, and what of it can be changed."""
    recognised = imported.recognised
    fields = list(dict.fromkeys(each.field.partition(".")[0] for each in recognised.fields))
    params = [f"params.{each.param.name}" for each in recognised.params]
    nodes = counted(len(recognised.workflow.nodes), "node")
    found = f"; --set and --sweep take {named([*fields, *params])}" if fields or params else ""
    return f"{imported.graph.origin} is rendered as it is, {nodes}{found}"
