"""``comfy-runner schema``: the JSON Schema of recipes."""

from __future__ import annotations

import json

import click

from comfy_runner.cli.output import print_json


@click.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for completion and checks in editors."""
    from comfy_runner.recipe.schema import json_schema

    print_json(json.dumps(json_schema(), indent=2, ensure_ascii=False))
