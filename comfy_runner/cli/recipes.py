"""Commands on recipes that render nothing: ``validate``, ``render``, ``init``, ``recipes`` and ``schema``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from comfy_runner.cli.completing import complete_recipes, complete_templates
from comfy_runner.cli.formatting import wrapped
from comfy_runner.cli.options import (
    LocalPath,
    NamedServers,
    only_option,
    recipe_options,
    recipes_argument,
    server_or_file_option,
)
from comfy_runner.cli.output import one_line, print_json, print_lines, print_notes, say
from comfy_runner.errors import ServerError, UsageError
from comfy_runner.text_files import reason_of
from comfy_runner.wording import counted


@click.command()
@recipes_argument
@server_or_file_option("Check with a saved answer of a server's /object_info.")
@recipe_options
def validate(recipes: tuple[str, ...], *, servers: NamedServers, object_info: Path | None, **given: Any) -> None:
    """Check recipes without rendering anything.

    With --server or --object-info, node classes, inputs, links, ranges and model names are checked against what the server has.
    """
    from comfy_runner import api

    chosen = servers.one() if servers.names else None
    print_notes(api.validate(recipes, server=chosen, object_info=object_info, config=servers.config, say=say, **given))
    asked = " on that server" if servers.names or object_info is not None else f"; {servers.unasked}"
    say(f"{counted(len(recipes), 'recipe is', 'recipes are')} valid{asked}")


@click.command()
@click.argument("recipe", shell_complete=complete_recipes)
@server_or_file_option(
    "Instead, a saved answer of that server's /object_info.", server="The server whose nodes a workflow of ComfyUI's page uses."
)
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
@server_or_file_option(
    "Name a checkpoint of a saved answer of a server's /object_info.", server="Name a checkpoint that this server has."
)
@click.option(
    "--from",
    "base",
    metavar="RECIPE",
    shell_complete=complete_recipes,
    help="Copy this recipe, a file or a shipped one (see `recipes`).",
)
@click.option(
    "--template",
    metavar="NAME",
    shell_complete=complete_templates,
    help="Copy the shipped recipe that uses this template (see `templates`).",
)
def init(file: Path, *, servers: NamedServers, object_info: Path | None, base: str | None, template: str | None) -> None:
    """Write a recipe to start from to FILE (recipe.yaml), which must not exist yet.

    It has every field, each with a comment. With --server it names the first checkpoint of that server that is made for two passes,
    with the size and the sampler that its family asks for, and lists the others in a comment. So it does with the server of
    COMFY_RUNNER_SERVER, or of the config file, if that answers.
    """
    from comfy_runner.recipe.starting import recipe_for, starting_recipe

    if base and template:
        raise click.UsageError("--from and --template cannot be used together")
    start = starting_recipe(recipe_for(template) if template else base or "", checkpoints=_checkpoints(servers, object_info))
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(start.text)
    except FileExistsError:
        raise UsageError("already exists", where=str(file), hint="give another name") from None
    except OSError as error:
        raise UsageError(f"cannot be written: {reason_of(error)}", where=str(file)) from error
    others = f" ({counted(start.others, 'other')} in a comment)" if start.others else ""
    about = f", with {one_line(start.checkpoint)}{others}" if start.checkpoint else ""
    server = f" --server {servers.names[0]}" if servers.names else ""
    say(f"wrote {file}{about}; render it with: comfy-runner run {shlex.quote(str(file))}{server}")


def _checkpoints(servers: NamedServers, object_info: Path | None) -> Sequence[str]:
    """Return the checkpoints that there are: none where no server is named anywhere, or one that the settings name is silent."""
    from comfy_runner import api

    is_named = bool(servers.names) or object_info is not None
    if not is_named and not servers.config.names_servers:
        return ()
    chosen = servers.one() if object_info is None else None
    try:
        found = api.models("checkpoints", server=chosen, object_info=object_info, config=servers.config, say=say)[0].names
    except ServerError as error:
        if is_named:
            raise
        say(f"note: the recipe names no checkpoint of your server: {one_line(str(error))}")
        return ()
    if not found:
        say("warning: the server has no checkpoints; put one in its folder models/checkpoints")
    return found


@click.command()
def recipes() -> None:
    """List the recipes that come with the program, which `run`, `find` and `init --from` take by name."""
    from comfy_runner.recipe.load import shipped_recipes
    from comfy_runner.text_files import read

    found = shipped_recipes()
    longest = max(map(len, found))
    for name, path in found.items():
        sentence = read(path).partition("\n")[0].removeprefix("# ")
        print_lines(wrapped(f"{name.ljust(longest)}  {sentence}", longest + 2))


@click.command()
@click.argument("of", type=click.Choice(["recipe", "picks"]), default="recipe")
def schema(of: str) -> None:
    """Print the JSON Schema of recipes, for completion and checks in editors; or that of picks.json (docs/choosing.md)."""
    from comfy_runner.recipe.schema import json_schema
    from comfy_runner.report import picks

    found = picks.json_schema() if of == "picks" else json_schema()
    print_json(json.dumps(found, indent=2, ensure_ascii=False))
