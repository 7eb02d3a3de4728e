"""The prompts of one job: a recipe with all of them filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from comfy_runner.recipe.prompts.prompt_rules import VARS, PromptRules, refused, texts_of
from comfy_runner.recipe.prompts.syntax import PromptFault
from comfy_runner.recipe.schema import Recipe
from comfy_runner.yaml_loader import FieldPath, dotted


def filled_in(
    recipe: Recipe, rules: PromptRules, seed: int, *, where: Callable[[FieldPath], str]
) -> tuple[Recipe, Mapping[str, Any]]:
    """Return a recipe with its prompts as a model gets them, which says nothing of how they came about; and what they were made of.

    Args:
        recipe: The recipe of one job.
        rules: How its prompts are filled in.
        seed: The first pass's seed, which decides what is taken of alternatives.
        where: Returns the place of a field for messages.

    Returns:
        The recipe, and the fields that its prompts were filled in from, as they are written; none where nothing is filled in.

    Raises:
        RecipeError: A prompt names a variable that is not there, or something else is wrong with it.
    """
    if not rules.is_active:
        return recipe, {}
    values = {name: str(value) for name, value in recipe.vars.items()}
    own = dict(texts_of({"prompt": recipe.prompt, "negative_prompt": recipe.negative_prompt, "params": recipe.params}))
    update: dict[str, Any] = {VARS: {}, "alternatives": None, "wildcards": None}
    params = dict(recipe.params)
    for path, text in own.items():
        try:
            prompt = rules.fill(text, values, f"{seed}/{dotted(path)}")
        except PromptFault as fault:
            raise refused(fault, where(path)) from None
        (params if len(path) == 2 else update)[str(path[-1])] = prompt
    written: dict[str, Any] = {dotted(path): text for path, text in own.items() if text}
    written |= {VARS: values} if values else {}
    written |= {"alternatives": rules.alternatives} if rules.alternatives else {}
    return recipe.model_copy(update={**update, "params": params}), written
