"""The models of recipes at a ComfyUI that is started by us: which of them it lacks, and how they come there.

It may be the local one of this machine, or that of an actor elsewhere: what is wanted is a value that can be sent there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from comfy_runner.byte_sizes import told_size
from comfy_runner.errors import Problem, UsageError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.model_files.cache import ModelCache
from comfy_runner.model_files.fetch import Tell, fetch, refuse
from comfy_runner.model_files.hosts import Hosts
from comfy_runner.model_files.model_file import ModelFile
from comfy_runner.model_files.model_links import link, link_state, place_of
from comfy_runner.planning.models import NeededModel
from comfy_runner.wording import counted, named


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """What a ComfyUI is to have of the models of recipes. It can be sent to other processes.

    Attributes:
        needed: The models that jobs need.
        hosts: Where they may be fetched from.
        is_allowed: Whether anything may be fetched.
        cache: The folder of the cache on the ComfyUI's machine.
        limit: How many bytes that may have.
    """

    needed: tuple[NeededModel, ...]
    hosts: Hosts
    is_allowed: bool
    cache: Path
    limit: int


class RecipeModels:
    """The models of recipes at one ComfyUI; those that it uses stay in the cache until this is closed.

    Args:
        order: What it is to have.
        folder: The folder of models that it reads beside its own.
        say: Takes sentences about what is done.
        tell: Is told how far each model has come; None for nobody.
    """

    def __init__(self, order: ModelOrder, folder: Path, *, say: Callable[[str], None], tell: Tell | None = None) -> None:
        self._order, self._folder, self._say, self._tell = order, folder, say, tell
        self._cache = ModelCache(order.cache, order.limit)

    def provide(self, info: ObjectInfo) -> None:
        """Fetch and link what the ComfyUI lacks.

        Args:
            info: What it says of its nodes.

        Raises:
            UsageError: Something is lacking, and may not be fetched.
            ModelError: It cannot be fetched, or cannot be linked.
        """
        linked, lacking = self._looked_at(info)
        if absent := self._absent(lacking):
            self._say(f"fetching {told_models(absent)}")
        wanted = [each.model for each in (*linked, *lacking)]
        link(fetch(wanted, self._cache, self._order.hosts, tell=self._tell), self._folder, self._cache)

    def foresee(self, info: ObjectInfo) -> dict[tuple[str, str], list[str]]:
        """Say what would be fetched, and return what the ComfyUI would then list more, by node class and input.

        Args:
            info: What it says of its nodes.

        Raises:
            UsageError: Something is lacking, and may not be fetched.
        """
        _, lacking = self._looked_at(info)
        if absent := self._absent(lacking):
            self._say(f"a run would first fetch {told_models(absent)}")
        found: dict[tuple[str, str], list[str]] = {}
        for each in lacking:
            for place in each.inputs:
                found.setdefault(place, []).append(each.model.name)
        return found

    def close(self) -> None:
        """Let others remove from the cache what was used here."""
        self._cache.close()

    def _looked_at(self, info: ObjectInfo) -> tuple[list[NeededModel], list[NeededModel]]:
        """Return the models that are links to the cache, and those that are lacking; what is there otherwise is the user's own."""
        linked, lacking = [], []
        for each in self._order.needed:
            state = link_state(each.model, self._folder, self._cache)
            listed = each.is_listed(info)
            is_there = place_of(each.model, self._folder).exists() if listed is None else listed
            if state == "whole":
                linked.append(each)
            elif state == "broken" or not is_there:
                lacking.append(each)
        return linked, lacking

    def _absent(self, lacking: Sequence[NeededModel]) -> list[ModelFile]:
        """Return those of the models that the cache lacks, which may be fetched.

        Raises:
            UsageError: They may not.
        """
        absent = [each.model for each in lacking if not self._cache.file(each.model.sha256).is_file()]
        if absent and not self._order.is_allowed:
            hint = "--fetch-models fetches it" if len(absent) == 1 else "--fetch-models fetches them"
            told = [Problem(f"is missing, and would be fetched: {told_models([model])}", model.where, hint) for model in absent]
            raise UsageError.of(told)
        refuse(absent, self._cache, self._order.hosts)
        return absent


def told_models(models: Sequence[ModelFile]) -> str:
    """Return models in words: ``2 models (7.1 GB) from huggingface.co: a.safetensors, b.safetensors``."""
    known = [(model.sizes[0] + model.sizes[-1]) // 2 for model in models if model.sizes is not None]
    size = f" ({'' if len(known) == len(models) else 'at least '}{told_size(sum(known))})" if known else ""
    origins = list(dict.fromkeys(model.origin or "this machine" for model in models))
    names = [model.name for model in models]
    return f"{counted(len(models), 'model')}{size} from {named(origins)}: {named(names)}"
