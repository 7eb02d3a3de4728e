r"""What a server lets a recipe choose from, by kind: checkpoints, loras, samplers, …; and what a name means among that.

The kinds and the inputs that list them are known here; the names never are: those are what the server says. Recipes write ``/``; a
Windows server lists ``SDXL\x.safetensors``; files get moved into folders; people mistype letter case, and leave out suffixes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from comfy_runner.graph.object_info import NodeInfo, ObjectInfo

MODEL_SUFFIX = re.compile(r"(?<=[^/\\])\.(safetensors|sft|ckpt|pth?|bin|gguf|onnx)\Z", re.IGNORECASE)
"""How the names of model files end."""

_MOST_FOLDERS = 200  # each is a request
_LONGEST_FOLDER = 200

# kind: the node class and its input that list it. Where the server has a folder of models for it, the kind has the folder's name.
_MODELS = {
    "checkpoints": ("CheckpointLoaderSimple", "ckpt_name"),
    "loras": ("LoraLoader", "lora_name"),
    "vae": ("VAELoader", "vae_name"),
    "controlnet": ("ControlNetLoader", "control_net_name"),
    "upscale_models": ("UpscaleModelLoader", "model_name"),
    "diffusion_models": ("UNETLoader", "unet_name"),
    "text_encoders": ("CLIPLoader", "clip_name"),
    "clip_vision": ("CLIPVisionLoader", "clip_name"),
    "style_models": ("StyleModelLoader", "style_model_name"),
    "gligen": ("GLIGENLoader", "gligen_name"),
    "hypernetworks": ("HypernetworkLoader", "hypernetwork_name"),
    "photomaker": ("PhotoMakerLoader", "photomaker_model_name"),
    "latent_upscale_models": ("LatentUpscaleModelLoader", "model_name"),
    "model_patches": ("ModelPatchLoader", "name"),
    "audio_encoders": ("AudioEncoderLoader", "audio_encoder_name"),
}
_SETTINGS = {
    "samplers": ("KSampler", "sampler_name"),
    "schedulers": ("KSampler", "scheduler"),
    "latent_upscale_methods": ("LatentUpscale", "upscale_method"),
    "image_upscale_methods": ("ImageScale", "upscale_method"),
}
# Of the inputs of these names it is known what they are, whatever the class of their node.
_BY_INPUT = {
    name: kind
    for kind, (_, name) in _MODELS.items()
    if kind in ("checkpoints", "loras", "vae", "controlnet", "diffusion_models", "text_encoders", "style_models")
}
# Other words for kinds, as `_folded` leaves them; unet and clip are also what older servers call the folders.
_ALIASES = {
    "ckpt": "checkpoints",
    "clip": "text_encoders",
    "textualinversion": "embeddings",
    "unet": "diffusion_models",
    "upscalemethod": "latent_upscale_methods",
    "upscaler": "upscale_models",
}
# A server names it among the folders of models, but there are programs in it, and to list them takes long.
_NO_MODELS = frozenset({"custom_nodes"})


@dataclass(frozen=True, slots=True)
class Listing:
    """What a server lists of one kind.

    Attributes:
        kind: What they are, such as ``checkpoints`` or ``samplers``; a folder's name where it is the server's own.
        source: Where the server says it: ``CheckpointLoaderSimple.ckpt_name``, ``/models/embeddings``.
        names: What there is, named and ordered as the server does.
    """

    kind: str
    source: str
    names: tuple[str, ...]


def listings(info: ObjectInfo, folders: Mapping[str, Sequence[str]] | None = None) -> tuple[Listing, ...]:
    """Return all that a server lists: models, then those of further folders, then samplers and the like.

    Args:
        info: What it says of its nodes. A kind whose node class it lacks, or whose names it does not list, it does not have.
        folders: The files in further folders of models, by folder, where the server tells them.
    """
    further = [folder_listing(folder, names) for folder, names in (folders or {}).items()]
    return (*_listed(info, _MODELS), *further, *_listed(info, _SETTINGS))


def folder_listing(folder: str, names: Sequence[str]) -> Listing:
    """Return what is in a folder of models as a kind."""
    return Listing(folder, f"/models/{folder}", tuple(names))


def further_folders(folders: Iterable[str], known: Iterable[Listing]) -> tuple[str, ...]:
    """Return the folders of models that nodes list nothing of, and that can be asked for.

    Args:
        folders: The folders that the server names.
        known: What its nodes list.
    """
    kinds = {listing.kind for listing in known}
    found = dict.fromkeys(
        folder
        for folder in folders
        # In a URL the names with dots only would lead elsewhere.
        if folder.strip(".") and len(folder) <= _LONGEST_FOLDER and folder not in _NO_MODELS
        if folder not in kinds and _ALIASES.get(folder) not in kinds
    )
    return tuple(found)[:_MOST_FOLDERS]


def find_kind(given: str, known: Sequence[str]) -> str | None:
    """Return the kind that somebody means, or None: ``lora``, ``Control-Net`` and ``unet`` are as good as the kinds' names."""
    if given in known:
        return given
    folded = _folded(given)
    alias = _ALIASES.get(folded)
    return next((kind for kind in known if _folded(kind) == folded), alias if alias in known else None)


def candidates(name: str, options: Sequence[str]) -> list[str]:
    """Return the options that this name can mean, by the first of these readings that finds any.

    The readings: exact, whatever the separator, whatever the letter case, the file name alone; and for a name without suffix the
    last two again.
    """
    for read, reading in _READINGS:
        wanted = read(name)
        found = [option for option in dict.fromkeys(options) if reading(option) == wanted]
        if found:
            return found
    return []


def model_kind(class_type: str, name: str) -> str:
    """Return the kind of the model that a node's input names; empty for an input that names none, as far as is known here.

    Args:
        class_type: The node's class; other loaders than the usual ones call their inputs as those do: ``clip_name1``.
        name: The input.
    """
    exact = next((kind for kind, place in _MODELS.items() if place == (class_type, name)), "")
    return exact or _BY_INPUT.get(name.rstrip("0123456789"), "")


def fits(node: NodeInfo, text: str) -> bool:
    """Return whether each word of a text is in a node's names or its category, or is a type that goes in or out."""
    named = "\n".join((node.name, node.display_name, node.category)).casefold()
    types = {type_.strip().casefold() for known in node.inputs.values() for type_ in known.types}
    types |= {type_.casefold() for type_ in node.outputs}
    return all(word in named or word in types for word in text.casefold().split())


def _listed(info: ObjectInfo, inputs: Mapping[str, tuple[str, str]]) -> list[Listing]:
    found = []
    for kind, (class_type, name) in inputs.items():
        node = info.get(class_type)
        known = node.inputs.get(name) if node else None
        if known is not None and known.options is not None:
            names = tuple(option for option in known.options if isinstance(option, str))
            found.append(Listing(kind, f"{class_type}.{name}", names))
    return found


def _folded(kind: str) -> str:
    return re.sub(r"[\W_]", "", kind.casefold()).removesuffix("s")


def _separators(name: str) -> str:
    return name.replace("\\", "/")


def _case(name: str) -> str:
    return _separators(name).casefold()


def _base(name: str) -> str:
    return _case(name).rsplit("/", 1)[-1]


_READINGS: tuple[tuple[Callable[[str], str], Callable[[str], str]], ...] = (
    (str, str),
    (_separators, _separators),
    (_case, _case),
    (_base, _base),
    (_case, lambda option: MODEL_SUFFIX.sub("", _case(option))),
    (_base, lambda option: MODEL_SUFFIX.sub("", _base(option))),
)
"""What is compared of a name and of an option, the strictest first."""
