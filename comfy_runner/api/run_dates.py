"""The date in file names (``{date}``): the day on which a run began, read from the clock once, then from the run folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.output_names import has_date
from comfy_runner.recipe.sweep.expand import Variant
from comfy_runner.store.run_folder import FolderView, RunFolder


def dated(recipes: Sequence[LoadedRecipe], folder: Path | None) -> Sequence[LoadedRecipe]:
    """Return recipes with the date on which a run folder was begun; unchanged, with today's date, if the folder has none.

    Args:
        recipes: The recipes.
        folder: The run folder, which need not exist; None for none.

    Raises:
        RunFolderError: The folder's record is damaged.
    """
    if folder is None or not any(has_date(each.recipe) for each in recipes) or not (date := FolderView(folder).recorded().date):
        return recipes
    return [replace(each, date=date) for each in recipes]


def record_date(variants: Iterable[Variant], folder: RunFolder) -> None:
    """Record in a run folder the date that its file names contain, so that they stay the same on later days.

    Args:
        variants: All jobs of the run.
        folder: Its folder.

    Raises:
        RunFolderError: Its record is damaged, or cannot be written.
    """
    recipes = {id(variant.loaded): variant.loaded for variant in variants}
    if date := next((each.date for each in recipes.values() if has_date(each.recipe)), ""):
        folder.record(replace(folder.recorded(), date=date))
