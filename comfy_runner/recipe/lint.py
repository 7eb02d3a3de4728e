"""What is wrong with a recipe whose fields are all right by themselves, and known traps that it may walk into.

Sources of the traps: community experience with latent upscaling and the sizes that model families were trained on. `schema` checks
each field alone; what is adjusted is in `sizes`, and what is unusual for one template in `template_defaults`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from comfy_runner.errors import Problem
from comfy_runner.recipe import names
from comfy_runner.recipe.schema import Recipe
from comfy_runner.recipe.sizes import PictureSizes, Remark, picture_sizes
from comfy_runner.recipe.upscaler_names import method_of
from comfy_runner.yaml_loader import got

LARGEST_JUMP = 2.0
"""Largest factor that one pass usually survives without doubled subjects."""

# Side of the square that a family was trained on, in pixels, by signs in a checkpoint's name. The first that fits wins.
_FAMILIES = (
    ("SDXL", 1024, re.compile(r"sdxl|xl(?![a-z])|xl(?=v[0-9])|pony|illustrious|noobai", re.IGNORECASE)),
    ("SD1.5", 512, re.compile(r"sd[-_. ]?v?1[-_. ]?[45](?![0-9])|v1[-_][45](?![0-9])|dreamshaper_8", re.IGNORECASE)),
)
# Stand-ins for tests are named after a family without having been trained on its sizes.
_STAND_IN = re.compile(r"tiny", re.IGNORECASE)
_NATIVE_AREA = (0.5, 1.7)


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
            what = f"must end in {recipe.output.suffix}, because output.format is {recipe.output.format} (got {got(path)})"
            found.append(Problem(what, where(f"output.{role}"), f"change it, or give output.format: {given}"))
    clash = names.collision(outputs)
    if clash:
        what = f"{clash[0]} and {clash[1]} would overwrite each other (got {got(outputs[clash[1]])})"
        found.append(Problem(what, where(f"output.{clash[1]}"), "put {role} into the patterns"))
    return found


def lint(recipe: Recipe, sizes: PictureSizes, *, knows_factors: bool = False, has_first_pass: bool = True) -> Iterator[Remark]:
    """Yield a warning for each known trap that a recipe walks into.

    Args:
        recipe: The recipe.
        sizes: Its picture sizes.
        knows_factors: Whether its template says itself which factors are usual.
        has_first_pass: Whether the original is sampled, rather than loaded.
    """
    method = recipe.upscale.method
    if (name := method_of(recipe.template, method)) != method:
        yield Remark("changed", f"{got(method)} is {name} in ComfyUI", "upscale.method")
    original, upscaled = sizes.original, sizes.upscaled
    field = "upscale.size" if recipe.upscale.size else "upscale.factor"
    if sizes.factor > LARGEST_JUMP and not knows_factors:
        what = (
            f"more than {LARGEST_JUMP:g} times at once tends to double subjects and needs a lot of memory (got {sizes.factor:.3g})"
        )
        yield Remark("warning", what, field)
    if not has_first_pass:
        return
    if upscaled.width * upscaled.height < original.width * original.height:
        sides = f"{upscaled.width}x{upscaled.height}", f"{original.width}x{original.height}"
        yield Remark("warning", "the second pass is smaller ({}) than the first ({})".format(*sides), field)
    known, (least, most) = family(recipe.checkpoint or ""), _NATIVE_AREA
    share = original.width * original.height / known[1] ** 2 if known else 1
    if known and not least <= share <= most:
        effect = "pictures tend to be poor" if share < least else "subjects tend to double"
        trained = f"{share:.2g} times the {known[1]}x{known[1]} that {known[0]} was trained on"
        yield Remark("warning", f"{original.width}x{original.height} is {trained}: {effect}", "size")


@lru_cache(maxsize=1000)
def is_stand_in(checkpoint: str) -> bool:
    """Return whether a checkpoint's name says that it is one for tests, which paints nothing that is worth waiting for."""
    return bool(_STAND_IN.search(checkpoint))


def family(checkpoint: str) -> tuple[str, int] | None:
    """Return the model family and the side of its native square in pixels, as far as a checkpoint's name tells."""
    if is_stand_in(checkpoint):
        return None
    return next(((name, side) for name, side, signs in _FAMILIES if signs.search(checkpoint)), None)
