"""What a picture of ours says of itself: its job, and the recipe that makes it again, without the folders of this machine.

It is one JSON object. ComfyUI writes it into its files as `NAME`, beside its own ``prompt``: whoever has the picture alone has the
recipe. Files that a recipe names are told by name and checksum, never by path.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import PureWindowsPath
from typing import Any, Final

from comfy_runner._version import __version__
from comfy_runner.recipe.fields import A1111, COMFYUI
from comfy_runner.store.sidecar import Sidecar

NAME: Final = "comfy_runner"
"""What the object is called in a picture: the keyword of a PNG's text chunk, the beginning of a text in EXIF."""

_MOST_BYTES = 1 << 20
"""Longest recipe that goes into pictures, as JSON. A longer one has texts that the graph beside it has, too."""

_OF_FILES = ("param", "name", "sha256", "size_bytes")


def about_job(
    *,
    job_id: str,
    content_hash: str,
    recipe: Mapping[str, Any],
    template: Mapping[str, str],
    inputs: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return what a picture is to say of itself.

    Args:
        job_id: Its job.
        content_hash: What the job is, hex.
        recipe: A complete recipe that makes the job again, as sidecars have it.
        template: Name and sha256 of the template file.
        inputs: The files that the job reads, as sidecars have them.

    Returns:
        ``version`` (of comfy_runner), ``job_id``, ``content_hash``, ``recipe``, ``template`` (``name`` and ``sha256``) and
        ``inputs``: of each file ``param``, ``file`` (its own name, without folders), ``name`` (in graphs), ``sha256`` and
        ``size_bytes``. In the recipe, files and the template are named without folders, and of models only those that come from a
        URL. Where the recipe is longer than 1 MiB,
        only the first three.
    """
    short = {"version": __version__, "job_id": job_id, "content_hash": content_hash}
    files = [dict(file) for file in inputs]
    params = recipe.get("params")
    names = {str(file.get("param")): _bare(file.get("path")) for file in files}
    carried = {**recipe, "params": {**params, **names} if isinstance(params, Mapping) else names}
    # It says nothing of how the picture was made, and may change later.
    carried.pop("expect", None)
    if isinstance(models := carried.pop("models", None), Mapping):
        elsewhere = {name: source for name, source in models.items() if isinstance(source, Mapping) and "path" not in source}
        carried |= {"models": elsewhere} if elsewhere else {}
    if template.get("name"):
        carried["template"] = template["name"]
    told = [{"file": _bare(file.get("path")), **{key: file.get(key) for key in _OF_FILES}} for file in files]
    found = {**short, "recipe": carried, "template": dict(template), "inputs": told}
    return found if len(json.dumps(found)) <= _MOST_BYTES else short


def about_sidecar(sidecar: Sidecar) -> dict[str, Any]:
    """Return what a finished job's pictures say of themselves, as `about_job` does."""
    return about_job(
        job_id=sidecar.job_id,
        content_hash=sidecar.content_hash,
        recipe=sidecar.recipe,
        template=sidecar.template,
        inputs=sidecar.inputs,
    )


def metadata_of(recipe: object) -> tuple[str, ...]:
    """Return what a recipe's pictures say of themselves: `COMFYUI`, `A1111`, both, or nothing.

    Args:
        recipe: A complete recipe, as sidecars have it; of what is none, it is what a recipe has by default.
    """
    output = recipe.get("output") if isinstance(recipe, Mapping) else None
    given = output.get("metadata") if isinstance(output, Mapping) else None
    if given is None:
        return (COMFYUI,)
    # A sidecar may be anybody's; what makes no sense says nothing.
    return tuple(kind for kind in (COMFYUI, A1111) if isinstance(given, list | tuple) and kind in given)


def without_recipe(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return of what `about_job` gave only which job it is, for where there is little room."""
    return {key: about[key] for key in ("version", "job_id", "content_hash", "job_ids") if key in about}


def _bare(path: object) -> str:
    """Return the name of a file without its folders, those of Windows included."""
    return PureWindowsPath(str(path)).name
