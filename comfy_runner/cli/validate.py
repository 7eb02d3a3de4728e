"""``comfy-runner validate``: recipes checked, also against what a server has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from comfy_runner.cli.options import chosen_server, object_info_option, recipe_options, refuse_both, server_option
from comfy_runner.cli.output import print_notes, say


@click.command()
@click.argument("recipes", nargs=-1, required=True, metavar="RECIPE...")
@server_option
@object_info_option("Check against a saved answer of a server's /object_info.")
@recipe_options
def validate(
    recipes: tuple[str, ...],
    server: str | None,
    cacert: Path | None,
    insecure: bool,
    object_info: Path | None,
    **given: Any,
) -> None:
    """Check recipes without rendering anything.

    With --server or --object-info, node classes, inputs, links, ranges and model names are held against what the server has.
    """
    from comfy_runner import api
    from comfy_runner.config import load_config

    refuse_both(server, object_info)
    config = load_config()
    chosen = None if server is None else chosen_server(config, server=server, cacert=cacert, insecure=insecure)
    print_notes(api.validate(recipes, server=chosen, object_info=object_info, config=config, say=say, **given))
    against = " for that server" if server is not None or object_info is not None else ""
    say(f"{len(recipes)} {'recipe is' if len(recipes) == 1 else 'recipes are'} right{against}")
