"""A1111's text of how a picture was made, which its web UI writes as ``parameters``, for ``output.metadata: a1111``.

The form is that of ``create_infotext`` in its ``modules/processing.py``: the prompt with its LoRAs, ``Negative prompt:``, and one
line of ``Key: value`` pairs. Only what went into this very picture is told: a field counts where the template has printed it into
a node that the picture depends on. The settings are the same there; the pixels are not, since noise is drawn otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from comfy_runner.graph.model_lists import MODEL_SUFFIX
from comfy_runner.graph.sizes import Size
from comfy_runner.graph.workflow import Node
from comfy_runner.planning.job_graph import PlannedJob
from comfy_runner.recipe.fields import A1111
from comfy_runner.recipe.layers import value_at
from comfy_runner.recipe.sampler_names import web_ui_sampler
from comfy_runner.store.about import metadata_of

_VERSION = "ComfyUI"
_LATENT, _PIXELS, _MODEL = ("LatentUpscale", "LatentUpscaleBy"), ("ImageScale", "ImageScaleBy"), "UpscaleModelLoader"
_LATENT_NAMES = {"bilinear": "Latent"}
_PIXEL_NAMES = {"nearest-exact": "Nearest"}
_SECOND = "upscale."


def parameters_of(planned: PlannedJob) -> dict[str, str]:
    """Return the text of each output role of a job; none where its recipe does not want it.

    Args:
        planned: The job. A role that nothing is sampled for has no text.
    """
    if A1111 not in metadata_of(planned.repeatable):
        return {}
    texts = {role: _Picture.of(planned, node_id, planned.sizes.get(role)) for role, node_id in planned.workflow.outputs.items()}
    return {role: text for role, picture in texts.items() if (text := picture.text())}


@dataclass(frozen=True, slots=True)
class _Picture:
    """What is known of a picture.

    Attributes:
        fields: What went into it, as templates call it, dotted.
        values: All values of its job, as templates see them.
        nodes: The nodes that it depends on.
        size: In pixels; None where it is not known.
        resized: Whether the recipe gives the enlarged size, rather than a factor.
    """

    fields: frozenset[str]
    values: Mapping[str, Any]
    nodes: tuple[Node, ...]
    size: Size | None
    resized: bool

    @classmethod
    def of(cls, planned: PlannedJob, node_id: str, size: Size | None) -> _Picture:
        needed = planned.workflow.ancestors([node_id])
        printed = {field for (node, _), field in planned.sources.items() if node in needed}
        # What a template computes with is printed nowhere: it is used somewhere, and the second pass alone is not for all.
        everywhere = {*planned.sources.values()}
        used = {field for field in planned.template.uses if not field.startswith(_SECOND)}
        computed = {field for field in used if not any(f"{each}.".startswith(f"{field}.") for each in everywhere)}
        nodes = tuple(planned.workflow.nodes[needed_id] for needed_id in needed)
        is_resized = planned.job.recipe.recipe.upscale.size is not None
        return cls(frozenset(printed | computed), planned.job.values, nodes, size, is_resized)

    def has(self, field: str) -> bool:
        return any(each == field or each.startswith(f"{field}.") for each in self.fields)

    def get(self, field: str) -> Any:
        """Return the value of a field that went into the picture; None for all others."""
        return value_at(self.values, field.split(".")) if self.has(field) else None

    def text(self) -> str:
        """Return A1111's text; empty for a picture that nothing was sampled for."""
        pairs = dict(self._pairs())
        if not pairs:
            return ""
        negative = str(self.get("negative_prompt") or "")
        lines = [self._prompt(), *([f"Negative prompt: {negative}"] if negative else [])]
        lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in {**pairs, "Version": _VERSION}.items()))
        return "\n".join(lines)

    def _prompt(self) -> str:
        loras = [self._lora(number, lora) for number, lora in enumerate(self.get("loras") or ())]
        return " ".join(part for part in (str(self.get("prompt") or ""), *loras) if part)

    def _lora(self, number: int, lora: Mapping[str, Any]) -> str:
        model, clip = lora["strength_model"], lora["strength_clip"]
        is_for_texts = model != clip and self.has(f"loras.{number}.strength_clip")
        strengths = [*([clip] if is_for_texts else []), model]
        return f"<lora:{_stem(lora['name'])}:{':'.join(_number(float(strength)) for strength in strengths)}>"

    def _pairs(self) -> Iterator[tuple[str, Any]]:
        has_second = self.has("upscale.denoise") or self.has("upscale.sampler")
        first = "sampler." if self.has("sampler") else "upscale.sampler."
        if not self.has(first.removesuffix(".")):
            return
        sampler, schedule = web_ui_sampler(str(self.get(f"{first}name") or ""), str(self.get(f"{first}scheduler") or ""))
        yield from _given("Steps", self.get(f"{first}steps"))
        yield from _given("Sampler", sampler)
        yield from _given("Schedule type", schedule)
        yield from _given("CFG scale", self.get(f"{first}cfg"))
        yield from _given("Distilled CFG Scale", self._literal("FluxGuidance", "guidance"))
        yield from _given("Seed", self.get("seed") if first == "sampler." else self.get("upscale.seed"))
        width, height = self.get("width"), self.get("height")
        if first == "sampler." and width and height:
            yield "Size", f"{width}x{height}"
        elif self.size is not None:
            yield "Size", f"{self.size.width}x{self.size.height}"
        yield from _given("Model", _stem(self.get("checkpoint")))
        yield from _given("VAE", _name(self.get("vae")))
        if has_second:
            yield from _given("Denoising strength", self.get("upscale.denoise"))
        yield from _given("Clip skip", self.get("clip_skip"))
        if first == "sampler.":
            yield from self._hires(sampler, schedule) if has_second else self._enlarged()

    def _hires(self, sampler: str, schedule: str) -> Iterator[tuple[str, Any]]:
        """Yield what there is to say of a second pass."""
        if self.resized or not self._factor():
            if self.size is not None:
                yield "Hires resize", f"{self.size.width}x{self.size.height}"
        else:
            yield "Hires upscale", self._factor()
        yield from _given("Hires steps", self.get("upscale.sampler.steps"))
        second = (str(self.get("upscale.sampler.name") or ""), str(self.get("upscale.sampler.scheduler") or ""))
        names = web_ui_sampler(*second) if all(second) else (sampler, schedule)
        yield from _given("Hires sampler", names[0] if names[0] != sampler else None)
        yield from _given("Hires schedule type", names[1] if names[1] != schedule else None)
        cfg = self.get("upscale.sampler.cfg")
        yield from _given("Hires CFG Scale", cfg if cfg != self.get("sampler.cfg") else None)
        yield from _given("Hires upscaler", self._upscaler())

    def _enlarged(self) -> Iterator[tuple[str, Any]]:
        """Yield what there is to say of a picture that is enlarged, and not painted anew."""
        upscaler = self._upscaler()
        if upscaler and self.size is not None and self.has("upscale"):
            yield "Postprocess upscale to", f"{self.size.width}x{self.size.height}"
            yield "Postprocess upscaler", upscaler

    def _factor(self) -> Any:
        return value_at(self.values, ["upscale", "factor"])

    def _upscaler(self) -> str:
        """Return what enlarges the picture, as A1111 calls it; empty where that is not known."""
        model = self._literal(_MODEL, "model_name")
        if model:
            return _stem(model)
        for classes, names, form in ((_LATENT, _LATENT_NAMES, "Latent ({})"), (_PIXELS, _PIXEL_NAMES, "{}")):
            for class_type in classes:
                method = self._literal(class_type, "upscale_method")
                if isinstance(method, str):
                    return names.get(method) or form.format(method if classes is _LATENT else method.capitalize())
        return ""

    def _literal(self, class_type: str, name: str) -> Any:
        """Return an input of the first node of a class, unless it is a link; None where there is none."""
        found = (node.inputs.get(name) for node in self.nodes if node.class_type == class_type)
        return next((value for value in found if isinstance(value, str | int | float)), None)


def _given(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if value is not None and value != "":
        yield key, value


def _name(file: object) -> str:
    return PurePosixPath(str(file).replace("\\", "/")).name if file else ""


def _stem(file: object) -> str:
    """Return the name of a model's file as A1111 shows it: without folder and suffix."""
    return MODEL_SUFFIX.sub("", _name(file))


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _quoted(value: Any) -> str:
    """Return a value as A1111 writes it: in JSON's quotes where it would read as more than one."""
    text = _number(value) if isinstance(value, float) else str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ",\n:") else text
