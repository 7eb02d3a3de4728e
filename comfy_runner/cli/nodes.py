"""``comfy-runner nodes``: the node classes of a server, or all that it says of one (docs/servers.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.formatting import prose, wrapped
from comfy_runner.cli.options import NamedServers, json_option, server_or_file_option
from comfy_runner.cli.output import one_line, print_json, print_line, print_lines, say
from comfy_runner.errors import UsageError
from comfy_runner.wording import counted, did_you_mean

if TYPE_CHECKING:
    from comfy_runner.graph.object_info import InputInfo, NodeInfo, ObjectInfo

_VERSION = 1
_LABEL = 12
_WIDEST = 28
_LONGEST_VALUE = 60
_MOST_OPTIONS = 8
_DEEPEST = 8
_LARGEST_WHOLE = 1e15  # a larger number is easier to read with its exponent


@click.command()
@click.argument("class_type", metavar="[CLASS]", required=False)
@server_or_file_option()
@click.option(
    "--search",
    metavar="TEXT",
    help="Only classes that have these words in their name, title or category, or as a type of an input or output.",
)
@json_option("Print one JSON object with all options (docs/servers.md).")
def nodes(class_type: str | None, *, servers: NamedServers, object_info: Path | None, search: str | None, as_json: bool) -> None:
    """List the node classes of a server, one per line, or describe one.

    With CLASS: what it does, its inputs with their types, ranges, defaults and options, and its outputs.
    """
    from comfy_runner import api

    if class_type is not None and search is not None:
        raise click.UsageError("CLASS and --search cannot be used together")
    info = api.nodes(server=servers.one(), object_info=object_info, config=servers.config, say=say)
    found = _matching(info, search) if class_type is None else [_only(info, class_type)]
    if as_json:
        print_json({"v": _VERSION, "nodes": [node_record(node) for node in found]})
    elif class_type is not None:
        print_lines(describe(found[0]))
    elif found:
        print_line("\n".join(one_line(node.name, longest=0) for node in found))
    else:
        say(f"no node class matches {search}")


def describe(node: NodeInfo) -> Iterator[str]:
    """Yield what a node class is: its properties, its inputs, its outputs."""
    yield one_line(node.name)
    rows = (
        ("title", node.display_name),
        ("category", node.category),
        ("module", node.module),
        ("output", "yes, a workflow can end in it" if node.is_output else "no"),
        ("marked", ", ".join(node.marks)),
    )
    for label, text in rows:
        if text:
            yield f"  {label}".ljust(_LABEL) + one_line(text)
    yield from prose(node.description, 2)
    if node.inputs:
        yield "inputs"
    names = [one_line(name, longest=_LONGEST_VALUE) for name in node.inputs]
    width = min(_WIDEST, max(map(len, names), default=0))
    for name, known in zip(names, node.inputs.values(), strict=True):
        yield from wrapped(f"  {name.ljust(width)}  {'; '.join(_facts(known))}", width + 4)
        yield from prose(known.tooltip, width + 4)
    if node.outputs:
        yield "outputs"
    width = min(_WIDEST, max((len(one_line(name, longest=_LONGEST_VALUE)) for name in node.output_names), default=0))
    for name, type_ in zip(node.output_names, node.outputs, strict=True):
        yield f"  {one_line(name, longest=_LONGEST_VALUE).ljust(width)}  {one_line(type_, longest=_LONGEST_VALUE)}"


def node_record(node: NodeInfo) -> dict[str, Any]:
    """Return what a node class is as a JSON object."""
    return {
        "class_type": node.name,
        "display_name": node.display_name,
        "category": node.category,
        "description": node.description,
        "module": node.module,
        "marks": list(node.marks),
        "is_output": node.is_output,
        "inputs": [_input_record(name, known) for name, known in node.inputs.items()],
        "outputs": [{"name": name, "type": type_} for name, type_ in zip(node.output_names, node.outputs, strict=True)],
    }


def _matching(info: ObjectInfo, search: str | None) -> list[NodeInfo]:
    from comfy_runner.graph.model_lists import fits

    known = [node for name in sorted(info.classes, key=str.casefold) if (node := info.get(name))]
    return known if search is None else [node for node in known if fits(node, search)]


def _only(info: ObjectInfo, class_type: str) -> NodeInfo:
    if (found := info.get(class_type)) is not None:
        return found
    # What people see in ComfyUI are titles.
    titled = [name for name in info.classes if (node := info.get(name)) and node.display_name.casefold() == class_type.casefold()]
    hint = f"did you mean {' or '.join(titled[:3])}?" if titled else did_you_mean(class_type, info.classes)
    raise UsageError(f"has no such node class (got {class_type})", where=info.source, hint=hint)


def _facts(known: InputInfo) -> Iterator[str]:
    yield f"{one_line(known.type, longest=_LONGEST_VALUE)}, {'required' if known.required else 'optional'}"
    if known.minimum is not None or known.maximum is not None:
        low, high = ("" if bound is None else _number(bound) for bound in (known.minimum, known.maximum))
        yield f"{low}..{high}" + ("" if known.step is None else f" step {_number(known.step)}")
    if known.has_default:
        yield f"default {_value(known.default, quoted=known.options is None)}"
    if known.options is not None:
        yield _options(known.options)


def _options(options: Sequence[Any]) -> str:
    # To say that one more is left out takes as much room as the one.
    most = _MOST_OPTIONS if len(options) > _MOST_OPTIONS + 1 else len(options)
    shown = ", ".join(_value(option, quoted=False) for option in options[:most])
    more = f" … and {len(options) - most} more" if most < len(options) else ""
    return f"{counted(len(options), 'option')}{': ' if options else ''}{shown}{more}"


def _number(value: float) -> str:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_WHOLE
    return one_line(str(int(value) if whole else value), longest=_LONGEST_VALUE)


def _value(value: Any, *, quoted: bool) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(value)
    text = value if isinstance(value, str) and not quoted else json.dumps(_plain(value), ensure_ascii=False)
    return one_line(text, longest=_LONGEST_VALUE)


def _input_record(name: str, known: InputInfo) -> dict[str, Any]:
    return {
        "name": name,
        "type": known.type,
        "required": known.required,
        "min": _plain(known.minimum),
        "max": _plain(known.maximum),
        "step": _plain(known.step),
        "default": _plain(known.default),
        "options": None if known.options is None else _plain(list(known.options)),
        "tooltip": known.tooltip,
    }


def _plain(value: Any, deepest: int = _DEEPEST) -> Any:
    """Return a server's value as JSON can express it: infinities as text, and nothing nested deeper than eight levels."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_plain(item, deepest - 1) for item in value] if deepest else []
    if isinstance(value, dict):
        return {key: _plain(item, deepest - 1) for key, item in value.items()} if deepest else {}
    return value
