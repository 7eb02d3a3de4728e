"""``comfy-runner init``: a commented recipe to start from."""

from __future__ import annotations

from pathlib import Path

import click

from comfy_runner.cli.output import say


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default="recipe.yaml")
def init(file: Path) -> None:
    """Write a commented recipe to FILE (recipe.yaml), which must not be there yet."""
    from comfy_runner.errors import UsageError
    from comfy_runner.shipped import STARTER

    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(STARTER.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError("already exists", where=str(file), hint="give another name") from None
    except OSError as error:
        raise UsageError(f"cannot be written: {(error.strerror or str(error)).lower()}", where=str(file)) from error
    say(f"wrote {file}; render it with: comfy-runner run {file}")
