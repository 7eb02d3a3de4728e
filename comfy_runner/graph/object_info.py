"""What a server says of its node classes: ``GET /object_info``, read tolerantly into values.

Both shapes of an enum are read: ``[["a", "b"], {…}]`` of older nodes and ``["COMBO", {"options": ["a", "b"]}]`` of newer ones; and
inputs that bring others, as nodes of ComfyUI 0.4 and newer have them (``comfy_api/latest/_io.py``): an option of a
``COMFY_DYNAMICCOMBO_V3`` brings ``format.bit_depth``, a ``COMFY_AUTOGROW_V3`` stands for ``images.image0``, ``images.image1``, ….
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from comfy_runner.errors import WorkflowError
from comfy_runner.graph.page_control import PageControl, page_control
from comfy_runner.graph.price_badge import PriceBadge, parse_badge
from comfy_runner.graph.replacements import Replacement, parse_replacements

_PACKS = "custom_nodes."
_PARTNERS = "comfy_api_nodes"
_MARKS = ("deprecated", "experimental", "api_node")
_NEVER_REQUIRED = ("COMFY_DYNAMICGROUP_V3", "COMFY_DYNAMICSLOT_V3")  # other inputs stand in their place, or none
_MOST_PARTS = 1000
_DEEPEST = 10


@dataclass(frozen=True, slots=True)
class InputInfo:
    """One input of a node class.

    Attributes:
        type: ``INT``, ``MODEL``, … or ``COMBO``; several are separated by commas; ``*`` takes anything.
        required: Whether the server demands it.
        options: The allowed values of an enum; None for other types and for an enum that the server does not list.
        minimum: The smallest number; None for no bound.
        maximum: The largest number, likewise.
        has_default: Whether the server gives a default.
        default: That default.
        takes_unlisted: Whether the server takes files that it does not list: those in sub-folders of its input folder.
        step: The distance between numbers that ComfyUI's page offers; None where it is not said. The server takes others, too.
        tooltip: What the server says of it; empty for nothing.
        choices: What further inputs each option brings, by option and name; None for what brings none.
        parts: The inputs that stand in its place, by name; None for what is an input itself.
        is_widget: Whether the page has a control for it whatever its type is, as for a colour, a curve or a box: a literal will do.
        page: What the page makes of it; None for one that was not read from a server.
    """

    type: str
    required: bool
    options: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    has_default: bool = False
    default: Any = None
    takes_unlisted: bool = False
    step: float | None = None
    tooltip: str = ""
    choices: Mapping[str, Mapping[str, InputInfo]] | None = None
    parts: Mapping[str, InputInfo] | None = None
    is_widget: bool = False
    page: PageControl | None = field(default=None, compare=False)

    @property
    def texts(self) -> list[str]:
        """Return the options that are texts."""
        return [option for option in self.options or () if isinstance(option, str)]

    @property
    def types(self) -> frozenset[str]:
        """Return the types one by one."""
        return type_names(self.type)


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """One node class.

    Attributes:
        name: The class name.
        inputs: Its inputs by name, without hidden ones.
        outputs: The types of its outputs.
        is_output: Whether it saves or shows something, so that a graph may end in it.
        is_core: Whether it belongs to ComfyUI itself, whose input names are all there are.
        display_name: What ComfyUI's page calls it.
        category: The menu that it is in, such as ``latent/batch``; empty where it is not said, as with the next two.
        description: What it does.
        module: The Python module that it comes from.
        output_names: The names of its outputs, as many as there are types.
        marks: Which of ``deprecated``, ``experimental`` and ``api_node`` (it calls a paid service) it is.
        order: The names of its inputs in the order of ComfyUI's page (``input_order``).
        price: What it costs, where it calls a paid service; None where that is not said, as before 2026, or not readable.
    """

    name: str
    inputs: Mapping[str, InputInfo]
    outputs: tuple[str, ...]
    is_output: bool
    is_core: bool
    display_name: str = ""
    category: str = ""
    description: str = ""
    module: str = ""
    output_names: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    price: PriceBadge | None = None

    @property
    def pack(self) -> str:
        """The node pack that it comes from, by the name of its folder; empty where it comes from none."""
        return self.module.removeprefix(_PACKS) if self.module.startswith(_PACKS) else ""

    @property
    def is_paid(self) -> bool:
        """Whether it calls a paid service: it is marked so, or is one of those that ComfyUI ships for partners."""
        return "api_node" in self.marks or self.module.startswith(_PARTNERS)

    @property
    def dynamic(self) -> frozenset[str]:
        """Return the names of the inputs that bring others."""
        return frozenset(name for name, known in self.inputs.items() if known.choices is not None or known.parts is not None)


class ObjectInfo:
    """All node classes of one server.

    Args:
        data: The parsed answer of ``GET /object_info``.
        source: Where it comes from, for messages: a URL or a file.
        replacements: The parsed answer of ``GET /node_replacements``; None where it does not tell.

    Raises:
        WorkflowError: This is not an ``/object_info`` answer.
    """

    def __init__(self, data: Any, *, source: str, replacements: Any = None) -> None:
        if not isinstance(data, dict) or not any(isinstance(node, dict) and "input" in node for node in data.values()):
            raise WorkflowError(
                "is not an answer of ComfyUI's /object_info",
                where=source,
                hint="curl SERVER/object_info > object_info.json",
            )
        self.source = source
        self._data = data
        self._said_replacements = replacements
        self._replacements = parse_replacements(replacements)
        self._parsed: dict[str, NodeInfo] = {}
        self._produced: frozenset[str] | None = None
        self._more: dict[str, list[str]] = {}

    def with_options(self, more: Mapping[tuple[str, str], Iterable[str]]) -> ObjectInfo:
        """Return the same with further options of enums.

        Args:
            more: The options, by node class and input; of a class, an input or a list that the server lacks they do not count.
        """
        found = ObjectInfo(self._data, source=self.source, replacements=self._said_replacements)
        for (class_type, name), options in more.items():
            node = found.get(class_type)
            known = node.inputs.get(name) if node is not None else None
            if node is not None and known is not None and known.options is not None:
                listed = replace(known, options=(*known.options, *options))
                found._parsed[class_type] = replace(node, inputs={**node.inputs, name: listed})
                found._more[f"{class_type}.{name}"] = sorted(options)
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of all that was said, wherever it comes from: equal for equal answers, whatever the order of their keys."""
        text = json.dumps([self._data, self._said_replacements, self._more], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    @property
    def classes(self) -> list[str]:
        """Return the names of all node classes."""
        return [name for name, node in self._data.items() if isinstance(node, dict)]

    def get(self, class_type: str) -> NodeInfo | None:
        """Return what is known of a class, or None where the server has no such class."""
        raw = self._data.get(class_type)
        if class_type not in self._parsed and isinstance(raw, dict):
            self._parsed[class_type] = _node(class_type, raw)
        return self._parsed.get(class_type)

    def replacement(self, class_type: str) -> Replacement | None:
        """Return what the server puts in the place of a node whose class it lacks; None where it has the class, or nothing else."""
        found = self._replacements.get(class_type) if class_type not in self._data else None
        return found if found is not None and isinstance(self._data.get(found.class_type), dict) else None

    def paid(self, classes: Iterable[str]) -> list[str]:
        """Return which of these node classes call a paid service, by name; those that the server lacks call none."""
        named = {name: self.replacement(name) for name in classes}
        known = {name: self.get(name if other is None else other.class_type) for name, other in named.items()}
        return sorted(name for name, node in known.items() if node is not None and node.is_paid)

    @cached_property
    def has_dynamic_inputs(self) -> bool:
        """Return whether some class has inputs that bring others: servers since ComfyUI 0.4, and their pages."""
        known = (self.get(name) for name in self.classes)
        return any(node.dynamic for node in known if node is not None)

    def is_produced(self, type_: str) -> bool:
        """Return whether some node has an output of this type, so that an input of it wants a link."""
        if self._produced is None:
            self._produced = frozenset(
                output for node in self._data.values() if isinstance(node, dict) for output in _outputs(node)
            )
        return not self._produced.isdisjoint(type_names(type_))


@lru_cache(maxsize=1024)  # asked for each different literal of a plan
def type_names(type_: str) -> frozenset[str]:
    """Return the names in a type such as ``INT,FLOAT``."""
    return frozenset(part.strip() for part in type_.split(","))


def expanded(inputs: Mapping[str, InputInfo], given: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, InputInfo]]:
    """Yield the inputs of a node with those that they bring, named as in a graph: ``format``, ``format.bit_depth``.

    Args:
        inputs: Those of its class.
        given: What a graph gives to the node, by name: the chosen options decide.
        above: What stands before the names.
    """
    for name, known in inputs.items():
        field = above + name
        if known.parts is not None:
            yield from expanded(known.parts, given, f"{field}.")
            continue
        yield field, known
        chosen = given.get(field)
        if known.choices is not None and isinstance(chosen, str):
            yield from expanded(known.choices.get(chosen, {}), given, f"{field}.")


def _inputs(groups: Any, depth: int = 0) -> dict[str, InputInfo]:
    inputs: dict[str, InputInfo] = {}
    for group in ("required", "optional") if depth < _DEEPEST else ():
        found = groups.get(group) if isinstance(groups, dict) else None
        for name, spec in found.items() if isinstance(found, dict) else ():
            inputs[name] = _input(spec, required=group == "required", depth=depth)
    return inputs


def _node(name: str, raw: Mapping[str, Any]) -> NodeInfo:
    module = str(raw.get("python_module", ""))
    outputs = _outputs(raw)
    inputs = _inputs(raw.get("input"))
    return NodeInfo(
        name=name,
        inputs=inputs,
        outputs=outputs,
        is_output=bool(raw.get("output_node")),
        is_core=module == "nodes" or module.startswith("comfy_extras."),
        display_name=_text(raw.get("display_name")) or name,
        category=_text(raw.get("category")),
        description=_text(raw.get("description")),
        module=module,
        output_names=_output_names(raw.get("output_name"), outputs),
        marks=tuple(mark for mark in _MARKS if raw.get(mark)),
        order=_order(raw.get("input_order"), raw.get("input"), inputs),
        price=parse_badge(raw.get("price_badge")),
    )


def _order(told: Any, groups: Any, inputs: Mapping[str, InputInfo]) -> tuple[str, ...]:
    """Return the inputs as the page has them: the order that is told, required ones first, then those that it leaves out."""
    optional = groups.get("optional") if isinstance(groups, dict) else None
    optional = optional if isinstance(optional, dict) else {}
    lists = [(group, told.get(group)) for group in ("required", "optional")] if isinstance(told, dict) else []
    listed = [
        name
        for group, names in lists
        for name in (names if isinstance(names, list) else ())
        if isinstance(name, str) and name in inputs and (name in optional) == (group == "optional")
    ]
    return tuple(dict.fromkeys([*listed, *inputs]))


def _output_names(names: Any, types: tuple[str, ...]) -> tuple[str, ...]:
    """Return a name for each output: its type where the server gives none."""
    given = names if isinstance(names, list) else []
    return tuple((_text(given[slot]) if slot < len(given) else "") or type_ for slot, type_ in enumerate(types))


def _outputs(raw: Mapping[str, Any]) -> tuple[str, ...]:
    outputs = raw.get("output")
    # A node may return an enum, whose "type" is the list of its options.
    return tuple(item if isinstance(item, str) else "COMBO" for item in outputs) if isinstance(outputs, list) else ()


def _input(spec: Any, *, required: bool, depth: int) -> InputInfo:
    kind = spec[0] if isinstance(spec, list) and spec else "*"
    extra = spec[1] if isinstance(spec, list) and len(spec) > 1 and isinstance(spec[1], dict) else {}
    options = kind if isinstance(kind, list) else extra.get("options") if kind == "COMBO" else None
    if any(extra.get(key) for key in ("multiselect", "multi_select", "remote")):
        options = None  # the value is a list of options, or the page asks elsewhere for them
    choices = _choices(extra.get("options"), depth) if kind == "COMFY_DYNAMICCOMBO_V3" else None
    return InputInfo(
        type="COMBO" if isinstance(kind, list) else str(kind),
        required=required and kind not in _NEVER_REQUIRED,
        options=tuple(choices) if choices else tuple(options) if isinstance(options, list) else None,
        minimum=_number(extra.get("min")),
        maximum=_number(extra.get("max")),
        has_default=extra.get("default") is not None,
        default=extra.get("default"),
        takes_unlisted=any(key.endswith("_upload") and value for key, value in extra.items()),
        step=_number(extra.get("step")),
        tooltip=_text(extra.get("tooltip")),
        choices=choices or None,
        parts=_parts(extra.get("template"), depth) if kind == "COMFY_AUTOGROW_V3" else None,
        is_widget=bool(extra.get("socketless")) or isinstance(extra.get("default"), str | dict | list),
        page=page_control(kind, extra),
    )


def _choices(options: Any, depth: int) -> dict[str, Mapping[str, InputInfo]]:
    """Return what each option of a dynamic combo brings."""
    known = [option for option in options if isinstance(option, dict)] if isinstance(options, list) else []
    return {option["key"]: _inputs(option.get("inputs"), depth + 1) for option in known if isinstance(option.get("key"), str)}


def _parts(template: Any, depth: int) -> dict[str, InputInfo] | None:
    """Return the inputs that stand for one that grows, the first ones of which are required; None where they are not told.

    Whether the one that grows is optional itself does not count (``Autogrow._expand_schema_for_dynamic`` in ``_io.py``).
    """
    template = template if isinstance(template, dict) else {}
    each = next(iter(_inputs(template.get("input"), depth + 1).values()), None)
    names, prefix, most = template.get("names"), template.get("prefix"), _number(template.get("max"))
    if not isinstance(names, list):
        count = min(_MOST_PARTS, int(most or 0)) if isinstance(prefix, str) else 0
        names = [f"{prefix}{index}" for index in range(count)]
    if each is None or not names:
        return None
    least = int(_number(template.get("min")) or 0) if each.required else 0
    return {str(name): replace(each, required=index < least) for index, name in enumerate(names[:_MOST_PARTS])}


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
