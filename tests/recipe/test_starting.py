"""The recipe that one starts from, whatever checkpoints a server lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.errors import InputError
from comfy_runner.recipe.load import load, shipped_recipes
from comfy_runner.recipe.schema import Recipe
from comfy_runner.recipe.starting import recipe_for, starting_recipe
from comfy_runner.templating.lookup import template_names


def _loaded(folder: Path, text: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path).recipe


def test_without_a_server_it_is_the_commented_recipe_as_it_is(tmp_path: Path) -> None:
    found = starting_recipe()

    assert (found.checkpoint, found.others) == ("", 0)
    assert _loaded(tmp_path, found.text).upscale.denoise == 0.55


_JUGGERNAUT = "juggernautXL_juggXIByRundiffusion.safetensors"


@pytest.mark.parametrize(
    ("names", "chosen", "preset", "steps", "cfg"),
    [
        (["sd_xl_base_1.0.safetensors"], 0, None, 30, 5.0),
        (["512-inpainting-ema.safetensors", "v1-5-pruned-emaonly.safetensors"], 1, "sd15-landscape", 30, 7.0),
        (["flux1-dev.safetensors", "svd.safetensors", "sdxl/DreamShaperXL_Turbo.safetensors"], 2, None, 8, 2.0),
        (["flux1-dev.safetensors"], 0, None, 30, 5.0),
        (["z.safetensors", _JUGGERNAUT], 1, None, 30, 5.0),
        (["tiny-random-sd15.safetensors"], 0, None, 10, 5.0),
    ],
)
def test_it_names_a_checkpoint_of_the_server_and_suits_its_family(
    names: list[str], chosen: int, preset: str | None, steps: int, cfg: float, tmp_path: Path
) -> None:
    found = starting_recipe(checkpoints=names)
    recipe = _loaded(tmp_path, found.text)

    assert (found.checkpoint, found.others, recipe.checkpoint) == (names[chosen], len(names) - 1, names[chosen])
    assert (recipe.size.preset, recipe.sampler.steps, recipe.sampler.cfg) == (preset, steps, cfg)
    assert all(name in found.text for name in names)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=20, unique=True))
def test_whatever_a_server_calls_its_checkpoints_the_recipe_is_right(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    found = starting_recipe(checkpoints=names)
    try:
        named = _loaded(tmp_path_factory.mktemp("recipes"), found.text).checkpoint
    except InputError as error:  # such as one of nothing but blanks, which no recipe can name
        named = found.checkpoint if "checkpoint" in str(error) else None
    assert named in names


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_can_be_copied(name: str, tmp_path: Path) -> None:
    assert _loaded(tmp_path, starting_recipe(name).text) == load(name).recipe


def test_every_shipped_template_but_those_without_a_recipe_leads_to_one() -> None:
    without = [name for name in template_names([]) if not _leads(name)]

    assert without == []
    with pytest.raises(InputError, match="no shipped recipe uses") as refused:
        recipe_for("modell_upscale")
    assert refused.value.problems[0].hint.startswith("did you mean model_upscale or ")


def _leads(template: str) -> bool:
    try:
        return load(recipe_for(template)).recipe.template == template
    except InputError:
        return False
