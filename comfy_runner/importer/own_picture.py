"""Pictures of our own: the very recipe that made one, where its template is still there and the recipe still makes the same job.

A picture may come from anybody. What it says is a recipe as any other; that it extends another file, or sweeps, is not heeded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_runner.errors import InputError
from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Workflow, as_link, parse_workflow
from comfy_runner.importer.found import Found
from comfy_runner.importer.template_cache import cached_template
from comfy_runner.planning.drafting import draft_one
from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.shipped import shipped
from comfy_runner.store.sidecar import HASH
from comfy_runner.templating.lookup import find_template
from comfy_runner.text_files import shown
from comfy_runner.yaml_loader import got

_LEFT_OUT = ("extends", "sweep", "retry", "expect")


@dataclass(frozen=True, slots=True)
class OwnRecipe:
    """The recipe that made a picture.

    Attributes:
        values: Its fields, as a recipe file has them; the template is a name where it is a shipped one, else the path of its file.
        template: The template's name.
        is_shipped: Whether the template is a shipped one.
    """

    values: Mapping[str, Any]
    template: str
    is_shipped: bool


class OtherRecipe(Exception):
    """Why what a picture says is not what made it, or cannot be done here: a sentence that says what is the matter."""


def own_recipe(found: Found, *, templates: Sequence[Path], caches: Path | None) -> OwnRecipe:
    """Return the recipe that made a picture of ours.

    Args:
        found: What the picture says of itself (`store.about`), and its graph; files that the recipe reads are looked for beside it.
        templates: Folders that are searched for its template first.
        caches: The user's cache folder, where templates of imported pictures are; None where there is none.

    Raises:
        OtherRecipe: Its template or a file that it reads is not there, or was changed, or what it makes now is another job.
        WorkflowError: Its graph is malformed.
    """
    about, path = found.about or {}, found.path
    graph = None if found.graph is None else parse_workflow(found.graph, where=shown(path))
    recipe, template = about.get("recipe"), about.get("template")
    if not isinstance(recipe, dict) or not isinstance(template, dict):
        raise OtherRecipe("it does not contain its recipe")
    name, sha256 = str(template.get("name", "")), str(template.get("sha256", ""))
    file = next(_templates(name, sha256, [*templates, path.absolute().parent / "templates", Path("templates")], caches), None)
    if file is None:
        raise OtherRecipe(f"the template {got(name)}, with which comfy_runner made it, cannot be found unchanged")
    is_shipped = file.parent == shipped("templates")
    values = {field: value for field, value in recipe.items() if field not in _LEFT_OUT}
    values["template"] = name if is_shipped else str(file.absolute())
    try:
        draft = draft_one(expand(from_mapping(values, path=path))[0], templates=templates)
    except InputError as error:
        raise OtherRecipe(f"its recipe can no longer be used ({error.problems[0]})") from error
    if draft.content_hash != about.get("content_hash") or (graph is not None and not _is_of(draft.filled.workflow, graph)):
        raise OtherRecipe("its recipe now makes a different picture")
    return OwnRecipe(values, name, is_shipped)


def _templates(name: str, sha256: str, folders: Sequence[Path], caches: Path | None) -> Iterator[Path]:
    """Yield the files of a template that say what they said when it was used."""
    if not HASH.fullmatch(sha256):
        return
    for folder in (*folders, shipped("templates")):
        try:
            template = find_template(name, [folder])
        except InputError:
            continue
        if template.sha256 == sha256:
            yield template.path
    if (path := cached_template(sha256, name=name, caches=caches)) is not None:
        yield path


def _is_of(job: Workflow, graph: Workflow) -> bool:
    """Return whether a posted graph can be that of a job: alone, with others, or what of it was still missing.

    A server gives names of models of its own, and fills in inputs that the job's graph does not have.
    """
    mine, theirs = _literals(job), _literals(graph)
    places = {place for place, _ in mine}
    return mine <= theirs or {each for each in theirs if each[0] in places} <= mine


def _literals(workflow: Workflow) -> set[tuple[InputKey, str]]:
    """Return what a graph says, whatever its nodes are called: literals by class and input, of names only their last part."""
    return {
        ((node.class_type, name), json.dumps(_bare(value), sort_keys=True))
        for node in workflow.nodes.values()
        for name, value in node.inputs.items()
        if name != "filename_prefix" and as_link(value) is None
    }


def _bare(value: Any) -> Any:
    """Return a literal however a server writes it: 1 as 1.0, a model with its folder."""
    if isinstance(value, str):
        return value.replace("\\", "/").rpartition("/")[2].casefold()
    return value if isinstance(value, bool) or not isinstance(value, int) else float(value)
