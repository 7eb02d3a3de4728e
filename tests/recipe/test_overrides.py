from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import UsageError
from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.sweep.expand import expand
from tests.recipe.support import fault, faults, written


def values(option: str) -> list[Any]:
    return [value for variant in expand(from_mapping({"seed": 1, "loras": ["a"]}, sweeps=[option])) for value in variant.point]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("upscale.denoise=0.45:0.70:0.05", [0.45, 0.5, 0.55, 0.6, 0.65, 0.7]),
        ("upscale.denoise=0.6:0.5:-0.1", [0.6, 0.5]),
        ("seed=1,2,3", [1, 2, 3]),
        ("seed = 1, 2", [1, 2]),
        ("seed=1:4", [1, 2, 3, 4]),
        ("seed=4:1", [4, 3, 2, 1]),
        ("seed=7", [7]),
        ("seed={start: 5, count: 2}", [5, 6]),
        ("sampler.cfg=5,5.5", [5.0, 5.5]),
        ('prompt=["a, b", "c"]', ["a, b", "c"]),
        ("prompt=a cat: big", ["a cat: big"]),
        ('prompt="a, b","c"', ["a, b", "c"]),
        ("prompt=1:3", ["1:3"]),
        ("size.aspect=16:9,4:3", ["16:9", "4:3"]),
        ("size.preset=16:9-exact,sdxl-square", ["16:9-exact", "sdxl-square"]),
        ("sampler.name=euler,dpmpp_2m", ["euler", "dpmpp_2m"]),
        ("vae=null,x", [None, "x"]),
        ("size={preset: sdxl-square},{preset: sd15-square}", [{"preset": "sdxl-square"}, {"preset": "sd15-square"}]),
        ("loras=[[a],[]]", [["a"], []]),
        ("loras.0.strength_model=0.5", [0.5]),
        ("params.x=1:3", [1, 2, 3]),
        ("params.x=a #1, b: c, &d, null", ["a #1", "b: c", "&d", None]),
    ],
)
def test_an_axis_can_be_given_beside_the_recipe(option: str, expected: list[Any]) -> None:
    if option.startswith("size.aspect"):
        found = expand(from_mapping({"seed": 1, "size": {"aspect": "1:1", "megapixels": 1}}, sweeps=[option]))
        assert [variant.point for variant in found] == [(value,) for value in expected]
    else:
        assert values(option) == expected


def test_a_file_is_relative_to_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "prompts.txt", "a, b\nc\n")
    written(tmp_path, "table.csv", "what\nd\n")
    monkeypatch.chdir(tmp_path)

    assert values("prompt=@prompts.txt") == ["a, b", "c"]
    assert values("prompt=@table.csv#what") == ["d"]


def test_an_axis_replaces_the_recipes_of_the_same_field_or_comes_last() -> None:
    recipe = {"sweep": {"seed": [1, 2], "sampler.steps": [8]}}

    (variant,) = expand(from_mapping(recipe, sweeps=["upscale.denoise=0.5", "seed=9"]))

    assert list(variant.assignments.items()) == [("seed", 9), ("sampler.steps", 8), ("upscale.denoise", 0.5)]


def test_an_axis_of_a_field_in_a_group_is_an_error() -> None:
    problem = fault(lambda: from_mapping({"sweep": {"zip": {"seed": [1], "prompt": ["a"]}}}, sweeps=["seed=2"]), error=UsageError)

    assert str(problem) == "--sweep seed: is swept twice (first at recipe: sweep.zip.seed)"


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("", '--sweep: must be field=values (got "")'),
        ("seed", '--sweep: must be field=values (got "seed")'),
        ("=5", '--sweep: must be field=values (got "=5")'),
        ("seed=", "--sweep seed: has no values"),
        ("seed=[]", "--sweep seed: has no values"),
        ("seeed=1", "--sweep seeed: unknown field"),
        ("extends=x", "--sweep extends: cannot be swept"),
        ("seed=1,,2", "--sweep seed: has an empty value between its commas"),
        ("prompt=a, b", "--sweep prompt: needs brackets, because a prompt may contain commas"),
        ("upscale.denoise=0.5:0.7", "--sweep upscale.denoise: step is missing; only whole numbers can do without it"),
        ("upscale.denoise=0.5:0.7:0", "--sweep upscale.denoise: step must not be 0"),
        ("upscale.denoise=0.5,1.5", "--sweep upscale.denoise[1]: must be at most 1 (got 1.5)"),
        ("seed=a", '--sweep seed[0]: must be a whole number or "random" (got "a")'),
        ("prompt=@nope.txt", "--sweep prompt.file: no such file (got nope.txt)"),
        ("loras.4.name=x", "--sweep loras.4.name: the recipe has no such LoRA, only 0"),
    ],
)
def test_an_axis_that_is_wrong_is_a_usage_error_with_its_place(option: str, text: str) -> None:
    assert str(fault(lambda: from_mapping({"seed": 1}, sweeps=[option]), error=UsageError)) == text


def test_all_malformed_axes_are_named() -> None:
    found = faults(lambda: from_mapping({}, sweeps=["a", "seed=[1", "seed=1", "seed=2"]), error=UsageError)

    assert [problem.where for problem in found] == ["--sweep", "--sweep seed", "--sweep seed"]
    assert found[-1].what == "is given twice"


def test_an_axis_beside_an_override_of_the_same_field_is_an_error() -> None:
    problem = fault(lambda: from_mapping({}, sets=["upscale={factor: 2}"], sweeps=["upscale.factor=1,2"]), error=UsageError)

    assert str(problem) == "--sweep upscale.factor: is given by --set upscale.factor too"
