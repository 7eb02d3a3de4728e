"""Commands on recipes that render nothing: ``validate``, ``render``, ``init`` and ``schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from comfy_runner.cli.options import LocalPath, NamedServers, only_option, recipe_options, recipes_argument, server_or_file_option
from comfy_runner.cli.output import print_json, print_notes, say
from comfy_runner.errors import UsageError
from comfy_runner.text_files import reason_of
from comfy_runner.wording import counted


@click.command()
@recipes_argument
@server_or_file_option("Check against a saved answer of a server's /object_info.")
@recipe_options
def validate(recipes: tuple[str, ...], *, servers: NamedServers, object_info: Path | None, **given: Any) -> None:
    """Check recipes without rendering anything.

    With --server or --object-info, node classes, inputs, links, ranges and model names are held against what the server has.
    """
    from comfy_runner import api

    chosen = servers.one() if servers.names else None
    print_notes(api.validate(recipes, server=chosen, object_info=object_info, config=servers.config, say=say, **given))
    against = " for that server" if servers.names or object_info is not None else ""
    say(f"{counted(len(recipes), 'recipe is', 'recipes are')} right{against}")


@click.command()
@click.argument("recipe")
@server_or_file_option("A saved answer of a server's /object_info, likewise.", server="Where the nodes of a page's workflow are.")
@recipe_options
@only_option
def render(recipe: str, *, servers: NamedServers, object_info: Path | None, **given: Any) -> None:
    """Print the workflow graph of RECIPE in ComfyUI's API format.

    RECIPE is a file, or the name of a shipped recipe such as quickstart. Of a sweep, --only chooses the job. A server is asked only
    where RECIPE is a workflow as ComfyUI's page saves it.
    """
    from comfy_runner import api

    chosen = servers.one() if servers.names else None
    found = api.render(recipe, server=chosen, object_info=object_info, config=servers.config, say=say, **given)
    print_json(found.to_json())


@click.command()
@click.argument("file", type=LocalPath(dir_okay=False), default="recipe.yaml")
def init(file: Path) -> None:
    """Write a commented recipe to FILE (recipe.yaml), which must not be there yet."""
    from comfy_runner.shipped import STARTER

    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(STARTER.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError("already exists", where=str(file), hint="give another name") from None
    except OSError as error:
        raise UsageError(f"cannot be written: {reason_of(error)}", where=str(file)) from error
    say(f"wrote {file}; render it with: comfy-runner run {file}")


@click.command()
@click.argument("of", type=click.Choice(["recipe", "picks"]), default="recipe")
def schema(of: str) -> None:
    """Print the JSON Schema of recipes, for completion and checks in editors; or that of picks.json (docs/choosing.md)."""
    from comfy_runner.recipe.schema import json_schema
    from comfy_runner.report import picks

    found = picks.json_schema() if of == "picks" else json_schema()
    print_json(json.dumps(found, indent=2, ensure_ascii=False))
