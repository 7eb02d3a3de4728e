"""The shipped template, byte for byte, and against the reference graph of latent upscaling."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.graph.conformance import check
from comfy_runner.graph.sizes import output_sizes
from comfy_runner.graph.workflow import Workflow, parse_workflow
from tests.graph.support import (
    GOLDEN,
    RECIPES,
    REFERENCE,
    content_hash,
    golden_text,
    node,
    recorded,
    shipped_graph,
    values,
    with_options,
)


def reference() -> Workflow:
    """The two-pass graph as it is drawn in ComfyUI, with ids and key order of its own."""
    sampling = {"steps": 30, "cfg": 5.0, "sampler_name": "dpmpp_2m_sde", "scheduler": "karras"}
    wires = {"model": ["ckpt", 0], "positive": ["positive", 0], "negative": ["negative", 0]}
    nodes: dict[str, Any] = {
        "hires_save": node("SaveImage", role="upscaled", images=["hires_decode", 0], filename_prefix="run/hires"),
        "base_save": node("SaveImage", role="original", images=["base_decode", 0], filename_prefix="run/base"),
        "ckpt": node("CheckpointLoaderSimple", ckpt_name=REFERENCE["checkpoint"]),
        "positive": node("CLIPTextEncode", text=REFERENCE["prompt"], clip=["ckpt", 1]),
        "negative": node("CLIPTextEncode", text="blurry, lowres, watermark", clip=["ckpt", 1]),
        "empty": node("EmptyLatentImage", width=1024, height=576, batch_size=1),
        "base": node("KSampler", **wires, latent_image=["empty", 0], seed=1234, denoise=1.0, **sampling),
        "base_decode": node("VAEDecode", samples=["base", 0], vae=["ckpt", 2]),
        "upscale": node(
            "LatentUpscale", samples=["base", 0], upscale_method="nearest-exact", width=2048, height=1152, crop="disabled"
        ),
        "hires": node("KSampler", **wires, latent_image=["upscale", 0], seed=5678, denoise=0.55, **sampling),
        "hires_decode": node("VAEDecode", samples=["hires", 0], vae=["ckpt", 2]),
    }
    return parse_workflow(nodes)


@pytest.mark.parametrize("name", RECIPES)
def test_the_shipped_template_renders_byte_for_byte_to_its_golden_graph(name: str) -> None:
    assert golden_text(name) == (GOLDEN / f"{name}.json").read_text(encoding="utf-8")


def test_every_golden_graph_has_a_recipe() -> None:
    assert {path.stem for path in GOLDEN.glob("*")} == set(RECIPES)


def test_the_golden_graph_is_the_reference_graph_but_for_the_names_of_its_nodes() -> None:
    assert content_hash(shipped_graph().workflow) == content_hash(reference())
    assert set(shipped_graph().workflow.nodes).isdisjoint(reference().nodes.keys() - {"upscale"})


def test_the_template_follows_every_field_of_the_recipe() -> None:
    plain = content_hash(shipped_graph().workflow)
    changed: list[dict[str, Any]] = [
        {"checkpoint": "other.safetensors"},
        {"vae": "other.safetensors"},
        {"clip_skip": 2},
        {"loras": ["a.safetensors"]},
        {"loras": ["a.safetensors", "b.safetensors"]},
        {"loras": ["b.safetensors", "a.safetensors"]},
        {"prompt": "x"},
        {"negative_prompt": "x"},
        {"seed": 1},
        {"size": {"width": 1024, "height": 1024}},
        *({"sampler": {**REFERENCE["sampler"], **change}} for change in ({"name": "euler"}, {"scheduler": "beta"})),
        *({"sampler": {**REFERENCE["sampler"], **change}} for change in ({"steps": 20}, {"cfg": 7.0})),
        *(
            {"upscale": {**REFERENCE["upscale"], **change}}
            for change in ({"denoise": 0.6}, {"method": "area"}, {"seed": 1}, {"factor": 1.5}, {"steps_mode": "scaled"})
        ),
        *(
            {"upscale": {**REFERENCE["upscale"], "sampler": change}}
            for change in ({"name": "euler"}, {"scheduler": "beta"}, {"steps": 20}, {"cfg": 7.0})
        ),
    ]
    hashes = [content_hash(shipped_graph(values(**change)).workflow) for change in changed]
    assert len({plain, *hashes}) == len(changed) + 1


def test_the_name_of_a_recipe_is_not_in_the_graph() -> None:
    assert shipped_graph(values(name="another")).workflow.to_json() == shipped_graph().workflow.to_json()


def test_the_golden_graph_makes_the_sizes_of_the_recipe() -> None:
    sizes = output_sizes(shipped_graph().workflow)
    assert {role: str(size) for role, size in sizes.items()} == {"original": "1024x576", "upscaled": "2048x1152"}


def test_a_server_that_has_the_models_takes_every_golden_graph_as_it_is() -> None:
    info = recorded(
        CheckpointLoaderSimple=with_options("ckpt_name", [REFERENCE["checkpoint"]]),
        VAELoader=with_options("vae_name", ["sdxl_vae.safetensors"]),
        LoraLoader=with_options("lora_name", ["detail.safetensors", "style/ink.safetensors"]),
    )
    for recipe in RECIPES.values():
        workflow = shipped_graph(values(**recipe)).workflow
        checked = check(workflow, info, where="template")
        assert checked.notes == ()
        assert checked.workflow == workflow


def test_the_golden_graph_tells_where_its_values_come_from() -> None:
    seen = values(loras=["a.safetensors"], vae="v.safetensors")
    assert shipped_graph(seen).sources == {
        ("checkpoint", "ckpt_name"): "checkpoint",
        ("vae", "vae_name"): "vae",
        ("lora_1", "lora_name"): "loras.0.name",
        ("lora_1", "strength_model"): "loras.0.strength_model",
        ("lora_1", "strength_clip"): "loras.0.strength_clip",
        ("prompt", "text"): "prompt",
        ("negative_prompt", "text"): "negative_prompt",
        ("empty_latent", "width"): "width",
        ("empty_latent", "height"): "height",
        ("empty_latent", "batch_size"): "batch_size",
        **{("first_pass", name): name for name in ("seed",)},
        **{("first_pass", name): f"sampler.{name}" for name in ("steps", "cfg", "scheduler")},
        ("first_pass", "sampler_name"): "sampler.name",
        **{("upscale", name): f"upscale.{name}" for name in ("width", "height")},
        ("upscale", "upscale_method"): "upscale.method",
        **{("second_pass", name): f"upscale.{name}" for name in ("seed", "denoise")},
        **{("second_pass", name): f"upscale.sampler.{name}" for name in ("steps", "cfg", "scheduler")},
        ("second_pass", "sampler_name"): "upscale.sampler.name",
    }
