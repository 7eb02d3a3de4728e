"""The models that jobs need of those that their recipes have a source for, and whether a server lists them.

Nothing is fetched here, and no server is asked (`comfy_runner.model_files` and `comfy_runner.api.model_fetching`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from comfy_runner.byte_sizes import sizes_of, told_size
from comfy_runner.errors import Note, Problem, RecipeError
from comfy_runner.graph.model_lists import candidates, model_kind
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.model_files.model_file import ModelFile
from comfy_runner.planning.draft import Draft
from comfy_runner.recipe.load import LoadedRecipe

ModelInput = tuple[str, str]
"""Where a graph names a model: the class of a node, and its input."""


@dataclass(frozen=True, slots=True)
class NeededModel:
    """A model that jobs need.

    Attributes:
        model: The model.
        inputs: Where graphs name it; empty for one that only prompts name, as embeddings are.
    """

    model: ModelFile
    inputs: frozenset[ModelInput]

    def is_listed(self, info: ObjectInfo) -> bool | None:
        """Return whether a server lists it everywhere where it is named; None where that says nothing.

        Args:
            info: What the server says of its nodes.
        """
        told = [(node, name) for class_type, name in self.inputs if (node := info.get(class_type)) is not None]
        lists = [known.texts for node, name in told if (known := node.inputs.get(name)) is not None and known.options is not None]
        return all(candidates(self.model.name, listed) for listed in lists) if lists else None


def needed_models(drafts: Iterable[Draft]) -> tuple[NeededModel, ...]:
    """Return the models that jobs need and that their recipes have a source for, in the order of the recipes.

    Args:
        drafts: The jobs.

    Raises:
        RecipeError: Of one it is not told to which folder of models it belongs, or two are called alike.
    """
    found: dict[tuple[str, str], NeededModel] = {}
    problems: list[Problem] = []
    for loaded, named in _named(drafts):
        for name in loaded.recipe.models:
            for needed in _of_folders(loaded, name, named.get(name, set()), problems):
                place = (needed.model.folder, name)
                before = found.setdefault(place, needed)
                if before.model.sha256 != needed.model.sha256:
                    what = f"has a different sha256 from {before.model.where}"
                    problems.append(Problem(what, needed.model.where, "give one of the two models another name"))
                found[place] = replace(before, inputs=before.inputs | needed.inputs)
    if problems:
        raise RecipeError.of(problems)
    return tuple(found.values())


def unnamed_models(drafts: Iterable[Draft]) -> Iterator[Note]:
    """Yield a warning for each model that a recipe has a source for and none of its jobs names.

    Args:
        drafts: All jobs of the recipes.
    """
    for loaded, named in _named(drafts):
        for name, source in loaded.recipe.models.items():
            if name not in named and source.folder != "embeddings":
                yield Note("no job names this model, so it is not needed", loaded.where(("models", name)))


def told_sources(loaded: LoadedRecipe) -> dict[str, str]:
    """Return where the models of a recipe come from, in words: ``https://… (6.94 GB)``, by name."""
    sizes = {name: f" ({told_size(size) if isinstance(size, int) else size})" for name, size in _sizes(loaded)}
    return {name: loaded.model_source(name) + sizes.get(name, "") for name in loaded.recipe.models}


def _sizes(loaded: LoadedRecipe) -> Iterator[tuple[str, int | str]]:
    return ((name, source.size) for name, source in loaded.recipe.models.items() if source.size is not None)


def _named(drafts: Iterable[Draft]) -> list[tuple[LoadedRecipe, dict[str, set[ModelInput]]]]:
    """Return the recipes that have sources for models, and where graphs of their jobs name each."""
    found: dict[int, tuple[LoadedRecipe, dict[str, set[ModelInput]]]] = {}
    for draft in drafts:
        loaded = draft.variant.loaded
        if models := loaded.recipe.models:
            shape, named = draft.filled.shape, found.setdefault(id(loaded), (loaded, {}))[1]
            for (node_id, name), value in zip(shape.places, draft.filled.literals, strict=True):
                if isinstance(value, str) and value in models:
                    named.setdefault(value, set()).add((shape.bare.nodes[node_id].class_type, name))
    return list(found.values())


def _of_folders(loaded: LoadedRecipe, name: str, inputs: set[ModelInput], problems: list[Problem]) -> Iterator[NeededModel]:
    """Yield a model for each folder that it belongs to, which is one unless it stands where different kinds do."""
    source, where = loaded.recipe.models[name], loaded.where(("models", name))
    sizes = None if source.size is None else sizes_of(source.size)
    by_folder: dict[str, set[ModelInput]] = {}
    for class_type, input_name in inputs:
        by_folder.setdefault(source.folder or model_kind(class_type, input_name), set()).add((class_type, input_name))
    if source.folder == "embeddings":
        by_folder.setdefault("embeddings", set())
    if len(by_folder) > 1:  # where it stands otherwise is some text
        by_folder.pop("", None)
    for folder, places in sorted(by_folder.items()):
        if folder:
            model = ModelFile(name, folder, loaded.model_source(name), source.sha256, sizes, where)
            yield NeededModel(model, frozenset(places))
        else:
            class_type, input_name = min(places)
            what = f"the input {input_name} of {class_type} does not show to which model folder it belongs"
            problems.append(Problem(what, where, "add folder: checkpoints, loras, …"))
