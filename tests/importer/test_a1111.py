"""Texts of the web UIs as recipes for shipped templates: every setting by its field, and each recipe renders."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner import api
from comfy_runner.errors import UsageError
from comfy_runner.graph.workflow import Workflow
from comfy_runner.importer.a1111 import SAME_SETTINGS, A1111Recipe, parse_parameters, recipe_of
from comfy_runner.recipe.load import from_mapping

TEXT_TO_IMAGE = """
masterpiece, a cat on a roof, [blurry], <lora:detail:0.8>
Negative prompt: bad quality,
watermark
Steps: 28, Sampler: Euler a, CFG scale: 7.5, Seed: 1234567890, Size: 512x768, Model hash: 4d91c4c217, Model: dreamshaper_8,
Clip skip: 2, Version: v1.6.0
"""
LATENT = """
a cat
Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 42, Size: 512x512, Model: m, Denoising strength: 0.6, Hires upscale: 2,
Hires upscaler: Latent, Version: v1.6.0
"""
MODEL = """
a cat
Negative prompt: blurry
Steps: 30, Sampler: DPM++ 2M SDE, Schedule type: Automatic, CFG scale: 5, Seed: 7, Size: 832x1216, Model: sdxl,
VAE: sdxl_vae.safetensors, Denoising strength: 0.35, Hires resize: 1248x1824, Hires steps: 12, Hires upscaler: 4x-UltraSharp,
Hires sampler: Euler a, Hires schedule type: Use same scheduler, Hires CFG Scale: 4, Version: v1.10.1
"""
PIXELS = """
a cat
Steps: 20, Sampler: DDIM, CFG scale: 7, Seed: 42, Size: 512x512, Model: m, Clip skip: 1, VAE: Automatic, Denoising strength: 0.4,
Hires upscale: 1.5, Hires steps: 0, Hires upscaler: Lanczos
"""
FLUX = """
a cat holding a sign
Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 5, Size: 896x1152, Model hash: 275,
Model: flux1-dev-fp8, Clip skip: 2, Version: f2.0.1v1.10.1-previous-635-gf5330788, Module 1: ae, Module 2: clip_l,
Module 3: t5xxl_fp16
"""


def one_line(text: str) -> str:
    """Return a text whose settings stand in one line, as the web UIs write them."""
    before, _, settings = text.strip().rpartition("Steps: ")
    return f"{before}Steps: {settings.replace(chr(10), ' ')}"


def made(text: str, **options: Any) -> A1111Recipe:
    return recipe_of(parse_parameters(text), **options)


def with_settings(settings: str) -> A1111Recipe:
    return made(f"a cat\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 512x512, Model: m, {settings}")


def rendered(recipe: A1111Recipe) -> Workflow:
    return api.render({"name": "imported", **recipe.fields})


def whats(recipe: A1111Recipe) -> list[str]:
    return [f"{note.where}: {note.what}" for note in recipe.notes[1:]]


def test_a_text_of_one_pass() -> None:
    recipe = made(one_line(TEXT_TO_IMAGE))

    assert recipe.fields == {
        "template": "text_to_image",
        "checkpoint": "dreamshaper_8",
        "clip_skip": 2,
        "loras": [{"name": "detail", "strength_model": 0.8, "strength_clip": 0.8}],
        "prompt": "masterpiece, a cat on a roof, (blurry:0.909)",
        "negative_prompt": "bad quality,\nwatermark",
        "seed": 1234567890,
        "size": {"width": 512, "height": 768},
        "sampler": {"name": "euler_ancestral", "scheduler": "normal", "steps": 28, "cfg": 7.5},
    }
    assert [note.what for note in recipe.notes] == [SAME_SETTINGS]
    assert recipe.comments["sampler.name"] == "Euler a"
    assert recipe.comments["checkpoint"].startswith("hash 4d91c4c217")
    assert list(rendered(recipe).outputs) == ["original"]


def test_a_text_with_a_latent_highres_fix() -> None:
    recipe = made(one_line(LATENT))

    assert recipe.fields == {
        "template": "latent_upscale",
        "checkpoint": "m",
        "prompt": "a cat",
        "seed": 42,
        "size": {"width": 512, "height": 512},
        "sampler": {"name": "dpmpp_2m", "scheduler": "karras", "steps": 20, "cfg": 7.0},
        "upscale": {
            "factor": 2.0,
            "method": "bilinear",
            "denoise": 0.6,
            "steps_mode": "full",
            "sampler": {"steps": 20},
        },
    }
    second = rendered(recipe).nodes["second_pass"].inputs
    assert (second["steps"], second["denoise"], second["scheduler"], second["seed"]) == (20, 0.6, "karras", 42)


def test_a_text_with_an_upscale_model_and_another_sampler_in_its_second_pass() -> None:
    recipe = made(one_line(MODEL))

    assert recipe.fields["template"] == "model_upscale"
    assert recipe.fields["vae"] == "sdxl_vae.safetensors"
    assert recipe.fields["sampler"] == {"name": "dpmpp_2m_sde", "scheduler": "exponential", "steps": 30, "cfg": 5.0}
    assert recipe.fields["upscale"] == {
        "size": {"width": 1248, "height": 1824},
        "method": "lanczos",
        "denoise": 0.35,
        "steps_mode": "full",
        "sampler": {"name": "euler_ancestral", "scheduler": "normal", "steps": 12, "cfg": 4.0},
    }
    assert recipe.fields["params"] == {"upscale_model": "4x-UltraSharp"}
    assert whats(recipe) == []
    assert rendered(recipe).nodes["upscale_model"].inputs == {"model_name": "4x-UltraSharp"}


def test_a_text_with_enlarged_pixels() -> None:
    recipe = made(one_line(PIXELS))

    assert recipe.fields["template"] == "pixel_upscale"
    assert {"vae", "clip_skip", "negative_prompt"}.isdisjoint(recipe.fields)
    assert recipe.fields["sampler"] == {"name": "ddim", "scheduler": "ddim_uniform", "steps": 20, "cfg": 7.0}
    assert recipe.fields["upscale"] == {
        "factor": 1.5,
        "method": "lanczos",
        "denoise": 0.4,
        "steps_mode": "full",
        "sampler": {"steps": 20},
    }
    assert rendered(recipe).nodes["resize"].inputs["upscale_method"] == "lanczos"


def test_a_text_of_flux() -> None:
    recipe = made(one_line(FLUX))

    assert recipe.fields == {
        "template": "flux",
        "checkpoint": "flux1-dev-fp8",
        "vae": "ae",
        "prompt": "a cat holding a sign",
        "seed": 5,
        "size": {"width": 896, "height": 1152},
        "sampler": {"name": "euler", "scheduler": "simple", "steps": 20, "cfg": 1.0},
        "params": {"clip_1": "t5xxl_fp16", "clip_2": "clip_l", "guidance": 3.5, "second_pass": False},
    }
    assert whats(recipe) == []
    assert list(rendered(recipe).outputs) == ["original"]


def test_a_text_of_flux_with_a_highres_fix_has_a_second_pass() -> None:
    settings = "Denoising strength: 0.3, Hires upscale: 1.5, Hires upscaler: Lanczos, Hires Distilled CFG Scale: 3.5"
    recipe = made(f"{one_line(FLUX)}, {settings}")

    assert recipe.fields["upscale"]["factor"] == 1.5
    assert "second_pass" not in recipe.fields["params"]
    assert whats(recipe) == []
    assert list(rendered(recipe).outputs) == ["original", "upscaled"]


def test_what_a_text_of_flux_does_not_say_is_the_templates_and_said() -> None:
    recipe = made(
        "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler, CFG scale: 1, Seed: 1, Size: 512x512, Model: flux1-schnell"
    )

    assert recipe.fields["template"] == "flux"
    assert "negative_prompt" not in recipe.fields
    assert [what.partition(":")[0] for what in whats(recipe)] == ["Negative prompt", "Distilled CFG Scale", "Module 1"]
    assert rendered(recipe).nodes["guidance"].inputs["guidance"] == 3.5


@pytest.mark.parametrize("upscaler", ["Latent", "4x-UltraSharp"])
def test_flux_with_a_highres_fix_of_another_route_is_refused(upscaler: str) -> None:
    with pytest.raises(UsageError, match="the template flux enlarges pixels") as caught:
        made(f"{one_line(FLUX)}, Denoising strength: 0.3, Hires upscale: 2, Hires upscaler: {upscaler}")
    assert "Hires upscaler: Lanczos" in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("sampling", "name", "scheduler"),
    [
        ("Sampler: Euler", "euler", "normal"),
        ("Sampler: LMS Karras", "lms", "karras"),
        ("Sampler: DPM++ 2M", "dpmpp_2m", "normal"),
        ("Sampler: DPM++ 2M, Schedule type: Automatic", "dpmpp_2m", "karras"),
        ("Sampler: DPM++ SDE, Schedule type: Automatic", "dpmpp_sde", "karras"),
        ("Sampler: DPM++ 3M SDE, Schedule type: Automatic", "dpmpp_3m_sde", "exponential"),
        ("Sampler: Heun, Schedule type: Automatic", "heun", "normal"),
        ("Sampler: DDIM, Schedule type: Automatic", "ddim", "ddim_uniform"),
        ("Sampler: DPM++ 2M Karras, Schedule type: Automatic", "dpmpp_2m", "karras"),
        ("Sampler: DPM++ 2M, Schedule type: SGM Uniform", "dpmpp_2m", "sgm_uniform"),
        ("Sampler: Euler, Schedule type: Uniform", "euler", "normal"),
        ("Sampler: Euler, Schedule type: Beta", "euler", "beta"),
        ("Sampler: DPM++ 2M SDE Exponential", "dpmpp_2m_sde", "exponential"),
        ("Sampler: dpmpp_2m_karras", "dpmpp_2m", "karras"),
        ("Sampler: dpmpp_2m, Scheduler: karras", "dpmpp_2m", "karras"),
        ("Sampler: res_2m, Scheduler: beta57", "res_2m", "beta57"),
    ],
)
def test_sampler_and_schedule(sampling: str, name: str, scheduler: str) -> None:
    recipe = made(f"a\nSteps: 20, {sampling}, CFG scale: 7, Seed: 1, Size: 512x512, Model: m")
    assert (recipe.fields["sampler"]["name"], recipe.fields["sampler"]["scheduler"]) == (name, scheduler)
    assert rendered(recipe).nodes["first_pass"].inputs["scheduler"] == scheduler


@pytest.mark.parametrize(
    ("sampling", "nearest"),
    [
        ("Sampler: PLMS", "ddim"),
        ("Sampler: Restart", "dpmpp_2m with the scheduler karras"),
        ("Sampler: Euler Turbo Max", "another sampler in the text"),
        ("Sampler: Euler, Schedule type: Align Your Steps", "karras"),
    ],
)
def test_a_sampler_without_counterpart_is_refused_with_the_nearest(sampling: str, nearest: str) -> None:
    with pytest.raises(UsageError, match="ComfyUI has no such") as caught:
        made(f"a\nSteps: 20, {sampling}, CFG scale: 7, Seed: 1, Size: 512x512, Model: m")
    assert nearest in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("upscaler", "template", "method"),
    [
        ("Latent", "latent_upscale", "bilinear"),
        ("Latent (antialiased)", "latent_upscale", "bilinear"),
        ("Latent (bicubic)", "latent_upscale", "bicubic"),
        ("Latent (bicubic antialiased)", "latent_upscale", "bicubic"),
        ("Latent (nearest)", "latent_upscale", "nearest-exact"),
        ("Latent (nearest-exact)", "latent_upscale", "nearest-exact"),
        ("Lanczos", "pixel_upscale", "lanczos"),
        ("Nearest", "pixel_upscale", "nearest-exact"),
        ("bicubic", "pixel_upscale", "bicubic"),
        ("Latent (bislerp)", "latent_upscale", "bislerp"),
        ("None", "pixel_upscale", "lanczos"),
        ("R-ESRGAN 4x+", "model_upscale", "lanczos"),
        ("4x_NMKD-Siax_200k", "model_upscale", "lanczos"),
    ],
)
def test_the_upscaler_decides_the_template(upscaler: str, template: str, method: str) -> None:
    recipe = with_settings(f"Denoising strength: 0.5, Hires upscale: 2, Hires upscaler: {upscaler}")

    assert (recipe.fields["template"], recipe.fields["upscale"]["method"]) == (template, method)
    assert any("antialiasing" in what for what in whats(recipe)) == ("antialiased" in upscaler)
    assert rendered(recipe).outputs


@pytest.mark.parametrize(
    ("settings", "steps"), [("", 20), ("Hires steps: 0, ", 20), ("Hires steps: 7, ", 7)], ids=["missing", "zero", "given"]
)
def test_steps_of_the_second_pass(settings: str, steps: int) -> None:
    recipe = with_settings(f"{settings}Denoising strength: 0.5, Hires upscale: 2, Hires upscaler: Latent")
    assert (recipe.fields["upscale"]["sampler"]["steps"], recipe.fields["upscale"]["steps_mode"]) == (steps, "full")
    assert rendered(recipe).nodes["second_pass"].inputs["steps"] == steps


@pytest.mark.parametrize(
    "settings",
    ["Denoising strength: 0.75", "Denoising strength: 0.5, Mask blur: 4", "Operations: img2img", "Inpaint area: Only masked"],
)
def test_a_picture_made_from_another_one_is_refused_with_the_way(settings: str) -> None:
    with pytest.raises(UsageError, match="was made from another picture") as caught:
        with_settings(settings)
    assert "img2img_upscale" in caught.value.problems[0].hint


def test_a_highres_fix_of_2022_is_refused() -> None:
    with pytest.raises(UsageError, match="before 2023"):
        with_settings("Denoising strength: 0.7, Hires steps: 0, First pass size: 512x512")


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ("ENSD: 31337", "ENSD"),
        ("Variation seed: 5, Variation seed strength: 0.1", "Variation seed"),
        ("ADetailer model: face_yolov8n.pt, ADetailer confidence: 0.3", "ADetailer model"),
        ('ControlNet 0: "Module: canny, Model: x [1], Weight: 1"', "ControlNet 0"),
        ("Refiner: sdxl_refiner [7440042bbd], Refiner switch at: 0.8", "Refiner"),
        ("Face restoration: GFPGAN", "Face restoration"),
        ("Something new: 3", "Something new"),
        ('Hires prompt: "a dog, big", Denoising strength: 0.5, Hires upscale: 2, Hires upscaler: Lanczos', "Hires prompt"),
        ("Hires checkpoint: other, Denoising strength: 0.5, Hires upscale: 2, Hires upscaler: Lanczos", "Hires checkpoint"),
    ],
)
def test_what_has_no_counterpart_is_named_once(settings: str, where: str) -> None:
    recipe = with_settings(settings)
    assert [note.where for note in recipe.notes[1:]] == [where]
    assert rendered(recipe).outputs


@pytest.mark.parametrize(
    "prompt", ["a [cat:dog:0.5]", "a cat AND a dog", "a cat BREAK a dog", "a {red|blue} cat", "a __colour__ cat"]
)
def test_syntax_that_comfyui_does_not_know_is_left_and_told_when_the_recipe_is_loaded(prompt: str) -> None:
    recipe = made(f"{prompt}\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 512x512, Model: m")
    assert recipe.fields["prompt"] == prompt
    assert whats(recipe) == []
    (note,) = from_mapping(recipe.fields).notes
    assert note.what.startswith("ComfyUI reads")


def test_many_settings_without_counterpart_are_a_dozen_notes_and_one() -> None:
    recipe = with_settings(", ".join(f"Thing {number}: {number + 1}" for number in range(30)))
    assert len(recipe.notes) == 1 + 12 + 1
    assert "10 more" in recipe.notes[-1].what


def test_what_says_nothing_of_the_picture_is_not_named() -> None:
    quiet = (
        'Lora hashes: "a: 1, b: 2", TI hashes: "x: 1", Hashes: {"model": "1, 2", "vae": "3"}, Version: v1.10.1, RNG: CPU, '
        'Civitai resources: [{"type":"checkpoint","id":1}], Civitai metadata: {}, Created Date: 2024-05-01T10:10:10.123Z, '
        "Hires checkpoint: Use same checkpoint, Refiner: None, Tiling: False"
        "\nTemplate: a {b|c}, Seed: x, (d:1.2)\nNegative Template: e"
    )
    assert whats(with_settings(quiet)) == []


def test_embeddings_are_those_that_the_hashes_name() -> None:
    settings = "Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 512x512, Model: m"
    hashes = 'TI hashes: "bad-x: 12, worse: 34", Hashes: {"embed:good": "1"}'
    recipe = made(f"a cat, good\nNegative prompt: bad-x, (worse:1.2)\n{settings}, {hashes}")
    assert (recipe.fields["prompt"], recipe.fields["negative_prompt"]) == (
        "a cat, embedding:good",
        "embedding:bad-x, (embedding:worse:1.2)",
    )
    assert made(f"a cat, good\n{settings}").fields["prompt"] == "a cat, good"


def test_files_are_called_as_the_server_calls_them() -> None:
    models = {
        "checkpoints": ["SD15/dreamshaper_8.safetensors", "other.safetensors"],
        "loras": ["a/detail.safetensors", "b/detail.safetensors"],
        "vae": ["v.pt"],
    }
    recipe = made(one_line(TEXT_TO_IMAGE), models=models)

    assert recipe.fields["checkpoint"] == "SD15/dreamshaper_8.safetensors"
    assert recipe.fields["loras"][0]["name"] == "detail"
    assert whats(recipe) == [
        'loras: the server has several files of this name: a/detail.safetensors, b/detail.safetensors (got "detail")'
    ]
    assert whats(made("a\nSteps: 1, Sampler: Euler, Seed: 1, CFG scale: 1, Size: 64x64, Model: none_such", models=models)) == [
        'checkpoint: the server has no such file (got "none_such")'
    ]


def test_what_a_text_does_not_say_is_said() -> None:
    recipe = made("Steps: 20, Version: v1.0, Something: none")
    assert recipe.fields == {"template": "text_to_image", "prompt": "", "sampler": {"steps": 20}}
    assert [note.where for note in recipe.notes[1:]] == ["Model", "Seed", "Size", "Sampler", "CFG scale"]


def test_the_picture_has_the_size_that_a_text_does_not_say() -> None:
    text = "a\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Model: m"
    assert made(text, size=(515, 768)).fields["size"] == {"width": 512, "height": 768}


@pytest.mark.parametrize(
    ("size", "found"),
    [
        ((1024, 1024), ""),
        ((512, 512), "it is the picture of the first pass"),
        ((2048, 2048), "it was enlarged, reduced or cropped"),
    ],
)
def test_a_picture_that_is_not_what_its_text_makes_is_told(size: tuple[int, int], found: str) -> None:
    told = "".join(whats(made(one_line(LATENT), size=size)))
    assert found in told
    assert bool(told) == bool(found)


@pytest.mark.parametrize(
    "settings",
    [
        "Hires upscale: 0, Denoising strength: 0.5",
        "Hires upscale: nine, Denoising strength: 0.5",
        "Hires upscale: 2, Denoising strength: 0",
        "Hires resize: big, Denoising strength: 0.5",
        "Hires resize: 0x0, Denoising strength: 0.5",
        "Clip skip: 100",
    ],
)
def test_a_value_that_cannot_be_is_refused_at_its_key(settings: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_settings(settings)
    assert caught.value.problems[0].where in settings


def test_a_side_of_zero_in_hires_resize_keeps_the_shape() -> None:
    recipe = with_settings("Hires resize: 1024x0, Denoising strength: 0.5, Hires upscaler: Lanczos")
    assert recipe.fields["upscale"]["size"] == {"width": 1024, "height": 1024}


def test_where_the_web_ui_rounds_an_enlarged_size_otherwise_is_told() -> None:
    settings = "Denoising strength: 0.5, Hires upscaler: Lanczos, Hires upscale"
    line = "a\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 512x768, Model: m, "
    assert whats(made(f"{line}{settings}: 1.5")) == []
    assert whats(made(f"{line}{settings}: 1.35")) == [
        "Hires upscale: the web UI makes 688x1032 pixels of it, but here it is 688x1040: give `upscale.size` to get the same"
    ]


def test_a_prompt_that_comfyui_has_written_is_left_as_it_is() -> None:
    prompt = "(a (b:1.5) c:1.2), [d], embedding:e"
    line = "Steps: 20, Sampler: dpmpp_2m, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x512, Model: m, Version: ComfyUI"
    recipe = made(f"{prompt} <lora:l:0.5>\n{line}")
    assert (recipe.fields["prompt"], recipe.fields["loras"][0]["name"]) == (prompt, "l")
    assert recipe.notes == ()


def test_a_site_that_does_not_know_the_sampler_says_nothing_of_it() -> None:
    recipe = made("a\nSteps: 20, CFG scale: 3.5, Sampler: Undefined, Seed: 1, Size: 512x512, Clip skip: 1, Model: m")
    assert recipe.fields["sampler"] == {"steps": 20, "cfg": 3.5}
    assert whats(recipe) == ["Sampler: the text gives no sampler, so the template's default is used"]


def test_a_text_of_sd_next_is_read_by_its_own_keys() -> None:
    recipe = made(
        "a\nSteps: 20, Size: 1024x1024, Sampler: DDIM, Seed: 1, CFG scale: 6, App: SD.Next, Version: 56a8aea, Model: m, "
        "Operations: txt2img; upscale, Refine: True, Hires upscaler: ESRGAN 4x, Hires scale: 1.5, Hires size: 1536x1536"
    )
    assert recipe.fields["template"] == "model_upscale"
    assert recipe.fields["upscale"]["factor"] == 1.5
    assert [note.where for note in recipe.notes[1:]] == ["Denoising strength", "Refine"]
