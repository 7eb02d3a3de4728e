from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.recipe.job import job
from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.schema import Recipe
from tests.recipe.support import fault, faults


def nested(field: str, value: Any) -> dict[str, Any]:
    """Return a mapping that holds one dotted field."""
    for step in reversed(field.split(".")):
        value = {step: value}
    return dict(value)


# Fields that a field needs beside it to be a whole recipe.
BESIDE = {
    "size.width": ("size.height=64", "upscale.factor=1"),
    "size.height": ("size.width=64", "upscale.factor=1"),
    "size.megapixels": ("size.aspect=1:1",),
    "upscale.size.width": ("upscale.size.height=64",),
    "upscale.size.height": ("upscale.size.width=64",),
}


def recipe(field: str, value: Any) -> Recipe:
    return from_mapping(nested(field, value), sets=BESIDE.get(field, ())).recipe


RANGES = [
    ("size.width", 16, 16384, 1),
    ("size.height", 16, 16384, 1),
    ("upscale.size.width", 16, 16384, 1),
    ("upscale.size.height", 16, 16384, 1),
    ("size.megapixels", 0.01, 64, 0.001),
    ("sampler.steps", 1, 10000, 1),
    ("upscale.sampler.steps", 1, 10000, 1),
    ("sampler.cfg", 0, 100, 0.01),
    ("upscale.sampler.cfg", 0, 100, 0.01),
    ("clip_skip", 1, 24, 1),
    ("seed", 0, 2**53 - 1, 1),
    ("upscale.seed", 0, 2**53 - 1, 1),
]


@pytest.mark.parametrize(("field", "least", "most", "step"), RANGES)
def test_both_ends_of_a_range_belong_to_it(field: str, least: float, most: float, step: float) -> None:
    assert step
    assert recipe(field, least)
    assert recipe(field, most)


@pytest.mark.parametrize(("field", "least", "most", "step"), RANGES)
def test_a_value_outside_its_range_is_refused_with_the_limit(field: str, least: float, most: float, step: float) -> None:
    for value, words in ((least - step, "must be at least"), (most + step, "must be at most")):
        problem = fault(lambda value=value: recipe(field, value))  # type: ignore[misc] # the default binds the loop's value
        assert problem.where == f"recipe: {field}"
        assert problem.what.startswith(words)
        assert f"(got {value})" in problem.what


@pytest.mark.parametrize(("field", "most"), [("upscale.denoise", 1), ("upscale.factor", 8)])
def test_a_range_that_starts_above_zero_refuses_zero(field: str, most: float) -> None:
    assert recipe(field, 0.01 if field == "upscale.denoise" else 1)
    assert recipe(field, most if field == "upscale.denoise" else 2)
    assert fault(lambda: recipe(field, 0)).what == "must be more than 0 (got 0)"
    assert fault(lambda: recipe(field, -0.5)).what == "must be more than 0 (got -0.5)"
    assert fault(lambda: recipe(field, most + 0.5)).what == f"must be at most {most} (got {most + 0.5})"


@pytest.mark.parametrize("strength", [-100.5, 101])
@pytest.mark.parametrize("field", ["strength_model", "strength_clip"])
def test_a_strength_outside_its_range_is_refused(field: str, strength: float) -> None:
    problem = fault(lambda: from_mapping({"loras": [{"name": "a"}, {"name": "b", field: strength}]}))
    assert problem.where == f"recipe: loras[1].{field}"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("sampler.steps", True, "must be a whole number (got true)"),
        ("sampler.steps", "30", 'must be a whole number (got "30")'),
        ("sampler.steps", 30.0, "must be a whole number (got 30.0)"),
        ("sampler.cfg", False, "must be a number (got false)"),
        ("sampler.cfg", "5", 'must be a number (got "5")'),
        ("upscale.denoise", None, "must be a number (got nothing)"),
        ("seed", True, 'must be a whole number or "random" (got true)'),
        ("seed", 1.0, 'must be a whole number or "random" (got 1.0)'),
        ("seed", "7", 'must be a whole number or "random" (got "7")'),
        ("seed", "Random", 'must be a whole number or "random" (got "Random")'),
        ("upscale.seed", "random", 'must be a whole number or "same" or "next" (got "random")'),
        ("prompt", 42, "must be text (got 42)"),
        ("prompt", True, "must be text (got true)"),
        ("prompt", ["a"], "must be text (got a list)"),
        ("negative_prompt", None, "must be text (got nothing)"),
        ("checkpoint", "", 'must not be empty (got "")'),
        ("checkpoint", "a\nb", 'must be one line, without the character U+000A (got "a\\nb")'),
        ("template", " x", 'must be one line without spaces around it (got " x")'),
        ("sampler", [], "must be a mapping (got a list)"),
        ("sampler", None, "must be a mapping (got nothing)"),
        ("upscale", 2, "must be a mapping (got 2)"),
        ("params", [1], "must be a mapping (got a list)"),
        ("output", "x.png", 'must be a mapping (got "x.png")'),
        ("loras", "a", 'must be a list (got "a")'),
        ("loras", {}, "must be a list (got a mapping)"),
        ("upscale.steps_mode", "fast", 'must be full or scaled (got "fast")'),
        ("size.aspect", "wide", 'must be two numbers such as "16:9" (got "wide")'),
        ("size.aspect", 1.5, "must be text (got 1.5)"),
        ("size.aspect", "0:1", 'must be two numbers such as "16:9" (got "0:1")'),
        ("size.aspect", "21:1", 'must be between 1:10 and 10:1 (got "21:1")'),
        ("size.preset", "16:9-exct", 'unknown preset (got "16:9-exct")'),
        ("name", "лес", 'must contain a letter from a to z or a digit (got "лес")'),
        ("output.original", "../a.png", 'must not contain empty parts, . or .. (got "../a.png")'),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_plain_words(field: str, value: object, words: str) -> None:
    problem = fault(lambda: recipe(field, value))
    assert str(problem) == f"recipe: {field}: {words}"


def test_a_negative_seed_gets_the_hint_random() -> None:
    assert "random" in fault(lambda: recipe("seed", -1)).hint


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("promt", "prompt"),
        ("sampeler", "sampler"),
        ("negative-prompt", "negative_prompt"),
        ("denoise", "upscale.denoise"),
        ("steps", "sampler.steps"),
        ("width", "size.width"),
        ("factor", "upscale.factor"),
        ("cfg_scale", "sampler.cfg"),
        ("model", "checkpoint"),
        ("sampler.denoise", "upscale.denoise"),
        ("sampler.nme", "sampler.name"),
        ("upscale.steps", "upscale.sampler.steps"),
        ("upscale.denois", "upscale.denoise"),
        ("upscale.width", "upscale.size.width"),
        ("upscale.sampler.stepps", "upscale.sampler.steps"),
        ("size.hight", "size.height"),
    ],
)
def test_an_unknown_field_gets_a_hint_what_was_meant(field: str, meant: str) -> None:
    found = [problem for problem in faults(lambda: recipe(field, 1)) if problem.what == "unknown field"]
    assert [problem.where for problem in found] == [f"recipe: {field}"]
    assert found[0].hint == f"did you mean {meant}?"


@pytest.mark.parametrize("key", ["[key]", "", "a.b", "a b"])
def test_an_unknown_field_may_have_any_name(key: str) -> None:
    assert fault(lambda: from_mapping({key: 1})).what == "unknown field"


def test_a_role_that_is_no_name_is_refused_once_and_named() -> None:
    problem = fault(lambda: from_mapping({"output": {"a b": "x.png"}}))
    assert problem.where == 'recipe: output."a b"'
    assert problem.what.startswith("a role must be 1 to 64 letters")


def test_an_unknown_field_in_a_list_gets_a_hint_too() -> None:
    problem = fault(lambda: from_mapping({"loras": [{"name": "a", "strength": 1}]}))
    assert str(problem) == "recipe: loras[0].strength: unknown field"
    assert problem.hint == "did you mean loras[0].strength_model?"


def test_an_unknown_field_that_resembles_nothing_gets_the_list_of_fields() -> None:
    assert fault(lambda: from_mapping({"zzzzzz": 1})).hint.startswith("the fields here are name, extends, template")


@pytest.mark.parametrize(
    "size",
    [
        {},
        {"width": 64, "height": 64, "preset": "sdxl-square"},
        {"width": 64, "megapixels": 1},
        {"aspect": "1:1", "preset": "sdxl-square"},
    ],
)
def test_a_size_that_is_given_in_no_way_or_in_several_is_refused(size: dict[str, Any]) -> None:
    problem = fault(lambda: from_mapping({"size": size}))
    assert str(problem).startswith("recipe: size: must give width and height, or aspect and megapixels, or preset")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ({"width": 64}, "height is missing beside width"),
        ({"height": 64}, "width is missing beside height"),
        ({"aspect": "1:1"}, "megapixels is missing beside aspect"),
        ({"megapixels": 1}, "aspect is missing beside megapixels"),
    ],
)
def test_half_a_size_is_refused_with_the_missing_half(size: dict[str, Any], words: str) -> None:
    assert fault(lambda: from_mapping({"size": size})).what == words


def test_an_upscale_takes_factor_or_size_but_not_both() -> None:
    problem = fault(lambda: from_mapping({"upscale": {"factor": 2, "size": {"width": 64, "height": 64}}}))
    assert str(problem) == "recipe: upscale: must give factor or size, not both"


def test_an_upscaled_size_needs_both_sides() -> None:
    problem = fault(lambda: from_mapping({"upscale": {"size": {"width": 64}}}))
    assert str(problem) == "recipe: upscale.size.height: is missing"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": {"width": 16384, "height": 64}}, "recipe: upscale.factor: makes 32768x128"),
        ({"size": {"aspect": "10:1", "megapixels": 64}}, "recipe: size: makes 25280x2528"),
    ],
)
def test_a_size_that_follows_from_others_must_be_possible_too(values: dict[str, Any], words: str) -> None:
    found = [str(problem) for problem in faults(lambda: from_mapping(values))]
    assert any(text.startswith(words) and "from 16 to 16384 pixels" in text for text in found)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"format": "gif"}, 'recipe: output.format: must be png, jpeg or webp (got "gif")'),
        ({"format": "{job_id}/x.png"}, 'recipe: output.format: must be png, jpeg or webp (got "{job_id}/x.png")'),
        ({"format": "webp", "quality": 0}, "recipe: output.quality: must be at least 1 (got 0)"),
        ({"format": "webp", "quality": "80"}, 'recipe: output.quality: must be a whole number (got "80")'),
        ({"quality": 80}, "recipe: output: quality is for jpeg and webp"),
        ({"lossless": True}, "recipe: output: lossless is for webp, and png is always so"),
        ({"format": "jpeg", "lossless": False}, "recipe: output: lossless is for webp, and jpeg is never so"),
        ({"format": "webp", "lossless": True, "quality": 80}, "recipe: output: must give quality or lossless, not both"),
        (
            {"format": "webp", "original": "a.png"},
            'recipe: output.original: must end in .webp, because output.format is webp (got "a.png")',
        ),
        ({"original": "a.jpg"}, 'recipe: output.original: must end in .png, because output.format is png (got "a.jpg")'),
    ],
)
def test_a_format_that_cannot_be_is_one_error(output: dict[str, Any], words: str) -> None:
    assert str(fault(lambda: from_mapping({"output": output}))) == words


def test_a_path_that_contradicts_the_format_has_the_way_out() -> None:
    problem = fault(lambda: from_mapping({"output": {"original": "a.jpg"}}))
    assert problem.hint == "change it, or give output.format: jpeg"


@pytest.mark.parametrize("role", ["format", "quality", "lossless"])
def test_no_role_is_called_like_a_field_of_the_output(role: str) -> None:
    problem = fault(lambda: job(from_mapping({"seed": 1})).output_for(role))
    assert problem.what == (
        f"a role must not be called {role}, because output.{role} says how pictures are written "
        f'(got "{role}" in the template latent_upscale)'
    )


@pytest.mark.parametrize(("kind", "path"), [("png", "x/a.png"), ("jpeg", "x/a.jpg"), ("webp", "x/a.webp")])
def test_a_path_that_is_not_given_ends_as_the_format_does(kind: str, path: str) -> None:
    assert job(from_mapping({"name": "x", "seed": 1, "output": {"format": kind}})).output_for("a") == path


def test_outputs_that_would_overwrite_each_other_are_refused() -> None:
    output = {"original": "{job_id}/a.png", "upscaled": "Recipe/A.png"}
    problem = fault(lambda: from_mapping({"output": output}))
    assert str(problem) == 'recipe: output.upscaled: original and upscaled would overwrite each other (got "Recipe/A.png")'


def test_an_output_that_is_too_long_once_its_name_is_known_is_refused() -> None:
    problem = fault(lambda: from_mapping({"name": "n" * 80, "output": {"original": "{name}/{name}/{name}.png"}}))
    assert problem.where == "recipe: output.original"
    assert problem.what.startswith("must be at most 200 bytes long")


def test_a_field_without_a_default_may_be_null() -> None:
    loaded = from_mapping({"vae": None, "clip_skip": None, "checkpoint": None, "prompt": None})
    assert (loaded.recipe.vae, loaded.recipe.clip_skip) == (None, None)


def test_an_empty_recipe_has_the_documented_defaults() -> None:
    recipe = from_mapping({}).recipe
    assert (recipe.template, recipe.checkpoint, recipe.prompt, recipe.negative_prompt) == ("latent_upscale", None, None, "")
    assert recipe.seed == "random"
    assert (recipe.size.width, recipe.size.height) == (1024, 576)
    assert recipe.sampler.model_dump() == {"name": "dpmpp_2m_sde", "scheduler": "karras", "steps": 30, "cfg": 5.0}
    assert (recipe.upscale.method, recipe.upscale.denoise, recipe.upscale.steps_mode) == ("nearest-exact", 0.55, "full")
    assert recipe.upscale.seed == "same"


def test_a_recipe_cannot_be_changed() -> None:
    recipe = from_mapping({}).recipe
    with pytest.raises(ValueError, match="frozen"):
        recipe.upscale.denoise = 1.0
