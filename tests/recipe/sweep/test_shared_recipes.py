"""Recipes of a sweep's points are shared: each job is what it would have been by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from comfy_runner.errors import RecipeError
from comfy_runner.recipe.field_docs import UsualRange
from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.recipe.template_defaults import TemplateDefaults

_DEFAULTS = TemplateDefaults(
    {
        "sampler": {"cfg": 1.0},
        "size": {"width": 1328, "height": 1328},
        "upscale": {"denoise": 0.3, "method": "lanczos"},
        "vae": "x",
    },
    {"upscale.denoise": UsualRange(0.35, 0.5, "little", "much")},
)
_SWEEPS: dict[str, dict[str, Any]] = {
    "seeds and denoise": {"upscale.denoise": [0.3, 0.4, 0.55], "seed": [1, "random", "random"]},
    "two fields of one part": {"sampler.steps": [10, 20], "sampler.cfg": [3, 4.5], "seed": [1, 2]},
    "a field and a part that it lies in": {"upscale.factor": [1.5, 2], "upscale.sampler.steps": [5, 6], "prompt": ["a", "b"]},
    "sizes": {"size": [{"width": 512, "height": 512}, {"preset": "16:9-exact"}], "upscale.factor": [2, 3], "seed": [1, 2]},
    "values that are equal and not the same": {"upscale.denoise": [1, 1.0], "params.x": [1, True, 1.0], "seed": [1, 2]},
    "parameters": {"params.a": [[1], [2]], "params.b": [{"c": 1}, {"c": 2}], "seed": [1, 2]},
    "loras": {"loras": [[], ["a"], ["b", "a"]], "seed": [1, 2]},
    "points that are added": {"seed": [1, 2], "include": [{"upscale.denoise": 0.7}, {"seed": 9, "clip_skip": 2}]},
    "what a template decides": {"vae": ["a", "b"], "checkpoint": ["c", "d"], "seed": [1, 2]},
}


@pytest.mark.parametrize("route", [TemplateDefaults(), _DEFAULTS], ids=["no defaults", "defaults"])
@pytest.mark.parametrize("sweep", _SWEEPS.values(), ids=_SWEEPS)
def test_every_job_is_what_it_would_be_alone(sweep: dict[str, Any], route: TemplateDefaults) -> None:
    variants = expand(from_mapping({"name": "x", "prompt": "p", "sweep": sweep}))
    assert len(variants) > 2
    for variant in variants * 2:
        seed = 5 if variant.draw else None
        together, alone = variant.job(seed=seed, route=route), replace(variant, shared=None).job(seed=seed, route=route)
        assert together == alone
        assert repr(together.values) == repr(alone.values)
        assert together.recipe.recipe.model_fields_set == alone.recipe.recipe.model_fields_set


def test_what_only_two_values_together_make_wrong_is_told_for_each_job() -> None:
    sweep = {"upscale.factor": [2, 8], "size": [{"width": 512, "height": 512}, {"width": 4096, "height": 4096}]}
    variants = expand(from_mapping({"name": "x", "prompt": "p", "seed": 1, "sweep": sweep}))
    wrong = []
    for variant in variants * 2:
        try:
            variant.job()
        except RecipeError as error:
            wrong.append((variant.job_id, [problem.what for problem in error.problems]))
    assert [job_id for job_id, _ in wrong] == [variants[-1].job_id] * 2
    assert all(what.endswith(f"in job {job_id}") for job_id, found in wrong for what in found)


def test_output_paths_that_clash_in_one_job_are_told_for_that_one() -> None:
    recipe = {"name": "x", "prompt": "p", "output": {"original": "7/a.png", "upscaled": "{seed}/a.png"}}
    variants = expand(from_mapping({**recipe, "sweep": {"seed": [1, 2, 7]}}))
    for variant in variants[:2] * 2:
        assert variant.job().outputs["upscaled"] == f"{variant.point[0]}/a.png"
    with pytest.raises(RecipeError, match=r"would overwrite each other .* in job x-s7"):
        variants[2].job()
