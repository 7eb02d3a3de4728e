"""The recipe's fields: names, types, ranges, defaults and their descriptions. Also as JSON schema, for editors.

What is optional here may still be required by the template that a recipe names; the template decides that.

`layers` knows where a value stands in a file, and `job` works out what the fields amount to together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from comfy_runner.expect import Expect
from comfy_runner.recipe import fields, names
from comfy_runner.recipe.fields import fault
from comfy_runner.recipe.model_sources import ModelName, ModelSource
from comfy_runner.retry import MOST_TIMES, Retry

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)
QUALITY = 90
"""Of a JPEG or WebP, where a recipe does not say."""

METADATA_MARK = "+"
"""Stands before what pictures say of themselves, in words for how they are written, where it is not what ComfyUI writes."""

_SIZE_WAYS = (("width", "height"), ("aspect", "megapixels"), ("preset",))


# Of a sweep, the schema knows the forms, not the fields: which values a field takes is checked when the recipe is loaded.
_NUMBER = {"type": "number"}
_FILE = {"type": "string", "minLength": 1}


def _mapping(properties: dict[str, Any], required: list[str], description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
        "description": description,
    }


_VALUES = {
    "anyOf": [
        {"type": "array", "minItems": 1, "description": "The values themselves."},
        _mapping({"from": _NUMBER, "to": _NUMBER, "step": _NUMBER}, ["from", "to"], "Exact decimals, both ends included."),
        _mapping(
            {"start": {"anyOf": [_NUMBER, {"const": "random"}]}, "count": {"type": "integer", "minimum": 1}, "step": _NUMBER},
            ["start", "count"],
            "For example seeds, which can start at random.",
        ),
        _mapping({"file": _FILE}, ["file"], "A text file, one value per line."),
        _mapping({"file": _FILE, "column": _FILE, "delimiter": _FILE}, ["file", "column"], "A column of a table."),
    ]
}
_GROUP = {
    "anyOf": [
        _mapping({"file": _FILE, "delimiter": _FILE}, ["file"], "A table whose columns are fields."),
        {"type": "object", "minProperties": 1, "properties": {"file": False}, "additionalProperties": _VALUES},
    ]
}
_POINTS = {"type": "array", "items": {"type": "object", "minProperties": 1}}

_SWEEP: dict[str, Any] = {
    "type": "object",
    "properties": {
        "zip": {"anyOf": [_GROUP, {"type": "array", "items": _GROUP}], "description": "Fields that move together."},
        "exclude": {**_POINTS, "description": "Points that are left out: field to value, or to a list of values."},
        "include": {**_POINTS, "description": "More points: field to value."},
    },
    "additionalProperties": _VALUES,
}


class OriginalSize(BaseModel):
    """Size of the original in pixels: width and height, or aspect and megapixels, or a preset."""

    model_config = ConfigDict(
        **_STRICT,
        json_schema_extra={"oneOf": [{"required": list(way)} for way in _SIZE_WAYS]},
    )

    width: fields.Pixels | None = Field(default=None, description="Pixels; ComfyUI rounds down to multiples of 8.")
    height: fields.Pixels | None = Field(default=None, description="Pixels; ComfyUI rounds down to multiples of 8.")
    aspect: fields.Aspect | None = Field(default=None, description='Width to height, such as "16:9".')
    megapixels: fields.Megapixels | None = Field(default=None, description="Area in millions of pixels.")
    preset: fields.Preset | None = Field(default=None, description="A size by name, such as 16:9-exact or sdxl-square.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [way for way in _SIZE_WAYS if any(getattr(self, name) is not None for name in way)]
        if len(ways) != 1:
            raise fault("must give width and height, or aspect and megapixels, or preset, and only one of these")
        lacking = [name for name in ways[0] if getattr(self, name) is None]
        if lacking:
            raise fault(f"{lacking[0]} is missing beside {next(name for name in ways[0] if name not in lacking)}")
        return self


class TargetSize(BaseModel):
    """Size of the upscaled picture in pixels."""

    model_config = _STRICT

    width: fields.Pixels = Field(description="Pixels; ComfyUI rounds down to multiples of 8.")
    height: fields.Pixels = Field(description="Pixels; ComfyUI rounds down to multiples of 8.")


class Sampler(BaseModel):
    """How the first pass samples."""

    model_config = _STRICT

    name: fields.SamplerWord = Field(default="dpmpp_2m_sde", description="KSampler's sampler_name; servers have different ones.")
    scheduler: fields.SchedulerWord = Field(default="karras", description="KSampler's scheduler; servers have different ones.")
    steps: fields.StepCount = Field(default=30, description="Steps, 1 to 10000.")
    cfg: fields.Cfg = Field(default=5.0, description="Guidance, 0 to 100.")


class SecondSampler(BaseModel):
    """How the second pass samples, where it differs from the first."""

    model_config = _STRICT

    name: fields.SamplerWord | None = Field(default=None, description="KSampler's sampler_name; as in the first pass if not given.")
    scheduler: fields.SchedulerWord | None = Field(
        default=None, description="KSampler's scheduler; as in the first pass if not given."
    )
    steps: fields.StepCount | None = Field(default=None, description="Steps, 1 to 10000; as in the first pass if not given.")
    cfg: fields.Cfg | None = Field(default=None, description="Guidance, 0 to 100; as in the first pass if not given.")


class Upscale(BaseModel):
    """The second pass: how much larger, and how much is repainted."""

    model_config = ConfigDict(
        **_STRICT,
        json_schema_extra={"not": {"required": ["factor", "size"]}},
    )

    factor: fields.Factor | None = Field(default=None, description="Times the original's size; 2 if no size is given.")
    size: TargetSize | None = Field(default=None, description="Pixels, instead of factor.")
    method: fields.Word = Field(
        default="nearest-exact", description="How the latent or the picture is enlarged; templates and servers have different ones."
    )
    denoise: fields.Denoise = Field(
        default=0.55, description="How much is repainted, above 0 and at most 1; the usual range depends on the template."
    )
    steps_mode: Literal["full", "scaled"] = Field(
        default="full", description="full: ComfyUI runs all steps; scaled: round(steps * denoise), as other programs do."
    )
    seed: fields.SecondSeed = Field(default="same", description="same as the first pass, next (plus one), or a number.")
    sampler: SecondSampler = Field(default=SecondSampler(), description="Where the second pass differs from the first.")

    @model_validator(mode="after")
    def _factor_or_size(self) -> Self:
        if self.factor is not None and self.size is not None:
            raise fault("must give factor or size, not both")
        return self


class Lora(BaseModel):
    """A LoRA and its strengths."""

    model_config = _STRICT

    name: fields.Word = Field(description="File name, as the server lists it.")
    strength_model: fields.Strength = Field(default=1.0, description="-100 to 100.")
    strength_clip: fields.Strength | None = Field(default=None, description="-100 to 100; strength_model if not given.")


class OutputOptions(BaseModel):
    """How pictures are written: their format; every other field is a role and where its picture goes in the run folder."""

    model_config = ConfigDict(**{**_STRICT, "extra": "allow"})

    __pydantic_extra__: dict[str, fields.Pattern] = Field(init=False)

    format: Literal["png", "jpeg", "webp"] = Field(
        default="png", description="png: as the server gives it; jpeg, webp: converted from it, with its metadata."
    )
    quality: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="For jpeg and webp, 1 to 100; 90 if not given."
    )
    lossless: bool | None = Field(default=None, description="Whether a webp keeps exactly the same pixels; false if not given.")
    metadata: fields.Metadata | None = Field(
        default=None,
        description="What is recorded in the pictures: comfyui: graph and recipe, as ComfyUI writes them; a1111: the text "
        "that A1111 writes; none: nothing; [comfyui] if not given.",
    )

    @model_validator(mode="after")
    def _fits_the_format(self) -> Self:
        if self.quality is not None and self.format == "png":
            raise fault("quality is for jpeg and webp", hint="give format: jpeg or format: webp beside it, or remove it")
        if self.lossless is not None and self.format != "webp":
            raise fault(f"lossless is for webp, and {self.format} is {'always so' if self.format == 'png' else 'never so'}")
        if self.lossless and self.quality is not None:
            raise fault("must give quality or lossless, not both")
        return self

    @property
    def roles(self) -> Mapping[str, str]:
        """Return the pattern of each role that is given."""
        return self.__pydantic_extra__

    @property
    def suffix(self) -> str:
        """Return what the names of pictures end in."""
        return names.SUFFIXES[self.format]

    @property
    def kind(self) -> str:
        """Return in a word how pictures are written, with what they say of themselves; empty for as the server gives them."""
        coded = "" if self.format == "png" else f"-{self.format}-{'lossless' if self.lossless else self.quality or QUALITY}"
        said = (fields.COMFYUI,) if self.metadata is None else self.metadata
        if said == (fields.COMFYUI,):
            return coded
        return coded + METADATA_MARK + (said if isinstance(said, str) else METADATA_MARK.join(said))


class Find(BaseModel):
    """What `comfy-runner find` searches for, and how; it changes nothing of a job."""

    model_config = _STRICT

    over: Annotated[
        Mapping[str, str | Annotated[tuple[int | float | str, ...], Field(strict=False, min_length=2)]], Field(min_length=1)
    ] = Field(
        description="Fields whose best values are searched, each with its range: upscale.denoise: 0.3:0.8, or a list of values."
    )
    max_drift: Annotated[float, Field(gt=0, le=2)] | None = Field(
        default=None, description="The most that a picture may drift from its original; 0.3 if not given."
    )
    tolerance: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="How precise the value must be; 0.02 if not given, 1 between whole numbers."
    )
    jobs: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The most jobs that are rendered; if not given, a part of the sweep, and 24 at most."
    )


class Recipe(BaseModel):
    """A comfy_runner recipe. For a field that has no default, null is the same as leaving it out."""

    model_config = _STRICT

    name: fields.Name = Field(default="recipe", description="What the job is called; the file's stem if not given.")
    extends: fields.Word | None = Field(
        default=None, description="Another recipe that this one changes: a path relative to this file, or a shipped one's name."
    )
    template: fields.Word = Field(default="latent_upscale", description="A shipped template's name, or a path.")
    checkpoint: fields.Word | None = Field(default=None, description="Checkpoint file, as the server lists it.")
    vae: fields.Word | None = Field(default=None, description="VAE file; the checkpoint's own if not given.")
    clip_skip: fields.ClipSkip | None = Field(default=None, description="Stop CLIP at this layer from the end, 1 to 24.")
    loras: Annotated[tuple[Annotated[Lora, fields.BareLora], ...], Field(strict=False, max_length=100)] = Field(
        default=(), description="LoRAs, applied in this order; a name alone has strength 1."
    )
    prompt: fields.LongText | None = Field(default=None, description="What the picture shows.")
    negative_prompt: fields.LongText = Field(default="", description="What it does not show.")
    seed: fields.Seed = Field(default="random", description="A number from 0 to 2^53-1, or random: drawn once per run.")
    size: OriginalSize = Field(default=OriginalSize(width=1024, height=576), description="Size of the original.")
    batch_size: fields.BatchSize = Field(
        default=1, description="How many pictures of each output a job makes at once, 1 to 4096: of one seed, each of other noise."
    )
    sampler: Sampler = Field(default=Sampler(), description="The first pass.")
    upscale: Upscale = Field(default=Upscale(), description="The second pass.")
    vae_decode: Literal["auto", "full", "tiled"] = Field(
        default="auto",
        description="How latents become pixels: full: at once; tiled: in tiles, which needs less memory and changes pixels a "
        "little; auto: tiled from a certain size on.",
    )
    output: OutputOptions = Field(
        default=OutputOptions(),
        description="Where each role's picture goes in the run folder, {job_id}/{role}.png if not given, and its format. "
        "Placeholders: {job_id}, {name}, {role}, {seed}, {index}, {date}, {prompt}, {checkpoint}, and fields such as "
        "{upscale.denoise}.",
    )
    params: Mapping[str, Any] = Field(default={}, description="Parameters of your own template.")
    vars: Annotated[Mapping[fields.VarName, fields.VarValue], Field(max_length=100)] = Field(
        default={}, description="Words for prompts: {animal} in a prompt is what vars.animal says. \\{ is a literal brace."
    )
    alternatives: Literal["combine", "random"] | None = Field(
        default=None,
        description="What {red|blue} in prompts means: combine: each of them is a job; random: each job has one, by its seed.",
    )
    wildcards: fields.Word | None = Field(
        default=None,
        description="A folder below this file's folder; __name__ in prompts is a line of name.txt in it. Needs alternatives.",
    )
    models: Annotated[Mapping[ModelName, ModelSource], Field(max_length=1000)] = Field(
        default={}, description="Where to fetch models that a server lacks: name to url, sha256 and size, see docs/models.md."
    )
    sweep: Annotated[Mapping[str, Any], WithJsonSchema(_SWEEP)] | None = Field(
        default=None, description="Dotted fields and their values: one job for each combination."
    )
    retry: Retry | None = Field(default=None, description="What is tried again, instead of what the config file says.")
    expect: Expect | None = Field(default=None, description="Limits that finished jobs are checked against, see docs/ci.md.")
    find: Find | None = Field(default=None, description="What `comfy-runner find` searches for, see docs/find.md.")


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a recipe, with titles and descriptions, for editors."""
    schema = Recipe.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        for prop in model["properties"].values():
            _without_nulls(prop)
    loras = schema["properties"]["loras"]
    loras["items"] = {"anyOf": [{"type": "string", "minLength": 1}, loras["items"]]}
    for prop in schema["$defs"]["Retry"]["properties"].values():
        prop["anyOf"] = [{"type": "integer", "minimum": 0, "maximum": MOST_TIMES}, {"$ref": prop.pop("$ref")}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "comfy_runner recipe"}


def _without_nulls(prop: dict[str, Any]) -> None:
    """Take away defaults of "not given", which editors would write into the file."""
    default = prop.get("default", ...)
    if default is None:
        del prop["default"]
    elif isinstance(default, dict):
        prop["default"] = {
            name: value for name, value in default.items() if value is not None and isinstance(value, str | float | int)
        }
