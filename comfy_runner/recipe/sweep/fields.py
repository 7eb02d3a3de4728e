"""What a dotted field of a sweep is: whether a recipe has it, and which values it takes.

Each value is checked alone, by the very type that the recipe's schema gives the field. What only a combination shows, such as
a width without a height, is checked when a point is made a recipe (`expand`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from comfy_runner.errors import Problem, RecipeError
from comfy_runner.recipe.fields import BareLora, VarName, VarValue
from comfy_runner.recipe.problems import fields_of, meant, model_of, problems
from comfy_runner.recipe.schema import Lora, Recipe
from comfy_runner.yaml_loader import MAX_DEPTH, FieldPath

PlaceOf = Callable[[FieldPath], str]
"""Returns the place of a part of what is written, for messages, given the path to it."""

_NOT_SWEPT = ("name", "extends", "sweep", "find", "retry", "output", "models", "alternatives", "wildcards")
_FIELD = re.compile(r"[\w-]+(\.[\w-]+|\[[0-9]{1,9}\])*")
_STEP = re.compile(r"[\w-]+")
_STRICT = ConfigDict(strict=True)


def below(place: PlaceOf, *steps: str | int) -> PlaceOf:
    """Return what tells the places of the parts of a part."""
    return lambda path: place((*steps, *path))


@dataclass(frozen=True, slots=True)
class Target:
    """A field that can be swept.

    Attributes:
        field: Its name, dotted.
        path: The steps to it.
        model: The model that it holds, whose fields a mapping changes one by one; None for all else.
        adapter: What checks its values; None where they are free.
    """

    field: str
    path: FieldPath
    model: type[BaseModel] | None = None
    adapter: TypeAdapter[Any] | None = None

    @property
    def takes_numbers(self) -> bool:
        """Whether a number can be its value."""
        return self.adapter is None or any(not self.check(number, lambda _: "")[1] for number in (1, 0.5, 64))

    def check(self, value: Any, place: PlaceOf) -> tuple[Any, list[Problem]]:
        """Return a value as the recipe would hold it, and what is wrong with it.

        Args:
            value: Plain Python.
            place: Returns the place of the value, or of a part of it, for messages.
        """
        if self.model is not None and isinstance(value, Mapping):
            return self._check_mapping(self.model, value, place)
        if self.adapter is None:
            return value, []
        try:
            checked = self.adapter.validate_python(value)
        except ValidationError as error:
            return value, problems(error, place=place, at=self.path)
        return canonical(checked, value), []

    def _check_mapping(self, model: type[BaseModel], value: Mapping[str, Any], place: PlaceOf) -> tuple[Any, list[Problem]]:
        checked, found = {}, []
        for key, inner in value.items():
            if key not in fields_of(model):
                found.append(Problem("unknown field", place((key,)), meant((*self.path, key))))
                continue
            part = _field_of(model, key, f"{self.field}.{key}", (*self.path, key))
            checked[key], wrong = part.check(inner, below(place, key))
            found += wrong
        return checked, found


def canonical(checked: Any, value: Any) -> Any:
    """Return a value so that equal ones look alike: 1 for a float is 1.0, a LoRA with nothing but a name is its name.

    Args:
        checked: As pydantic returns it.
        value: As it was written.
    """
    if isinstance(checked, float):
        return checked + 0.0  # -0.0 is 0.0
    if isinstance(checked, Lora):
        given = checked.model_dump(exclude_defaults=True)
        return given["name"] if len(given) == 1 else given
    return [canonical(item, item) for item in checked] if isinstance(checked, tuple) else value


def job_name() -> Target:
    """Return the field that names jobs: a recipe's name, which only rows of fields that move together can give."""
    return _field_of(Recipe, "name", "name", ("name",))


def resolve(field: str, base: Mapping[str, Any], *, where: str) -> Target:
    """Return the field of this name.

    Args:
        field: Dotted, items of lists by their number from 0: ``loras.0.name`` or ``loras[0].name``.
        base: The recipe's own values, which say how many items a list has.
        where: Who names it, for messages.

    Raises:
        RecipeError: A recipe has no such field, or it cannot be swept.
    """
    if not _FIELD.fullmatch(field):
        raise RecipeError("must be a dotted field", where=where, hint="write for example upscale.denoise")
    steps = _STEP.findall(field)
    if len(steps) > MAX_DEPTH:
        raise RecipeError(f"must have at most {MAX_DEPTH} parts", where=where)
    name = ".".join(steps)
    if steps[0] in _NOT_SWEPT:
        hint = "only in a zip or in a table, whose rows it names" if name == "name" else ""
        raise RecipeError("cannot be swept", where=where, hint=hint)
    if steps[:2] in (["expect"], ["expect", "passes"]):
        raise RecipeError("cannot be swept", where=where, hint="sweep a limit of single jobs, such as expect.drift.max")
    path = _path(steps, base, where)
    if steps[0] == "params" and len(steps) > 1:
        return Target(name, path)
    if steps[0] == "vars":
        return _variable(steps, name, where)
    model: type[BaseModel] = Recipe
    for depth, step in enumerate(path[:-1]):
        if isinstance(step, str):
            inner = model_of(model, step) if step in fields_of(model) else None
            if inner is None:
                hint = "" if step in fields_of(model) else meant(path[: depth + 1])
                raise RecipeError("unknown field", where=where, hint=hint)
            model = inner
    last = path[-1]
    if isinstance(last, int):
        return Target(name, path, adapter=_bare_lora())
    if last not in fields_of(model):
        raise RecipeError("unknown field", where=where, hint=meant(path))
    return _field_of(model, last, name, path)


def _variable(steps: list[str], name: str, where: str) -> Target:
    if len(steps) != 2:
        raise RecipeError("must be one variable", where=where, hint="write for example vars.animal")
    try:
        _var_name().validate_python(steps[1])
    except ValidationError as error:
        raise RecipeError.of(problems(error, place=lambda _: where)) from None
    return Target(name, tuple(steps), adapter=_var_value())


def _path(steps: list[str], base: Mapping[str, Any], where: str) -> FieldPath:
    """Return the way to a field, with numbers for items of lists that the recipe has."""
    path: list[str | int] = []
    here: Any = base
    for step in steps:
        if path == ["loras"] and here is None:
            here = ()
        if isinstance(here, list | tuple):
            if not step.isdecimal() or int(step) >= len(here):
                what, hint = ("LoRA", "sweep loras, or give the recipe the LoRAs first") if path == ["loras"] else ("item", "")
                raise RecipeError(f"the recipe has no such {what}, only {len(here)}", where=where, hint=hint)
            path.append(int(step))
            here = here[int(step)]
        else:
            path.append(step)
            here = here.get(step) if isinstance(here, Mapping) else None
    return tuple(path)


@cache
def _field_of(model: type[BaseModel], key: str, field: str, path: FieldPath) -> Target:
    return Target(field, path, model_of(model, key) if key != "loras" else None, _adapter(model, key))


@cache
def _adapter(model: type[BaseModel], key: str) -> TypeAdapter[Any]:
    info = fields_of(model)[key]
    kind: Any = info.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return TypeAdapter(kind)  # strict by itself
    return TypeAdapter(Annotated[(kind, *info.metadata)] if info.metadata else kind, config=_STRICT)


@cache
def _var_name() -> TypeAdapter[Any]:
    return TypeAdapter(VarName)


@cache
def _var_value() -> TypeAdapter[Any]:
    return TypeAdapter(VarValue)


@cache
def _bare_lora() -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[Lora, BareLora])
