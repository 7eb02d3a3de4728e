"""The upscalers of the web UI's highres fix as methods and templates."""

from __future__ import annotations

import pytest

from comfy_runner import api
from comfy_runner.errors import Note, Problem
from comfy_runner.recipe.upscaler_names import method_of, method_problem, upscaler_of
from comfy_runner.shipped import shipped
from comfy_runner.templating.lookup import template_names
from tests.recipe.support import fault

BASE = {"name": "x", "checkpoint": "c", "prompt": "p", "seed": 1}


@pytest.mark.parametrize(
    ("name", "template", "method"),
    [
        ("Latent", "latent_upscale", "bilinear"),
        ("latent (Nearest-Exact)", "latent_upscale", "nearest-exact"),
        ("Latent (bicubic antialiased)", "latent_upscale", "bicubic"),
        ("Lanczos", "pixel_upscale", "lanczos"),
        ("None", "pixel_upscale", "lanczos"),
        ("Nearest", "pixel_upscale", "nearest-exact"),
        ("R-ESRGAN 4x+", "model_upscale", "lanczos"),
    ],
)
def test_each_upscaler_is_a_route_and_a_method(name: str, template: str, method: str) -> None:
    found = upscaler_of(name)
    assert found is not None
    assert (found.template, found.method) == (template, method)


@pytest.mark.parametrize(
    "name", ["nearest-exact", "bilinear", "area", "bicubic", "bislerp", "lanczos", "4x-UltraSharp", "", "x" * 999]
)
def test_methods_of_comfyui_and_other_names_are_none_of_the_web_uis(name: str) -> None:
    assert upscaler_of(name) is None
    assert method_of("latent_upscale", name) == name


@pytest.mark.parametrize(
    ("template", "name", "method"),
    [
        ("latent_upscale", "Latent", "bilinear"),
        ("pixel_upscale", "Lanczos", "lanczos"),
        ("model_upscale", "Lanczos", "lanczos"),
        ("flux", "Nearest", "nearest-exact"),
        ("mine", "Lanczos", "Lanczos"),
        ("latent_upscale", "Lanczos", "Lanczos"),
    ],
)
def test_a_name_is_understood_where_the_template_has_its_route(template: str, name: str, method: str) -> None:
    assert method_of(template, name) == method


@pytest.mark.parametrize(
    ("template", "name", "hint"),
    [
        ("latent_upscale", "Lanczos", "use template: pixel_upscale with upscale.method: lanczos"),
        ("pixel_upscale", "Latent (bicubic)", "use template: latent_upscale with upscale.method: bicubic"),
        ("latent_upscale", "R-ESRGAN 4x+", "use template: model_upscale and params.upscale_model: RealESRGAN_x4plus.pth"),
        ("model_upscale", "4x-UltraSharp", "use template: model_upscale and the file of such a model as params.upscale_model"),
        ("pixel_upscale", "mine.pth", "use template: model_upscale and the file of such a model as params.upscale_model"),
    ],
)
def test_a_name_of_another_route_points_at_its_template(template: str, name: str, hint: str) -> None:
    assert method_problem(template, name)[1] == hint
    problem = fault(lambda: api.render({**BASE, "template": template, "upscale": {"method": name}, "params": {}}))
    assert (problem.where, problem.hint) == ("recipe: upscale.method", hint)


def test_in_a_template_of_ones_own_any_name_may_be_right() -> None:
    assert method_problem("mine", "R-ESRGAN 4x+") == ("", "")


def test_the_method_is_comfyuis_in_the_graph_and_that_is_said() -> None:
    recipe = {**BASE, "upscale": {"method": "Latent"}}
    assert api.render(recipe).nodes["upscale"].inputs["upscale_method"] == "bilinear"
    assert Note('"Latent" is bilinear in ComfyUI', "recipe: upscale.method", "changed") in api.validate([recipe])


def test_a_sweep_over_templates_is_held_against_each() -> None:
    recipe = {**BASE, "upscale": {"method": "Lanczos"}, "sweep": {"template": ["pixel_upscale", "latent_upscale"]}}
    assert fault(lambda: api.validate([recipe])) == Problem(
        'enlarges pixels, but the template latent_upscale enlarges latents (got "Lanczos") in job x-latent-upscale',
        "recipe: upscale.method",
        "use template: pixel_upscale with upscale.method: lanczos",
    )


def test_the_routes_of_the_shipped_templates_are_known_where_they_have_one() -> None:
    without = {"text_to_image", "ultimate_sd_upscale", "z_image_upscale"}
    assert {name for name in template_names([shipped("templates")]) if not method_problem(name, "R-ESRGAN 4x+")[0]} == without
