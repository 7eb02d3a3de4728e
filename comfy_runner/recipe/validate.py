"""What can be wrong with a recipe whose fields are all right by themselves: sizes that cannot be, outputs that clash.

`schema` checks each field alone, `lint` warns of what is possible but unwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from comfy_runner.errors import Problem
from comfy_runner.recipe import names
from comfy_runner.recipe.schema import Recipe
from comfy_runner.recipe.sizes import picture_sizes
from comfy_runner.yaml_loader import got


def output_paths(recipe: Recipe, *, job_id: str, seed: int) -> dict[str, str]:
    """Return the output path of each role that a recipe names."""
    return {
        role: names.resolve(pattern, job_id=job_id, name=recipe.name, role=role, seed=seed)
        for role, pattern in recipe.output.roles.items()
    }


def validate(recipe: Recipe, *, outputs: Mapping[str, str], where: Callable[[str], str]) -> list[Problem]:
    """Return everything that is wrong.

    Args:
        recipe: The recipe of one job.
        outputs: That job's output paths, by role.
        where: Returns the place of a field for messages.
    """
    found = [Problem(each.what, where(each.field)) for each in picture_sizes(recipe).remarks if each.level == "fault"]
    for role, path in outputs.items():
        if wrong := names.role_fault(role):
            found.append(Problem(f"{wrong} (got {got(role)})", where(f"output.{role}")))
        elif wrong := names.path_fault(path):
            found.append(Problem(f"{wrong} (got {got(path)})", where(f"output.{role}")))
        elif not path.endswith(recipe.output.suffix):
            given = next(name for name, suffix in names.SUFFIXES.items() if path.endswith(suffix))
            what = f"must end in {recipe.output.suffix}, for output.format is {recipe.output.format} (got {got(path)})"
            found.append(Problem(what, where(f"output.{role}"), f"write so, or give output.format: {given}"))
    clash = names.collision(outputs)
    if clash:
        what = f"{clash[0]} and {clash[1]} would overwrite each other (got {got(outputs[clash[1]])})"
        found.append(Problem(what, where(f"output.{clash[1]}"), "put {role} into the patterns"))
    return found
