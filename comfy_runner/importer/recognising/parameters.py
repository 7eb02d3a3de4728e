"""Which further literals of a workflow become parameters of its template, and what they are called.

Parameters are what people turn: strengths, guidance, counts, files of models, texts and settings of other passes. The nearest to
the samplers come first, a dozen at most; all others can be asked for one by one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comfy_runner.graph.literals import is_number
from comfy_runner.graph.model_lists import MODEL_SUFFIX, model_kind
from comfy_runner.graph.object_info import InputInfo, ObjectInfo
from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Node, Workflow
from comfy_runner.importer.recognising.leaves import is_integer, is_text, literals
from comfy_runner.recipe.field_docs import Param
from comfy_runner.yaml_loader import unsendable

MOST = 12
"""How many parameters are made without being asked for."""

_MOST_CHOICES = 16
_LARGEST = 1 << 63
_INPUT_FILES = {
    ("LoadImage", "image"): "image",
    ("LoadImageMask", "image"): "image",
    ("LoadAudio", "audio"): "file",
    ("LoadVideo", "file"): "file",
}
_PASS_SETTINGS = ("denoise", "steps", "cfg", "sampler_name", "scheduler", "seed", "noise_seed", "start_at_step", "end_at_step")
_STRENGTHS = re.compile(r"^(guidance|guidance_scale|shift|max_shift|base_shift|cfg|weight|strength\w*|\w+_strength|weight_\w+)$")
_COUNTS = re.compile(
    r"^(batch_size|length|num_frames|frames|frame_count|fps|frame_rate|scale_by|upscale_by|megapixels|width|height|factor|seconds|duration)$"
)
_WHOLE = re.compile(r"seed|steps?$|size$|width$|height$|length$|frames?$|count$|index$|^(top|left|right|bottom|x|y)$|layer")
_UPLOADS = re.compile(r"^(upload|choose file to upload|image_upload|filename_prefix)$|after.?gen|after every gen", re.IGNORECASE)
_NONE = ("", "none", "null", "baked vae", "default")
_SENTENCES = {
    "guidance": "How closely the distilled model follows the prompt",
    "shift": "How far the noise schedule is shifted",
    "denoise": "How much is repainted",
    "batch_size": "How many pictures are made at once",
    "length": "How many frames there are",
    "fps": "Frames in a second",
    "frame_rate": "Frames in a second",
    "lora_name": "File of the LoRA, as the server lists it",
    "vae_name": "File of the VAE, as the server lists it",
    "ckpt_name": "File of the checkpoint, as the server lists it",
    "unet_name": "File of the diffusion model, as the server lists it",
    "control_net_name": "File of the ControlNet, as the server lists it",
    "strength_model": "Strength of the LoRA for the model",
    "strength_clip": "Strength of the LoRA for the text encoder",
    "scale_by": "How many times larger it becomes",
    "upscale_by": "How many times larger it becomes",
}


@dataclass(frozen=True, slots=True)
class ParamCandidate:
    """A literal that may become a parameter.

    Attributes:
        place: Its node and input.
        value: The literal.
        rank: How likely somebody turns it; smaller is likelier.
    """

    place: InputKey
    value: Any
    rank: tuple[int, int, int]


def candidates(
    workflow: Workflow, needed: set[str], passes: Collection[str], texts: Mapping[InputKey, str], taken: Collection[InputKey]
) -> Iterator[ParamCandidate]:
    """Yield the literals that may become parameters, in the order of the graph.

    Args:
        workflow: The graph.
        needed: The nodes that lead to an output.
        passes: The nodes that sample.
        texts: The literals that are parts of prompts, with what they are called.
        taken: The literals that have become something else.
    """
    distances, number_of_text = _distances(workflow, passes), {place: number for number, place in enumerate(texts)}
    for number, (node_id, node) in enumerate(workflow.nodes.items()):
        if node_id not in needed:
            continue
        for name, value in literals(node).items():
            place = (node_id, name)
            if place in taken or _UPLOADS.search(name) or not can_be_param(value):
                continue
            is_of_pass = node_id in passes
            order = _order(node, name, value, is_of_pass=is_of_pass, is_prompt=place in texts)
            distance = number_of_text.get(place, distances.get(node_id, 99))
            yield ParamCandidate(place, value, (order, distance, number))


def can_be_param(value: Any) -> bool:
    """Return whether a recipe can hold a literal: a text that can be sent, a number that is not too large, true or false."""
    if is_text(value):
        return not unsendable(value) and len(value) <= 100_000
    return isinstance(value, (bool, float)) or (is_integer(value) and abs(value) < _LARGEST)


LEFT = 9
"""The order of what becomes a parameter only if somebody asks for it."""


def _order(node: Node, name: str, value: Any, *, is_of_pass: bool, is_prompt: bool) -> int:
    if (node.class_type, name) in _INPUT_FILES and not str(value).endswith("]"):
        return 0
    if is_prompt and value:
        return 1
    if is_of_pass and name in _PASS_SETTINGS:
        # Steps at which it starts and ends are turned seldom, and a full denoise never.
        return LEFT if name in ("start_at_step", "end_at_step") or (name == "denoise" and value == 1) else 2
    if name in ("denoise", "steps", "sampler_name", "scheduler", "noise_seed", "seed"):
        return LEFT if name == "denoise" and value == 1 else 2
    if is_number(value) and _STRENGTHS.match(name):
        return 3
    if is_text(value) and value.casefold() in _NONE:
        return LEFT
    if is_text(value) and "\n" not in value and (model_kind(node.class_type, name) or MODEL_SUFFIX.search(value)):
        return 4
    if is_number(value) and _COUNTS.match(name):
        return 5
    return LEFT


def _distances(workflow: Workflow, passes: Collection[str]) -> dict[str, int]:
    """Return how many links each node is away from the nearest pass, in either direction."""
    beside: dict[str, set[str]] = {node_id: set() for node_id in workflow.nodes}
    for node_id, node in workflow.nodes.items():
        for _, link in node.links():
            beside[node_id].add(link.node)
            beside[link.node].add(node_id)
    found = dict.fromkeys(passes, 0)
    front = list(passes)
    while front:
        following = []
        for node_id in front:
            for other in beside[node_id]:
                if other not in found:
                    found[other] = found[node_id] + 1
                    following.append(other)
        front = following
    return found


def param_of(name: str, place: InputKey, workflow: Workflow, info: ObjectInfo | None) -> Param:
    """Return what a literal is as a parameter: its type and default, and as far as the server says its range and choices.

    Args:
        name: What it is called.
        place: Its node and input.
        workflow: The graph.
        info: What a server says of its nodes; None where none is asked.
    """
    node_id, input_name = place
    node = workflow.nodes[node_id]
    value = node.inputs[input_name]
    known = info.get(node.class_type) if info is not None else None
    said = known.inputs.get(input_name) if known is not None else None
    kind = file_kind(node, input_name, value)
    if kind:
        sentence = f"Your own file, uploaded for node {node_id} ({_label(node)}); without one, the server's own {_short(value)}."
        return Param(name, kind, default="", description=sentence)
    minimum, maximum = _range(value, said)
    return Param(
        name,
        _type(input_name, value, said),
        default=value,
        minimum=minimum,
        maximum=maximum,
        choices=_choices(value, said),
        description=_sentence(node_id, node, input_name, said),
    )


def file_kind(node: Node, name: str, value: Any) -> str:
    """Return ``image`` or ``file`` for an input that names a file in the server's input folder; empty for others."""
    kind = _INPUT_FILES.get((node.class_type, name), "")
    return kind if is_text(value) and value and not value.endswith("]") else ""


def _label(node: Node) -> str:
    title = " ".join(node.title.split())[:60]
    return f"{node.class_type} “{title}”" if title and title != node.class_type else node.class_type


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _sentence(node_id: str, node: Node, name: str, said: InputInfo | None) -> str:
    where = f"{name} of node {node_id}, {_label(node)}"
    known = _SENTENCES.get(name) or (said.tooltip if said is not None else "")
    first = re.split(r"(?<=[.!?])\s|\n", known.strip(), maxsplit=1)[0].rstrip(".")
    return f"{first}: {where}." if first and len(first) <= 150 else f"Input {where}."


def _type(name: str, value: Any, said: InputInfo | None) -> str:
    if isinstance(value, bool):
        return "boolean"
    if is_text(value):
        return "text"
    # A whole number may be what the page writes for 1.0.
    is_whole = said.types == {"INT"} if said is not None else bool(_WHOLE.search(name))
    return "integer" if is_integer(value) and is_whole else "number"


def _range(value: Any, said: InputInfo | None) -> tuple[float | None, float | None]:
    if said is None or not is_number(value):
        return None, None
    minimum = said.minimum if said.minimum is None or said.minimum <= value else None
    maximum = said.maximum if said.maximum is None or said.maximum >= value else None
    # A bound that is no bound of a person's is left out.
    return (minimum if minimum is None or abs(minimum) < 1e9 else None, maximum if maximum is None or abs(maximum) < 1e9 else None)


def _choices(value: Any, said: InputInfo | None) -> tuple[str, ...]:
    options = tuple(said.texts) if said is not None else ()
    if not is_text(value) or value not in options or len(options) > _MOST_CHOICES or any(map(MODEL_SUFFIX.search, options)):
        return ()
    return tuple(dict.fromkeys(options)) if not any(map(unsendable, options)) else ()
