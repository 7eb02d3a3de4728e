from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import RecipeError, UsageError
from comfy_runner.recipe.job import draw_seed, job
from comfy_runner.recipe.load import from_mapping, load
from tests.recipe.support import fault, made, told, written

MAX_SEED = 2**53 - 1


def test_the_values_of_a_full_recipe_are_all_resolved() -> None:
    values = made(
        name="My Picture",
        checkpoint="x.safetensors",
        vae="v.safetensors",
        clip_skip=2,
        loras=["a", {"name": "b", "strength_model": 0.5}, {"name": "c", "strength_clip": 0}],
        prompt="a cat",
        negative_prompt="a dog",
        seed=7,
        size={"preset": "sdxl-square"},
        sampler={"name": "euler", "scheduler": "normal", "steps": 20, "cfg": 7},
        upscale={"factor": 1.5, "method": "bislerp", "denoise": 0.6, "seed": "next", "sampler": {"steps": 12}},
        params={"a": [1]},
    ).values
    assert values == {
        "name": "My Picture",
        "job_id": "my-picture",
        "checkpoint": "x.safetensors",
        "vae": "v.safetensors",
        "clip_skip": 2,
        "loras": [
            {"name": "a", "strength_model": 1.0, "strength_clip": 1.0},
            {"name": "b", "strength_model": 0.5, "strength_clip": 0.5},
            {"name": "c", "strength_model": 1.0, "strength_clip": 0.0},
        ],
        "prompt": "a cat",
        "negative_prompt": "a dog",
        "seed": 7,
        "width": 1024,
        "height": 1024,
        "batch_size": 1,
        "sampler": {"name": "euler", "scheduler": "normal", "steps": 20, "cfg": 7.0},
        "upscale": {
            "width": 1536,
            "height": 1536,
            "factor": 1.5,
            "method": "bislerp",
            "denoise": 0.6,
            "steps_mode": "full",
            "seed": 8,
            "sampler": {"name": "euler", "scheduler": "normal", "steps": 12, "cfg": 7.0},
        },
        "params": {"a": [1]},
    }
    assert json.loads(json.dumps(values)) == values


def test_what_a_recipe_does_not_give_is_absent_or_has_its_default() -> None:
    values = made().values
    assert "checkpoint" not in values
    assert "prompt" not in values
    assert (values["negative_prompt"], values["vae"], values["clip_skip"], values["loras"], values["params"]) == (
        "",
        None,
        None,
        [],
        {},
    )
    assert (values["width"], values["height"]) == (1024, 576)
    assert (values["upscale"]["width"], values["upscale"]["height"], values["upscale"]["factor"]) == (2048, 1152, 2.0)
    assert values["upscale"]["sampler"] == values["sampler"]


def test_an_empty_prompt_is_a_prompt() -> None:
    assert made(prompt="").values["prompt"] == ""


@pytest.mark.parametrize(("steps", "denoise", "expected"), [(30, 0.55, 16), (10, 0.55, 6), (1, 0.1, 1), (30, 1, 30), (20, 0.01, 1)])
def test_scaled_steps_are_steps_times_denoise_and_at_least_one(steps: int, denoise: float, expected: int) -> None:
    upscale = {"steps_mode": "scaled", "denoise": denoise, "sampler": {"steps": steps}}
    values = made(upscale=upscale).values
    assert values["upscale"]["sampler"]["steps"] == expected
    assert values["sampler"]["steps"] == 30


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(5, "same", 5), (5, "next", 6), (MAX_SEED, "next", 0), (5, 99, 99), (5, 0, 0)]
)
def test_the_second_seed_follows_the_first_or_is_its_own(first: int, second: int | str, expected: int) -> None:
    assert made(seed=first, upscale={"seed": second}).values["upscale"]["seed"] == expected


def test_an_upscaled_size_in_pixels_has_a_factor_too() -> None:
    values = made(size={"width": 1024, "height": 576}, upscale={"size": {"width": 1536, "height": 864}}).values
    assert values["upscale"]["factor"] == pytest.approx(1.5)


def test_a_random_seed_is_the_callers_to_draw() -> None:
    loaded = from_mapping({"seed": "random", "output": {"original": "{seed}.png"}})
    assert loaded.needs_seed
    the_job = job(loaded, seed=123)
    assert (the_job.seed, the_job.values["seed"], the_job.outputs["original"]) == (123, 123, "123.png")
    assert fault(lambda: job(loaded), error=UsageError).where == "recipe: seed"


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, True])
def test_a_drawn_seed_out_of_range_is_an_error(seed: int) -> None:
    fault(lambda: job(from_mapping({"seed": "random"}), seed=seed), error=UsageError)


def test_a_seed_beside_the_recipes_own_is_an_error_unless_it_is_the_same() -> None:
    loaded = from_mapping({"seed": 7})
    assert not loaded.needs_seed
    assert job(loaded, seed=7).seed == 7
    assert "already has a seed, 7" in fault(lambda: job(loaded, seed=8), error=UsageError).what


def test_drawn_seeds_are_in_range_and_differ() -> None:
    seeds = {draw_seed() for _ in range(50)}
    assert len(seeds) == 50
    assert all(0 <= seed <= MAX_SEED for seed in seeds)


def test_the_values_are_the_jobs_own() -> None:
    loaded = from_mapping({"seed": 1, "params": {"a": [1]}})
    job(loaded).values["params"]["a"].append(2)
    assert job(loaded).values["params"] == {"a": [1]}


# outputs


def test_a_role_without_a_pattern_goes_below_the_job_id() -> None:
    the_job = made(name="X y")
    assert the_job.outputs == {}
    assert the_job.output_for("original") == "x-y/original.png"


def test_a_pattern_is_resolved() -> None:
    the_job = made(name="X y", seed=5, output={"upscaled": "a/{name}/{job_id}-{seed}-{role}.png"})
    assert the_job.output_for("upscaled") == "a/X y/x-y-5-upscaled.png"


def test_a_default_path_that_another_role_has_taken_is_an_error(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, "x.yaml", 'seed: 1\noutput:\n  original: "{job_id}/upscaled.png"\n'))
    problem = fault(lambda: job(loaded).output_for("upscaled"))
    assert problem.where.endswith(":3: output.original")
    assert "would overwrite each other" in problem.what


@pytest.mark.parametrize("role", ["../x", "a b", "", "con"])
def test_a_role_that_cannot_be_a_path_is_an_error(role: str) -> None:
    with pytest.raises(RecipeError):
        made().output_for(role)


# notes


def test_a_size_off_the_lattice_is_noted_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load(written(tmp_path, "x.yaml", "seed: 1\nsize:\n  width: 1023\n  height: 576\nupscale: {factor: 1}\n"))
    (note,) = job(loaded).notes
    assert note.level == "changed"
    assert str(note) == "x.yaml:3: size.width: width 1023 becomes 1016 (ComfyUI rounds down to multiples of 8)"


def test_a_size_that_drifts_is_noted() -> None:
    (what,) = told(made(size={"width": 832, "height": 1216}, upscale={"factor": 1.4}), "changed")
    assert what.startswith("the aspect ratio changes by 0.18 % at factor 1.4 (1168x1704)")


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"upscale": {"factor": 2.5}}, "upscale.factor", "more than 2 times at once"),
        ({"upscale": {"size": {"width": 3072, "height": 1728}}}, "upscale.size", "more than 2 times at once"),
        ({"upscale": {"size": {"width": 2048, "height": 2048}}}, "upscale.size", "stretched by 78 %"),
        ({"upscale": {"factor": 0.5}}, "upscale.factor", "smaller (512x288) than the first (1024x576)"),
        ({"checkpoint": "sdxl.safetensors", "size": {"preset": "sd15-square"}}, "size", "0.25 times the 1024x1024 that SDXL"),
        ({"checkpoint": "v1-5-pruned.ckpt", "size": {"preset": "sdxl-square"}}, "size", "4 times the 512x512 that SD1.5"),
    ],
)
def test_a_known_trap_is_a_warning(values: dict[str, Any], field: str, words: str) -> None:
    warnings = [note for note in made(**values).notes if note.level == "warning"]
    assert len([note for note in warnings if words in note.what and note.where == f"recipe: {field}"]) == 1


@pytest.mark.parametrize(
    ("checkpoint", "size", "warned"),
    [
        ("juggernautXL_juggXIByRundiffusion.safetensors", "16:9-exact", False),
        ("sd_xl_base_1.0.safetensors", "sdxl-square", False),
        ("sdxl/animagineXLV31.safetensors", "sd15-square", True),
        ("ponyDiffusionV6XL_v6.safetensors", "sd15-square", True),
        ("v1-5-pruned-emaonly.safetensors", "sd15-landscape", False),
        ("SD15/dreamshaper.safetensors", "sdxl-square", True),
        ("tiny-random-sd15.safetensors", "sdxl-square", False),
        ("flux1-dev.safetensors", "sd15-square", False),
        ("someModel_v15.safetensors", "sdxl-square", False),
    ],
)
def test_a_size_is_foreign_only_to_a_family_that_the_name_tells(checkpoint: str, size: str, warned: bool) -> None:
    warnings = told(made(checkpoint=checkpoint, size={"preset": size}), "warning")
    assert bool(warnings) is warned
