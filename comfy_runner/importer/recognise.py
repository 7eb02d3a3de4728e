"""What a workflow says in the words of a recipe: which literals are fields, which become parameters, and what stays as it is.

A field is recognised only where its meaning is certain: one prompt, one seed, one size of the first pass, and of a second pass only
where something is enlarged before it. Everything else that people turn becomes a parameter, and the rest stays in the template. A
literal is left where it stands, at the end of all links that lead to it, so that a graph keeps its nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfy_runner.errors import Problem, UsageError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Workflow, as_link
from comfy_runner.importer.recognising import parameters
from comfy_runner.importer.recognising.leaves import Leaf, Texts, is_integer, is_number, is_text, leaf_of
from comfy_runner.importer.recognising.models import LoraChain, checkpoints, lora_chain
from comfy_runner.importer.recognising.parameters import ParamCandidate
from comfy_runner.importer.recognising.passes import WorkflowPasses, find_passes, setting
from comfy_runner.importer.recognising.prompts import prompt_texts
from comfy_runner.importer.recognising.roles import Roles, find_roles, output_nodes
from comfy_runner.importer.template_text import jinja_text
from comfy_runner.recipe.field_docs import Param
from comfy_runner.recipe.problems import field_problem
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import got

_SIZE_NAMES = (("width", "height"), ("empty_latent_width", "empty_latent_height"))
# Nodes that are told the size of the first pass once more.
_SIZE_AGAIN = ("ModelSamplingFlux", "Flux2Scheduler", "CLIPTextEncodeSDXL")
_SIZES_AGAIN = (("width", "height"), ("target_width", "target_height"))


@dataclass(frozen=True, slots=True)
class FieldFound:
    """A recipe field that a workflow gives.

    Attributes:
        field: The field, dotted: ``sampler.steps``; ``size`` and ``loras`` as a whole.
        value: What a recipe gives for it.
        places: The literals that it takes the place of, as (node id, input name).
    """

    field: str
    value: Any
    places: tuple[InputKey, ...]


@dataclass(frozen=True, slots=True)
class ParamFound:
    """A parameter that a literal becomes.

    Attributes:
        param: Its name, type, default, range and sentence.
        value: What the workflow has; for a file of the user's, the name that the server knows one by.
        places: The literals that it takes the place of.
    """

    param: Param
    value: Any
    places: tuple[InputKey, ...]

    @property
    def is_file(self) -> bool:
        """Return whether it is a file that is uploaded, in whose place the server's own counts while none is given."""
        return self.param.type in ("image", "file")


@dataclass(frozen=True, slots=True)
class LiteralKept:
    """What might have become a recipe field, and why it did not.

    Attributes:
        field: The field.
        places: Where its literals stand; none where there are none.
        value: The literal; None where there is not one.
        why: The reason, as in `Problem.what`.
    """

    field: str
    places: tuple[InputKey, ...]
    value: Any
    why: str


@dataclass(frozen=True, slots=True)
class LiteralLeft:
    """A literal that stays in the template, and could become a parameter.

    Attributes:
        place: Its node and input.
        value: The literal.
        name: What a parameter for it could be called.
    """

    place: InputKey
    value: Any
    name: str

    @property
    def option(self) -> str:
        """Return the option of the command that makes it a parameter."""
        node_id, name = self.place
        return f"--param {node_id}.{name}={self.name}"


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a workflow says in the words of a recipe.

    Attributes:
        workflow: The workflow.
        fields: What became a recipe field, in the order of a recipe.
        params: What became a parameter of the template, the likeliest to be turned first.
        kept: What might have become a field, and why it stays.
        left: Literals that stay, and could become parameters.
        roles: The outputs.
        passes: The sampler passes.
        loras: The chain of LoRAs that ``loras`` stands for; None where it does not.
        expressions: What the template prints in the place of each literal: a Jinja expression by (node id, input name).
        packs: Where node classes come from that are not ComfyUI's own, by class, as far as a server says.
    """

    workflow: Workflow
    fields: tuple[FieldFound, ...]
    params: tuple[ParamFound, ...]
    kept: tuple[LiteralKept, ...]
    left: tuple[LiteralLeft, ...]
    roles: Roles
    passes: WorkflowPasses
    loras: LoraChain | None
    expressions: Mapping[InputKey, str]
    packs: Mapping[str, str]


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
    finder = _Finder(workflow, passes, needed, asked)
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


_ORDER = (
    *("checkpoint", "vae", "clip_skip", "loras", "prompt", "negative_prompt", "seed", "size"),
    *("sampler.name", "sampler.scheduler", "sampler.steps", "sampler.cfg"),
    *("upscale.factor", "upscale.size", "upscale.method", "upscale.denoise", "upscale.seed"),
    *("upscale.sampler.name", "upscale.sampler.scheduler", "upscale.sampler.steps", "upscale.sampler.cfg"),
)


class _Finder:
    """Finds the fields of a recipe in a workflow, one after the other; each literal becomes one thing only."""

    def __init__(self, workflow: Workflow, passes: WorkflowPasses, needed: set[str], asked: Mapping[InputKey, str]) -> None:
        self.workflow, self.passes, self.needed, self.asked = workflow, passes, needed, asked
        self.fields: list[FieldFound] = []
        self.kept: list[LiteralKept] = []
        self.expressions: dict[InputKey, str] = {}
        self.loras: LoraChain | None = None
        self.texts: dict[InputKey, str] = {}

    def find_fields(self) -> None:
        """Find them all; without a first pass there are none."""
        if not self.passes.first:
            self._number_texts(self.passes.all)
            return
        whole = (*self.passes.first, *self.passes.continued)
        self._setting("seed", "seed", self.passes.first)
        for name in ("name", "scheduler", "steps", "cfg"):
            self._setting(f"sampler.{name}", name, whole, first=len(self.passes.first))
        self._prompts()
        self._models()
        self._size()
        if len(self.passes.second) == 1:
            self._second(self.passes.second[0])
        self._number_texts(self.passes.all)

    # --- what several passes share

    def _setting(self, field: str, name: str, passes: Sequence[str], *, first: int | None = None) -> None:
        """Find a setting of the first pass that all first passes have alike, and of their other halves where they have the same."""
        leaves = [setting(self.workflow, node_id, name) for node_id in passes]
        firsts, rest = leaves[:first], leaves[first:] if first is not None else []
        found = [leaf for leaf in firsts if leaf is not None]
        if len(found) < len(firsts) or not found:
            return
        if any(not _alike(leaf.value, found[0].value) for leaf in found):
            places = tuple(dict.fromkeys(leaf.place for leaf in found))
            values = ", ".join(dict.fromkeys(got(leaf.value) for leaf in found))
            self.kept.append(LiteralKept(field, places, None, f"the first passes differ in it: {values}"))
            return
        halves = [leaf for leaf in rest if leaf is not None and _alike(leaf.value, found[0].value)]
        self._take(field, found[0].value, [*found, *halves], field)

    def _take(self, field: str, value: Any, leaves: Sequence[Leaf], expression: str) -> bool:
        """Make literals a field, unless the field cannot have the value, or the literals are something else already."""
        places = tuple(dict.fromkeys(leaf.place for leaf in leaves))
        if any(place in self.asked for place in places):
            return False
        others = {self.expressions[place] for place in places if place in self.expressions} - {expression}
        if others:
            return False
        if wrong := field_problem(field, value):
            self.kept.append(LiteralKept(field, places, value, wrong))
            return False
        self.expressions.update(dict.fromkeys(places, expression))
        self.fields.append(FieldFound(field, value, places))
        return True

    # --- texts

    def _prompts(self) -> None:
        first = (*self.passes.first, *self.passes.continued)
        positive = [prompt_texts(self.workflow, node_id, "positive") for node_id in first]
        negative = [prompt_texts(self.workflow, node_id, "negative") for node_id in first]
        self._prompt("prompt", positive)
        shared = {leaf.place for texts in positive for leaf in texts.leaves}
        separate = [
            Texts(tuple(leaf for leaf in texts.leaves if leaf.place not in shared), texts.is_computed) for texts in negative
        ]
        self._prompt("negative_prompt", separate)

    def _prompt(self, field: str, found: Sequence[Texts]) -> None:
        leaves = list({leaf.place: leaf for texts in found for leaf in texts.leaves}.values())
        filled = [leaf for leaf in leaves if leaf.value.strip()]
        distinct = dict.fromkeys(leaf.value for leaf in filled)
        if any(texts.is_computed for texts in found):
            why = "a node makes the text of something else"
            self.kept.append(LiteralKept(field, tuple(leaf.place for leaf in leaves), None, why))
        elif len(distinct) > 1:
            why = f"it is made of {len(distinct)} texts"
            self.kept.append(LiteralKept(field, tuple(leaf.place for leaf in filled), None, why))
        elif chosen := filled or (leaves if len({leaf.value for leaf in leaves}) == 1 else []):
            self._take(field, chosen[0].value, chosen, field)

    def _number_texts(self, passes: Sequence[str]) -> None:
        """Give names to the texts of prompts that are no fields."""
        for side, name in (("positive", "prompt"), ("negative", "negative_prompt")):
            found = {
                leaf.place: leaf
                for node_id in passes
                for leaf in prompt_texts(self.workflow, node_id, side).leaves
                if leaf.place not in self.expressions and leaf.place not in self.texts and leaf.value.strip()
            }
            has_field = any(each.field == name for each in self.fields)
            for number, place in enumerate(found, start=2 if has_field else 1):
                self.texts[place] = name if len(found) == 1 and not has_field else f"{name}_{number}"

    # --- models

    def _models(self) -> None:
        first = self.passes.first
        files = [checkpoints(self.workflow, node_id) for node_id in first]
        leaves = [leaf for found in files for leaf in found]
        if leaves and all(files) and len({leaf.value for leaf in leaves}) == 1:
            self._take("checkpoint", leaves[0].value, leaves, "checkpoint")
        elif len({leaf.value for leaf in leaves}) > 1:
            why = f"the model is made of {len({leaf.value for leaf in leaves})} files"
            self.kept.append(LiteralKept("checkpoint", tuple(leaf.place for leaf in leaves), None, why))
        self._loras()
        self._only("vae", "VAELoader", "vae_name", is_text, "vae", lambda value: value)
        self._only("clip_skip", "CLIPSetLastLayer", "stop_at_clip_layer", is_integer, "-clip_skip", lambda value: -value)

    def _only(
        self, field: str, class_type: str, name: str, fits: Callable[[Any], bool], expression: str, of: Callable[[Any], Any]
    ) -> None:
        """Make the one literal of the one node of a class a field."""
        nodes = [id_ for id_, node in self.workflow.nodes.items() if id_ in self.needed and node.class_type == class_type]
        leaves = [leaf_of(self.workflow, node_id, name, fits) for node_id in nodes]
        found = [leaf for leaf in leaves if leaf is not None]
        if found and len(found) == len(leaves) and len({leaf.value for leaf in found}) == 1:
            self._take(field, of(found[0].value), found, expression)

    def _loras(self) -> None:
        chains = [lora_chain(self.workflow, node_id) for node_id in self.passes.first]
        chain = chains[0]
        if chain is None or any(other != chain for other in chains):
            return
        value = [
            {
                "name": name,
                "strength_model": model,
                **({"strength_clip": clip} if chain.clip is not None and not _alike(model, clip) else {}),
            }
            for name, (model, clip) in zip(chain.names, chain.strengths, strict=True)
        ]
        leaves = [Leaf(place, self.workflow.nodes[place[0]].inputs[place[1]]) for place in chain.places]
        if all(leaf.place not in self.expressions for leaf in leaves) and self._take("loras", value, leaves, "loras"):
            self.loras = chain

    # --- sizes

    def _size(self) -> None:
        pairs = [self._size_of(node_id) for node_id in self.passes.first]
        sides = [pair for pair in pairs if pair is not None]
        if not sides or len(sides) < len(pairs):
            return
        (width, height), others = sides[0], sides[1:]
        if any((other[0].value, other[1].value) != (width.value, height.value) for other in others):
            places = tuple(leaf.place for pair in sides for leaf in pair)
            self.kept.append(LiteralKept("size", places, None, "the first passes differ in it"))
            return
        across, down = ([pair[side] for pair in sides] for side in (0, 1))
        for again_across, again_down in self._sizes_again(width.value, height.value):
            across.append(again_across)
            down.append(again_down)
        self._take_size("size", across, down, ("width", "height"))

    def _take_size(self, field: str, across: Sequence[Leaf], down: Sequence[Leaf], expressions: tuple[str, str]) -> None:
        places = tuple(dict.fromkeys(leaf.place for leaf in (*across, *down)))
        value = {"width": across[0].value, "height": down[0].value}
        if any(place in self.asked for place in places):
            return
        if {leaf.place for leaf in across} & {leaf.place for leaf in down}:
            self.kept.append(LiteralKept(field, places, value, "one literal is both its width and its height"))
        elif wrong := field_problem(field, value):
            self.kept.append(LiteralKept(field, places, value, wrong))
        elif not self.expressions.keys() & set(places):
            self.expressions.update({leaf.place: expressions[0] for leaf in across})
            self.expressions.update({leaf.place: expressions[1] for leaf in down})
            self.fields.append(FieldFound(field, value, places))

    def _size_of(self, node_id: str) -> tuple[Leaf, Leaf] | None:
        """Return the literals with width and height of a pass's empty latent."""
        for _ in range(100):
            node = self.workflow.nodes[node_id]
            for names in _SIZE_NAMES:
                if (
                    names[0] in node.inputs
                    and names[1] in node.inputs
                    and "image" not in node.inputs
                    and "samples" not in node.inputs
                ):
                    width, height = (leaf_of(self.workflow, node_id, name, is_integer) for name in names)
                    return (width, height) if width is not None and height is not None else None
            link = next(
                (
                    link
                    for name in ("latent_image", "latent", "samples", "optional_latent", "pipe")
                    if (link := as_link(node.inputs.get(name)))
                ),
                None,
            )
            if link is None:
                return None
            node_id = link.node
        return None

    def _sizes_again(self, width: int, height: int) -> list[tuple[Leaf, Leaf]]:
        """Return the literals of nodes that are told the same size once more."""
        found = []
        above = self.workflow.ancestors(self.passes.first)
        for node_id, node in self.workflow.nodes.items():
            if node.class_type not in _SIZE_AGAIN or node_id not in above:
                continue
            for names in _SIZES_AGAIN:
                values = [node.inputs.get(name) for name in names]
                if values == [width, height] and all(map(is_integer, values)):
                    found.append((Leaf((node_id, names[0]), width), Leaf((node_id, names[1]), height)))
        return found

    # --- the second pass

    def _second(self, node_id: str) -> None:
        enlargement = self.passes.enlargements[node_id]
        if enlargement.by:
            self._enlargement(enlargement.by, "upscale.factor", ("scale_by", "upscale_by"), is_number)
        if enlargement.to:
            sides = [leaf_of(self.workflow, enlargement.to, name, is_integer) for name in ("width", "height")]
            if sides[0] is not None and sides[1] is not None:
                self._take_size("upscale.size", [sides[0]], [sides[1]], ("upscale.width", "upscale.height"))
        if enlargement.by or enlargement.to:
            self._enlargement(enlargement.by or enlargement.to, "upscale.method", ("upscale_method",), is_text)
        denoise = setting(self.workflow, node_id, "denoise")
        if denoise is not None:
            self._take("upscale.denoise", denoise.value, [denoise], "upscale.denoise")
        self._second_seed(node_id)
        for name in ("name", "scheduler", "steps", "cfg"):
            self._second_setting(node_id, name)

    def _enlargement(self, node_id: str, field: str, names: tuple[str, ...], fits: Callable[[Any], bool]) -> None:
        for name in names:
            leaf = leaf_of(self.workflow, node_id, name, fits) if name in self.workflow.nodes[node_id].inputs else None
            if leaf is not None:
                self._take(field, leaf.value, [leaf], field)

    def _second_seed(self, node_id: str) -> None:
        leaf = setting(self.workflow, node_id, "seed")
        if leaf is None or leaf.place in self.expressions:
            return
        first = self._value("seed")
        value = leaf.value
        if first is not None and value in (first, first + 1):
            value = "same" if value == first else "next"
        self._take("upscale.seed", value, [leaf], "upscale.seed")

    def _second_setting(self, node_id: str, name: str) -> None:
        leaf = setting(self.workflow, node_id, name)
        if leaf is None or leaf.place in self.expressions:
            return
        self._take(f"upscale.sampler.{name}", leaf.value, [leaf], f"upscale.sampler.{name}")

    def _value(self, field: str) -> Any:
        return next((each.value for each in self.fields if each.field == field), None)


def _alike(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _params(finder: _Finder, info: ObjectInfo | None, asked: Mapping[InputKey, str]) -> tuple[list[ParamFound], list[LiteralLeft]]:
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
    likely = [each for each in open_ if each.rank[0] < parameters.LEFT][: parameters.MOST]
    for each in likely:
        name = parameters.suggested_name(each.place, workflow, finder.texts, found)
        found[name] = ParamFound(parameters.param_of(name, each.place, workflow, info), each.value, (each.place,))
    return list(found.values()), _left(workflow, [each for each in open_ if each not in likely], finder.texts, set(found))


def _left(workflow: Workflow, open_: Sequence[ParamCandidate], texts: Mapping[InputKey, str], names: set[str]) -> list[LiteralLeft]:
    found = []
    for each in open_:
        name = parameters.suggested_name(each.place, workflow, texts, names)
        names.add(name)
        found.append(LiteralLeft(each.place, each.value, name))
    return found


def _packs(workflow: Workflow, info: ObjectInfo | None) -> dict[str, str]:
    found = {}
    for class_type in dict.fromkeys(node.class_type for node in workflow.nodes.values()) if info is not None else ():
        known = info.get(class_type) if info is not None else None
        if known is not None and known.module.startswith("custom_nodes."):
            found[class_type] = f"the node pack {known.module.removeprefix('custom_nodes.')}"
    return found


def _refuse_bad_params(workflow: Workflow, asked: Mapping[InputKey, str]) -> None:
    wrong = [problem for place, name in asked.items() if (problem := _bad_param(workflow, place, name)) is not None]
    values: dict[str, tuple[InputKey, Any]] = {}
    for (node_id, input_name), name in asked.items() if not wrong else ():
        value = workflow.nodes[node_id].inputs[input_name]
        first, other = values.setdefault(name, ((node_id, input_name), value))
        if not _alike(value, other) or type(value) is not type(other):
            what = f"the literals differ that are to be {name}: {got(other)} and {got(value)}"
            wrong.append(
                Problem(what, f"--param {node_id}.{input_name}={name}", f"give another name than {first[0]}.{first[1]} has")
            )
    if wrong:
        raise UsageError.of(wrong)


def _bad_param(workflow: Workflow, place: InputKey, name: str) -> Problem | None:
    node_id, input_name = place
    where = f"--param {node_id}.{input_name}={name}"
    if not parameters.NAME.fullmatch(name) or name in parameters.METHODS:
        return Problem(f"a parameter cannot be called so (got {got(name)})", where, "letters, digits and _, such as glow_strength")
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
