"""All that a file can be imported as: a recipe and a template of its graph, the recipe that made it, or what A1111's text comes to.

Nothing is written here; `api.importing` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from comfy_runner.errors import Note, Problem, UsageError
from comfy_runner.graph.conformance import check
from comfy_runner.graph.model_lists import listings
from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Workflow
from comfy_runner.importer.found import Found
from comfy_runner.importer.importing import AskServer, graph_in, import_graph, is_parameters_alone, name_for, parse_param, translate
from comfy_runner.importer.own_picture import OtherRecipe, own_recipe
from comfy_runner.importer.recipe_text import recipe_text
from comfy_runner.importer.recognised import Recognised
from comfy_runner.importer.write import pair_name
from comfy_runner.planning.drafting import draft_one
from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.text_files import shown
from comfy_runner.yaml_loader import got

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


@dataclass(frozen=True, slots=True)
class Imported:
    """What was made of a file, not yet written.

    Attributes:
        name: What the recipe and the template are called.
        path: The file.
        source: The same, as messages show it.
        origin: Which part of the file it was made of, such as ``ComfyUI's graph (prompt)``.
        recipe: The text of the recipe.
        template: The text of the template; empty where the recipe's is a shipped one.
        shipped: The name of the shipped template; empty where the template is one of its own.
        workflow: The graph that both render to.
        recognised: What of a graph became what; None where the file says a recipe itself.
        fields: What such a recipe says, as in a file; empty for a graph.
        notes: What the user should know.
        server: The server that it was held against, or the saved answer of one; empty for none.
        lacking: What that server lacks, or would refuse.
    """

    name: str
    path: Path
    source: str
    origin: str
    recipe: str
    template: str
    shipped: str
    workflow: Workflow
    recognised: Recognised | None
    notes: tuple[Note, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)
    server: str = ""
    lacking: tuple[Problem, ...] = ()

    @property
    def fields_by_place(self) -> dict[InputKey, str]:
        """Return the recipe's field that each literal of the graph became, dotted, parameters included."""
        if self.recognised is None:
            return {}
        fields = {place: each.field for each in self.recognised.fields for place in each.places}
        params = {place: f"params.{each.param.name}" for each in self.recognised.params for place in each.places}
        return fields | params


def import_found(
    found: Found, ask: AskServer, *, params: Sequence[str] = (), name: str = "", templates: Sequence[Path] = ()
) -> Imported:
    """Return what a file is imported as.

    Args:
        found: What it holds.
        ask: Gives what a server says of its nodes, where one was named.
        params: Inputs that are to be parameters, each ``NODE.INPUT=NAME``.
        name: What the recipe and the template are called; empty for as the file.
        templates: Folders in which the template of a picture of ours is looked for first.

    Raises:
        InputError: It holds nothing of use, a workflow cannot be converted or proved, or an argument is wrong.
        ServerError: The server cannot be asked.
    """
    if name and not _NAME.fullmatch(name):
        raise UsageError(f"must be letters, digits, - and _ (got {got(name)})", where="--name", hint="such as --name my-workflow")
    made = _own(found, name, templates) if not params else None
    made = made or _translated(found, name, params, ask) or _recognised(found, name, params, ask)
    info = ask()
    if info is None:
        return made
    known = made.fields_by_place
    lacking = check(made.workflow, info, where=made.source, locate=lambda node, name: known.get((node, name), "")).problems
    return replace(made, server=info.source, lacking=lacking)


def _own(found: Found, name: str, templates: Sequence[Path]) -> Imported | None:
    """Return the recipe of a picture of ours with a shipped template; None for all else."""
    if found.about is None:
        return None
    try:
        own = own_recipe(found, templates=templates, caches=None)
    except OtherRecipe:
        return None
    if not own.is_shipped:
        return None
    fields = {key: value for key, value in own.values.items() if value not in ({}, [], "")}
    called = str(own.values.get("name"))
    fields |= {"name": name or (called if _NAME.fullmatch(called) else pair_name(called))} | _with_paths(found, fields)
    return _of_recipe(found, fields, {}, "the recipe with which comfy_runner made it", found.notes)


def _with_paths(found: Found, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with the paths of the files among them: the recipe may go to another folder than the picture's."""
    inputs = (found.about or {}).get("inputs")
    files = {each.get("param") for each in inputs if isinstance(each, dict)} if isinstance(inputs, list) else set()
    params, folder = fields.get("params"), found.path.absolute().parent
    if not files or not isinstance(params, dict):
        return {}
    return {"params": {name: str(folder / str(value)) if name in files else value for name, value in params.items()}}


def _translated(found: Found, name: str, params: Sequence[str], ask: AskServer) -> Imported | None:
    """Return the recipe that A1111's parameters come to; None for a file that has a workflow."""
    if not is_parameters_alone(found, ask):
        return None
    if params:
        what = "A1111's text becomes a recipe for a shipped template, which has its own parameters"
        raise UsageError(what, where="--param", hint="leave it out")
    info = ask()
    models = None if info is None else {listing.kind: listing.names for listing in listings(info)}
    translated = translate(found, models)
    fields = {"name": name or name_for(found.path), **translated.fields}
    return _of_recipe(found, fields, translated.comments, "the parameters of A1111 or Forge", translated.notes)


def _of_recipe(
    found: Found, fields: Mapping[str, Any], comments: Mapping[str, str], origin: str, notes: tuple[Note, ...]
) -> Imported:
    """Return a recipe for a shipped template, which was found in a file."""
    source, name = shown(found.path), str(fields["name"])
    # Some texts name no model, and nobody can guess it.
    missing = {} if "checkpoint" in fields else {"checkpoint": "FILE"}
    head = f"Imported from {found.path.name}: {origin}.\nTo run it: comfy-runner run {name}.yaml"
    tail = (
        "It does not say which model it was made with. Give the file's name as the server lists it:\ncheckpoint: FILE"
        if missing
        else ""
    )
    text = recipe_text(fields, comments=comments, head=head, tail=tail)
    loaded = from_mapping({**missing, **fields}, path=found.path)
    workflow = draft_one(expand(loaded)[0]).filled.workflow
    said = [Note("it does not say which model it was made with: give checkpoint", source)] if missing else []
    all_notes = (*notes, *said, *loaded.notes)
    return Imported(name, found.path, source, origin, text, "", loaded.recipe.template, workflow, None, all_notes, fields)


def _recognised(found: Found, name: str, params: Sequence[str], ask: AskServer) -> Imported:
    """Return a recipe and a template of the graph that a file holds."""
    source = shown(found.path)
    graph = graph_in(found, ask)
    chosen = dict(parse_param(given, graph.workflow) for given in params)
    made = import_graph(graph, found.path, name=name or name_for(found.path), info=ask(), params=chosen)
    name, template, recipe = made.pair.name, made.pair.template, made.pair.recipe
    return Imported(name, found.path, source, graph.origin, recipe, template, "", graph.workflow, made.recognised, graph.notes)
