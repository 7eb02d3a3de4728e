"""The commands on recipes that render nothing: render (the graph), validate, init, schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from comfy_runner.cli.options import chosen_server, object_info_option, only_option, recipe_options, refuse_both, server_option
from comfy_runner.cli.output import put_json, say, tell


@click.command()
@click.argument("recipe")
@recipe_options
@only_option
def render(recipe: str, sets: tuple[str, ...], sweeps: tuple[str, ...], only: tuple[str, ...], templates: tuple[Path, ...]) -> None:
    """Print the workflow graph of RECIPE in ComfyUI's API format.

    RECIPE is a file, or the name of a shipped recipe such as quickstart. Of a sweep, --only chooses the job.
    """
    from comfy_runner import api

    put_json(api.render(recipe, sets=sets, sweeps=sweeps, only=only, templates=templates).to_json())


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
    tell(api.validate(recipes, server=chosen, object_info=object_info, config=config, say=say, **given))
    against = " for that server" if server is not None or object_info is not None else ""
    say(f"{len(recipes)} {'recipe is' if len(recipes) == 1 else 'recipes are'} right{against}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default="recipe.yaml")
def init(file: Path) -> None:
    """Write a commented recipe to FILE (recipe.yaml), which must not be there yet."""
    from comfy_runner.errors import UsageError
    from comfy_runner.recipe.starter import STARTER

    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(STARTER)
    except FileExistsError:
        raise UsageError("is there already", where=str(file), hint="give another name") from None
    except OSError as error:
        raise UsageError(f"cannot be written: {(error.strerror or str(error)).lower()}", where=str(file)) from error
    say(f"wrote {file}; render it with: comfy-runner run {file}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for completion and checks in editors."""
    from comfy_runner.recipe.schema import json_schema

    put_json(json.dumps(json_schema(), indent=2, ensure_ascii=False))
