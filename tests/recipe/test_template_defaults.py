"""What a template makes of a recipe: its own defaults, and what is usual with it."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.recipe.field_docs import UsualRange
from comfy_runner.recipe.job import job
from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.schema import Recipe
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.recipe.template_defaults import TemplateDefaults, default_problems

PIXEL = TemplateDefaults(
    defaults={
        "checkpoint": "flux.safetensors",
        "size": {"width": 512, "height": 512},
        "sampler": {"name": "euler", "cfg": 1.0},
        "upscale": {"denoise": 0.3, "method": "lanczos", "factor": 1.5, "sampler": {"steps": 7}},
    },
    usual={"upscale.denoise": UsualRange(0.15, 0.4, below="little is painted", above="it becomes another picture")},
)


def over(**given: Any) -> Recipe:
    return PIXEL.over(Recipe.model_validate(given))


def test_a_field_that_the_recipe_does_not_give_has_the_routes_default() -> None:
    recipe = over()
    assert (recipe.checkpoint, recipe.size.width) == ("flux.safetensors", 512)
    assert (recipe.sampler.name, recipe.sampler.cfg) == ("euler", 1.0)
    assert (recipe.upscale.denoise, recipe.upscale.method, recipe.upscale.factor) == (0.3, "lanczos", 1.5)
    assert recipe.upscale.sampler.steps == 7


def test_a_field_that_neither_gives_has_the_recipes_own_default() -> None:
    recipe = over()
    assert (recipe.sampler.scheduler, recipe.sampler.steps) == ("karras", 30)
    assert recipe.upscale.sampler.name is None


@pytest.mark.parametrize(
    ("given", "of"),
    [
        ({"checkpoint": "mine"}, lambda recipe: recipe.checkpoint == "mine"),
        ({"size": {"preset": "sdxl-square"}}, lambda recipe: recipe.size.preset == "sdxl-square" and recipe.size.width is None),
        ({"sampler": {"cfg": 5.0}}, lambda recipe: (recipe.sampler.cfg, recipe.sampler.name) == (5.0, "euler")),
        ({"upscale": {"denoise": 0.55}}, lambda recipe: (recipe.upscale.denoise, recipe.upscale.method) == (0.55, "lanczos")),
        ({"upscale": {"sampler": {"steps": 3}}}, lambda recipe: recipe.upscale.sampler.steps == 3),
    ],
)
def test_what_the_recipe_gives_stays_even_where_it_is_the_general_default(given: dict[str, Any], of: Any) -> None:
    assert of(over(**given))


def test_a_default_gives_way_to_what_excludes_it() -> None:
    recipe = over(upscale={"size": {"width": 1024, "height": 1024}})
    assert recipe.upscale.factor is None
    assert recipe.upscale.denoise == 0.3


def test_a_route_without_defaults_changes_nothing() -> None:
    recipe = Recipe.model_validate({})
    assert TemplateDefaults().over(recipe) is recipe


@pytest.mark.parametrize(
    ("denoise", "words"),
    [
        (0.1, ["below 0.15 little is painted (got 0.1)"]),
        (0.15, []),
        (0.4, []),
        (0.5, ["above 0.4 it becomes another picture (got 0.5)"]),
    ],
)
def test_a_value_that_is_not_usual_is_a_warning(denoise: float, words: list[str]) -> None:
    found = list(PIXEL.unusual(over(upscale={"denoise": denoise})))
    assert [(finding.what, finding.field, finding.level) for finding in found] == [
        (what, "upscale.denoise", "warning") for what in words
    ]


def test_nobody_is_warned_where_nothing_happens() -> None:
    route = TemplateDefaults(usual={"upscale.denoise": UsualRange(0.5, 0.75, below="it stays blurred")})
    assert not list(route.unusual(Recipe.model_validate({"upscale": {"denoise": 0.9}})))
    assert not list(TemplateDefaults(usual={"clip_skip": UsualRange(1, 2, below="x")}).unusual(Recipe.model_validate({})))


def test_a_job_sees_the_routes_defaults_and_warns_of_what_is_not_usual() -> None:
    made = job(from_mapping({"seed": 1, "upscale": {"denoise": 0.5}}), route=PIXEL)
    assert made.values["checkpoint"] == "flux.safetensors"
    assert (made.values["width"], made.values["upscale"]["width"]) == (512, 768)
    assert made.values["upscale"]["sampler"] == {"name": "euler", "scheduler": "karras", "steps": 7, "cfg": 1.0}
    assert [(note.what, note.where) for note in made.notes] == [
        ("above 0.4 it becomes another picture (got 0.5)", "recipe: upscale.denoise")
    ]


def test_a_swept_field_is_given() -> None:
    loaded = from_mapping({"seed": 1, "sweep": {"upscale.denoise": [0.2, 0.55], "sampler.cfg": [1.0, 2.0]}})
    seen = [variant.job(route=PIXEL).values for variant in expand(loaded)]
    assert [(each["upscale"]["denoise"], each["sampler"]["cfg"]) for each in seen] == [
        (0.2, 1.0),
        (0.2, 2.0),
        (0.55, 1.0),
        (0.55, 2.0),
    ]
    assert {each["sampler"]["name"] for each in seen} == {"euler"}


@pytest.mark.parametrize(
    ("defaults", "where", "what"),
    [
        ({"denoise": 0.3}, "denoise", "cannot be set by a template"),
        ({"params": {"x": 1}}, "params", "cannot be set by a template"),
        ({"sweep": {}}, "sweep", "cannot be set by a template"),
        ({"upscale": {"denoise": 2}}, "upscale.denoise", "must be at most 1"),
        ({"upscale": {"denoise": "0.3"}}, "upscale.denoise", "must be a number"),
        ({"upscale": {"sharpen": 1}}, "upscale.sharpen", "unknown field"),
        ({"upscale": 5}, "upscale", "must be a mapping"),
    ],
)
def test_defaults_that_cannot_be_are_told(defaults: dict[str, Any], where: str, what: str) -> None:
    (problem,) = default_problems(defaults)
    assert problem.where == where
    assert what in problem.what


def test_the_field_that_was_meant_is_told() -> None:
    (problem,) = default_problems({"steps": 20})
    assert "sampler.steps" in problem.hint
