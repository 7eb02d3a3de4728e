"""``comfy-runner models``: what a server has to choose from, a line for each kind, or the names of one kind (docs/servers.md).

With ``--cached`` it is what has been fetched for recipes (docs/models.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from comfy_runner.byte_sizes import told_size
from comfy_runner.cli.formatting import aligned, line_width
from comfy_runner.cli.options import NamedServers, json_option, server_or_file_option
from comfy_runner.cli.output import one_line, print_json, print_line, print_lines, say
from comfy_runner.text_files import shown

if TYPE_CHECKING:
    from comfy_runner.config import Config
    from comfy_runner.graph.model_lists import Listing
    from comfy_runner.model_files.cache import CachedModel

_VERSION = 1
_MOST_NAMED = 6
_LONGEST_KIND = 40
_MORE = ", …"


@click.command()
@click.argument("kind", required=False)
@server_or_file_option()
@click.option("--cached", is_flag=True, help="List the models fetched for recipes instead (docs/models.md).")
@click.option("--clean", is_flag=True, help="Remove and list those that are not in use.")
@json_option("Print one JSON object with all names (docs/servers.md).")
def models(kind: str | None, *, servers: NamedServers, object_info: Path | None, cached: bool, clean: bool, as_json: bool) -> None:
    """List the models of a server, and its samplers, schedulers and upscale methods.

    Without KIND there is a line for each kind; with it, such as loras, all names, one per line. They are those that recipes and
    workflows have to use for that server.
    """
    from comfy_runner import api

    if cached or clean:
        if kind is not None or servers.names or object_info is not None:
            raise click.UsageError("--cached and --clean are for this machine: they take no KIND and no server")
        _show_cached(servers.config, clean=clean, as_json=as_json)
        return
    found = api.models(kind, server=servers.one(), object_info=object_info, config=servers.config, say=say)
    if as_json:
        lists = [{"kind": listing.kind, "source": listing.source, "names": list(listing.names)} for listing in found]
        print_json({"v": _VERSION, "lists": lists})
    elif kind is None:
        print_lines(overview(found))
    elif names := found[0].names:
        print_line("\n".join(one_line(name, longest=0) for name in names))
    else:
        say(f"there are no {found[0].kind}")


def _show_cached(config: Config, *, clean: bool, as_json: bool) -> None:
    from comfy_runner.api.model_fetching import cache_of, clean_models

    cache = cache_of(config)
    found = clean_models(config) if clean else cache.models()
    if as_json:
        print_json({"v": _VERSION, "folder": str(cache.folder), "limit_bytes": cache.limit, "cached": list(map(asdict, found))})
        return
    print_lines(aligned([_row(model) for model in found]) if found else [])
    size = told_size(sum(model.size_bytes for model in found))
    say(f"{size} removed" if clean else f"{size} of {told_size(cache.limit)} in {shown(cache.folder)}")


def _row(model: CachedModel) -> tuple[str, ...]:
    state = ("in use" if model.in_use else "") if model.is_whole else "being fetched" if model.in_use else "not whole"
    used = datetime.fromtimestamp(model.used, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    name = one_line(", ".join(model.names)) or model.sha256
    return name, told_size(model.size_bytes), used, one_line(model.source), state


def overview(found: Sequence[Listing]) -> Iterator[str]:
    """Yield a line for each kind: how many there are, and the first ones as far as the line takes them."""
    width = line_width()
    kinds = [one_line(listing.kind, longest=_LONGEST_KIND) for listing in found]
    widest = max(map(len, kinds), default=0)
    counts = max((len(str(len(listing.names))) for listing in found), default=0)
    for kind, listing in zip(kinds, found, strict=True):
        start = f"{kind.ljust(widest)}  {len(listing.names):{counts}}  "
        yield (start + _first(listing.names, width - len(start))).rstrip()


def _first(names: Sequence[str], width: int) -> str:
    """Return the first names, as many as there is room for; the first one in any case."""
    text = ""
    for number, name in enumerate(names[:_MOST_NAMED]):
        longer = f"{text}, {one_line(name)}" if number else one_line(name)
        if number and len(longer) + (len(_MORE) if number + 1 < len(names) else 0) > width:
            return text + _MORE
        text = longer
    return text + (_MORE if len(names) > _MOST_NAMED else "")
