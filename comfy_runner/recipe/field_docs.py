"""What a recipe field or a parameter of a template may be, for people: its type, range, choices and sentence.

Those of fields are read from the recipe's JSON schema; `schema` checks their values. `templating.metadata` reads which parameters a
template declares, `templating.describe` says which fields it uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from comfy_runner.recipe.schema import json_schema
from comfy_runner.recipe.template_values import SEEN_FIELDS, VALUES
from comfy_runner.yaml_loader import got

_TYPES = {"string": "text", "array": "list"}

PARAM_TYPES: dict[str, tuple[type, ...]] = {
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
"""Types of parameters, and of their values in Python."""


@dataclass(frozen=True, slots=True)
class UsualRange:
    """The usual values of a field.

    Attributes:
        least: The smallest one.
        most: The largest one.
        below: What happens below; empty where nobody is to be warned.
        above: What happens above, likewise.
    """

    least: float
    most: float
    below: str = ""
    above: str = ""


@dataclass(frozen=True, slots=True)
class Param:
    """A free parameter that a template declares, or a recipe field as it is with a template.

    Attributes:
        name: Its name: of a parameter, under ``params:`` in a recipe; of a field, dotted.
        type: integer, number, text, boolean, list, object or any; image or file for the path of a file that is uploaded.
        required: Whether a recipe must give it; it has no default then.
        default: What it is where the recipe does not give it.
        minimum: The smallest value, for integers and numbers; None for no bound.
        maximum: The largest value, likewise.
        choices: All values there are; empty for any.
        description: One or more sentences.
        excludes_minimum: Whether the smallest value itself is too small.
        usual: The usual values, where the template says so.
    """

    name: str
    type: str
    required: bool = False
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    description: str = ""
    excludes_minimum: bool = False
    usual: UsualRange | None = None

    def problem(self, value: Any) -> str:
        """Return what is wrong with a value for this parameter; empty where nothing is."""
        allowed = PARAM_TYPES[self.type]
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


@cache
def field_docs() -> Mapping[str, Param]:
    """Return what there is to say of the fields that a template can see, dotted, in the order of the schema.

    Fields that are only complete together, such as a size, are one.
    """
    schema = json_schema()
    return dict(_walk(schema["properties"], schema["$defs"], ""))


def deciding_fields(value: str) -> frozenset[str]:
    """Return the recipe fields that decide a value that a template uses.

    Args:
        value: The value, dotted, as in `Template.uses`; ``upscale`` means all that is in it.
    """
    known = {**{name: (name,) for name in field_docs()}, **{name: seen.fields for name, seen in VALUES.items()}}
    meant = {name for name in known if name == value or name.startswith(f"{value}.") or value.startswith(f"{name}.")}
    return frozenset(field for name in meant for field in known[name])


def _walk(properties: Mapping[str, Any], definitions: Mapping[str, Any], above: str) -> Iterator[tuple[str, Param]]:
    for name, prop in properties.items():
        field = above + name
        options = [option for option in prop.get("anyOf", [prop]) if option.get("type") != "null"]
        inner = definitions[options[0]["$ref"].rpartition("/")[2]] if "$ref" in options[0] else None
        if field in SEEN_FIELDS:
            yield field, _param(field, [inner] if inner is not None else options, prop.get("description", ""))
        elif inner is not None:
            yield from _walk(inner["properties"], definitions, f"{field}.")


def _param(field: str, options: list[Mapping[str, Any]], description: str) -> Param:
    main = options[0]
    words = tuple(main.get("enum", ()))
    kind = main.get("type", "string")
    further = [str(word) for option in options[1:] for word in option.get("enum", ())]
    return Param(
        name=field,
        type=" or ".join((_TYPES.get(kind, kind), *further)),
        minimum=main.get("minimum", main.get("exclusiveMinimum")),
        maximum=main.get("maximum"),
        excludes_minimum="exclusiveMinimum" in main,
        choices=words,
        description=description,
    )
