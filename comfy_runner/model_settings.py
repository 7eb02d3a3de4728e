"""The section ``models`` of the config file: whether models are fetched, from where, and how much space they may use."""

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
    """How the models that recipes name may be fetched.

    Attributes:
        fetch: Whether models that a locally started ComfyUI lacks are fetched without ``--fetch-models``.
        hosts: The hosts that models may be fetched from: a host, or ``*.`` and a host for all its subdomains; by HTTPS, unless
            prefixed with another scheme, as in ``http://nas:8000`` or ``s3://bucket``.
        tokens: Bearer tokens by host, written as in `hosts`; each is sent only to exactly that host.
        cache: The folder for fetched models; None for one in the user's cache folder.
        cache_size: The largest size of that folder, in bytes; the file may also say ``200 GB``.
    """

    fetch: bool = False
    hosts: tuple[ModelHost, ...] = ()
    tokens: dict[ModelHost, Secret] = Field(default={}, repr=False)
    cache: UserPath | None = None
    cache_size: Annotated[int, BeforeValidator(size_in_bytes)] = USUAL_SIZE
