"""What a template says of itself: a Jinja comment at the top of the file, in YAML; and what recipes give for its parameters.

::

    {#
    description: The picture's pixels enlarged, then a second pass.
    fields:
      upscale.denoise: {default: 0.45, usual: [0.3, 0.55], below: little detail is painted}
    params:
      tile_size: {type: integer, default: 512, min: 64, max: 4096, description: Edge of a tile in pixels.}
    outputs: {original: The first pass., upscaled: The second pass.}
    needs: {comfyui: 0.3.40, nodes: {UltimateSDUpscale: the node pack ComfyUI_UltimateSDUpscale}}
    #}

Does not know which recipe fields there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from comfy_runner import yaml_loader
from comfy_runner.errors import Note, Problem, TemplateError
from comfy_runner.graph.literals import is_number
from comfy_runner.recipe.field_docs import PARAM_TYPES, Param, UsualRange
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import Document, FieldPath, got

_KEYS = ("description", "params", "fields", "outputs", "needs")
_PARAM_KEYS = ("type", "default", "min", "max", "choices", "description")
_FIELD_KEYS = ("default", "usual", "below", "above", "description", "picture")
_NEEDS_KEYS = ("comfyui", "nodes")


@dataclass(frozen=True, slots=True)
class Header:
    """What a template says of itself.

    Attributes:
        description: One or more sentences.
        params: The free parameters that it declares, by name; None where it has no declaration and takes any.
        fields: What recipe fields are for in it, by dotted name; empty for what they always are.
        defaults: The values of fields that have another default with it than with others.
        usual: The usual values of fields.
        picture: The parameter of type image whose size is that of the original where a recipe gives none; empty for a first pass.
        outputs: What each output role is, as far as it says so.
        version: The first ComfyUI that has all its nodes; empty where it does not say.
        packs: Where node classes come from that are not ComfyUI's own, by class.
        lines: The line of the file on which a field is declared.
        notes: What the user should know of the way in which its texts are written.
    """

    description: str = ""
    params: Mapping[str, Param] | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    usual: Mapping[str, UsualRange] = field(default_factory=dict)
    picture: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    packs: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


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
            hint = did_you_mean(name, declared) or "it has no parameters at all"
            problems.append(Problem("the template has no such parameter", f"params.{name}", hint))
        elif reason := declared[name].problem(value):
            problems.append(Problem(reason, f"params.{name}", declared[name].description))
    values = dict(given)
    for name, param in declared.items():
        if name not in given and param.required:
            problems.append(Problem("the template needs this parameter", f"params.{name}", param.description))
        values.setdefault(name, param.default)
    return values, problems


@lru_cache(maxsize=256)
def parse_header(text: str, *, name: str) -> Header:
    """Return what a template's header says; read once, for its YAML takes longer than all else of finding a template.

    Args:
        text: The header, below as many empty lines as are above it in the file.
        name: The file, as messages show it.

    Raises:
        TemplateError: The header is not YAML, or not of the form above.
    """
    document = yaml_loader.parse(text, name=name, error=TemplateError)
    value = document.value
    if not isinstance(value, dict):
        return Header(value.strip() if isinstance(value, str) else "")
    reader = _Reader(document)
    reader.mapping(value, (), _KEYS, "a template's header")
    params = dict(reader.params(value["params"])) if value.get("params") is not None else None
    fields = dict(reader.specs(value.get("fields"), "fields", "{default: 0.45, usual: [0.3, 0.55]}", _FIELD_KEYS, "a field"))
    outputs = reader.texts(value.get("outputs"), ("outputs",))
    needs = reader.mapping(value.get("needs"), ("needs",), _NEEDS_KEYS, "needs")
    packs = reader.texts(needs.get("nodes"), ("needs", "nodes"))
    version = needs.get("comfyui", "")
    if not isinstance(version, str) and not is_number(version):
        reader.problem(f"must be a version such as 0.3.40 (got {got(version)})", ("needs", "comfyui"))
    header = Header(
        description=str(value.get("description") or "").strip(),
        params=params,
        fields={name: str(spec.get("description", "")) for name, spec in fields.items()},
        defaults={name: spec["default"] for name, spec in fields.items() if "default" in spec},
        usual={name: found for name, spec in fields.items() if (found := reader.usual(spec, ("fields", name)))},
        picture=reader.picture(fields, params or {}),
        outputs=outputs,
        version=str(version),
        packs=packs,
        lines={name: document.line(("fields", name)) for name in fields},
        notes=tuple(Note(what, reader.place(at)) for at, what in document.remarks.items()),
    )
    if reader.problems:
        raise TemplateError.of(reader.problems)
    return header


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self.problems: list[Problem] = []

    def problem(self, what: str, path: tuple[str, ...], hint: str = "") -> None:
        self.problems.append(Problem(what, self.place(path), hint))

    def place(self, path: FieldPath) -> str:
        return f"{self._document.name}:{self._document.line(path)}: {yaml_loader.dotted(path)}"

    def mapping(self, value: Any, path: tuple[str, ...], known: tuple[str, ...] = (), whose: str = "") -> Mapping[str, Any]:
        """Return a mapping, empty where there is none; if there are known keys, others are wrong."""
        found = {} if value is None else value
        if not isinstance(found, dict):
            self.problem(f"must be a mapping (got {got(value)})", path)
            return {}
        for key in found:
            if known and key not in known:
                self.problem(f"{key} is not a key of {whose}", (*path, key), ", ".join(known))
        return found

    def texts(self, value: Any, path: tuple[str, ...]) -> Mapping[str, str]:
        found = self.mapping(value, path)
        for name, text in found.items():
            if not isinstance(text, str):
                self.problem(f"must be text (got {got(text)})", (*path, name))
        return found

    def specs(
        self, value: Any, section: str, example: str, known: tuple[str, ...], whose: str
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the declarations of a section by name, those that are mappings."""
        for name, spec in self.mapping(value, (section,)).items():
            if not isinstance(spec, dict):
                self.problem(f"must be a mapping such as {example} (got {got(spec)})", (section, name))
                continue
            for key in spec:
                if key not in known:
                    quotes = "put quotes around a sentence that has a comma"
                    hint = quotes if " " in str(key) else did_you_mean(key, known)
                    self.problem(f"{key} is not a key of {whose}; {hint}", (section, name))
            yield name, spec

    def params(self, declared: Any) -> Iterator[tuple[str, Param]]:
        for name, spec in self.specs(declared, "params", "{type: number, default: 0.5}", _PARAM_KEYS, "a parameter"):
            place, type_, choices = ("params", name), spec.get("type"), spec.get("choices", [])
            wrong = []
            if not isinstance(type_, str) or type_ not in PARAM_TYPES:
                wrong.append(f"type must be one of {', '.join(PARAM_TYPES)} (got {got(type_)})")
            if not isinstance(choices, list):
                wrong.append(f"choices must be a list (got {got(choices)})")
            ordered = type_ in ("integer", "number")
            wrong += [
                f"{bound} must be a number, and belongs to type integer or number (got {got(spec[bound])})"
                for bound in ("min", "max")
                if bound in spec and not (ordered and is_number(spec[bound]))
            ]
            if not wrong:
                bounds, sentence = (spec.get("min"), spec.get("max")), str(spec.get("description", ""))
                param = Param(name, str(type_), "default" not in spec, spec.get("default"), *bounds, tuple(choices), sentence)
                given = [("default", spec["default"])] if "default" in spec else []
                given += [("choice", choice) for choice in choices]
                wrong += [f"the {key} {reason}" for key, value in given if (reason := param.problem(value))]
                yield name, param
            for what in wrong:
                self.problem(what, place)

    def picture(self, fields: Mapping[str, Mapping[str, Any]], params: Mapping[str, Param]) -> str:
        images = [name for name, param in params.items() if param.type == "image"]
        for name, spec in fields.items():
            given = spec.get("picture")
            if given is not None and (name != "size" or given not in images):
                what = f"picture is for the field size, and must name a parameter of type image (got {got(given)})"
                self.problem(what, ("fields", name), ", ".join(images))
        return str(fields.get("size", {}).get("picture") or "")

    def usual(self, spec: Mapping[str, Any], place: tuple[str, ...]) -> UsualRange | None:
        value = spec.get("usual")
        if value is None:
            return None
        if isinstance(value, list) and len(value) == 2 and all(map(is_number, value)) and value[0] <= value[1]:
            return UsualRange(value[0], value[1], str(spec.get("below", "")), str(spec.get("above", "")))
        self.problem(f"usual must be the smallest and the largest, such as [0.3, 0.55] (got {got(value)})", place)
        return None
