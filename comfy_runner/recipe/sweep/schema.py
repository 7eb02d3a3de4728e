"""The JSON schema of a recipe's ``sweep``, for editors.

It knows the forms, not the fields: which values a field takes is checked when the recipe is loaded (`parse`).
"""

from __future__ import annotations

from typing import Any

_NUMBER = {"type": "number"}
_FILE = {"type": "string", "minLength": 1}


def _mapping(properties: dict[str, Any], required: list[str], description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
        "description": description,
    }


_VALUES = {
    "anyOf": [
        {"type": "array", "minItems": 1, "description": "The values themselves."},
        _mapping({"from": _NUMBER, "to": _NUMBER, "step": _NUMBER}, ["from", "to"], "Exact decimals, both ends included."),
        _mapping(
            {"start": _NUMBER, "count": {"type": "integer", "minimum": 1}, "step": _NUMBER}, ["start", "count"], "Such as seeds."
        ),
        _mapping({"file": _FILE}, ["file"], "A text file, one value per line."),
        _mapping({"file": _FILE, "column": _FILE}, ["file", "column"], "A column of a CSV file."),
    ]
}
_GROUP = {
    "anyOf": [
        _mapping({"file": _FILE}, ["file"], "A CSV file whose columns are fields."),
        {"type": "object", "minProperties": 1, "properties": {"file": False}, "additionalProperties": _VALUES},
    ]
}
_POINTS = {"type": "array", "items": {"type": "object", "minProperties": 1}}

SWEEP_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "zip": {"anyOf": [_GROUP, {"type": "array", "items": _GROUP}], "description": "Fields that move together."},
        "exclude": {**_POINTS, "description": "Points that are left out: field to value, or to a list of values."},
        "include": {**_POINTS, "description": "More points: field to value."},
    },
    "additionalProperties": _VALUES,
}
"""Schema of the field ``sweep``."""
