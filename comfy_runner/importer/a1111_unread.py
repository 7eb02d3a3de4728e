"""What a recipe has no counterpart for in a text of the web UI: named, or refused where there is no picture without it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from comfy_runner.errors import Note, UsageError
from comfy_runner.importer.a1111_text import Parameters
from comfy_runner.wording import named
from comfy_runner.yaml_loader import got

_MOST_NOTES = 12
_OWN_TEMPLATE = "it needs nodes in your own template"
_OF_PICTURES = (
    *("Mask blur", "Inpaint area", "Masked content", "Masked area padding", "Inpainting mask weight", "Resize mode"),
    *("SD upscale overlap", "SD upscale upscaler", "Ultimate SD upscale upscaler", "Ultimate SD upscale tile_width"),
)
# Read elsewhere, or of no meaning for the picture, or so that only other noise comes of it.
_READ = frozenset(
    (
        *("steps", "sampler", "schedule type", "scheduler", "cfg scale", "cfg", "seed", "size", "width", "height", "model"),
        *("model hash", "vae", "vae hash", "clip skip", "denoising strength", "hires upscale", "hires resize", "hires steps"),
        *("hires upscaler", "hires sampler", "hires schedule type", "hires scheduler", "hires cfg scale", "hires cfg"),
        *("distilled cfg scale", "lora hashes", "ti hashes", "hashes", "version", "app", "backend", "pipeline", "operations"),
        *("parser", "user", "template", "negative template", "civitai resources", "civitai metadata", "created date", "date"),
        *("batch size", "batch pos", "rng", "model type", "comment", "job timestamp", "hires scale", "hires size"),
    )
)
_NOTHING = ("", "none", "false", "0", "off", "disabled", "automatic")
# The families of settings by how their keys begin, the longest first, and what can be done.
_FAMILIES = (
    ("hires negative prompt", "the second pass uses the first one's negative prompt"),
    ("hires prompt", "the second pass uses the first one's prompt"),
    ("hires checkpoint", "the second pass uses the first one's checkpoint"),
    ("hires distilled cfg scale", "the second pass uses the first one's guidance"),
    ("hires module", "the second pass uses the first one's files"),
    ("refiner", "the template sdxl_refiner has one: params.refiner and params.switch_at"),
    ("variation seed", "ComfyUI does not mix the noise of two seeds"),
    ("seed resize", "ComfyUI does not draw noise of another size"),
    ("ensd", "ComfyUI adds nothing to seeds"),
    ("adetailer", "nothing is detailed afterwards; " + _OWN_TEMPLATE),
    ("controlnet", "the template controlnet_tile has one for tiles; any other needs your own template"),
    ("face restoration", "faces are not restored afterwards; " + _OWN_TEMPLATE),
    ("postprocess", "nothing is enlarged or restored afterwards; the template plain_model_upscale enlarges"),
    ("rp ", _OWN_TEMPLATE),
    ("regional", _OWN_TEMPLATE),
    ("tiled diffusion", _OWN_TEMPLATE),
    ("tiled vae", "vae_decode: tiled decodes in tiles"),
    ("freeu", "it needs the node FreeU in your own template"),
    ("tiling", "ComfyUI makes no seamless pictures without further nodes"),
)


def refuse_pictures(text: Parameters, *, is_hires: bool) -> None:
    """Refuse the text of a picture that was made from another picture, which is not in it.

    Args:
        text: The text.
        is_hires: Whether it says anything of the highres fix, to which a denoising strength belongs.

    Raises:
        UsageError: It is that of img2img or inpainting.
    """
    key = next((key for key in _OF_PICTURES if text.get(key)), "")
    if not key and text.get("Denoising strength") and not is_hires:
        key = "Denoising strength"
    if not key and any(word in text.get("Operations").casefold() for word in ("img2img", "inpaint", "outpaint")):
        key = "Operations"
    if key:
        what = f"was made from another picture, which its text does not contain (got {got(f'{key}: {text.get(key)}')})"
        hint = "use template: img2img_upscale, and give the first picture as params.image and the strength as upscale.denoise"
        raise UsageError(what, where="parameters", hint=hint)
    if size := text.get("First pass size"):
        what = f"has a highres fix from before 2023, without an upscaler (got {got(f'First pass size: {size}')})"
        raise UsageError(
            what, where="parameters", hint="write `Hires upscale: 2, Hires upscaler: Latent` instead, and the first size"
        )


def embeddings_of(text: Parameters) -> tuple[str, ...]:
    """Return the embeddings that a text names in its lists of hashes: ``TI hashes``, or ``embed:NAME`` among its ``Hashes``."""
    names = [entry.rpartition(":")[0].strip() for entry in text.get("TI hashes").split(",")]
    try:
        hashes = json.loads(text.get("Hashes") or "{}")
    except (ValueError, RecursionError):
        hashes = {}
    listed = hashes if isinstance(hashes, dict) else {}
    names += [key.removeprefix("embed:") for key in listed if key.startswith("embed:")]
    return tuple(dict.fromkeys(name for name in names if name))


def unread(text: Parameters, *, is_flux: bool) -> Iterator[Note]:
    """Yield a note for each setting, or family of settings, that has no counterpart in the recipe, at most a dozen.

    Args:
        text: The text.
        is_flux: Whether its recipe is that of Flux, which reads Forge's modules as text encoders.
    """
    found: dict[str, tuple[str, str]] = {}
    guidance = text.get("Distilled CFG Scale")
    for key, value in text.settings.items():
        folded = key.casefold()
        said = value.strip()
        if folded in _READ or said.casefold() in _NOTHING or said.casefold().startswith(("use same", "automatic")):
            continue
        if _is_module(folded) or (folded == "guidance" and is_flux) or (folded == "hires distilled cfg scale" and said == guidance):
            continue
        family, advice = next((each for each in _FAMILIES if folded.startswith(each[0])), (folded, ""))
        found.setdefault(family, (key, f"has no equivalent here{f': {advice}' if advice else ''} (got {got(said)})"))
    notes = [Note(what, key) for key, what in found.values()]
    yield from notes[:_MOST_NOTES]
    if rest := [note.where for note in notes[_MOST_NOTES:]]:
        yield Note(f"further settings have no equivalent here: {named([got(key) for key in rest])}", "parameters")


def _is_module(key: str) -> bool:
    return key.startswith("module ") and key[7:].isdecimal()
