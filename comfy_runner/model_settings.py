"""``models`` of the config file: whether models that recipes name are fetched, from where, and how much room they may take."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from comfy_runner.byte_sizes import size_in_bytes
from comfy_runner.setting_types import Secret, Section, UserPath

HUGGING_FACE: Final = "huggingface.co"
"""The host that ``HF_TOKEN`` of the environment is for."""

USUAL_SIZE: Final = 200_000_000_000
"""How large the cache may become where nobody says, in bytes."""

_HOST = re.compile(r"([a-z][a-z0-9+.-]*://)?((\*\.)?[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def _host(value: str) -> str:
    if not _HOST.fullmatch(value.lower()):
        raise ValueError("must be a host such as huggingface.co, *.example.org, http://nas:8000 or s3://bucket")
    return value.lower()


ModelHost = Annotated[str, AfterValidator(_host)]
"""A host that models may be fetched from."""


class ModelsConfig(Section):
    """The models that recipes name, and what may be fetched of them.

    Attributes:
        fetch: Whether what a ComfyUI lacks that is started here is fetched without ``--fetch-models``.
        hosts: Where models may be fetched from: a host, or ``*.`` and a host for all below it; by HTTPS, unless another scheme
            stands before it, as in ``http://nas:8000`` or ``s3://bucket``.
        tokens: Bearer tokens by host, written as in `hosts`; each is sent to that very host alone.
        cache: The folder that they are fetched into; None for one in the user's cache folder.
        cache_size: How large it may become, in bytes; in the file also such as ``200 GB``.
    """

    fetch: bool = False
    hosts: tuple[ModelHost, ...] = ()
    tokens: dict[ModelHost, Secret] = Field(default={}, repr=False)
    cache: UserPath | None = None
    cache_size: Annotated[int, BeforeValidator(size_in_bytes)] = USUAL_SIZE
