"""A recognised workflow as files: a template and a recipe, which together render to the very graph that they were made of.

Nothing is written to the user's folders here: the texts are made, and proved in a folder of their own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_runner.errors import InputError, Problem, WorkflowError
from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Node, Workflow
from comfy_runner.importer.recipe_text import comment_line, quoted, recipe_text, scalar
from comfy_runner.importer.recognised import FieldFound, ParamFound, Recognised
from comfy_runner.importer.recognising.leaves import alike
from comfy_runner.importer.template_text import graph_text
from comfy_runner.planning.drafting import draft_one
from comfy_runner.recipe.layers import nested
from comfy_runner.recipe.load import load
from comfy_runner.recipe.names import slug
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.templating.lookup import SUFFIX
from comfy_runner.text_files import MAX_BYTES
from comfy_runner.wording import counted
from comfy_runner.yaml_loader import got

FOLDER = "templates"
"""The folder beside the recipe that the template lies in."""

_MOST_LEFT = 24
_WIDTH = 132
_LONGEST_NAME = 60
_MOST_DIFFERENCES = 5
# What a template would otherwise take from the defaults of all recipes.
_DEFAULTED = (
    *("vae", "clip_skip", "size", "sampler.name", "sampler.scheduler", "sampler.steps", "sampler.cfg"),
    *("upscale.factor", "upscale.size", "upscale.method", "upscale.denoise"),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A template and a recipe for it, not yet written.

    Attributes:
        name: What both are called: letters, digits, - and _.
        template: The text of the template, for ``templates/NAME.json.j2`` beside the recipe.
        recipe: The text of the recipe, for ``NAME.yaml``.
    """

    name: str
    template: str
    recipe: str

    @property
    def template_path(self) -> str:
        """Return where the template lies, from the folder of the recipe."""
        return f"{FOLDER}/{self.name}{SUFFIX}"

    @property
    def recipe_path(self) -> str:
        """Return what the recipe's file is called."""
        return f"{self.name}.yaml"


def pair_name(text: str) -> str:
    """Return what a pair can be called after a text, such as the stem of a file: small letters, digits and dashes."""
    return slug(text)[:_LONGEST_NAME].strip("-") or "workflow"


def write_pair(recognised: Recognised, *, name: str, source: str) -> Pair:
    """Return the texts of a template and of a recipe for it.

    Args:
        recognised: What was recognised in a workflow.
        name: What both are called: as `pair_name` gives it.
        source: Where the workflow comes from, for people: the name of a file.

    Raises:
        WorkflowError: The workflow is too large for a template, or has what no template can say.
    """
    graph = graph_text(recognised.workflow, recognised.expressions, _metas(recognised), recognised.loras)
    pair = Pair(name, _header(recognised, source) + graph, "")
    try:
        recipe = _recipe(recognised, pair, source)
    except ValueError as error:
        raise WorkflowError(f"a recipe cannot contain its values ({error})", where=source) from None
    for text, what in ((pair.template, "template"), (recipe, "recipe")):
        if (size := len(text.encode("utf-8", "surrogatepass"))) > MAX_BYTES:
            hint = "remove nodes with very long texts"
            raise WorkflowError(
                f"is too large for a {what}, which has at most {MAX_BYTES} bytes (got {size})", where=source, hint=hint
            )
    return Pair(name, pair.template, recipe)


def prove(pair: Pair, workflow: Workflow, *, where: str = "") -> None:
    """Render a pair and hold the graph against the workflow that it was made of.

    Every node must be there, with its class and its inputs; titles, roles and whatever else is in ``_meta`` do not count.

    Args:
        pair: The pair.
        workflow: The workflow.
        where: The place for messages; the recipe's name if empty.

    Raises:
        WorkflowError: It cannot be rendered, or something differs; the first differences are named.
    """
    place = where or pair.recipe_path
    with tempfile.TemporaryDirectory(prefix="comfy-runner-import-") as folder:
        recipe = write_files(pair, Path(folder))
        try:
            made = draft_one(expand(load(recipe))[0]).filled.workflow
        except InputError as error:
            said = str(error.problems[0]).replace(folder, "")
            raise WorkflowError(f"the result cannot be rendered: {said}", where=place) from error
    differences = list(_differences(workflow, made))
    if differences:
        what = f"the result renders to a different graph, in {counted(len(differences), 'place')}"
        more = [Problem(each, place) for each in differences[:_MOST_DIFFERENCES]]
        raise WorkflowError.of([Problem(what, place, "please report this, with the workflow"), *more])


def write_files(pair: Pair, folder: Path) -> Path:
    """Write both files of a pair into a folder, over files that are there, and return the recipe's path."""
    template, recipe = folder / pair.template_path, folder / pair.recipe_path
    template.parent.mkdir(parents=True, exist_ok=True)
    template.write_text(pair.template, encoding="utf-8", newline="\n")
    recipe.write_text(pair.recipe, encoding="utf-8", newline="\n")
    return recipe


# --- the template


def _metas(recognised: Recognised) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for node_id, role in recognised.roles.names.items():
        said = {"name": role, "reports": "nothing"} if node_id in recognised.roles.silent else role
        found[node_id] = {**recognised.workflow.nodes[node_id].meta, "role": said}
    return found


def _header(recognised: Recognised, source: str) -> str:
    """Return a template's header: a comment of Jinja's in YAML, of which no text can be the end."""
    lines = [f"description: {quoted(_description(recognised, source))}"]
    lines += ["params: {}"] if not recognised.params else ["params:", *_header_params(recognised.params)]
    fields = [each for each in recognised.fields if each.field in _DEFAULTED]
    if fields:
        lines.append("fields:")
        lines += [f"  {each.field}: {{default: {scalar(each.value, in_flow=True)}}}" for each in fields]
    lines.append("outputs:")
    lines += [f"  {scalar(role)}: {quoted(comment_line(sentence))}" for role, sentence in recognised.roles.sentences.items()]
    if recognised.packs:
        lines += ["needs:", "  nodes:"]
        lines += [
            f"    {quoted(comment_line(class_type))}: {quoted(comment_line(pack))}" for class_type, pack in recognised.packs.items()
        ]
    text = "\n".join(lines)
    return "{#\n" + text.replace("#}", "#\\x7d") + "\n#}\n"


def _header_params(params: tuple[ParamFound, ...]) -> Iterator[str]:
    for each in params:
        param = each.param
        parts = [f"type: {param.type}", f"default: {_hash_quoted(param.default)}"]
        parts += [f"min: {scalar(param.minimum)}"] if param.minimum is not None else []
        parts += [f"max: {scalar(param.maximum)}"] if param.maximum is not None else []
        parts += [f"choices: [{', '.join(map(_hash_quoted, param.choices))}]"] if param.choices else []
        parts.append(f"description: {quoted(comment_line(param.description))}")
        one_line = f"  {scalar(param.name)}: {{{', '.join(parts)}}}"
        if len(one_line) <= _WIDTH:
            yield one_line
        else:
            yield f"  {scalar(param.name)}:"
            yield from (f"    {part}" for part in parts)


def _hash_quoted(value: Any) -> str:
    return quoted(value) if isinstance(value, str) and ("#" in value or "\\" in value) else scalar(value, in_flow=True)


def _description(recognised: Recognised, source: str) -> str:
    passes = recognised.passes
    count = len(passes.first)
    parts = [counted(count, "first pass", "first passes")] if count else []
    parts += [counted(len(passes.second), "second pass", "second passes")] if passes.second else []
    parts += [counted(len(passes.others), "further pass", "further passes")] if passes.others else []
    what = f"{', '.join(parts)}; " if parts else ""
    return comment_line(f"Imported from {source}: {what}{counted(len(recognised.workflow.nodes), 'node')}.")


# --- the recipe


def _recipe(recognised: Recognised, pair: Pair, source: str) -> str:
    found = [each for each in recognised.fields if not _is_inherited(each, recognised)]
    fields: dict[str, Any] = {"name": pair.name, "template": pair.template_path}
    fields |= nested({each.field: each.value for each in found})
    fields["vae_decode"] = "full"
    comments = _comments(recognised.workflow, {each.field: each.places for each in found})
    comments |= {each.field: f"{comments[each.field]}; {each.remark}" for each in found if each.remark}
    comments["vae_decode"] = "as in the workflow; auto would decode large pictures in tiles"
    params = [each for each in recognised.params if not each.is_file]
    if params:
        fields["params"] = {each.param.name: each.value for each in params}
        comments |= {f"params.{each.param.name}": _places(recognised.workflow, each.places) for each in params}
    return recipe_text(fields, comments=comments, head=_head(pair, source), tail=_tail(recognised))


def _is_inherited(found: FieldFound, recognised: Recognised) -> bool:
    """Return whether a setting of the second pass is what it has from the first anyway."""
    outer, _, inner = found.field.partition(".")
    first = next((each.value for each in recognised.fields if f"{outer}.{each.field}" == found.field), None)
    return bool(inner.startswith("sampler.")) and first is not None and first == found.value


def _comments(workflow: Workflow, places: Mapping[str, tuple[InputKey, ...]]) -> dict[str, str]:
    """Return where each field comes from, once for the settings of a sampler that are all of one node."""
    said = {field: _places(workflow, found) for field, found in places.items()}
    for group in ("sampler", "upscale.sampler"):
        inner = [field for field in said if field.startswith(f"{group}.")]
        if len({said[field] for field in inner}) == 1:
            said[group] = said[inner[0]]
            said = {field: text for field, text in said.items() if field not in inner}
    return said


def _head(pair: Pair, source: str) -> str:
    return (
        f"Imported from {comment_line(source)}: it renders to exactly that workflow.\n"
        f"To run it: comfy-runner run {pair.recipe_path}"
    )


def _tail(recognised: Recognised) -> str:
    lines: list[str] = []
    files = [each for each in recognised.params if each.is_file]
    if files:
        lines.append("Your own pictures and other files instead of those that the server has:")
        lines += [f"  --set params.{each.param.name}=FILE (instead of {comment_line(str(each.value))})" for each in files]
    if kept := recognised.kept:
        lines += ["", "What was left as it is in the workflow:"] if lines else ["What was left as it is in the workflow:"]
        lines += [f"  {each.field}: {comment_line(each.why)}" + _at(recognised.workflow, each.places) for each in kept]
    if recognised.left:
        lines += [""] if lines else []
        lines.append("What else could be a parameter: import the workflow again with any of")
        lines += [f"  {comment_line(each.option)} (now {comment_line(got(each.value))})" for each in recognised.left[:_MOST_LEFT]]
        if len(recognised.left) > _MOST_LEFT:
            lines.append(f"  and {len(recognised.left) - _MOST_LEFT} more")
    return "\n".join(lines)


def _places(workflow: Workflow, places: tuple[InputKey, ...]) -> str:
    """Return which nodes a value belongs to, for a comment."""
    nodes = list(dict.fromkeys(node_id for node_id, _ in places))
    first = nodes[0]
    more = f" and {len(nodes) - 1} more" if len(nodes) > 2 else ""
    also = f" and {nodes[1]}" if len(nodes) == 2 else ""
    return f"node {first}{also}{more}, {_title(workflow.nodes[first])}"


def _at(workflow: Workflow, places: tuple[InputKey, ...]) -> str:
    return f" ({_places(workflow, places)})" if places else ""


def _title(node: Node) -> str:
    return comment_line(node.title)[:60]


# --- the proof


def _differences(wanted: Workflow, made: Workflow) -> Iterator[str]:
    for node_id in wanted.nodes.keys() | made.nodes.keys():
        one, other = wanted.nodes.get(node_id), made.nodes.get(node_id)
        if one is None or other is None:
            yield f"node {got(node_id)} is {'missing' if other is None else 'additional'}"
            continue
        if one.class_type != other.class_type:
            yield f"node {got(node_id)} is a {got(other.class_type)} instead of a {got(one.class_type)}"
        for name in one.inputs.keys() | other.inputs.keys():
            if name not in one.inputs or name not in other.inputs:
                yield f"input {got(name)} of node {got(node_id)} is {'missing' if name in one.inputs else 'additional'}"
            elif not alike(one.inputs[name], other.inputs[name]):
                yield f"input {got(name)} of node {got(node_id)} is {got(other.inputs[name])} instead of {got(one.inputs[name])}"
