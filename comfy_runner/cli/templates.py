"""``comfy-runner templates``: the templates that a recipe can name, or all there is to know of one (docs/templates.md)."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.completing import complete_templates
from comfy_runner.cli.formatting import LONGEST, prose, wrapped
from comfy_runner.cli.json_records import to_json
from comfy_runner.cli.options import NamedServers, json_option, server_or_file_option, templates_option
from comfy_runner.cli.output import one_line, print_json, print_line, print_lines, print_notes, say
from comfy_runner.errors import Note, Problem, TemplateError
from comfy_runner.text_files import shown

if TYPE_CHECKING:
    from comfy_runner.recipe.field_docs import Param
    from comfy_runner.templating.describe import Description, Listed

_VERSION = 1
_WIDEST = 28
_WIDEST_CELL = 44
_LONGEST_VALUE = 60
_LONGEST_PLACE = 40


@click.command()
@click.argument("name", required=False, shell_complete=complete_templates)
@templates_option
@server_or_file_option()
@click.option("--mermaid", "only_graph", is_flag=True, help="Print nothing but the graph, as a Mermaid flowchart.")
@json_option("Print one JSON object (docs/templates.md).")
def templates(
    name: str | None,
    templates: tuple[Path, ...],
    *,
    servers: NamedServers,
    object_info: Path | None,
    only_graph: bool,
    as_json: bool,
) -> None:
    """List the templates that a recipe in this folder can name, or describe one.

    With NAME, or the path of a .json.j2 file: what it does, its parameters and the recipe fields that it uses, its outputs, models
    and nodes, and its graph; with --server or --object-info, also what the server lacks of that.
    """
    from comfy_runner.templating.describe import describe, list_templates
    from comfy_runner.templating.recipe_template import folders_beside, named_template

    if only_graph and as_json:
        raise click.UsageError("--mermaid and --json cannot be used together")
    if name is None and (only_graph or servers.names or object_info is not None):
        raise click.UsageError("--mermaid, --server and --object-info need the NAME of a template")
    folders = folders_beside(Path(), (*templates, *servers.config.templates))
    if name is None:
        _list(list_templates(folders), as_json=as_json)
        return
    found = describe(named_template(name, folders, beside=Path()), folders)
    if only_graph:
        print_line(_graph(found))
        return
    source: str | None = None
    lacking: Sequence[Problem] = ()
    if servers.names or object_info is not None:
        from comfy_runner import api
        from comfy_runner.templating.describe import missing

        chosen = servers.one() if servers.names else None
        info = api.nodes(server=chosen, object_info=object_info, config=servers.config, say=say)
        source, lacking = info.source, missing(found, info)
    if as_json:
        print_json({"v": _VERSION, "template": description_record(found, source, lacking)})
    else:
        print_lines(described(found, source, lacking))


def overview(found: Sequence[Listed]) -> Iterator[str]:
    """Yield lines for each template: its name, where it is, and its first sentence."""
    rows = [
        (
            one_line(listed.name, longest=_LONGEST_VALUE),
            "shipped" if listed.is_shipped else _shortened(shown(listed.path.parent), _LONGEST_PLACE),
            listed.sentence if listed.error is None else f"broken: {listed.error.problems[0].what}",
        )
        for listed in found
    ]
    names, places = (max((len(row[index]) for row in rows), default=0) for index in (0, 1))
    for name, place, sentence in rows:
        start = f"{name.ljust(names)}  {place.ljust(places)}  "
        yield from wrapped((start + one_line(sentence, longest=LONGEST)).rstrip(), len(start))


def described(found: Description, source: str | None = None, lacking: Sequence[Problem] = ()) -> Iterator[str]:
    """Yield all there is to know of a template.

    Args:
        found: What that is.
        source: The server that it was checked against; None for none.
        lacking: What that server lacks.
    """
    template = found.template
    yield f"{template.name} ({'shipped' if found.is_shipped else shown(template.path)})"
    yield from prose(template.header.description, 2)
    yield "parameters" + (" (it declares none, and accepts any)" if found.takes_any else "" if found.params else ": none")
    yield from _settings(found.params)
    yield "recipe fields" + ("" if found.fields else ": none")
    yield from _settings(found.fields)
    yield "outputs"
    more = "" if found.example is None else "With other parameters: "
    yield from _table((made.role, made.class_type, ("" if made.class_type else more) + made.description) for made in found.outputs)
    if found.models:
        yield "models"
        yield from _table(
            (model.kind or "unknown kind", model.file, f"from {model.field}" if model.field else "named by the template")
            for model in found.models
        )
    yield "nodes"
    for pack, nodes in groupby(sorted(found.nodes, key=attrgetter("pack")), key=attrgetter("pack")):
        version = template.header.version
        of = pack or (f"ComfyUI {version} or newer" if version else "ComfyUI")
        yield from wrapped(f"  {one_line(of)}: {', '.join(one_line(node.class_type) for node in nodes)}", 4)
    if source is not None:
        yield from _on_server(source, lacking, is_known=found.example is not None)
    if found.example is None:
        yield from wrapped(f"graph: it cannot be rendered without a recipe: {one_line(found.failure, longest=LONGEST)}", 2)
    else:
        yield "graph" + (" (words in capitals stand for values of a recipe)" if found.example.stand_ins else "")
        yield textwrap.indent(_graph(found), "  ")


def description_record(found: Description, source: str | None = None, lacking: Sequence[Problem] = ()) -> dict[str, Any]:
    """Return all there is to know of a template as a JSON object; the arguments are those of `described`."""
    return {
        "name": found.template.name,
        "path": str(found.template.path.absolute()),
        "shipped": found.is_shipped,
        "description": found.template.header.description,
        "takes_any": found.takes_any,
        "params": to_json(found.params),
        "fields": to_json(found.fields),
        "outputs": [to_json(made) | {"class_type": made.class_type or None} for made in found.outputs],
        "models": [to_json(model) | {"kind": model.kind or None, "field": model.field or None} for model in found.models],
        "nodes": [to_json(node) | {"pack": node.pack or None} for node in found.nodes],
        "comfyui": found.template.header.version or None,
        "mermaid": None if found.example is None else _graph(found),
        "failure": found.failure or None,
        "server": source,
        "missing": [{"what": problem.what, "field": problem.where or None, "hint": problem.hint} for problem in lacking],
    }


def _list(found: Sequence[Listed], *, as_json: bool) -> None:
    if as_json:
        print_json({"v": _VERSION, "templates": [_listed_record(listed) for listed in found]})
    else:
        print_lines(overview(found))
    print_notes(Note(problem.what, problem.where) for listed in found if listed.error for problem in listed.error.problems)


def _listed_record(listed: Listed) -> dict[str, Any]:
    return {
        "name": listed.name,
        "path": str(listed.path.absolute()),
        "shipped": listed.is_shipped,
        "sentence": listed.sentence,
        "problems": to_json(listed.error.problems if listed.error else ()),
    }


def _graph(found: Description) -> str:
    from comfy_runner.graph.mermaid import mermaid

    if found.example is None:
        raise TemplateError(f"it cannot be rendered without a recipe: {found.failure}", where=shown(found.template.path))
    return mermaid(found.example.workflow)


def _settings(settings: Sequence[Param]) -> Iterator[str]:
    names = [one_line(setting.name, longest=_LONGEST_VALUE) for setting in settings]
    width = min(_WIDEST, max(map(len, names), default=0))
    for name, setting in zip(names, settings, strict=True):
        yield from wrapped(f"  {name.ljust(width)}  {'; '.join(_facts(setting))}", width + 4)
        yield from prose(setting.description, width + 4)
        yield from prose(_usual(setting), width + 4)


def _facts(setting: Param) -> Iterator[str]:
    yield setting.type
    if setting.choices:
        yield f"one of {', '.join(map(_value, setting.choices))}"
    low, high = (None if bound is None else _value(bound) for bound in (setting.minimum, setting.maximum))
    if low is not None and high is not None and not setting.excludes_minimum:
        yield f"{low} to {high}"
    else:
        bounds = (f"{'above' if setting.excludes_minimum else 'at least'} {low}", f"at most {high}")
        if given := [text for text, bound in zip(bounds, (low, high), strict=True) if bound is not None]:
            yield ", ".join(given)
    if setting.required:
        yield "required"
    elif setting.default is None:
        yield "optional"
    else:
        yield f"default {_value(setting.default)}"


def _usual(setting: Param) -> str:
    if setting.usual is None:
        return ""
    usual = setting.usual
    beyond = [f"{side} that, {what}" for side, what in (("below", usual.below), ("above", usual.above)) if what]
    return f"{usual.least:g} to {usual.most:g} is usual" + (f"; {'; '.join(beyond)}" if beyond else "") + "."


def _value(value: Any) -> str:
    plain = isinstance(value, str) and value.isprintable() and value == value.strip() != ""
    text = value if plain else json.dumps(value, ensure_ascii=False, default=str)
    return one_line(text, longest=_LONGEST_VALUE)


def _on_server(source: str, lacking: Sequence[Problem], *, is_known: bool) -> Iterator[str]:
    yield one_line(source)
    if not is_known:
        yield "  unknown without a graph"
    elif not lacking:
        yield "  has everything that the template itself needs"
    for problem in lacking:
        hint = f" ({problem.hint})" if problem.hint else ""
        yield from wrapped(f"  {one_line(f'{problem}{hint}', longest=LONGEST)}", 4)


def _table(rows: Iterator[tuple[str, str, str]]) -> Iterator[str]:
    cells = [[one_line(" ".join(cell.split()), longest=LONGEST) for cell in row] for row in rows]
    first, second = (min(_WIDEST_CELL, max((len(row[index]) for row in cells), default=0)) for index in (0, 1))
    for one, two, three in cells:
        yield from wrapped(f"  {one.ljust(first)}  {two.ljust(second)}  {three}".rstrip(), first + second + 6)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
