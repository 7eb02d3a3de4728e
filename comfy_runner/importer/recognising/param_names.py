"""What the parameters of a template are called: names that Jinja can say, that people know, each only once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Node, Workflow
from comfy_runner.importer.recognising.passes import WorkflowPasses

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
"""What a parameter can be called, so that a template can say ``params.NAME``."""

METHODS = frozenset(name for name in dir(dict) if not name.startswith("_"))
"""What it cannot be called, because Jinja would take it for a method of a mapping; nor what begins with _, which it guards."""

_LONGEST = 32
# Inputs whose names say nothing without their node's.
_GENERIC = frozenset(
    re.split(" ", "text value string int float number boolean bool prompt any content name file text_a text_b text_c text_g text_l")
)
_NAMES = {
    ("UpscaleModelLoader", "model_name"): "upscale_model",
    ("LoadImageMask", "image"): "mask",
    ("CheckpointLoaderSimple", "ckpt_name"): "checkpoint",
}
_SHORT = {"noise_seed": "seed", "sampler_name": "sampler", "ckpt_name": "checkpoint", "unet_name": "diffusion_model"}
# What the page calls nodes of some classes, as far as their names do not tell.
_PAGE_TITLES = (
    "Load Checkpoint|CLIP Text Encode (Prompt)|Empty Latent Image|VAE Decode|VAE Encode|Save Image|Preview Image|Load Image"
    "|Load LoRA|Load VAE|Load Diffusion Model|Load CLIP|Upscale Latent|Upscale Latent By|Upscale Image|Upscale Image By"
    "|Load Upscale Model|Upscale Image (using Model)|Apply ControlNet|Load ControlNet Model|KSampler (Advanced)|Primitive"
    "|CLIP Set Last Layer|Apply ControlNet (Advanced)|Int|Float|String|Boolean"
)


class ParamNames:
    """Gives each parameter a name that no other one has.

    Args:
        workflow: The graph.
        passes: Its passes, after which their own settings are called.
        texts: The literals that are parts of prompts, with what they are called.
        taken: The names that there are already.
    """

    def __init__(
        self, workflow: Workflow, passes: WorkflowPasses, texts: Mapping[InputKey, str], taken: Iterable[str] = ()
    ) -> None:
        self._workflow, self._texts = workflow, texts
        self._passes = _labels(workflow, passes)
        self._taken = set(taken)
        self._counts: Counter[str] = Counter()
        self._titles = _own_titles(workflow)

    def of(self, place: InputKey) -> str:
        """Return a name for a literal: its input's, with its node's title or class where that alone says nothing."""
        base = self._base(place)
        if len(base) > _LONGEST:
            base = base[:_LONGEST].rpartition("_")[0] or base[:_LONGEST]
        if base in METHODS:
            base += "_value"
        while True:
            self._counts[base] += 1
            number = self._counts[base]
            found = base if number == 1 else f"{base}_{number}"
            if found not in self._taken:
                self._taken.add(found)
                return found

    def _base(self, place: InputKey) -> str:
        node_id, name = place
        node = self._workflow.nodes[node_id]
        if place in self._texts:
            return self._texts[place]
        if (known := _NAMES.get((node.class_type, name))) is not None:
            return known
        if name in _GENERIC:
            return _identifier(self._titles[node_id] or _snake(node.class_type))
        base = _identifier(_SHORT.get(name) or re.sub(r"(?<=[a-z])_name_?(\d*)$", lambda found: f"_{found[1]}", name))
        label = self._passes.get(node_id, "")
        if not label and self._counts[base] and self._titles[node_id]:
            label = _identifier(self._titles[node_id])
        return f"{label}_{base}" if label and not base.startswith(label) else base


def _labels(workflow: Workflow, passes: WorkflowPasses) -> dict[str, str]:
    """Return what the settings of each pass begin with; nothing for the only first pass and its other halves."""
    found: dict[str, str] = {}
    number, all_passes = 0, set(passes.all)
    for node_id in (each for each in workflow.in_order if each in all_passes):
        kind = workflow.nodes[node_id].class_type.lower()
        if node_id in passes.first and len(passes.first) == 1:
            found[node_id] = ""
            number += 1
        elif "detail" in kind:
            found[node_id] = "detailer"
        elif "upscal" in kind:
            found[node_id] = "upscaler"
        else:
            number += 1
            found[node_id] = f"pass_{number}"
    return found


def _own_titles(workflow: Workflow) -> dict[str, str]:
    """Return the titles that somebody gave to nodes; empty where it may well be the page's, as where all of a class have it."""
    titles = {id_: _own_title(node) for id_, node in workflow.nodes.items()}
    of_class: dict[str, list[str]] = {}
    for id_, node in workflow.nodes.items():
        of_class.setdefault(node.class_type, []).append(titles[id_])
    shared = {class_type for class_type, given in of_class.items() if len(given) > 1 and len(set(given)) == 1}
    return {id_: "" if node.class_type in shared else titles[id_] for id_, node in workflow.nodes.items()}


def _own_title(node: Node) -> str:
    title = str(node.meta.get("title") or "")
    bare, of_class = (re.sub(r"[\W_]", "", text).casefold() for text in (title, node.class_type))
    if not bare or bare in of_class or of_class in bare or title in _PAGE_TITLES.split("|"):
        return ""
    return title if re.search("[a-z]", _identifier(title)) else ""


def _identifier(text: str) -> str:
    found = re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_")
    return f"n_{found}" if found[:1].isdigit() else found or "value"


def _snake(class_type: str) -> str:
    text = re.sub(r"\W*[(\[|].*", "", class_type) or class_type
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", text)
