"""What a user may give as a recipe: a file, a shipped recipe's name, a glob, the sidecar of a finished job, a mapping.

`load` reads each of them. Workflows and pictures are read elsewhere (`importer.as_recipe`), by what `load_all` is given.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from comfy_runner.errors import InputError, Problem, RecipeError, UsageError
from comfy_runner.recipe.distinct import GivenRecipe, distinct
from comfy_runner.recipe.load import LoadedRecipe, from_mapping, load
from comfy_runner.recipe.schema import Recipe
from comfy_runner.text_files import is_file, read, shown
from comfy_runner.yaml_loader import got

RecipeSource = str | Path | Mapping[str, Any]
"""A recipe: the path of a file or sidecar, a glob, the name of a shipped recipe, or a mapping with a recipe's fields."""

RECIPES_ARE_YAML = "a recipe is YAML: name its file .yaml"
"""The hint for a recipe in a file that is called .json."""

_LARGEST_JSON = 256 * 1024 * 1024
_CUT_OFF = "it may have been cut off, or changed by hand: export or copy it again"
_FIELDS = frozenset({"extends", "sweep", *Recipe.model_fields})


class LoadSource(Protocol):
    """Loads one recipe, which is no glob, as `load_source` does."""

    def __call__(self, source: RecipeSource, *, sets: Sequence[str], sweeps: Sequence[str]) -> LoadedRecipe:
        """Load it.

        Args:
            source: What the user gives.
            sets: Overrides, each ``field=value``.
            sweeps: Axes, each ``field=values``.

        Raises:
            InputError: With everything that is wrong with it.
        """
        ...


def load_all(
    sources: Sequence[RecipeSource], *, sets: Sequence[str] = (), sweeps: Sequence[str] = (), load_one: LoadSource | None = None
) -> list[LoadedRecipe]:
    """Load recipes, each with the same overrides; pictures that hold one recipe give one, and files of one name get several.

    Args:
        sources: At least one; a text with ``*``, ``?`` or ``[`` that is no file stands for all files that it fits.
        sets: As for `load`.
        sweeps: As for `load`.
        load_one: What loads one of them, where more is understood than recipes and sidecars; None for `load_source`.

    Raises:
        InputError: With everything that is wrong with any of them.
        UsageError: None is given, or a glob fits nothing.
    """
    if not sources:
        raise UsageError("no recipe is given", hint="comfy-runner run quickstart")
    load_one = load_one or load_source
    given: list[GivenRecipe] = []
    problems: dict[Problem, type[InputError]] = {}
    for source in _each(sources):
        try:
            given.append(GivenRecipe(load_one(source, sets=sets, sweeps=sweeps), partial(_named, load_one, source, sets, sweeps)))
        except InputError as error:
            problems.update(dict.fromkeys(error.problems, type(error)))
    if problems:
        kinds = set(problems.values())
        raise (kinds.pop() if len(kinds) == 1 else RecipeError).of(problems)
    return distinct(given)


def _named(load_one: LoadSource, source: RecipeSource, sets: Sequence[str], sweeps: Sequence[str], name: str) -> LoadedRecipe:
    return load_one(source, sets=[*sets, f"name={json.dumps(name)}"], sweeps=sweeps)


def load_source(source: RecipeSource, *, sets: Sequence[str] = (), sweeps: Sequence[str] = ()) -> LoadedRecipe:
    """Load one recipe, which is no glob.

    Raises:
        InputError: With everything that is wrong with it.
    """
    if isinstance(source, Mapping):
        return from_mapping(source, sets=sets, sweeps=sweeps)
    if str(source).endswith(".json"):
        return from_mapping(_recipe_of_sidecar(Path(source)), sets=sets, sweeps=sweeps)
    return load(source, sets=sets, sweeps=sweeps)


def read_json(path: Path, *, hint: str = "") -> Any:
    """Return what a JSON file says.

    Args:
        path: The file.
        hint: What to do where it is none, and does not begin as JSON does either.

    Raises:
        UsageError: It cannot be read, is empty, or is no JSON.
    """
    text = read(path, error=UsageError, most=_LARGEST_JSON).strip()
    if not text:
        raise UsageError("is empty", where=shown(path), hint="export or copy it again")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        way_out = _CUT_OFF if text.startswith(("{", "[")) else hint
        raise UsageError(f"is not JSON: {error}", where=shown(path), hint=way_out) from error


def is_recipe(value: Any) -> bool:
    """Return whether what a JSON file says is a recipe, misspelt fields aside: most of its fields are those of one."""
    if not isinstance(value, dict) or isinstance(value.get("prompt"), dict):  # that is what is posted to ComfyUI
        return False
    return len(value.keys() & _FIELDS) > len(value) / 2


def _each(sources: Sequence[RecipeSource]) -> Iterator[RecipeSource]:
    for source in sources:
        if isinstance(source, str) and glob.has_magic(source) and not is_file(Path(source)):
            found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - that of Path knows no absolute patterns
            if not found:
                raise UsageError("matches no file", where=got(source), hint="check the folder")
            yield from found
        else:
            yield source


def _recipe_of_sidecar(path: Path) -> Mapping[str, Any]:
    data = read_json(path, hint=RECIPES_ARE_YAML)
    recipe = data.get("recipe") if isinstance(data, dict) else None
    if not isinstance(recipe, dict):
        if is_recipe(data):
            what = "is a recipe in a .json file, which only workflows and sidecars can be"
            raise UsageError(what, where=shown(path), hint="name it .yaml: JSON is YAML too")
        what = "is neither a workflow of ComfyUI nor a job's sidecar"
        raise UsageError(what, where=shown(path), hint="give a recipe, a workflow, a picture, or the job.json of a run folder")
    return recipe
