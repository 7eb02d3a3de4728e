"""A1111's text of a job's pictures: its form, which of the recipe's fields go into it, and that it reads back as the recipe."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.collect.a1111_text import parameters_of
from comfy_runner.importer.a1111 import parse_parameters, recipe_of
from tests.running.support import planned

_WANTED = {"metadata": ["comfyui", "a1111"]}
_MODEL = {"upscale_model": "4x, Ultra:Sharp.pth"}
_ALL: dict[str, Any] = {
    "prompt": "a (lake:1.2), 5 €\nat dawn",
    "negative_prompt": "fog,\nrain: heavy",
    "vae": "kl.safetensors",
    "clip_skip": 2,
    "loras": [
        {"name": "ink", "strength_model": 0.8, "strength_clip": 0.8},
        {"name": "fog", "strength_model": 0.5, "strength_clip": 1.25},
    ],
    "sampler": {"name": "euler_ancestral", "scheduler": "sgm_uniform", "steps": 17, "cfg": 6.123456789},
    "seed": 2**53 - 1,
}


def _texts(**changes: Any) -> dict[str, str]:
    return parameters_of(planned(output=_WANTED, **changes))


def _settings(text: str) -> dict[str, str]:
    return dict(pair.split(": ", 1) for pair in text.splitlines()[-1].split(", "))


def test_it_has_the_form_that_a1111_writes() -> None:
    texts = _texts(**_ALL)

    above = "a (lake:1.2), 5 €\nat dawn <lora:ink:0.8> <lora:fog:1.25:0.5>\nNegative prompt: fog,\nrain: heavy\n"
    line = (
        "Steps: 17, Sampler: Euler a, Schedule type: SGM Uniform, CFG scale: 6.123456789, Seed: 9007199254740991, "
        "Size: 64x64, Model: tiny-random-sd15, VAE: kl.safetensors, {}Clip skip: 2, {}Version: ComfyUI"
    )
    assert texts["original"] == above + line.format("", "")
    hires = "Hires upscale: 2, Hires steps: 17, Hires upscaler: Latent (nearest-exact), "
    assert texts["upscaled"] == above + line.format("Denoising strength: 0.55, ", hires)


def test_files_of_models_are_told_without_folder_and_suffix_whatever_the_letter_case() -> None:
    found = _settings(_texts(checkpoint="SD\\Photo.v2.CKPT")["original"])

    assert found["Model"] == "Photo.v2"


def test_without_being_asked_for_there_is_none() -> None:
    assert parameters_of(planned()) == parameters_of(planned(output={"metadata": "none"})) == {}


def test_what_differs_in_the_second_pass_is_named() -> None:
    second = {"steps": 7, "cfg": 3.5, "name": "dpmpp_2m_sde", "scheduler": "beta"}

    found = _settings(_texts(upscale={"size": {"width": 128, "height": 192}, "sampler": second})["upscaled"])

    assert {key: value for key, value in found.items() if key.startswith("Hires")} == {
        "Hires resize": "128x192",
        "Hires steps": "7",
        "Hires schedule type": "Beta",
        "Hires CFG Scale": "3.5",
        "Hires upscaler": "Latent (nearest-exact)",
    }


def test_steps_are_those_that_comfyui_runs() -> None:
    found = _settings(_texts(sampler={"steps": 20}, upscale={"denoise": 0.5, "steps_mode": "scaled"})["upscaled"])

    assert (found["Steps"], found["Hires steps"]) == ("20", "10")


@pytest.mark.parametrize(
    ("changes", "upscaler"),
    [
        ({"upscale": {"method": "bilinear"}}, "Latent"),
        ({"upscale": {"method": "bicubic"}}, "Latent (bicubic)"),
        ({"template": "pixel_upscale"}, "Lanczos"),
        ({"template": "pixel_upscale", "upscale": {"method": "nearest-exact"}}, "Nearest"),
        ({"template": "model_upscale", "params": {"upscale_model": "folder\\4x.pth"}}, "4x"),
        ({"template": "ultimate_sd_upscale", "params": {"upscale_model": "folder/4x.pth"}}, "4x"),
    ],
)
def test_upscalers_have_the_names_of_a1111(changes: dict[str, Any], upscaler: str) -> None:
    assert _settings(_texts(**changes)["upscaled"])["Hires upscaler"] == upscaler


def test_a_value_that_would_read_as_more_is_in_quotes() -> None:
    assert 'Hires upscaler: "4x, Ultra:Sharp", Version' in _texts(template="model_upscale", params=_MODEL)["upscaled"]


def test_what_is_only_enlarged_has_no_second_pass() -> None:
    text = _texts(template="model_upscale", params=_MODEL)["plain"]

    assert 'Postprocess upscale to: 128x128, Postprocess upscaler: "4x, Ultra:Sharp"' in text
    assert "Denoising" not in text
    assert "Hires" not in text


def test_flux_has_its_guidance() -> None:
    found = _settings(_texts(template="flux")["upscaled"])

    assert (found["Distilled CFG Scale"], found["CFG scale"], found["VAE"]) == ("3.5", "1", "ae.safetensors")


@pytest.mark.parametrize("template", ["latent_upscale", "pixel_upscale", "model_upscale"])
def test_it_reads_back_as_the_recipe(template: str) -> None:
    second = {"name": "euler", "scheduler": "beta", "steps": 7, "cfg": 3.5}
    upscale = {"factor": 1.5, "denoise": 0.61, "sampler": second}
    params = {"upscale_model": "4x.pth"} if template == "model_upscale" else {}
    job = planned(output=_WANTED, template=template, upscale=upscale, params=params, **_ALL)

    found = recipe_of(parse_parameters(parameters_of(job)["upscaled"])).fields

    expected = job.repeatable
    assert found["template"] == template
    assert found["checkpoint"] == "tiny-random-sd15"
    assert {name: found[name] for name in (*_ALL, "size")} == {name: expected[name] for name in (*_ALL, "size")}
    assert {name: found["upscale"][name] for name in upscale} == {name: expected["upscale"][name] for name in upscale}
    assert found["upscale"]["method"] == expected["upscale"]["method"]
