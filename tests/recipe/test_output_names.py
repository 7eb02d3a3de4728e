from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfy_runner.errors import InputError
from comfy_runner.planning.drafting import draft_all
from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.names import relative_fault
from comfy_runner.recipe.output_names import file_word
from comfy_runner.recipe.sweep.expand import expand
from tests.example_counts import tried
from tests.recipe.support import fault


def paths(output: str, **fields: Any) -> list[str]:
    recipe = {"name": "zoo", "checkpoint": "SDXL/Base_1.0.safetensors", "seed": 7, "output": {"upscaled": output}, **fields}
    plan = draft_all(expand(from_mapping(recipe)), templates=(), seed_of=lambda _: 5)
    return [draft.planned().outputs["upscaled"] for draft in plan.drafts]


def test_a_path_has_the_values_of_its_job() -> None:
    found = paths(
        "{checkpoint}/{vars.animal}-{upscale.denoise}-{index}-{prompt}-{upscale.seed}-{seed}-{size.preset}.png",
        prompt="Ein {animal}, Ärger & Glück: " + "sehr " * 20,
        vars={"light": "day"},
        sweep={"vars.animal": ["Red Fox", "狐"], "upscale.denoise": [0.5, 0.65]},
    )

    assert found[0] == "base-1-0/red-fox-0.5-0001-ein-red-fox-arger-gluck-sehr-sehr-sehr-s-same-7-none.png"
    assert found[3] == "base-1-0/none-0.65-0004-ein-arger-gluck-sehr-sehr-sehr-sehr-sehr-same-7-none.png"


def test_a_job_that_is_repeated_alone_has_the_same_path() -> None:
    loaded = from_mapping(
        {"prompt": "{a}", "seed": 1, "output": {"upscaled": "{vars.a}/{date}/{index}/{job_id}.png"}, "vars": {"a": "x"}}
    )
    (variant,) = expand(replace(loaded, date="2026-11-30"))

    job = variant.job()

    assert job.recipe.recipe.output.roles == {"upscaled": "x/2026-11-30/0001/{job_id}.png"}
    assert job.outputs == {"upscaled": "x/2026-11-30/0001/recipe.png"}


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("{vars.b}.png", 'there is no field "vars.b" for {vars.b}'),
        ("{sampler.step}.png", 'there is no field "sampler.step" for {sampler.step}'),
        ("{sampler}.png", 'there is no field "sampler" for {sampler}'),
        ("{job}.png", 'there is no field "job" for {job}'),
        ("%date:yyyy-MM-dd%/x.png", "%date:yyyy-MM-dd% is not filled in; {date} is the day"),
        ("[date]/x.png", "[date] is not filled in; {date} is the day"),
        ("{../x}.png", "unknown placeholder {../x}"),
        ("{prompt}/../x.png", "must not contain empty parts, . or .."),
    ],
)
def test_a_pattern_that_says_nothing_is_refused(pattern: str, what: str) -> None:
    assert fault(lambda: paths(pattern, prompt="{a}", vars={"a": "x"})).what.startswith(what)


def test_two_jobs_that_would_write_one_file_are_refused() -> None:
    with pytest.raises(InputError, match="belongs to both zoo-a-fox and zoo-a-fox-"):
        paths("{prompt}.png", sweep={"prompt": ["a fox", "a FOX"]})
    assert paths("{prompt}-{index}.png", sweep={"prompt": ["a fox", "a FOX"]}) == ["a-fox-0001.png", "a-fox-0002.png"]


@settings(max_examples=tried(300), deadline=None)
@given(
    st.one_of(
        st.text(max_size=300),
        st.floats(),
        st.integers(),
        st.lists(st.text(max_size=5)),
        st.sampled_from(["CON", "..", "/x", "a\\b"]),
    )
)
def test_every_value_is_a_safe_part_of_a_name(value: Any) -> None:
    assert relative_fault(f"{file_word(value)}.png") == ""
    assert len(file_word(value)) <= 400
