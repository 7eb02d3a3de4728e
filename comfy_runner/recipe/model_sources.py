"""``models`` of a recipe: where the model files come from that it names, and by what each is known to be the right one.

Whether anything is fetched, and from where, is for whoever renders the recipe to decide (`comfy_runner.model_files`).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from comfy_runner.byte_sizes import PATTERN, sizes_of
from comfy_runner.recipe import names
from comfy_runner.recipe.fields import Word, fault

SUFFIXES = (".safetensors", ".sft", ".gguf", ".onnx")
"""How the names of model files end that can be fetched: formats that hold numbers and no programs."""

Folder = Literal[
    "audio_encoders",
    "checkpoints",
    "clip_vision",
    "controlnet",
    "diffusion_models",
    "embeddings",
    "gligen",
    "hypernetworks",
    "latent_upscale_models",
    "loras",
    "model_patches",
    "photomaker",
    "style_models",
    "text_encoders",
    "upscale_models",
    "vae",
    "vae_approx",
]
"""ComfyUI's folders of models."""

FOLDERS: tuple[str, ...] = get_args(Folder)
"""The same as values."""

_LONGEST = 2000
# No blanks, quotes or backslashes, about which readers of URLs do not agree.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9.:\[\]_-]+/[A-Za-z0-9._~:/?#\[\]@!$&()*+,;=%-]+")
# As a word of a query's key: `token`, `api_key`, `X-Amz-Signature`.
_SECRET = re.compile(r"(^|[^a-z])(token|key|secret|password|passwd|signature|sig|credential|auth)", re.IGNORECASE)


def name_fault(name: str) -> str:
    """Return what is wrong with the name of a model that can be fetched, as graphs name it; empty if nothing is."""
    if "\\" in name:
        return "must use / between folders"
    if not name.casefold().endswith(SUFFIXES):
        return f"must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}: other formats can hold programs"
    if wrong := names.relative_fault(name):
        return wrong
    return "must not contain parts that start with a dot" if any(part.startswith(".") for part in name.split("/")) else ""


def _size(value: Any) -> Any:
    try:
        sizes_of(value)
    except ValueError as error:
        raise fault(str(error)) from None
    return value


def _sha256(value: str) -> str:
    found = value.removeprefix("sha256:").lower()
    if not re.fullmatch("[0-9a-f]{64}", found):
        raise fault("must be 64 hex digits", hint="Hugging Face and Civitai show it with the file, and `sha256sum FILE` prints it")
    return found


def _url(value: str) -> str:
    # Of one with a secret in it, no message may have it.
    if not _has_secret(value) and (not _URL.fullmatch(value) or len(value) > _LONGEST):
        raise fault("must be the URL of a file, such as https://huggingface.co/…/model.safetensors", hint=_escape(value))
    return value


def _has_secret(url: str) -> bool:
    """Return whether a URL has a user in it, or a key or a token."""
    host, _, rest = url.partition("://")[2].partition("/")
    query = rest.partition("?")[2]
    return "@" in host or any(_SECRET.search(part.partition("=")[0]) for part in re.split("[&;]", query))


def _escape(value: str) -> str:
    return "write a local file as path:" if value.startswith((".", "/", "~")) else ""


class ModelSource(BaseModel):
    """Where one model file comes from, and by what it is known to be the right one."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={"oneOf": [{"required": ["url"]}, {"required": ["path"]}]},
    )

    url: Annotated[str, AfterValidator(_url)] | None = Field(
        default=None, description="Its URL: https://, s3://, or another kind that fsspec supports."
    )
    path: Word | None = Field(default=None, description="Instead of url: a file on this machine, relative to this file.")
    sha256: Annotated[str, AfterValidator(_sha256)] = Field(
        description="The SHA-256 of its bytes, 64 hex digits, as Hugging Face shows it and `sha256sum FILE` prints it."
    )
    size: (
        Annotated[
            int | str,
            BeforeValidator(_size),
            WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{PATTERN}$"}]}),
        ]
        | None
    ) = Field(default=None, description="Its size: in bytes, or for example 6.94 GB or 6.46 GiB.")
    folder: Folder | None = Field(
        default=None,
        description="The ComfyUI model folder that it belongs to; only needed if the field or node that names it does not show it.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.path is None):
            raise fault("must give url or path, and only one of these")
        if self.url is not None and _has_secret(self.url):
            what = "must have no user, key or token in its URL, because the URL is recorded"
            raise fault(what, hint="put it into the config file: models.tokens")
        return self


def _checked_name(name: str) -> str:
    if wrong := name_fault(name):
        raise fault(wrong)
    return name


ModelName = Annotated[str, AfterValidator(_checked_name)]
"""The name of a model, as graphs name it."""
