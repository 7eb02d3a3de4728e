"""The free parameters that a template declares, and the values that a recipe gives for them.

Does not read the declarations (`metadata`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comfy_runner.errors import Problem
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import got

_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "text": (str,),
    "image": (str,),
    "file": (str,),
    "boolean": (bool,),
    "list": (list,),
    "object": (dict,),
    "any": (object,),
}
_KEYS = ("type", "default", "min", "max", "choices", "description")


@dataclass(frozen=True, slots=True)
class Param:
    """One declared parameter.

    Attributes:
        name: Its name under ``params:`` in a recipe.
        type: integer, number, text, boolean, list, object or any; image or file for the path of a file that is uploaded.
        required: Whether a recipe must give it; it has no default then.
        default: What it is where the recipe does not give it.
        minimum: The smallest value, for integers and numbers; None for no bound.
        maximum: The largest value, likewise.
        choices: All values there are; empty for any.
        description: One sentence.
    """

    name: str
    type: str
    required: bool
    default: Any
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...]
    description: str

    def problem(self, value: Any) -> str:
        """Return what is wrong with a value for this parameter; empty where nothing is."""
        allowed = _TYPES[self.type]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed and object not in allowed):
            return f"must be of type {self.type} (got {got(value)})"
        if isinstance(value, (int, float)):
            if self.minimum is not None and value < self.minimum:
                return f"must be at least {self.minimum} (got {value})"
            if self.maximum is not None and value > self.maximum:
                return f"must be at most {self.maximum} (got {value})"
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(map(str, self.choices))} (got {got(value)})"
        return ""


def given_params(
    declared: Mapping[str, Param] | None, given: Mapping[str, Any], *, elsewhere: Collection[str] = ()
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the parameters a template renders with, and what is wrong with those that were given.

    Each problem's ``where`` is the dotted recipe field.

    Args:
        declared: The parameters that the template declares; None where it takes any.
        given: What the recipe gives.
        elsewhere: Names that are for other templates of the same recipe, and left out here.
    """
    if declared is None:
        return dict(given), []
    problems = []
    given = {name: value for name, value in given.items() if name in declared or name not in elsewhere}
    for name, value in given.items():
        if name not in declared:
            problems.append(Problem("the template has no such parameter", f"params.{name}", did_you_mean(name, declared)))
        elif reason := declared[name].problem(value):
            problems.append(Problem(reason, f"params.{name}", declared[name].description))
    values = dict(given)
    for name, param in declared.items():
        if name not in given and param.required:
            problems.append(Problem("the template needs this parameter", f"params.{name}", param.description))
        values.setdefault(name, param.default)
    return values, problems


def declaration_problems(spec: Any) -> Iterator[str]:
    """Yield what is wrong with the declaration of a parameter."""
    if not isinstance(spec, dict):
        yield f"must be a mapping such as {{type: number, default: 0.5}} (got {got(spec)})"
        return
    for key in spec:
        if key not in _KEYS:
            quotes = "put quotes around a sentence that has a comma"
            yield f"{key} is not a key of a parameter; {quotes if ' ' in str(key) else did_you_mean(key, _KEYS)}"
    type_ = spec.get("type")
    if not isinstance(type_, str) or type_ not in _TYPES:
        yield f"type must be one of {', '.join(_TYPES)} (got {got(type_)})"
    if not isinstance(spec.get("choices", []), list):
        yield f"choices must be a list (got {got(spec['choices'])})"
    for bound in ("min", "max"):
        if bound in spec and (spec.get("type") not in ("integer", "number") or not _is_number(spec[bound])):
            yield f"{bound} must be a number, and belongs to type integer or number (got {got(spec[bound])})"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def param_of(name: str, spec: Mapping[str, Any]) -> Param:
    """Return the parameter that a declaration without problems declares."""
    return Param(
        name=name,
        type=spec["type"],
        required="default" not in spec,
        default=spec.get("default"),
        minimum=spec.get("min"),
        maximum=spec.get("max"),
        choices=tuple(spec.get("choices", ())),
        description=str(spec.get("description", "")),
    )
