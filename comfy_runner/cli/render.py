"""``comfy-runner render``: the workflow graph of a recipe, without a server."""

from __future__ import annotations

from pathlib import Path

import click

from comfy_runner.cli.options import only_option, recipe_options
from comfy_runner.cli.output import print_json


@click.command()
@click.argument("recipe")
@recipe_options
@only_option
def render(recipe: str, sets: tuple[str, ...], sweeps: tuple[str, ...], only: tuple[str, ...], templates: tuple[Path, ...]) -> None:
    """Print the workflow graph of RECIPE in ComfyUI's API format.

    RECIPE is a file, or the name of a shipped recipe such as quickstart. Of a sweep, --only chooses the job.
    """
    from comfy_runner import api

    print_json(api.render(recipe, sets=sets, sweeps=sweeps, only=only, templates=templates).to_json())
