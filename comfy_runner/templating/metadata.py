"""What a template says of itself: a Jinja comment at the top of the file, in YAML.

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

Does not know what a parameter may be (`params`), and which recipe fields there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfy_runner import yaml_loader
from comfy_runner.errors import Problem, TemplateError
from comfy_runner.templating.params import Param, declaration_problems, param_of
from comfy_runner.text_files import shown
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import Document, got

_KEYS = ("description", "params", "fields", "outputs", "needs")
_FIELD_KEYS = ("default", "usual", "below", "above", "description")
_NEEDS_KEYS = ("comfyui", "nodes")


@dataclass(frozen=True, slots=True)
class Field:
    """What a template says of a recipe field.

    Attributes:
        name: The field, dotted.
        has_default: Whether it has another default with this template than with others.
        default: That default.
        least: The smallest usual value; None for no bound.
        most: The largest usual value, likewise.
        below: What happens below `least`.
        above: What happens above `most`.
        description: What the field is for in this template; empty for what it always is.
    """

    name: str
    has_default: bool = False
    default: Any = None
    least: float | None = None
    most: float | None = None
    below: str = ""
    above: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """What a template says of itself.

    Attributes:
        description: One or more sentences.
        params: The free parameters that it declares, by name; None where it has no declaration and takes any.
        fields: What it says of recipe fields, by dotted name.
        outputs: What each output role is, as far as it says so.
        version: The first ComfyUI that has all its nodes; empty where it does not say.
        packs: Where node classes come from that are not ComfyUI's own, by class.
        lines: The line of the file on which a field is declared.
    """

    description: str = ""
    params: Mapping[str, Param] | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    packs: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)


def parse_header(text: str, *, path: Path) -> Header:
    """Return what a template's header says.

    Args:
        text: The header, below as many empty lines as are above it in the file.
        path: The file, for messages.

    Raises:
        TemplateError: The header is not YAML, or not of the form above.
    """
    document = yaml_loader.parse(text, name=shown(path), error=TemplateError)
    value = document.value
    if not isinstance(value, dict):
        return Header(value.strip() if isinstance(value, str) else "")
    reader = _Reader(document)
    params = dict(reader.params(value.get("params"))) if value.get("params") is not None else None
    fields = {found.name: found for found in reader.fields(value.get("fields"))}
    outputs = reader.texts(value.get("outputs"), ("outputs",))
    needs = reader.mapping(value.get("needs"), ("needs",))
    reader.keys(value, (), _KEYS, "a template's header")
    reader.keys(needs, ("needs",), _NEEDS_KEYS, "needs")
    packs = reader.texts(needs.get("nodes"), ("needs", "nodes"))
    version = needs.get("comfyui", "")
    if not isinstance(version, (str, int, float)) or isinstance(version, bool):
        reader.problem(f"must be a version such as 0.3.40 (got {got(version)})", ("needs", "comfyui"))
    if reader.problems:
        raise TemplateError.of(reader.problems)
    return Header(
        description=str(value.get("description") or "").strip(),
        params=params,
        fields=fields,
        outputs=outputs,
        version=str(version),
        packs=packs,
        lines={name: document.line(("fields", name)) for name in fields},
    )


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self.problems: list[Problem] = []

    def problem(self, what: str, path: tuple[str, ...], hint: str = "") -> None:
        line = self._document.line(path)
        self.problems.append(Problem(what, f"{self._document.name}:{line}: {'.'.join(path)}", hint))

    def keys(self, given: Mapping[str, Any], path: tuple[str, ...], known: tuple[str, ...], whose: str) -> None:
        for key in given:
            if key not in known:
                self.problem(f"{key} is not a key of {whose}", (*path, key), ", ".join(known))

    def mapping(self, value: Any, path: tuple[str, ...]) -> Mapping[str, Any]:
        if value is None or isinstance(value, dict):
            return value or {}
        self.problem(f"must be a mapping (got {got(value)})", path)
        return {}

    def texts(self, value: Any, path: tuple[str, ...]) -> Mapping[str, str]:
        found = self.mapping(value, path)
        for name, text in found.items():
            if not isinstance(text, str):
                self.problem(f"must be text (got {got(text)})", (*path, name))
        return found

    def params(self, declared: Any) -> Iterator[tuple[str, Param]]:
        for name, spec in self.mapping(declared, ("params",)).items():
            place = ("params", name)
            reasons = list(declaration_problems(spec))
            for reason in reasons:
                self.problem(reason, place)
            if reasons:
                continue
            param = param_of(name, spec)
            given = [("default", spec["default"])] if "default" in spec else []
            for key, value in [*given, *(("choice", choice) for choice in param.choices)]:
                if reason := param.problem(value):
                    self.problem(f"the {key} {reason}", place)
            yield name, param

    def fields(self, declared: Any) -> Iterator[Field]:
        for name, spec in self.mapping(declared, ("fields",)).items():
            place = ("fields", name)
            if not isinstance(spec, dict):
                self.problem(f"must be a mapping such as {{default: 0.45, usual: [0.3, 0.55]}} (got {got(spec)})", place)
                continue
            for key in spec:
                if key not in _FIELD_KEYS:
                    self.problem(f"{key} is not a key of a field; {did_you_mean(key, _FIELD_KEYS)}", place)
            least, most = self.usual(spec.get("usual"), place)
            yield Field(
                name,
                has_default="default" in spec,
                default=spec.get("default"),
                least=least,
                most=most,
                **{key: str(spec.get(key, "")) for key in ("below", "above", "description")},
            )

    def usual(self, value: Any, place: tuple[str, ...]) -> tuple[float | None, float | None]:
        if value is None:
            return None, None
        if isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] <= value[1]:
            return value[0], value[1]
        self.problem(f"usual must be the least and the most, such as [0.3, 0.55] (got {got(value)})", place)
        return None, None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
