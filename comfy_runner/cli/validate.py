"""``comfy-runner validate``: recipes checked, also against what a server has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from comfy_runner.cli.options import recipe_options
from comfy_runner.cli.output import print_notes, say
from comfy_runner.cli.server_options import NamedServers, object_info_option, server_option


@click.command()
@click.argument("recipes", nargs=-1, required=True, metavar="RECIPE...")
@server_option
@object_info_option("Check against a saved answer of a server's /object_info.")
@recipe_options
def validate(
    recipes: tuple[str, ...],
    *,
    servers: NamedServers,
    object_info: Path | None,
    **given: Any,
) -> None:
    """Check recipes without rendering anything.

    With --server or --object-info, node classes, inputs, links, ranges and model names are held against what the server has.
    """
    from comfy_runner import api
    from comfy_runner.config import load_config

    servers.refuse_beside(object_info)
    config = load_config()
    chosen = servers.one(config) if servers.names else None
    print_notes(api.validate(recipes, server=chosen, object_info=object_info, config=config, say=say, **given))
    against = " for that server" if servers.names or object_info is not None else ""
    say(f"{len(recipes)} {'recipe is' if len(recipes) == 1 else 'recipes are'} right{against}")
