"""A text of AUTOMATIC1111's web UI, Forge or a relative as the fields of a recipe for a shipped template.

The settings of the text become those of the recipe, name by name; what has no counterpart is named in a note, and a text whose
picture cannot be made from what it says is refused. A picture without the highres fix is one pass (``text_to_image``); with it, the
upscaler decides the template: ``latent_upscale``, ``pixel_upscale`` or ``model_upscale``. Flux, which Forge tells by its distilled
guidance, has a template of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfy_runner.errors import Note, UsageError
from comfy_runner.graph.sizes import CELL
from comfy_runner.importer.a1111_files import FileNames, modules_of
from comfy_runner.importer.a1111_prompt import loras_of, with_comfyui_weights, with_embeddings, without_networks
from comfy_runner.importer.a1111_sampling import first_sampling, second_sampling
from comfy_runner.importer.a1111_text import Parameters, decimal, parse_parameters, sides, whole_number
from comfy_runner.importer.a1111_unread import embeddings_of, refuse_pictures, unread
from comfy_runner.recipe.fields import MAX_PIXELS, MAX_SEED, MIN_PIXELS
from comfy_runner.recipe.layers import nested
from comfy_runner.recipe.sizes import scaled
from comfy_runner.recipe.upscaler_names import Upscaler, upscaler_of
from comfy_runner.wording import named
from comfy_runner.yaml_loader import got

__all__ = ["A1111Recipe", "Parameters", "parse_parameters", "recipe_of"]

SAME_SETTINGS = (
    "the settings are the same, but the pixels are not: ComfyUI draws noise, weights words "
    "and applies LoRAs differently from the web UI"
)
"""What is said once of every such recipe."""

_HIRES = ("Hires upscale", "Hires resize", "Hires upscaler", "Hires steps", "Hires scale")
_MOST_LORAS = 100
_LONGEST_PROMPT = 1 << 20
_NO_VAE = ("automatic", "none", "built in")


@dataclass(frozen=True, slots=True)
class A1111Recipe:
    """The recipe of a text.

    Attributes:
        fields: The recipe's fields, as mappings within each other, in a recipe's order; ``name`` is not among them.
        comments: What to write beside single fields, by dotted field: the web UI's word, or a file's hash.
        notes: What the user should know: first that the pixels differ, then what of the text has no counterpart. Syntax of prompts
            that ComfyUI does not know is not among them: whoever loads the recipe is told (`recipe.prompt_syntax`).
    """

    fields: dict[str, Any]
    comments: dict[str, str]
    notes: tuple[Note, ...]


def recipe_of(
    parameters: Parameters, *, size: tuple[int, int] | None = None, models: Mapping[str, Sequence[str]] | None = None
) -> A1111Recipe:
    """Return the recipe of a text.

    Args:
        parameters: The text.
        size: Width and height in pixels of the picture that has it; it stands in for a size that the text does not say. None for
            a text without a picture.
        models: What a server has, by kind as `graph.model_lists.Listing` calls them: a file is called as the server calls it, where
            it is the only one with its base name. None for no server; then files are called as in the text.

    Raises:
        UsageError: It is the text of img2img or inpainting, whose first picture is not in it; ComfyUI has no counterpart of its
            sampler or schedule; no shipped template does what it says; or a value cannot be.
    """
    reader = _Reader(parameters, FileNames(models), size)
    reader.read()
    return A1111Recipe(nested(reader.fields), reader.comments, tuple(reader.notes))


class _Reader:
    """Reads the fields of a text one after the other, dotted, in a recipe's order."""

    def __init__(self, parameters: Parameters, files: FileNames, picture: tuple[int, int] | None) -> None:
        self.fields: dict[str, Any] = {}
        self.comments: dict[str, str] = {}
        self.notes: list[Note] = []
        self._text = parameters
        self._files = files
        self._picture = picture
        self._modules = modules_of(parameters)
        self._is_hires = any(parameters.get(key) for key in _HIRES)
        self._is_comfyuis = _is_comfyuis(parameters)
        self._is_flux = bool(parameters.get("Distilled CFG Scale")) or _names_flux(parameters.get("Model"))

    def read(self) -> None:
        refuse_pictures(self._text, is_hires=self._is_hires)
        if not self._is_comfyuis:
            self.notes.append(Note(SAME_SETTINGS, level="changed"))
        upscaler = self._upscaler() if self._is_hires else None
        route = upscaler.template if upscaler else "text_to_image"
        self.fields["template"] = "flux" if self._is_flux else route
        self._models()
        self._prompts()
        self._seed()
        self._size()
        self._sampler()
        if upscaler is not None:
            self._second_pass(upscaler)
        self._params(upscaler)
        self._compare_with_picture()
        self.notes += self._files.notes
        self.notes += unread(self._text, is_flux=self._is_flux)

    def _give(self, field: str, value: Any, comment: str = "") -> None:
        self.fields[field] = value
        if comment:
            self.comments[field] = comment

    def _file(self, field: str, name: str, *kinds: str, comment: str = "") -> None:
        found, remark = self._files.found(name, kinds, field=field)
        self._give(field, found, "; ".join(filter(None, (comment, remark))))

    def _say(self, what: str, where: str) -> None:
        self.notes.append(Note(what, where))

    def _models(self) -> None:
        text = self._text
        kind = "diffusion_models" if self._is_flux else "checkpoints"
        if name := text.get("Model"):
            value = text.get("Model hash")
            self._file("checkpoint", name, kind, comment=f"hash {value}" if value else "")
        elif value := text.get("Model hash"):
            self._say(f"the text names no model, only its hash {got(value)}: add `checkpoint:` yourself", "Model")
        else:
            self._say("the text names no model: add `checkpoint:` yourself", "Model")
        vae = self._modules.vae or text.get("VAE")
        if vae and vae.casefold() not in _NO_VAE:
            self._file("vae", vae, "vae")
        skip = text.get("Clip skip")
        if skip and not self._is_flux and (layers := whole_number(skip, "Clip skip", least=0, most=24)) > 1:
            self._give("clip_skip", layers)

    def _prompts(self) -> None:
        text = self._text
        loras, hypernets = loras_of(text.prompt)
        if len(loras) > _MOST_LORAS:
            raise UsageError(f"names more than {_MOST_LORAS} LoRAs (got {len(loras)})", where="prompt")
        if loras:
            entries = []
            for lora in loras:
                name, remark = self._files.found(lora.name, ("loras",), field="loras")
                entries.append({"name": name, "strength_model": lora.strength_model, "strength_clip": lora.strength_clip})
                if remark:
                    self.comments["loras"] = "; ".join(filter(None, (self.comments.get("loras"), f"{lora.name}: {remark}")))
            self._give("loras", entries)
        if hypernets:
            what = f"hypernetworks are left out ({named([got(name) for name in hypernets])}): they need your own template"
            self._say(what, "prompt")
        embeddings = embeddings_of(text)
        for name, typed in (("prompt", without_networks(text.prompt)), ("negative_prompt", text.negative_prompt)):
            prompt = typed if self._is_comfyuis else with_comfyui_weights(with_embeddings(typed, embeddings))
            if len(prompt) > _LONGEST_PROMPT:
                raise UsageError(f"must have at most {_LONGEST_PROMPT} characters (got {len(prompt)})", where=name)
            if name == "negative_prompt" and (self._is_flux or not prompt):
                continue
            self._give(name, prompt)
        if self._is_flux and text.negative_prompt:
            self._say("is left out: Flux does not use one, and the template flux has none", "Negative prompt")

    def _seed(self) -> None:
        seed = self._text.get("Seed")
        if not seed:
            self._say("the text gives no seed, so one is drawn", "Seed")
        elif (number := whole_number(seed, "Seed", least=-1, most=2**64 - 1)) < 0 or number > MAX_SEED:
            self._say(f"is not a possible seed in a recipe, so one is drawn (got {number})", "Seed")
        else:
            self._give("seed", number)

    def _size(self) -> None:
        text, picture = self._text, self._picture
        given = text.get("Size") or (
            f"{text.get('Width')}x{text.get('Height')}" if text.get("Width") and text.get("Height") else ""
        )
        if not given and (picture is None or self._is_hires):
            self._say("the text gives no size, so the recipe's default is used", "Size")
            return
        width, height = sides(given, "Size") if given else picture or (0, 0)
        for name, side in (("width", width), ("height", height)):
            whole = _whole_cells(side, "Size")
            self._give(f"size.{name}", whole, "" if given else "of the picture, because the text gives no size")
            if whole != side:
                self.notes.append(Note(f"{name} {side} becomes {whole}, to make whole latent cells", "Size", "changed"))

    def _sampler(self) -> None:
        text = self._text
        sampling = first_sampling(text)
        if sampling is None:
            self._say("the text gives no sampler, so the template's default is used", "Sampler")
        else:
            self._give("sampler.name", sampling.name, sampling.said)
            self._give("sampler.scheduler", sampling.scheduler, sampling.schedule_said)
        if steps := text.get("Steps"):
            self._give("sampler.steps", whole_number(steps, "Steps", least=1, most=10_000))
        else:
            self._say("the text gives no steps, so the template's default is used", "Steps")
        if cfg := text.get("CFG scale", "CFG"):
            self._give("sampler.cfg", decimal(cfg, "CFG scale", least=0, most=100))
        else:
            self._say("the text gives no guidance, so the template's default is used", "CFG scale")

    def _upscaler(self) -> Upscaler:
        """Return the upscaler of the highres fix; a name that is none of the web UI's own is that of a model's file."""
        name = self._text.get("Hires upscaler")
        if not name:
            name = "Latent"
            self._say("the text does not say which, so the web UI's default, Latent, is used", "Hires upscaler")
        found = upscaler_of(name) or upscaler_of(name.title()) or Upscaler("model", "lanczos")
        if self._is_flux and found.route != "pixel":
            what = f"the template flux enlarges pixels, but this upscaler does not (got {got(name)})"
            hint = (
                "write `Hires upscaler: Lanczos` in the text, or remove the settings of the highres fix to get only the first pass"
            )
            raise UsageError(what, where="Hires upscaler", hint=hint)
        return found

    def _second_pass(self, upscaler: Upscaler) -> None:
        text = self._text
        self._enlargement()
        self._give("upscale.method", upscaler.method, text.get("Hires upscaler") if upscaler.route != "model" else "")
        if upscaler.differs:
            self._say(f"{upscaler.differs} (got {got(text.get('Hires upscaler'))})", "Hires upscaler")
        if denoise := text.get("Denoising strength"):
            if decimal(denoise, "Denoising strength", least=0, most=1) == 0:
                what = "the highres fix repaints nothing, so there is no second pass (got 0)"
                hint = "the templates plain_image_upscale and plain_model_upscale enlarge a picture and do nothing else"
                raise UsageError(what, where="Denoising strength", hint=hint)
            self._give("upscale.denoise", decimal(denoise, "Denoising strength", least=0, most=1))
        else:
            self._say("the text does not say how much is repainted, so the template's default is used", "Denoising strength")
        self._give("upscale.steps_mode", "full")
        sampling = second_sampling(text)
        if sampling is not None:
            if sampling.name:
                self._give("upscale.sampler.name", sampling.name, sampling.said)
            self._give("upscale.sampler.scheduler", sampling.scheduler, sampling.schedule_said)
        steps = whole_number(text.get("Hires steps") or "0", "Hires steps", least=0, most=10_000)
        if steps:
            self._give("upscale.sampler.steps", steps)
        elif "sampler.steps" in self.fields:
            self._give(
                "upscale.sampler.steps", self.fields["sampler.steps"], "as many as in the first pass, because Hires steps is 0"
            )
        if cfg := text.get("Hires CFG Scale", "Hires CFG"):
            self._give("upscale.sampler.cfg", decimal(cfg, "Hires CFG Scale", least=0, most=100))

    def _enlargement(self) -> None:
        text = self._text
        if resize := text.get("Hires resize"):
            width, height = sides(resize, "Hires resize")
            across, down = self.fields.get("size.width", 0), self.fields.get("size.height", 0)
            if across and down and width and not height:
                height = width * down // across
            elif across and down and height and not width:
                width = height * across // down
            for name, side in (("width", width), ("height", height)):
                self._give(f"upscale.size.{name}", _whole_cells(side, "Hires resize"))
            if across and down and abs(width * down / (height * across) - 1) > 0.02:
                self._say(
                    "the web UI crops a picture that is resized to another aspect ratio, but here it is stretched", "Hires resize"
                )
        elif factor := text.get("Hires upscale", "Hires scale"):
            value = decimal(factor, "Hires upscale", least=0, most=8)
            if value <= 0:
                raise UsageError("must be more than 0 (got 0)", where="Hires upscale")
            self._give("upscale.factor", value)
            self._compare_sizes(value)
        else:
            self._say("the text does not say how much larger, so the recipe's default is used", "Hires upscale")

    def _compare_sizes(self, factor: float) -> None:
        """Say where the two round an enlarged size to other latent cells: the web UI floors (``hr_upscale_to_x // opt_f``)."""
        width, height = self.fields.get("size.width"), self.fields.get("size.height")
        if not width or not height:
            return
        there = tuple(int(side * factor) // CELL * CELL for side in (width, height))
        here = scaled(width, height, factor=factor)
        if there != (here.width, here.height):
            what = f"the web UI makes {there[0]}x{there[1]} pixels of it, but here it is {here.width}x{here.height}"
            self._say(f"{what}: give `upscale.size` to get the same", "Hires upscale")

    def _params(self, upscaler: Upscaler | None) -> None:
        text = self._text
        if self._is_flux:
            for number, name in enumerate(self._modules.encoders, start=1):
                if name:
                    self._file(f"params.clip_{number}", name, "text_encoders")
            if guidance := text.get("Distilled CFG Scale", "Guidance"):
                self._give("params.guidance", decimal(guidance, "Distilled CFG Scale", least=0, most=100))
            else:
                self._say("the text does not give it, so the guidance of the template flux is used", "Distilled CFG Scale")
            if upscaler is None:
                self._give("params.second_pass", False, "the text has no highres fix")
            if missing := [name for name, there in (("a VAE", "vae" in self.fields), *self._modules.given) if not there]:
                self._say(f"the text does not name {' and '.join(missing)}, so the files of the template flux are used", "Module 1")
        elif upscaler is not None and upscaler.route == "model":
            name = text.get("Hires upscaler")
            self._file("params.upscale_model", upscaler.model or name, "upscale_models", comment=name if upscaler.model else "")

    def _compare_with_picture(self) -> None:
        """Say whether the picture was enlarged, cut or exchanged after the text was written."""
        width, height = self.fields.get("size.width"), self.fields.get("size.height")
        if self._picture is None or width is None or height is None:
            return
        if self._is_hires and "upscale.size.width" in self.fields:
            width, height = self.fields["upscale.size.width"], self.fields["upscale.size.height"]
        elif self._is_hires:
            factor = self.fields.get("upscale.factor", 2)
            width, height = int(width * factor), int(height * factor)
        if max(abs(width - self._picture[0]), abs(height - self._picture[1])) > CELL:
            is_first = self._is_hires and self._picture == (self.fields["size.width"], self.fields["size.height"])
            why = "it is the picture of the first pass" if is_first else "it was enlarged, reduced or cropped afterwards"
            self._say(
                f"the picture has {self._picture[0]}x{self._picture[1]} pixels, and the text makes {width}x{height}: {why}", "Size"
            )


def _is_comfyuis(text: Parameters) -> bool:
    """Return whether ComfyUI has written a text, by way of a node or of this program: its prompts are in ComfyUI's own syntax."""
    return text.get("Version").casefold().startswith("comfyui")


def _whole_cells(side: int, key: str) -> int:
    if not MIN_PIXELS <= side <= MAX_PIXELS:
        raise UsageError(f"sides must be from {MIN_PIXELS} to {MAX_PIXELS} pixels (got {side})", where=key)
    return side // CELL * CELL


def _names_flux(model: str) -> bool:
    words = "".join(char if char.isalpha() else " " for char in model.casefold()).split()
    return "flux" in words
