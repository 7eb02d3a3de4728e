"""``comfy-runner import``: a recipe and a template of a workflow or a picture, and what of it became what (docs/import.md)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.formatting import line_width, wrapped
from comfy_runner.cli.json_records import to_json
from comfy_runner.cli.options import LocalPath, NamedServers, json_option, server_or_file_option, templates_option
from comfy_runner.cli.output import one_line, print_json, print_notes, print_path, say
from comfy_runner.text_files import shown
from comfy_runner.wording import counted, named
from comfy_runner.yaml_loader import got

if TYPE_CHECKING:
    from comfy_runner.config import ServerConfig
    from comfy_runner.graph.signature import InputKey
    from comfy_runner.importer.imported import Imported
    from comfy_runner.importer.recognised import FieldFound, Recognised

VERSION = 1
"""Of the JSON object: names and meanings never change within a version; new keys may come, which readers ignore."""

_MOST_PARAMS = 5
_MOST_KEPT = 3
_MOST_LACKING = 3
_WIDEST_NAME = 28
_LEAST_VALUE = 16
_LONGEST = 400
_NO_SETTINGS = ("name", "template", "output", "vae_decode")


@click.command("import")
@click.argument("file", type=LocalPath())
@server_or_file_option()
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    default=Path(),
    metavar="DIR",
    help="The folder for the recipe (here); the template goes to templates/ in it.",
)
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NODE.INPUT=NAME",
    help="Make this input a parameter, such as 10.blur_radius=radius.",
)
@click.option("--name", default="", metavar="NAME", help="The name of the recipe and the template (that of the file).")
@click.option("--force", is_flag=True, help="Overwrite a recipe and a template of that name.")
@templates_option
@json_option("Print one JSON object on stdout (docs/import.md).")
def import_workflow(
    file: Path,
    *,
    servers: NamedServers,
    object_info: Path | None,
    out: Path,
    params: tuple[str, ...],
    name: str,
    force: bool,
    templates: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Make a recipe and a template from FILE that render exactly the same workflow.

    FILE is a ComfyUI workflow as JSON, or a picture, film or sound made by ComfyUI, A1111 or Forge. With a server, parameters get
    their ranges, and what the server lacks is reported. The paths of the files that are written go to stdout, everything else to
    stderr.
    """
    from comfy_runner import api

    chosen = servers.one() if servers.names else None
    imported = api.import_workflow(
        file,
        server=chosen,
        object_info=object_info,
        params=params,
        name=name,
        templates=templates,
        config=servers.config,
        say=say,
    )
    files = api.write_import(imported, out, force=force)
    is_without_model = bool(imported.shipped) and "checkpoint" not in imported.fields
    command = _next(files[0], chosen, is_without_model=is_without_model)
    if as_json:
        print_json({"v": VERSION, "import": import_record(imported, files, command)})
        return
    print_notes(imported.notes)
    for line in summary(imported):
        say(line)
    for path in files:
        print_path(path)
    say(f"next: {command}")


def summary(imported: Imported) -> Iterator[str]:
    """Yield what of a file became what, in about twenty lines: long lists are cut."""
    nodes = counted(len(imported.workflow.nodes), "node")
    yield f"{imported.source}: {imported.origin}, {nodes}"
    if imported.shipped:
        yield from _table([*_said(imported.fields), ("template", f"{imported.shipped}, which comes with the program", "")])
    if imported.recognised is not None:
        yield from _recognised(imported.recognised, imported.name)
    if imported.server:
        yield from _lacking(imported)


def import_record(imported: Imported, files: Sequence[Path], command: str) -> dict[str, Any]:
    """Return all that is known of an import as a JSON object.

    Args:
        imported: The import.
        files: What was written.
        command: What renders it.
    """
    found = imported.recognised
    said = [{"field": name, "value": value, "places": []} for name, value in imported.fields.items()]
    recognised = {"fields": said, "params": [], "kept": [], "left": [], "outputs": dict(imported.workflow.outputs)}
    return {
        "name": imported.name,
        "source": imported.source,
        "origin": imported.origin,
        "nodes": len(imported.workflow.nodes),
        "shipped_template": imported.shipped or None,
        **(recognised if found is None else _recognised_record(found)),
        "server": imported.server or None,
        "lacking": to_json(imported.lacking),
        "notes": to_json(imported.notes),
        "files": [str(path.absolute()) for path in files],
        "next": command,
    }


def _recognised_record(found: Recognised) -> dict[str, Any]:
    return {
        "fields": [{"field": each.field, "value": each.value, "places": _places(each.places)} for each in found.fields],
        "params": [{**to_json(each.param), "value": each.value, "places": _places(each.places)} for each in found.params],
        "kept": [
            {"field": each.field, "why": each.why, "value": each.value, "places": _places(each.places)} for each in found.kept
        ],
        "left": [{"value": each.value, "places": _places([each.place]), "option": each.option} for each in found.left],
        "outputs": {role: node for node, role in found.roles.names.items()},
    }


def _places(places: Sequence[InputKey]) -> list[dict[str, str]]:
    return [{"node": node, "input": field} for node, field in places]


def _recognised(found: Recognised, name: str) -> Iterator[str]:
    rows = [*_grouped(found.fields)]
    rows += [(f"params.{each.param.name}", _value(each.value), _nodes(each.places)) for each in found.params[:_MOST_PARAMS]]
    if rows:
        yield from _table(rows)
    if (more := len(found.params) - _MOST_PARAMS) > 0:
        yield f"  and {counted(more, 'parameter')} more, see {name}.yaml"
    outputs = [f"{role} (node {node})" for node, role in found.roles.names.items()]
    yield from _sentence(f"outputs: {named(outputs)}")
    for each in found.kept[:_MOST_KEPT]:
        where = f" ({_nodes(each.places)})" if each.places else ""
        yield from _sentence(f"not a field: {each.field}, {each.why}{where}")
    if (more := len(found.kept) - _MOST_KEPT) > 0:
        yield f"  and {more} more, see {name}.yaml"
    if found.left:
        values = counted(len(found.left), "other value stays as it is", "other values stay as they are")
        yield from _sentence(f"{values}; {name}.yaml lists the --param that makes each one a parameter")


def _grouped(fields: Sequence[FieldFound]) -> Iterator[tuple[str, str, str]]:
    """Yield what was recognised, those of one sampler and of the second pass on one line."""
    groups: dict[str, list[FieldFound]] = {}
    for each in fields:
        groups.setdefault(each.field.rpartition(".")[0] or each.field, []).append(each)
    for group, members in groups.items():
        places = [place for each in members for place in each.places]
        if members[0].field == group:
            yield group, _value(members[0].value), _nodes(places)
        else:
            values = [f"{each.field.rpartition('.')[2]} {_value(each.value)}" for each in members]
            yield group, ", ".join(values), _nodes(places)


def _said(fields: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what a recipe says, those of its fields that make the picture."""
    for name, value in fields.items():
        if name in _NO_SETTINGS or value in ("", None, {}, []):
            continue
        if not isinstance(value, Mapping) or value.keys() == {"width", "height"}:
            yield name, _value(value), ""
            continue
        flat = {inner: each for inner, each in value.items() if not isinstance(each, Mapping)}
        yield name, ", ".join(f"{inner} {_value(each)}" for inner, each in flat.items()), ""
        yield from _said({f"{name}.{inner}": each for inner, each in value.items() if isinstance(each, Mapping)})


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and value.keys() == {"width", "height"}:
        return f"{value['width']}x{value['height']}"
    if isinstance(value, list):
        names = [str(each["name"]) for each in value if isinstance(each, Mapping) and "name" in each]
        return ", ".join(names) or got(value)
    return value if isinstance(value, str) and value else got(value)


def _nodes(places: Sequence[InputKey]) -> str:
    nodes = list(dict.fromkeys(node for node, _ in places))
    more = f" and {len(nodes) - 2} more" if len(nodes) > 2 else ""
    return f"{'node' if len(nodes) == 1 else 'nodes'} {', '.join(nodes[:2])}{more}"


def _table(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Yield rows of a name, a value and a place, the value cut to what the line has room for."""
    names = [one_line(name, longest=_WIDEST_NAME) for name, _, _ in rows]
    width = max(map(len, names))
    ends = [one_line(end, longest=40) for _, _, end in rows]
    room = max(_LEAST_VALUE, line_width() - width - max(map(len, ends)) - 6)
    values = [_cut(value, room) for _, value, _ in rows]
    widest = max(map(len, values))
    for name, value, end in zip(names, values, ends, strict=True):
        yield f"  {name.ljust(width)}  {value.ljust(widest)}  {end}".rstrip()


def _sentence(text: str, indent: int = 2) -> list[str]:
    """Return a sentence in lines, which others' words may be in."""
    return wrapped(" " * indent + one_line(" ".join(text.split()), longest=_LONGEST), indent + 2)


def _cut(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _lacking(imported: Imported) -> Iterator[str]:
    if not imported.lacking:
        yield f"  {one_line(imported.server)} has everything that it needs"
        return
    yield f"  {one_line(imported.server)} would not run it as it is:"
    for problem in imported.lacking[:_MOST_LACKING]:
        field = "" if problem.where == imported.source else f"{problem.where}: "
        hint = f"; {problem.hint}" if problem.hint else ""
        yield from _sentence(f"{field}{problem.what}{hint}", 4)
    if (more := len(imported.lacking) - _MOST_LACKING) > 0:
        yield f"    and {more} more"


def _next(recipe: Path, server: ServerConfig | None, *, is_without_model: bool) -> str:
    """Return the command that renders what was imported; a password in the server's URL is not repeated."""
    words = ["comfy-runner", "run", shown(recipe)]
    words += ["--server", server.name or server.place] if server is not None else []
    return shlex.join([*words, *(["--set", "checkpoint=FILE"] if is_without_model else [])])
