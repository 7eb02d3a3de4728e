from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from comfy_runner.recipe.job import job
from comfy_runner.recipe.load import load, shipped_recipes
from comfy_runner.recipe.schema import json_schema
from comfy_runner.shipped import STARTER
from comfy_runner.yaml_loader import parse
from tests.recipe.support import written

JUGGERNAUT = "juggernautXL_juggXIByRundiffusion.safetensors"
SKYLINE = (
    "Professional architectural photography, urban skyline, sunset glow, modern skyscrapers, contemporary design, "
    "reflective glass facades, dynamic cloud formations, cinematic lighting, wide-angle perspective."
)


def invalid(values: Any) -> bool:
    return not Draft202012Validator(json_schema()).is_valid(values)


def test_these_recipes_are_shipped() -> None:
    assert {"forest-sunrise", "quickstart", "urban-skyline"} <= set(shipped_recipes())


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_loads_under_its_own_name(name: str) -> None:
    the_job = job(load(name))
    assert the_job.job_id == the_job.values["name"] == name
    assert the_job.output_for("original") == f"{name}/original.png"


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_is_valid_by_the_json_schema(name: str) -> None:
    Draft202012Validator(json_schema()).validate(parse(shipped_recipes()[name].read_text(encoding="utf-8"), name=name).value)


@pytest.mark.parametrize(
    ("name", "checkpoint", "original", "upscaled"),
    [
        ("forest-sunrise", JUGGERNAUT, (1024, 576), (2048, 1152)),
        ("urban-skyline", JUGGERNAUT, (1024, 1024), (2048, 2048)),
        ("quickstart", "tiny-random-sd15.safetensors", (256, 144), (512, 288)),
    ],
)
def test_a_shipped_recipe_has_the_sizes_that_it_promises(
    name: str, checkpoint: str, original: tuple[int, int], upscaled: tuple[int, int]
) -> None:
    values = job(load(name)).values
    assert values["checkpoint"] == checkpoint
    assert (values["width"], values["height"]) == original
    assert (values["upscale"]["width"], values["upscale"]["height"]) == upscaled
    assert values["upscale"]["denoise"] == 0.55


def test_the_skyline_has_the_tutorials_prompt() -> None:
    assert load("urban-skyline").recipe.prompt == SKYLINE


def test_the_starter_loads_without_notes_and_is_valid_by_the_json_schema(tmp_path: Path) -> None:
    text = STARTER.read_text(encoding="utf-8")
    loaded = load(written(tmp_path, "my.yaml", text))
    assert job(loaded).notes == ()
    Draft202012Validator(json_schema()).validate(parse(text, name="starter").value)


def test_the_starter_shows_every_field() -> None:
    text = STARTER.read_text(encoding="utf-8")
    for name in json_schema()["properties"]:
        assert f"\n{name}:" in text or f"\n# {name}:" in text, name


def test_the_json_schema_is_one() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_json_schema_describes_every_field() -> None:
    schema = json_schema()
    for model in (schema, *schema["$defs"].values()):
        assert all(prop.get("description") for prop in model["properties"].values()), model["title"]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"seed": "random"},
        {"loras": ["a", {"name": "b", "strength_model": 2}]},
        {"size": {"aspect": "16:9", "megapixels": 1}, "upscale": {"size": {"width": 64, "height": 64}}},
        {"params": {"anything": [1, {"a": None}]}},
    ],
)
def test_the_json_schema_accepts_what_the_program_accepts(values: Any) -> None:
    assert not invalid(values)


@pytest.mark.parametrize(
    "values",
    [
        {"denoise": 1},
        {"seed": -1},
        {"seed": "next"},
        {"upscale": {"denoise": 0}},
        {"upscale": {"factor": 2, "size": {"width": 64, "height": 64}}},
        {"upscale": {"seed": "random"}},
        {"sampler": {"steps": 1.5}},
        {"size": {"width": 64}},
        {"size": {"width": 64, "height": 64, "preset": "sdxl-square"}},
        {"size": {"preset": "nope"}},
        {"prompt": 42},
    ],
)
def test_the_json_schema_refuses_what_the_program_refuses(values: Any) -> None:
    assert invalid(values)
