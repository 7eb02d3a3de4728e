"""The model files of a pass: its checkpoint, the chain of LoRAs on it, its VAE and where CLIP stops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from comfy_runner.graph.literals import is_number
from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Link, Node, Workflow, as_link
from comfy_runner.importer.recognising.leaves import MOST_STEPS, PIPES, Leaf, chosen, is_text, leaf_of

_FILES = ("ckpt_name", "unet_name", "gguf_name", "base_ckpt_name", "model_path", "model_name", "checkpoint", "model")
_LOADS = re.compile(r"load|checkpoint|unet|gguf", re.IGNORECASE)
_UPWARD = re.compile(r"^(model|unet|guider)", re.IGNORECASE)
_LORAS = {"LoraLoader": True, "LoraLoaderModelOnly": False}


@dataclass(frozen=True, slots=True)
class LoraChain:
    """LoRA loaders one after the other, from each of which only the next one takes anything.

    Attributes:
        nodes: Their ids, from the model on.
        class_type: Their class: LoraLoader or LoraLoaderModelOnly.
        model: Where the first one has its model from.
        clip: Where it has its text encoder from; None for LoRAs of the model alone.
        names: Their files.
        strengths: Their strengths for the model, and for the text encoder: the same for LoRAs of the model alone.
    """

    nodes: tuple[str, ...]
    class_type: str
    model: Link
    clip: Link | None
    names: tuple[str, ...]
    strengths: tuple[tuple[float, float], ...]

    @property
    def places(self) -> tuple[InputKey, ...]:
        """Return the inputs that say which LoRAs there are and how strong."""
        names = ("lora_name", "strength_model", "strength_clip") if self.clip is not None else ("lora_name", "strength_model")
        return tuple((node_id, name) for node_id in self.nodes for name in names)


def checkpoints(workflow: Workflow, node_id: str) -> list[Leaf]:
    """Return the literals that name the files a pass's model comes from: one, unless models are merged or none is found."""
    found: dict[InputKey, Leaf] = {}
    seen: set[str] = set()
    waiting = [node_id]
    while waiting and len(seen) < MOST_STEPS:
        here = waiting.pop(0)
        if here in seen:
            continue
        seen.add(here)
        node = workflow.nodes[here]
        name = _file_input(node)
        if name is not None:
            leaf = leaf_of(workflow, here, name, is_text)
            if leaf is not None:
                found[leaf.place] = leaf
            continue
        waiting += list(_upward(workflow, here))
    return list(found.values())


def _file_input(node: Node) -> str | None:
    """Return the input of a loader that names the file of a model; None for all other nodes."""
    names = [name for name in _FILES if name in node.inputs]
    sure = next((name for name in names if name.endswith(("ckpt_name", "unet_name", "gguf_name"))), None)
    if sure is not None or not _LOADS.search(node.class_type):
        return sure
    takes_model = any(_UPWARD.match(name) and as_link(node.inputs[name]) is not None for name in node.inputs)
    return next((name for name in names if is_text(node.inputs[name])), None) if not takes_model else None


def _upward(workflow: Workflow, node_id: str) -> Iterator[str]:
    """Yield the nodes that a node's model comes from."""
    links = dict(workflow.nodes[node_id].links())
    if (passed := chosen(workflow, node_id)) is not None and passed in links:
        yield links[passed].node
        return
    named = [link.node for name, link in links.items() if _UPWARD.match(name) and "name" not in name]
    named = named or [link.node for name, link in links.items() if PIPES.match(name)][:1]
    yield from named or ([link.node for link in links.values()] if len(links) == 1 else [])


def lora_chain(workflow: Workflow, node_id: str) -> LoraChain | None:
    """Return the chain of LoRAs above a pass where it is regular, so that it can be any number of them; None where it is not.

    A chain is regular where all are of one class with literal files and strengths, each takes model and text encoder from the one
    before, and nothing else takes anything from any but the last.
    """
    last = _last_lora(workflow, node_id)
    if last is None:
        return None
    class_type = workflow.nodes[last].class_type
    has_clip = _LORAS[class_type]
    users: dict[str, set[str]] = {}
    for other, node in workflow.nodes.items():
        for _, link in node.links():
            users.setdefault(link.node, set()).add(other)
    nodes: list[str] = []
    here = last
    while True:
        node = workflow.nodes[here]
        names = {"model", "lora_name", "strength_model"} | ({"clip", "strength_clip"} if has_clip else set())
        if node.class_type != class_type or node.inputs.keys() != names or not _is_plain(node.inputs, has_clip=has_clip):
            return None
        if nodes and users.get(here, set()) != {nodes[0]}:
            return None
        nodes.insert(0, here)
        model, clip = as_link(node.inputs["model"]), as_link(node.inputs.get("clip"))
        if model is None or (has_clip and clip is None):
            return None
        above = workflow.nodes[model.node].class_type in _LORAS
        from_above = above and model.slot == 0 and (not has_clip or clip == Link(model.node, 1))
        clip_above = clip is not None and workflow.nodes[clip.node].class_type in _LORAS
        if (above or clip_above) and not from_above:
            return None
        if not above:
            break
        here = model.node
    inputs = [workflow.nodes[each].inputs for each in nodes]
    strengths = tuple((each["strength_model"], each["strength_clip"] if has_clip else each["strength_model"]) for each in inputs)
    names_of = tuple(each["lora_name"] for each in inputs)
    return LoraChain(tuple(nodes), class_type, model, clip, names_of, strengths)


def _last_lora(workflow: Workflow, node_id: str) -> str | None:
    """Return the LoRA loader that is nearest above a pass, on a way of models without a fork."""
    here = node_id
    for _ in range(MOST_STEPS):
        above = list(dict.fromkeys(_upward(workflow, here)))
        if len(above) != 1 or _file_input(workflow.nodes[above[0]]) is not None:
            return None
        here = above[0]
        if workflow.nodes[here].class_type in _LORAS:
            return here
    return None


def _is_plain(inputs: Any, *, has_clip: bool) -> bool:
    strengths = [inputs["strength_model"], *([inputs["strength_clip"]] if has_clip else [])]
    return is_text(inputs["lora_name"]) and all(map(is_number, strengths))
