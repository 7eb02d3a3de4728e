"""What is expected of each job, and where that stands: in its recipe, or in its sidecar, with the config file's beneath."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from pydantic import ValidationError

from comfy_runner.config import Config
from comfy_runner.errors import RunFolderError
from comfy_runner.expect import Expect
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.problems import problems
from comfy_runner.recipe.sweep.expand import Variant
from comfy_runner.store.sidecar import Sidecar
from comfy_runner.text_files import shown
from comfy_runner.yaml_loader import dotted

_LINE = re.compile(r"(.+?):([0-9]+): ")
_FIELD = "expect"


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of a job.

    Attributes:
        job_id: The job.
        recipe: The name of its recipe, as run folders know it.
        expect: The limits.
        place: Returns the place of a limit, such as ``fox.yaml:12``, given its name without ``expect``: ``drift.max``.
        file: The recipe's file, as messages show it; empty where there is none.
        line: The line in it that stands for the job, from 1: that of its ``expect``, or 1; 0 where there is no file.
        problem: Why it is not known what is expected; empty where it is.
    """

    job_id: str
    recipe: str
    expect: Expect
    place: Callable[[str], str]
    file: str = ""
    line: int = 0
    problem: str = ""


def expected_of(variants: Iterable[Variant], config: Config) -> dict[str, Expected]:
    """Return what is expected of jobs, by their ids.

    Args:
        variants: The jobs.
        config: Settings, whose expectations hold where a recipe has none of the same name.

    Raises:
        RecipeError: The values of a job's point do not go together.
    """
    found: dict[str, Expected] = {}
    alike: dict[tuple[int, ...], Expected] = {}
    for variant in variants:
        # The points of a sweep share their values, so that each combination of expected ones is looked at once.
        key = id(variant.loaded), *(id(variant.point[index]) for index in _swept(variant))
        known = alike.get(key)
        if known is None:
            known = alike[key] = _expected(variant, config)
        found[variant.job_id] = replace(known, job_id=variant.job_id)
    return found


def expected_in(sidecar: Sidecar, config: Config, *, where: str) -> Expected:
    """Return what was expected of a job when it was rendered.

    Args:
        sidecar: Its sidecar.
        config: As for `expected_of`.
        where: What messages call the sidecar.

    Raises:
        RunFolderError: What the sidecar says of that makes no sense, or names a metric that is not installed here.
    """
    given = sidecar.recipe.get(_FIELD) if isinstance(sidecar.recipe, dict) else None
    try:
        expect = None if given is None else Expect.model_validate(given)
    except ValidationError as error:
        problem = problems(error, place=lambda path: dotted((_FIELD, *path)), at=(_FIELD,))[0]
        raise RunFolderError(f"its expectations cannot be understood ({problem})", where=where) from None
    return Expected(sidecar.job_id, sidecar.recipe_name, _under(expect, config), _place(expect, lambda _name: where, config))


def _expected(variant: Variant, config: Config) -> Expected:
    loaded = variant.alone if _swept(variant) else variant.loaded
    expect = loaded.recipe.expect
    place = _place(expect, lambda name: _short(loaded.where(f"{_FIELD}.{name}")), config)
    file = "" if loaded.path is None else shown(loaded.path)
    return Expected(variant.job_id, variant.recipe_name, _under(expect, config), place, file, _line(loaded, file))


def _swept(variant: Variant) -> list[int]:
    return [index for index, field in enumerate(variant.fields) if field.startswith(f"{_FIELD}.")]


def _under(expect: Expect | None, config: Config) -> Expect:
    return (config.expect or Expect()).under(expect)


def _place(expect: Expect | None, own: Callable[[str], str], config: Config) -> Callable[[str], str]:
    """Return what tells the place of a limit: its recipe's, or else that of the settings."""

    def place(name: str) -> str:
        is_own = expect is not None and name.partition(".")[0] in expect.model_fields_set
        return own(name) if is_own else _short(config.where(f"{_FIELD}.{name}"))

    return place


def _short(place: str) -> str:
    """Return a place without the field, where it has a line: ``fox.yaml:12``."""
    found = _LINE.match(place)
    return f"{found[1]}:{found[2]}" if found else place


def _line(loaded: LoadedRecipe, file: str) -> int:
    found = _LINE.match(loaded.where(_FIELD))
    return 0 if not file else int(found[2]) if found and found[1] == file else 1
