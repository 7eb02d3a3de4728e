"""The free parameters that a template declares in its header, and the values that a recipe gives for them.

A header is a Jinja comment at the top of the file, in YAML::

    {#
    description: Text to image, then …
    params:
      tile_size: {type: integer, default: 512, min: 64, max: 4096, description: Edge of a tile in pixels}
    #}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_runner import yamltext
from comfy_runner.errors import Problem, TemplateError
from comfy_runner.hints import did_you_mean
from comfy_runner.textfile import shown
from comfy_runner.yamltext import got

_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "text": (str,),
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
        type: integer, number, text, boolean, list, object or any.
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


def declared_params(header: str, *, path: Path) -> tuple[str, dict[str, Param] | None]:
    """Return the description and the declared parameters of a template's header; None where it declares none.

    Raises:
        TemplateError: The header is not YAML, or not of the form above.
    """
    where = shown(path)
    document = yamltext.parse(header, name=where, error=TemplateError)
    value = document.value
    if not isinstance(value, dict):
        return (value.strip() if isinstance(value, str) else "", None)
    problems = [
        Problem(f"{key} is not a key of a template's header", f"{where}:{document.line((key,))}", "description, params")
        for key in value
        if key not in ("description", "params")
    ]
    declared = value.get("params")
    if declared is not None and not isinstance(declared, dict):
        problems.append(Problem(f"params must be a mapping (got {got(declared)})", f"{where}:{document.line(('params',))}"))
    params: dict[str, Param] = {}
    for name, spec in declared.items() if isinstance(declared, dict) else ():
        reasons = list(_declaration_problems(spec))
        place = f"{where}:{document.line(('params', name))}: params.{name}"
        problems += [Problem(reason, place) for reason in reasons]
        if not reasons:
            params[name] = _param(name, spec)
            given = [("default", spec["default"])] if "default" in spec else []
            given += [("choice", choice) for choice in params[name].choices]
            wrong = [(key, params[name].problem(value)) for key, value in given]
            problems += [Problem(f"the {key} {reason}", place) for key, reason in wrong if reason]
    if problems:
        raise TemplateError.of(problems)
    return str(value.get("description") or "").strip(), (params if isinstance(declared, dict) else None)


def given_params(declared: Mapping[str, Param] | None, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the parameters a template renders with, and what is wrong with those that were given.

    Each problem's ``where`` is the dotted recipe field.
    """
    if declared is None:
        return dict(given), []
    problems = []
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


def _declaration_problems(spec: Any) -> Iterator[str]:
    if not isinstance(spec, dict):
        yield f"must be a mapping such as {{type: number, default: 0.5}} (got {got(spec)})"
        return
    for key in spec:
        if key not in _KEYS:
            yield f"{key} is not a key of a parameter; {did_you_mean(key, _KEYS)}"
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


def _param(name: str, spec: Mapping[str, Any]) -> Param:
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
