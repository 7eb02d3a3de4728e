"""What a recipe field may be, for people: its type, range, choices and sentence, read from the recipe's JSON schema.

`schema` checks the values; `templating.describe` says which fields a template uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from comfy_runner.recipe.schema import json_schema
from comfy_runner.recipe.template_values import SEEN_FIELDS, VALUES

_TYPES = {"string": "text", "array": "list"}


@dataclass(frozen=True, slots=True)
class FieldDoc:
    """What the schema says of a field.

    Attributes:
        type: integer, number, text, boolean, list or object; with its words where it takes some, such as ``integer or random``.
        minimum: The smallest value, for numbers; None for no bound.
        maximum: The largest value, likewise.
        excludes_minimum: Whether the smallest value itself is too small.
        choices: All values there are; empty for any.
        description: One sentence.
    """

    type: str
    minimum: float | None
    maximum: float | None
    excludes_minimum: bool
    choices: tuple[Any, ...]
    description: str


@cache
def field_docs() -> Mapping[str, FieldDoc]:
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


def _walk(properties: Mapping[str, Any], definitions: Mapping[str, Any], above: str) -> Iterator[tuple[str, FieldDoc]]:
    for name, prop in properties.items():
        field = above + name
        options = [option for option in prop.get("anyOf", [prop]) if option.get("type") != "null"]
        inner = definitions[options[0]["$ref"].rpartition("/")[2]] if "$ref" in options[0] else None
        if field in SEEN_FIELDS:
            yield field, _field_doc([inner] if inner is not None else options, prop.get("description", ""))
        elif inner is not None:
            yield from _walk(inner["properties"], definitions, f"{field}.")


def _field_doc(options: list[Mapping[str, Any]], description: str) -> FieldDoc:
    main = options[0]
    words = tuple(main.get("enum", ()))
    kind = main.get("type", "string")
    further = [str(word) for option in options[1:] for word in option.get("enum", ())]
    return FieldDoc(
        type=" or ".join((_TYPES.get(kind, kind), *further)),
        minimum=main.get("minimum", main.get("exclusiveMinimum")),
        maximum=main.get("maximum"),
        excludes_minimum="exclusiveMinimum" in main,
        choices=words,
        description=description,
    )
