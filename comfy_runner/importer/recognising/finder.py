"""Finds the fields of a recipe in a workflow, one after the other, so that each literal becomes one thing only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from comfy_runner.graph.literals import is_number
from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Workflow
from comfy_runner.importer.recognised import FieldFound, LiteralKept
from comfy_runner.importer.recognising.leaves import Leaf, alike, is_integer, is_text, leaf_of
from comfy_runner.importer.recognising.models import LoraChain, checkpoints, lora_chain
from comfy_runner.importer.recognising.passes import WorkflowPasses, setting
from comfy_runner.importer.recognising.prompts import NEGATIVE, POSITIVE, PromptTexts, prompt_texts
from comfy_runner.importer.recognising.sizes import batch_of, size_of, sizes_again
from comfy_runner.recipe.problems import field_problem
from comfy_runner.wording import counted
from comfy_runner.yaml_loader import got

_LEAST_SHARE, _SHORTEST = 0.6, 20  # of the characters of all, and in characters


class FieldFinder:
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
        self._batch()
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
            if field != "sampler.cfg" and field != "sampler.scheduler":  # which some passes do not have
                self.kept.append(LiteralKept(field, (), None, "no single value of the workflow decides it"))
            return
        if any(not alike(leaf.value, found[0].value) for leaf in found):
            places = tuple(dict.fromkeys(leaf.place for leaf in found))
            values = ", ".join(dict.fromkeys(got(leaf.value) for leaf in found))
            self.kept.append(LiteralKept(field, places, None, f"the first passes differ in it: {values}"))
            return
        halves = [leaf for leaf in rest if leaf is not None and alike(leaf.value, found[0].value)]
        self._take(field, found[0].value, [*found, *halves], field)

    def _take(self, field: str, value: Any, leaves: Sequence[Leaf], expression: str, remark: str = "") -> bool:
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
        self.fields.append(FieldFound(field, value, places, remark))
        return True

    # --- texts

    def _prompts(self) -> None:
        positive, negative = (
            {node_id: prompt_texts(self.workflow, node_id, side) for node_id in self.passes.all} for side in (POSITIVE, NEGATIVE)
        )
        self._prompt("prompt", positive, frozenset())
        self._prompt("negative_prompt", negative, {leaf.place for texts in positive.values() for leaf in texts.leaves})

    def _prompt(self, field: str, of_passes: Mapping[str, PromptTexts], taken: Collection[InputKey]) -> None:
        """Find the one text of the first passes, and where other passes are told the very same."""
        found = [of_passes[node_id] for node_id in self.passes.first]
        leaves = list({leaf.place: leaf for texts in found for leaf in texts.whole if leaf.place not in taken}.values())
        filled = [leaf for leaf in leaves if leaf.value.strip()]
        distinct = dict.fromkeys(leaf.value for leaf in filled)
        places = tuple(leaf.place for leaf in filled or leaves)
        if any(texts.is_computed for texts in found):
            if places or field == "prompt":
                self.kept.append(LiteralKept(field, places, None, "a node makes its text, or a part of it"))
        elif len(distinct) > 1 and (main := _main_text(distinct) if all(texts.is_joined for texts in found) else None):
            remark = f"the longest of {len(distinct)} joined texts"
            self._take(field, main, [leaf for leaf in filled if leaf.value == main], field, remark)
        elif len(distinct) > 1:
            self.kept.append(LiteralKept(field, places, None, f"it is made of {len(distinct)} texts"))
        elif chosen := filled or (leaves if len({leaf.value for leaf in leaves}) == 1 else []):
            text = chosen[0].value
            everywhere = [leaf for texts in of_passes.values() for leaf in texts.leaves if leaf.value == text]
            same = [leaf for leaf in everywhere if leaf.place not in taken]
            self._take(field, text, same if text.strip() else chosen, field)

    def _number_texts(self, passes: Sequence[str]) -> None:
        """Give names to the texts of prompts that are no fields."""
        for side, name in ((POSITIVE, "prompt"), (NEGATIVE, "negative_prompt")):
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
            others = [leaf for node_id in self.passes.all for leaf in checkpoints(self.workflow, node_id)]
            same = [leaf for leaf in others if leaf.value == leaves[0].value]
            self._take("checkpoint", leaves[0].value, [*leaves, *same], "checkpoint")
        elif not all(files):
            self.kept.append(LiteralKept("checkpoint", (), None, "no single value of the workflow decides it"))
        else:
            why = f"the model is made of {counted(len({leaf.value for leaf in leaves}), 'file')}"
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
                **({"strength_clip": clip} if chain.clip is not None and not alike(model, clip) else {}),
            }
            for name, (model, clip) in zip(chain.names, chain.strengths, strict=True)
        ]
        leaves = [Leaf(place, self.workflow.nodes[place[0]].inputs[place[1]]) for place in chain.places]
        if all(leaf.place not in self.expressions for leaf in leaves) and self._take("loras", value, leaves, "loras"):
            self.loras = chain

    # --- sizes

    def _size(self) -> None:
        pairs = [size_of(self.workflow, node_id) for node_id in self.passes.first]
        sides = [pair for pair in pairs if pair is not None]
        if not sides or len(sides) < len(pairs):
            return
        (width, height), others = sides[0], sides[1:]
        if any((other[0].value, other[1].value) != (width.value, height.value) for other in others):
            places = tuple(leaf.place for pair in sides for leaf in pair)
            self.kept.append(LiteralKept("size", places, None, "the first passes differ in it"))
            return
        across, down = ([pair[side] for pair in sides] for side in (0, 1))
        for again_across, again_down in sizes_again(self.workflow, self.passes.first, width.value, height.value):
            across.append(again_across)
            down.append(again_down)
        self._take_size("size", across, down, ("width", "height"))

    def _batch(self) -> None:
        leaves = [batch_of(self.workflow, node_id) for node_id in self.passes.first]
        found = [leaf for leaf in leaves if leaf is not None]
        if len(found) == len(leaves) and len({leaf.value for leaf in found}) == 1:
            self._take("batch_size", found[0].value, found, "batch_size")

    def _take_size(self, field: str, across: Sequence[Leaf], down: Sequence[Leaf], expressions: tuple[str, str]) -> None:
        places = tuple(dict.fromkeys(leaf.place for leaf in (*across, *down)))
        value = {"width": across[0].value, "height": down[0].value}
        if any(place in self.asked for place in places):
            return
        if {leaf.place for leaf in across} & {leaf.place for leaf in down}:
            self.kept.append(LiteralKept(field, places, None, "one value is both its width and its height"))
        elif wrong := field_problem(field, value):
            self.kept.append(LiteralKept(field, places, value, wrong))
        elif not self.expressions.keys() & set(places):
            self.expressions.update({leaf.place: expressions[0] for leaf in across})
            self.expressions.update({leaf.place: expressions[1] for leaf in down})
            self.fields.append(FieldFound(field, value, places))

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


def _main_text(texts: Iterable[str]) -> str | None:
    """Return the text that makes most of what several are joined to: the subject, among a style and words of quality."""
    longest, *others = sorted(texts, key=len, reverse=True)
    is_main = len(longest) >= max(_SHORTEST, _LEAST_SHARE * (len(longest) + sum(map(len, others))))
    return longest if is_main else None
