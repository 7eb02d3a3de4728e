"""The types of values that recipe fields hold: numbers with their ranges, seeds, texts, names, presets of picture sizes.

Each type checks strictly (a boolean is no number, "30" is no number) and carries its JSON schema. Errors that pydantic has
no words for are raised as `PydanticCustomError` of type ``recipe``, with the words and a hint in its context. `schema` says which
field has which type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from comfy_runner.graph.sizes import LARGEST_BATCH
from comfy_runner.recipe import names
from comfy_runner.recipe.prompts.syntax import NAME
from comfy_runner.recipe.sampler_names import no_sampler, no_scheduler
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import unsendable
from comfy_runner.yaml_syntax import escape_hint

VERBATIM = ("prompt", "negative_prompt")
"""Fields whose values are taken as they are typed, without YAML's quotes and escapes: they are full of colons and commas."""


def is_verbatim(field: str) -> bool:
    """Return whether a field, dotted, is a text that is taken as it is typed: a prompt, or a word for one."""
    return field in VERBATIM or field.startswith("vars.")


MAX_SEED = 2**53 - 1
"""Largest seed; larger ones would be rounded by everything that reads JSON numbers as doubles, ComfyUI's page too."""

MAX_PIXELS = 16384
"""Longest side of a picture, in pixels, as in ComfyUI's EmptyLatentImage."""

MIN_PIXELS = 16
"""Shortest side of a picture, in pixels, as in ComfyUI's EmptyLatentImage."""

# From the first that has no name on: the training sizes of SDXL, from the list in its paper, and portraits of the common ones.
_PRESETS = """
16:9-exact=1024x576 9:16-exact=576x1024 4:3-exact=1024x768 3:4-exact=768x1024 3:2-exact=1152x768 2:3-exact=768x1152
16:9-sdxl=1344x768 9:16-sdxl=768x1344 4:3-sdxl=1152x896 3:4-sdxl=896x1152 3:2-sdxl=1216x832 2:3-sdxl=832x1216
21:9-sdxl=1536x640 9:21-sdxl=640x1536 sdxl-square=1024x1024 sdxl-landscape=1216x832 sdxl-portrait=832x1216
sd15-square=512x512 sd15-landscape=768x512 sd15-portrait=512x768
640x1536 704x1344 704x1408 768x1280 768x1344 832x1152 832x1216 896x1088 896x1152 960x1024 960x1088 1024x960
1024x1024 1088x896 1088x960 1152x832 1152x896 1216x832 1280x768 1344x704 1344x768 1408x704 1472x704 1536x640
1600x640 1664x576 1728x576
"""


def _pair(preset: str) -> tuple[int, int]:
    width, height = preset.rpartition("=")[2].split("x")
    return int(width), int(height)


PRESETS: Mapping[str, tuple[int, int]] = {preset.partition("=")[0]: _pair(preset) for preset in _PRESETS.split()}
"""Sizes by name, as (width, height) in pixels. ``exact`` has exactly that aspect; ``sdxl`` is the nearest size that SDXL
was trained on."""

COMFYUI, A1111 = "comfyui", "a1111"
"""What pictures say of themselves: ComfyUI's graph and our recipe; the text of A1111's web UI."""

_METADATA = (COMFYUI, A1111)
_MAX_TEXT = 1 << 20
_MAX_VALUE = 1 << 16
_ASPECT = re.compile(r"([0-9]{1,5}(?:\.[0-9]{1,4})?):([0-9]{1,5}(?:\.[0-9]{1,4})?)")
_LINE_END = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")


def fault(what: str, *, hint: str = "") -> PydanticCustomError:
    """Return an error whose words are shown as they are, followed by ``(got X)``."""
    return PydanticCustomError("recipe", "{what}", {"what": what, "hint": hint})


def _whole_seed(value: Any, words: tuple[str, ...]) -> int:
    choices = " or ".join(f'"{word}"' for word in words)
    if isinstance(value, bool) or not isinstance(value, int):
        raise fault(f"must be a whole number or {choices}")
    if value < 0:
        raise fault(f"must be at least 0, or {choices}", hint=f"write {words[0]} instead of a negative number")
    if value > MAX_SEED:
        raise fault(f"must be at most {MAX_SEED}")
    return value


def _seed(value: Any) -> int | str:
    return "random" if value == "random" else _whole_seed(value, ("random",))


def _second_seed(value: Any) -> int | str:
    return value if value in ("same", "next") else _whole_seed(value, ("same", "next"))


def _metadata(value: Any) -> str | tuple[str, ...]:
    """Return ``none``, or which of `_METADATA` are given, always in that order."""
    if value in ("none", [], ()):
        return "none"
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or any(each not in _METADATA for each in given) or len(set(given)) < len(given):
        raise fault(f"must be none, or a list of {' and '.join(_METADATA)}", hint="write [comfyui, a1111] for both")
    return tuple(each for each in _METADATA if each in given)


def _without(fault_of: Callable[[str], str]) -> AfterValidator:
    """Return what refuses a text that has a fault, as the function tells it; empty for none."""

    def check(value: str) -> str:
        if wrong := fault_of(value):
            raise fault(wrong, hint=escape_hint(value))
        return value

    return AfterValidator(check)


def _word_fault(value: str) -> str:
    if bad := _LINE_END.search(value):
        return f"must be one line, without the character U+{ord(bad[0]):04X}"
    return "" if value == value.strip() else "must be one line without spaces around it"


def _checked_preset(value: str) -> str:
    if value not in PRESETS:
        raise fault("unknown preset", hint=did_you_mean(value, PRESETS))
    return value


def _aspect_fault(value: str) -> str:
    found = _ASPECT.fullmatch(value)
    if not found or not float(found[1]) or not float(found[2]):
        return 'must be two numbers such as "16:9"'
    return "" if 0.1 <= float(found[1]) / float(found[2]) <= 10 else "must be between 1:10 and 10:1"


def _known_sampler(value: str) -> str:
    if hint := no_sampler(value):
        raise fault("ComfyUI has no such sampler", hint=hint)
    return value


def _known_scheduler(value: str) -> str:
    if hint := no_scheduler(value):
        raise fault("ComfyUI has no such scheduler", hint=hint)
    return value


def _var_value(value: Any) -> str | int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise fault("must be text or a number", hint="put it in quotes" if isinstance(value, bool) else "")
    text = str(value)
    if len(text) > _MAX_VALUE or text in ("inf", "-inf", "nan"):
        raise fault(f"must be a finite number, or have at most {_MAX_VALUE} characters")
    if wrong := unsendable(text):
        raise fault(wrong)
    return value


def _var_name_fault(value: str) -> str:
    return "" if NAME.fullmatch(value) else "a variable's name must be letters, digits, - and _, and start with no digit or -"


def _bare_lora(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _json_number_or(words: list[str]) -> dict[str, Any]:
    return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_SEED}, {"enum": words}]}


Seed = Annotated[int | Literal["random"], PlainValidator(_seed), WithJsonSchema(_json_number_or(["random"]))]
SecondSeed = Annotated[
    int | Literal["same", "next"], PlainValidator(_second_seed), WithJsonSchema(_json_number_or(["same", "next"]))
]
VarName = Annotated[str, _without(_var_name_fault)]
VarValue = Annotated[str | int | float, PlainValidator(_var_value), WithJsonSchema({"type": ["string", "number"]})]
LongText = Annotated[str, Field(max_length=_MAX_TEXT)]
Word = Annotated[str, Field(min_length=1, max_length=1000), _without(_word_fault)]
SamplerWord = Annotated[Word, AfterValidator(_known_sampler)]
SchedulerWord = Annotated[Word, AfterValidator(_known_scheduler)]
Name = Annotated[str, _without(names.name_fault)]
Aspect = Annotated[str, _without(_aspect_fault)]
Pixels = Annotated[int, Field(ge=MIN_PIXELS, le=MAX_PIXELS)]
BatchSize = Annotated[int, Field(ge=1, le=LARGEST_BATCH)]
StepCount = Annotated[int, Field(ge=1, le=10000)]
Cfg = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Denoise = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Factor = Annotated[float, Field(gt=0, le=8, allow_inf_nan=False)]
Megapixels = Annotated[float, Field(ge=0.01, le=64, allow_inf_nan=False)]
Strength = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
ClipSkip = Annotated[int, Field(ge=1, le=24)]
Metadata = Annotated[
    Literal["none"] | tuple[str, ...],
    PlainValidator(_metadata),
    PlainSerializer(lambda value: value if value is None or isinstance(value, str) else list(value)),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["none", *_METADATA]},
                {"type": "array", "items": {"enum": list(_METADATA)}, "uniqueItems": True},
            ]
        }
    ),
]
BareLora = BeforeValidator(_bare_lora)
Pattern = Annotated[str, _without(names.pattern_fault)]
Preset = Annotated[str, AfterValidator(_checked_preset), WithJsonSchema({"enum": list(PRESETS)})]
