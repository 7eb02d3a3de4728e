"""What a workflow says in the words of a recipe: which literals are fields, which become parameters, and what stays as it is.

A field is recognised only where its meaning is certain: one prompt, one seed, one size of the first pass, and of a second pass only
where something is enlarged before it. Everything else that people turn becomes a parameter, and the rest stays in the template. A
literal is left where it stands, at the end of all links that lead to it, so that a graph keeps its nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_runner.errors import Problem, UsageError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Workflow, as_link
from comfy_runner.importer.recognised import LiteralLeft, ParamFound, Recognised
from comfy_runner.importer.recognising import parameters
from comfy_runner.importer.recognising.finder import FieldFinder
from comfy_runner.importer.recognising.leaves import alike
from comfy_runner.importer.recognising.param_names import METHODS, NAME, ParamNames
from comfy_runner.importer.recognising.passes import find_passes
from comfy_runner.importer.recognising.roles import find_roles, output_nodes
from comfy_runner.importer.template_text import jinja_text
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import got

_ORDER = (
    *("checkpoint", "vae", "clip_skip", "loras", "prompt", "negative_prompt", "seed", "size", "batch_size"),
    *("sampler.name", "sampler.scheduler", "sampler.steps", "sampler.cfg"),
    *("upscale.factor", "upscale.size", "upscale.method", "upscale.denoise", "upscale.seed"),
    *("upscale.sampler.name", "upscale.sampler.scheduler", "upscale.sampler.steps", "upscale.sampler.cfg"),
)


def recognise(
    workflow: Workflow,
    *,
    info: ObjectInfo | None = None,
    params: Mapping[InputKey, str] | None = None,
    where: str = "workflow",
) -> Recognised:
    """Find out what a workflow says in the words of a recipe.

    Args:
        workflow: The graph.
        info: What a server says of its nodes: types, ranges and choices of parameters; None where none is asked.
        params: Literals that are to be parameters whatever else they could be: names by (node id, input name).
        where: The place for error messages, usually the file.

    Raises:
        UsageError: `params` names a node or an input that there is not, a link, or a name that cannot be.
        WorkflowError: Nothing in the workflow saves or shows anything.
    """
    asked = dict(params or {})
    _refuse_bad_params(workflow, asked)
    needed = workflow.ancestors(output_nodes(workflow, info))
    passes = find_passes(workflow, needed)
    roles = find_roles(workflow, passes, info, where=where)
    finder = FieldFinder(workflow, passes, needed, asked)
    finder.find_fields()
    found, left = _params(finder, info, asked)
    expressions = dict(finder.expressions)
    for each in found:
        for place in each.places:
            value = workflow.nodes[place[0]].inputs[place[1]]
            expressions[place] = f"params.{each.param.name}" + (f" or {jinja_text(value)}" if each.is_file else "")
    return Recognised(
        workflow=workflow,
        fields=tuple(sorted(finder.fields, key=lambda field: _ORDER.index(field.field))),
        params=tuple(found),
        kept=tuple(finder.kept),
        left=tuple(left),
        roles=roles,
        passes=passes,
        loras=finder.loras,
        expressions=expressions,
        packs=_packs(workflow, info),
    )


def _params(
    finder: FieldFinder, info: ObjectInfo | None, asked: Mapping[InputKey, str]
) -> tuple[list[ParamFound], list[LiteralLeft]]:
    workflow = finder.workflow
    found: dict[str, ParamFound] = {}
    for place, name in asked.items():
        value = workflow.nodes[place[0]].inputs[place[1]]
        param = parameters.param_of(name, place, workflow, info)
        places = (*found[name].places, place) if name in found else (place,)
        found[name] = ParamFound(found[name].param if name in found else param, value, places)
    taken = {*finder.expressions, *asked}
    open_ = sorted(
        parameters.candidates(workflow, finder.needed, finder.passes.all, finder.texts, taken), key=lambda each: each.rank
    )
    # What a field cannot have stays where it is, unless somebody asks for it.
    refused = {place for each in finder.kept if each.value is not None for place in each.places}
    likely = [each for each in open_ if each.rank[0] < parameters.LEFT and each.place not in refused][: parameters.MOST]
    names = ParamNames(workflow, finder.passes, finder.texts, found)
    for each in likely:
        name = names.of(each.place)
        found[name] = ParamFound(parameters.param_of(name, each.place, workflow, info), each.value, (each.place,))
    made = {each.place for each in likely}
    left = [LiteralLeft(each.place, each.value, names.of(each.place)) for each in open_ if each.place not in made]
    return list(found.values()), left


def _packs(workflow: Workflow, info: ObjectInfo | None) -> dict[str, str]:
    found = {}
    for class_type in dict.fromkeys(node.class_type for node in workflow.nodes.values()) if info is not None else ():
        known = info.get(class_type) if info is not None else None
        if known is not None and known.pack:
            found[class_type] = f"the node pack {known.pack}"
    return found


def _refuse_bad_params(workflow: Workflow, asked: Mapping[InputKey, str]) -> None:
    wrong = [problem for place, name in asked.items() if (problem := _bad_param(workflow, place, name)) is not None]
    values: dict[str, tuple[InputKey, Any]] = {}
    for (node_id, input_name), name in asked.items() if not wrong else ():
        value = workflow.nodes[node_id].inputs[input_name]
        first, other = values.setdefault(name, ((node_id, input_name), value))
        if not alike(value, other) or type(value) is not type(other):
            what = f"the values that are to become {name} differ: {got(other)} and {got(value)}"
            wrong.append(
                Problem(what, f"--param {node_id}.{input_name}={name}", f"give another name than {first[0]}.{first[1]} has")
            )
    if wrong:
        raise UsageError.of(wrong)


def _bad_param(workflow: Workflow, place: InputKey, name: str) -> Problem | None:
    node_id, input_name = place
    where = f"--param {node_id}.{input_name}={name}"
    if NAME.fullmatch(name) and (name in METHODS or name.startswith("_")):
        what = f"this name is a word of the template language (got {got(name)})"
        return Problem(what, where, f"another name, such as {name.strip('_') or 'value'}_1")
    if not NAME.fullmatch(name):
        return Problem(
            f"a parameter cannot have this name (got {got(name)})", where, "letters, digits and _, such as glow_strength"
        )
    node = workflow.nodes.get(node_id)
    if node is None:
        return Problem(f"there is no such node (got {got(node_id)})", where, did_you_mean(node_id, workflow.nodes))
    if input_name not in node.inputs:
        return Problem(f"node {node_id} has no such input (got {got(input_name)})", where, did_you_mean(input_name, node.inputs))
    link = as_link(node.inputs[input_name])
    if link is not None:
        return Problem(f"is a link, not a value: it comes from node {link.node}", where, f"name an input of node {link.node}")
    if not parameters.can_be_param(node.inputs[input_name]):
        return Problem(f"its value cannot be a parameter (got {got(node.inputs[input_name])})", where)
    return None
