"""Models of the cache, linked into a folder of models, where a ComfyUI finds them under the names that recipes use."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from comfy_runner.errors import ModelError
from comfy_runner.model_files.cache import ModelCache
from comfy_runner.model_files.model_file import ModelFile
from comfy_runner.text_files import reason_of, shown

_OTHER_NAME = "give the model another name in the recipe, both where it is used and under models"


def place_of(model: ModelFile, models_folder: Path) -> Path:
    """Return where a model lies in a folder of models, laid out as ComfyUI's own."""
    return models_folder / model.folder / model.name


def link_state(model: ModelFile, models_folder: Path, cache: ModelCache) -> Literal["whole", "broken", "none"]:
    """Return whether there is a link to this very file of the cache, and whether it leads anywhere.

    Args:
        model: The model.
        models_folder: The folder of models.
        cache: The cache.

    Raises:
        ModelError: The name leads to another file of the cache: of a ComfyUI's results nobody could tell which one they are of.
    """
    place = place_of(model, models_folder)
    if not place.is_symlink():
        return "none"
    target = place.readlink()
    if target == cache.file(model.sha256):
        return "whole" if place.exists() else "broken"
    if not target.is_relative_to(cache.folder):
        return "none"
    if place.exists():
        what = f"{model.name} is already another file there, with the sha256 {target.parent.name}"
        raise ModelError(what, where=model.where or shown(place), hint=_OTHER_NAME)
    return "broken"


def link(paths: Mapping[ModelFile, Path], models_folder: Path, cache: ModelCache) -> None:
    """Link models into a folder of models. The cache takes the links down, and removes each with its file.

    Args:
        paths: The files of models in the cache, as `comfy_runner.model_files.fetch.fetch` gives them.
        models_folder: The folder, laid out as ComfyUI's own.
        cache: The cache.

    Raises:
        ModelError: A name is taken by something else, or a link cannot be made.
    """
    for model, path in paths.items():
        place = place_of(model, models_folder)
        if link_state(model, models_folder, cache) == "whole":
            continue
        try:
            # Before the link is there: a link that nobody knows of would stay for ever.
            with cache.locked(model.sha256, waiting=lambda: None):
                cache.add_note(model.sha256, link=str(place))
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                raise ModelError(
                    f"{model.name} already exists, and does not belong to the cache", where=shown(place), hint=_OTHER_NAME
                )
            # A link that leads nowhere is replaced; its own suffix keeps ComfyUI from listing the new one too early.
            made = place.with_name(f".{secrets.token_hex(8)}.part")
            made.symlink_to(path)
            made.replace(place)
        except OSError as error:
            what = f"{model.name} cannot be linked: {reason_of(error)}"
            raise ModelError(what, where=shown(place), hint="check that this folder is writable") from error
