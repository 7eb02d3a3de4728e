"""What there is to know of a template before it is used: what it takes, what it makes, what it needs of a server, its graph.

Reads nothing but the template and what it imports, and shows nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from comfy_runner.errors import InputError, Problem, TemplateError
from comfy_runner.graph.conformance import check
from comfy_runner.graph.model_lists import MODEL_SUFFIX, model_kind
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.workflow import Workflow
from comfy_runner.recipe.field_docs import Param, deciding_fields, field_docs
from comfy_runner.recipe.job import job
from comfy_runner.recipe.layers import value_at
from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.schema import Recipe
from comfy_runner.recipe.template_defaults import TemplateDefaults
from comfy_runner.recipe.template_values import NEEDED_IF_USED
from comfy_runner.shipped import shipped
from comfy_runner.templating.compiled import Renderer
from comfy_runner.templating.lookup import SUFFIX, Template, find_template, template_names
from comfy_runner.templating.metadata import given_params
from comfy_runner.templating.recipe_template import route_of

_WORDS = {"checkpoint": "CHECKPOINT", "prompt": "PROMPT"}
_EMPTY: dict[str, Any] = {"boolean": False, "list": [], "object": {}}
_PARAMS = "params."
_FIRST_SENTENCE = re.compile(r".*?[.!?](?=\s|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Example:
    """A template's graph, rendered with its own defaults and with words that stand for what only a recipe can give.

    Attributes:
        workflow: The graph.
        sources: Dotted recipe field by (node id, input name), for the inputs that take a value as it is.
        stand_ins: The fields, dotted, whose values are made up.
    """

    workflow: Workflow
    sources: Mapping[tuple[str, str], str]
    stand_ins: frozenset[str]


@dataclass(frozen=True, slots=True)
class OutputInfo:
    """A picture that it makes.

    Attributes:
        role: Its role.
        class_type: The class of the node that saves it; empty where the example does not have it.
        description: What it is, where the template says so.
    """

    role: str
    class_type: str
    description: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model file that it loads.

    Attributes:
        file: What the example calls it.
        kind: What it is, such as ``checkpoints``, as `models` lists it; empty where it is not known.
        class_type: The class of the node that loads it.
        field: The recipe field that gives it, dotted; empty where it is the template's own affair.
    """

    file: str
    kind: str
    class_type: str
    field: str


@dataclass(frozen=True, slots=True)
class NodeClass:
    """A node class that it uses.

    Attributes:
        class_type: The class.
        count: How many nodes of it the example has; 0 where only the template's header names it.
        pack: Where it comes from; empty for ComfyUI itself, as far as the template says.
    """

    class_type: str
    count: int
    pack: str


@dataclass(frozen=True, slots=True)
class Description:
    """What there is to know of a template.

    Attributes:
        template: The template.
        is_shipped: Whether it comes with the program.
        params: Its free parameters, called ``params.NAME``.
        takes_any: Whether it declares none, and takes any.
        fields: The recipe fields that it uses, in the order of the schema.
        outputs: The pictures that it makes.
        models: The models that it loads.
        nodes: The node classes that it uses.
        example: What it renders to with its defaults; None where it needs more than that.
        failure: Why there is no example; empty where there is.
    """

    template: Template
    is_shipped: bool
    params: tuple[Param, ...]
    takes_any: bool
    fields: tuple[Param, ...]
    outputs: tuple[OutputInfo, ...]
    models: tuple[Model, ...]
    nodes: tuple[NodeClass, ...]
    example: Example | None
    failure: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A template in a list.

    Attributes:
        name: Its name.
        path: Its file.
        is_shipped: Whether it comes with the program.
        sentence: The first sentence of its description; empty where there is none.
        error: Why it cannot be used; None where it can.
    """

    name: str
    path: Path
    is_shipped: bool
    sentence: str
    error: InputError | None


def list_templates(folders: Sequence[Path]) -> list[Listed]:
    """Return all templates of these folders by name, each from the first folder that has it; broken ones hide no others."""
    return [_listed(name, folders) for name in template_names(folders)]


def describe(template: Template, folders: Sequence[Path]) -> Description:
    """Return what there is to know of a template.

    Args:
        template: The template.
        folders: Where it finds what it imports, after its own folder.

    Raises:
        TemplateError: It says something of fields that there are not, or that they cannot be.
    """
    route = route_of(template)
    made: Example | None = None
    failure = ""
    try:
        made = _example(template, route, folders)
    except InputError as error:
        failure = str(error.problems[0])
    graph = made.workflow if made else Workflow({})
    return Description(
        template=template,
        is_shipped=_is_shipped(template.path),
        params=tuple(_params(template)),
        takes_any=template.header.params is None,
        fields=tuple(_fields(template, route)),
        outputs=tuple(_outputs(template, graph)),
        models=tuple(dict.fromkeys(_models(graph, made.sources if made else {}))),
        nodes=tuple(_nodes(template, graph)),
        example=made,
        failure=failure,
    )


def missing(description: Description, info: ObjectInfo) -> tuple[Problem, ...]:
    """Return what a server lacks of what a template's example needs; of what only a recipe can give nothing is said.

    Each problem's ``where`` is the dotted recipe field that gives the value in question, if one does.
    """
    made = description.example
    if made is None:
        return ()
    header = description.template.header
    checked = check(
        made.workflow,
        info,
        where="",
        locate=lambda node_id, name: made.sources.get((node_id, name), ""),
        packs=header.packs,
        version=header.version,
    )
    return tuple(problem for problem in checked.problems if problem.where not in made.stand_ins)


def first_sentence(text: str) -> str:
    """Return the first sentence of a text, on one line."""
    found = _FIRST_SENTENCE.match(text)
    return " ".join((found[0] if found else text).split())


def _example(template: Template, route: TemplateDefaults, folders: Sequence[Path]) -> Example:
    """Render a template without a recipe.

    Raises:
        InputError: It cannot be rendered with what stands for values here, or not at all.
    """
    renderer = Renderer(template, folders)
    words = {name: word for name, word in _WORDS.items() if name not in route.defaults}
    values = job(from_mapping({"name": "example", "seed": 0, **words}), route=route).values

    def rendered(params: Mapping[str, Any], made_up: Iterable[str]) -> Example:
        filled = renderer.render({**values, "params": params})
        return Example(filled.workflow, filled.sources, frozenset([*words, *(_PARAMS + name for name in made_up)]))

    if template.header.params is not None:
        made_up = {name: stand_in(param) for name, param in template.header.params.items() if param.required}
        params, wrong = given_params(template.header.params, made_up)
        if wrong:
            raise TemplateError.of(wrong)
        return rendered(params, made_up)
    try:
        return rendered({}, ())
    except InputError:
        # It takes any parameters, and needs some.
        used = {value.split(".")[1]: value.split(".")[1].upper() for value in sorted(template.uses) if value.startswith(_PARAMS)}
        return rendered(used, used)


def stand_in(param: Param) -> Any:
    """Return a value for a parameter that has no default: its name in capitals, or the nearest to 1 that it may be."""
    if param.choices:
        return param.choices[0]
    if param.type not in ("integer", "number"):
        return _EMPTY.get(param.type, param.name.upper())
    low = -math.inf if param.minimum is None else param.minimum
    high = math.inf if param.maximum is None else param.maximum
    value = min(max(1, low), high)
    return math.ceil(value) if param.type == "integer" else value


def _listed(name: str, folders: Sequence[Path]) -> Listed:
    file = name + SUFFIX
    path = next((folder / file for folder in folders if (folder / file).is_file()), Path(file))
    try:
        template = find_template(name, folders)
        route_of(template)
    except InputError as error:
        return Listed(name, path, _is_shipped(path), "", error)
    return Listed(name, template.path, _is_shipped(template.path), first_sentence(template.header.description), None)


def _is_shipped(path: Path) -> bool:
    return path.parent.absolute() == shipped("templates").absolute()  # in a checkout, it is the folder beside the recipes, too


def _params(template: Template) -> Iterator[Param]:
    declared = template.header.params
    if declared is None:  # it takes any, and uses these
        names = sorted({value.split(".")[1] for value in template.uses if value.startswith(_PARAMS)})
        declared = {name: Param(name, "any") for name in names}
    for name, param in declared.items():
        yield replace(param, name=_PARAMS + name)


def _fields(template: Template, route: TemplateDefaults) -> Iterator[Param]:
    said = template.header.fields
    used = {field for value in (*template.uses, *said) for field in deciding_fields(value)}
    values = route.over(Recipe()).model_dump(mode="json")
    for name, facts in field_docs().items():
        if name in used:
            default = value_at(values, name.split("."))
            if name == "size" and route.picture:
                default = f"that of params.{route.picture}"
            if isinstance(default, dict):
                default = {key: value for key, value in default.items() if value is not None}
            required, sentence = name in NEEDED_IF_USED and default is None, said.get(name) or facts.description
            yield replace(facts, required=required, default=default, description=sentence, usual=route.usual.get(name))


def _outputs(template: Template, graph: Workflow) -> Iterator[OutputInfo]:
    said: Mapping[str, str] = template.header.outputs
    made = graph.outputs
    yield from (OutputInfo(role, graph.nodes[node_id].class_type, said.get(role, "")) for role, node_id in made.items())
    yield from (OutputInfo(role, "", text) for role, text in said.items() if role not in made)


def _models(graph: Workflow, sources: Mapping[tuple[str, str], str]) -> Iterator[Model]:
    for node_id in graph.in_order:
        node = graph.nodes[node_id]
        for name, value in node.inputs.items():
            kind = model_kind(node.class_type, name)
            # Loaders that nobody here knows have models, too.
            if isinstance(value, str) and (kind or ("\n" not in value and MODEL_SUFFIX.search(value))):
                yield Model(value, kind, node.class_type, sources.get((node_id, name), ""))


def _nodes(template: Template, graph: Workflow) -> Iterator[NodeClass]:
    packs = template.header.packs
    counts = Counter(node.class_type for node in graph.nodes.values())
    for class_type in sorted({*counts, *packs}, key=str.casefold):
        yield NodeClass(class_type, counts[class_type], packs.get(class_type, ""))
