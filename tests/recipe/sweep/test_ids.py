from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.names import slug
from comfy_runner.recipe.sweep.expand import expand
from tests.example_counts import tried


def ids(sweep: dict[str, Any], **fields: Any) -> list[str]:
    return [variant.job_id for variant in expand(from_mapping({"name": "lake", "seed": 1, "sweep": sweep, **fields}))]


@pytest.mark.parametrize(
    ("field", "value", "token"),
    [
        ("upscale.denoise", 0.55, "d055"),
        ("upscale.denoise", 0.5, "d050"),
        ("upscale.denoise", 0.555, "d0555"),
        ("upscale.denoise", 1, "d100"),
        ("upscale.denoise", 1e-7, "d00000001"),
        ("seed", 42, "s42"),
        ("seed", "random", "s-random"),
        ("upscale.seed", 7, "us7"),
        ("upscale.seed", "next", "us-next"),
        ("sampler.steps", 30, "st30"),
        ("upscale.sampler.steps", 12, "ust12"),
        ("sampler.cfg", 5.5, "cfg5p5"),
        ("sampler.cfg", 5.0, "cfg5"),
        ("upscale.factor", 2, "x2"),
        ("upscale.factor", 1.5, "x1p5"),
        ("size", {"width": 512, "height": 256}, "w512-h256"),
        ("upscale.size", {"width": 512, "height": 256}, "uw512-uh256"),
        ("size.preset", "16:9-exact", "16-9-exact"),
        ("checkpoint", "sd_xl_base_1.0.safetensors", "sd-xl-base-1-0"),
        ("checkpoint", "v1-5-pruned.ckpt", "v1-5-pruned-ckpt"),
        ("sampler.name", "dpmpp_2m_sde", "dpmpp-2m-sde"),
        ("sampler.scheduler", "karras", "karras"),
        ("upscale.method", "nearest-exact", "nearest-exact"),
        ("upscale.steps_mode", "scaled", "scaled"),
        ("vae_decode", "tiled", "tiled"),
        ("vae", None, "vae-none"),
        ("clip_skip", 2, "clip2"),
        ("prompt", "a cat", "a-cat"),
        ("loras.0.strength_model", -0.5, "lora0smm0p5"),
        ("loras.0", "detail.safetensors", "lora0-detail"),
        ("params.detail", 0.5, "detail0p5"),
        ("params.a.x", 3, "a-x3"),
        ("params.x1", 5, "x1-5"),
        ("params.flag", True, "flag-true"),
    ],
)
def test_a_value_is_readable_in_an_id(field: str, value: object, token: str) -> None:
    assert ids({field: [value]}, loras=["a"]) == [f"lake-{token}"]


def test_tokens_have_one_order_whatever_the_axes() -> None:
    axes: dict[str, Any] = {"seed": [42], "upscale.denoise": [0.55], "checkpoint": ["b.safetensors"], "sampler.steps": [8]}
    backwards = dict(reversed(axes.items()))

    assert ids(axes) == ids(backwards) == ["lake-b-st8-d055-s42"]


def test_an_id_does_not_depend_on_the_other_values_of_an_axis() -> None:
    few = ids({"prompt": ["a cat, b"], "seed": [7]})
    many = ids({"prompt": ["A cat", "a cat, c", "a cat, b"], "seed": [1, 7, 70]})

    assert set(few) < set(many)


@pytest.mark.parametrize("value", ["A cat", "a cat!", "кот", "a very long prompt of many words", "none", "12", "a  cat", ""])
def test_a_text_that_an_id_cannot_show_whole_gets_a_hash(value: str) -> None:
    (job_id,) = ids({"prompt": [value]})

    assert job_id == slug(job_id)
    assert job_id.rsplit("-", 1)[1].isalnum()
    assert len(job_id.rsplit("-", 1)[1]) == 6
    assert len(job_id) <= len("lake-") + 20 + 7


def test_an_id_that_would_be_too_long_is_cut_and_gets_a_hash() -> None:
    sweep = {f"params.parameter{index}": [1, 2] for index in range(8)}

    found = ids(sweep)

    assert len(set(found)) == 2**8
    assert {len(job_id) for job_id in found} <= set(range(60, 81))


def test_ids_that_would_be_equal_all_get_a_hash() -> None:
    both = ids({"checkpoint": ["a_b", "a-b", "c"]})

    assert both[2] == "lake-c"
    assert len(set(both)) == 3
    assert all(job_id.startswith("lake-a-b-") for job_id in both[:2])


NUMBERS = st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: number + 0.0)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text("aAbB1-_ .é,", max_size=30)
AXES: dict[str, st.SearchStrategy[Any]] = {
    "prompt": st.text("aAb1-_ .é,", max_size=30),
    "checkpoint": st.text("aAb1-_.", min_size=1, max_size=30),
    "sampler.name": st.text("aAb1-_", min_size=1, max_size=30),
    "upscale.sampler.name": st.none() | st.text("ab-", min_size=1, max_size=4),
    "sampler.cfg": st.floats(0, 100),
    "upscale.denoise": st.floats(0, 1, exclude_min=True),
    "upscale.factor": st.sampled_from([1, 1.5, 2]),
    "seed": st.integers(0, 2**53 - 1),
    "upscale.seed": st.sampled_from(["same", "next"]) | st.integers(0, 99),
    "params.a": SCALARS,
    "params.a1": SCALARS | st.lists(SCALARS, max_size=3),
    "loras": st.lists(st.sampled_from(["a", "a-b", "b"]), max_size=3),
}


@st.composite
def sweeps(draw: st.DrawFn) -> dict[str, Any]:
    fields = draw(st.lists(st.sampled_from(sorted(AXES)), min_size=1, max_size=4, unique=True))
    return {field: draw(st.lists(AXES[field], min_size=1, max_size=4)) for field in fields}


@settings(max_examples=tried(200), deadline=None)
@given(sweeps())
def test_different_points_have_different_ids_that_are_safe(sweep: dict[str, Any]) -> None:
    found = ids(sweep)

    assert len(set(found)) == len(found)
    assert all(slug(job_id) == job_id and len(job_id) <= 80 for job_id in found)
    assert found == ids(sweep)
