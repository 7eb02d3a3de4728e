"""Whatever a recipe says, it loads or is refused with a `RecipeError`; nothing else comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfy_runner.errors import InputError, RecipeError
from comfy_runner.recipe.jobs import Job, job
from comfy_runner.recipe.load import from_mapping, load
from comfy_runner.recipe.names import path_fault
from comfy_runner.recipe.schema import json_schema

MODERATE = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["random", "same", "next", "scaled", "sdxl-square", "16:9", "{job_id}/a.png", 0.5, 2, 64])
)
NAMES = sorted({name for model in (json_schema(), *json_schema()["$defs"].values()) for name in model["properties"]})
KEYS = st.sampled_from(NAMES) | st.text(max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20)
# Only a few things wrong in an otherwise likely recipe, so that validation is passed often enough to get further.
LIKELY: dict[str, Any] = {
    "name": st.sampled_from(["a", "Con", "Été 2"]) | st.text(alphabet="aZ9 ._-{/é", min_size=1, max_size=12),
    "prompt": st.text(max_size=40),
    "checkpoint": st.sampled_from(["a.safetensors", "sdxl.safetensors", "v1-5.ckpt"]) | st.text(max_size=8),
    "seed": st.integers(0, 2**53 - 1) | st.just("random"),
    "size": st.fixed_dictionaries({"width": st.integers(16, 9000), "height": st.integers(16, 9000)})
    | st.fixed_dictionaries({"aspect": st.from_regex(r"[0-9]{1,3}:[0-9]{1,3}"), "megapixels": st.floats(0.01, 64)}),
    "upscale": st.fixed_dictionaries({}, optional={"factor": st.floats(0.01, 4), "denoise": st.floats(0.01, 1)}),
    "output": st.dictionaries(
        st.sampled_from(["original", "upscaled", "Original", "mask"]),
        st.from_regex(r"(\{(job_id|name|role|seed)\}|[aA./ ]|con|é){1,6}\.png", fullmatch=True),
        max_size=3,
    ),
    "params": VALUES,
}


def sound(the_job: Job) -> bool:
    """Return whether a job keeps its promises."""
    values = the_job.values
    sides = (values["width"], values["height"], values["upscale"]["width"], values["upscale"]["height"])
    paths = [the_job.output_for(role) for role in the_job.outputs]
    return (
        all(side % 8 == 0 and 16 <= side <= 16384 for side in sides)
        and all(not path_fault(path) for path in paths)
        and the_job.job_id.isascii()
        and bool(json.dumps(values, allow_nan=False, ensure_ascii=False).encode())
    )


def outcome(values: dict[str, Any]) -> Job | RecipeError:
    try:
        loaded = from_mapping(values)
        return job(loaded, seed=1 if loaded.needs_seed else None)
    except RecipeError as error:
        return error


@MODERATE
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_a_file_of_any_bytes_loads_or_is_a_recipe_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    try:
        load(path)
    except RecipeError as error:
        caught = error
    else:
        return
    assert str(caught).isprintable() or "\n" in str(caught)


@MODERATE
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_a_mapping_of_any_values_gives_a_sound_job_or_a_recipe_error(values: dict[str, Any]) -> None:
    found = outcome(values)
    assert isinstance(found, RecipeError) or sound(found)


@MODERATE
@given(st.fixed_dictionaries({}, optional=LIKELY))
def test_a_likely_recipe_gives_a_sound_job_or_a_recipe_error(values: dict[str, Any]) -> None:
    found = outcome(values)
    assert isinstance(found, RecipeError) or sound(found)


@MODERATE
@given(st.lists(st.text(max_size=30) | st.builds("{}={}".format, st.sampled_from(NAMES), st.text(max_size=20)), max_size=3))
def test_any_overrides_load_or_are_an_input_error(sets: list[str]) -> None:
    try:
        from_mapping({"prompt": "x"}, sets=sets)
    except InputError as error:
        problems = error.problems
    else:
        problems = ()
    assert all(problem.where.startswith(("--set", "recipe")) for problem in problems)


@MODERATE
@given(st.text(max_size=40))
def test_any_source_loads_or_is_a_recipe_error(source: str) -> None:
    with pytest.raises(RecipeError):
        load(f"{source}\N{SNOWMAN}nowhere")
