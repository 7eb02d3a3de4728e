"""What a dotted field of a sweep is: whether a recipe has it, and which values it takes.

Each value is checked alone, by the very type that the recipe's schema gives the field. What only a combination shows, such as
a width without a height, is checked when a variant is validated (`variants`).

Not here: the forms in which values are written (`values`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from comfy_runner.errors import Problem
from comfy_runner.recipe.fields import BareLora
from comfy_runner.recipe.problems import meant, model_of, problems
from comfy_runner.recipe.schema import Lora, Recipe
from comfy_runner.yaml_loader import MAX_DEPTH, FieldPath

VERBATIM = ("prompt", "negative_prompt")
"""Fields whose values are taken as they are typed, without YAML's quotes and escapes: they are full of colons and commas."""

_NOT_SWEPT = ("name", "extends", "sweep", "retry", "output")
_FIELD = re.compile(r"[\w-]+(\.[\w-]+|\[[0-9]{1,9}\])*")
_STEP = re.compile(r"[\w-]+")
_STRICT = ConfigDict(strict=True)


class NoSuchField(Exception):
    """A recipe has no such field, or it cannot be swept.

    Attributes:
        what: The reason.
        hint: The way out.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


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
        return any(not self.check(number, lambda _: "")[1] for number in (1, 0.5, 64))

    def check(self, value: Any, place: Callable[[FieldPath], str]) -> tuple[Any, list[Problem]]:
        """Return a value as the recipe would hold it, and what is wrong with it.

        Args:
            value: Plain Python.
            place: Returns the place of the value, or of a part of it, for messages.
        """
        if self.model is not None and isinstance(value, Mapping):
            return self._mapping(self.model, value, place)
        if self.adapter is None:
            return value, []
        try:
            checked = self.adapter.validate_python(value)
        except ValidationError as error:
            return value, problems(error, place=place, at=self.path)
        return canonical(checked, value), []

    def _mapping(
        self, model: type[BaseModel], value: Mapping[str, Any], place: Callable[[FieldPath], str]
    ) -> tuple[Any, list[Problem]]:
        checked, found = {}, []
        for key, inner in value.items():
            if key not in model.model_fields:
                found.append(Problem("unknown field", place((key,)), meant((*self.path, key))))
                continue
            part = _field_of(model, key, f"{self.field}.{key}", (*self.path, key))
            checked[key], wrong = part.check(inner, _below(place, key))
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


def _below(place: Callable[[FieldPath], str], key: str) -> Callable[[FieldPath], str]:
    return lambda path: place((key, *path))


def resolve(field: str, base: Mapping[str, Any]) -> Target:
    """Return the field of this name.

    Args:
        field: Dotted, items of lists by their number from 0: ``loras.0.name`` or ``loras[0].name``.
        base: The recipe's own values, which say how many items a list has.

    Raises:
        NoSuchField: A recipe has no such field, or it cannot be swept.
    """
    if not _FIELD.fullmatch(field):
        raise NoSuchField("must be a dotted field", "write for example upscale.denoise")
    steps = _STEP.findall(field)
    if len(steps) > MAX_DEPTH:
        raise NoSuchField(f"must have at most {MAX_DEPTH} parts")
    name, first = ".".join(steps), steps[0]
    if first in _NOT_SWEPT:
        raise NoSuchField("cannot be swept")
    if first == "params" and len(steps) > 1:
        return Target(name, _free(steps, base))
    if first == "loras" and len(steps) > 1:
        return _lora(name, steps, base.get("loras"))
    model: type[BaseModel] = Recipe
    for depth, step in enumerate(steps[:-1]):
        inner = model_of(model, step) if step in model.model_fields else None
        if inner is None:
            raise NoSuchField("unknown field", meant(tuple(steps[: depth + 1])) if step not in model.model_fields else "")
        model = inner
    if steps[-1] not in model.model_fields:
        raise NoSuchField("unknown field", meant(tuple(steps)))
    return _field_of(model, steps[-1], name, tuple(steps))


def _lora(name: str, steps: list[str], loras: Any) -> Target:
    count = len(loras) if isinstance(loras, list | tuple) else 0
    if not steps[1].isdecimal() or int(steps[1]) >= count:
        raise NoSuchField(f"the recipe has no such LoRA, only {count}", "sweep loras, or give the recipe the LoRAs first")
    path: FieldPath = ("loras", int(steps[1]))
    if len(steps) == 2:
        return Target(name, path, adapter=_bare_lora())
    if len(steps) > 3 or steps[2] not in Lora.model_fields:
        raise NoSuchField("unknown field", meant((*path, *steps[2:])))
    return _field_of(Lora, steps[2], name, (*path, steps[2]))


def _free(steps: list[str], base: Mapping[str, Any]) -> FieldPath:
    path: list[str | int] = []
    here: Any = base
    for step in steps:
        if isinstance(here, list | tuple):
            if not step.isdecimal() or int(step) >= len(here):
                raise NoSuchField(f"the recipe has no such item, only {len(here)}")
            path.append(int(step))
            here = here[int(step)]
        else:
            path.append(step)
            here = here.get(step) if isinstance(here, Mapping) else None
    return tuple(path)


@cache
def _field_of(model: type[BaseModel], key: str, field: str, path: FieldPath) -> Target:
    inner = model_of(model, key) if key != "loras" else None
    return Target(field, path, inner, _adapter(model, key))


@cache
def _adapter(model: type[BaseModel], key: str) -> TypeAdapter[Any]:
    info = model.model_fields[key]
    kind: Any = info.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return TypeAdapter(kind)  # strict by itself
    return TypeAdapter(Annotated[(kind, *info.metadata)] if info.metadata else kind, config=_STRICT)


@cache
def _bare_lora() -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[Lora, BareLora])
