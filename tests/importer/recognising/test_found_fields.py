"""Which literals of a workflow are which fields of a recipe, and which are none."""

from __future__ import annotations

from typing import Any

from comfy_runner.graph.workflow import parse_workflow
from comfy_runner.importer.recognise import recognise
from comfy_runner.importer.recognised import Recognised
from tests.importer.graphs import Graph, flux, hires, node, plain


def _found(graph: Graph) -> Recognised:
    return recognise(parse_workflow(graph))


def _fields(graph: Graph) -> dict[str, Any]:
    return {each.field: each.value for each in _found(graph).fields}


def _params(graph: Graph) -> dict[str, Any]:
    return {each.param.name: each.value for each in _found(graph).params}


def test_the_fields_of_the_plain_workflow() -> None:
    assert _fields(plain()) == {
        "checkpoint": "SDXL\\base.safetensors",
        "prompt": "a red fox in the snow",
        "negative_prompt": "text, watermark",
        "seed": 156680208700286,
        "size": {"width": 1024, "height": 768},
        "batch_size": 1,
        "sampler.name": "euler",
        "sampler.scheduler": "normal",
        "sampler.steps": 20,
        "sampler.cfg": 8,
    }


def test_the_fields_of_a_flux_workflow_whose_settings_are_nodes() -> None:
    assert _fields(flux()) == {
        "checkpoint": "flux1-dev.safetensors",
        "vae": "ae.safetensors",
        "prompt": "a red fox",
        "seed": 7,
        "size": {"width": 1024, "height": 640},
        "batch_size": 1,
        "sampler.name": "euler",
        "sampler.scheduler": "simple",
        "sampler.steps": 25,
    }
    assert {"guidance": 3.5, "max_shift": 1.15, "base_shift": 0.5}.items() <= _params(flux()).items()


def test_a_second_pass_is_upscale_only_where_something_is_enlarged() -> None:
    fields = _fields(hires())

    assert fields["upscale.factor"] == 1.5
    assert fields["upscale.denoise"] == 0.5
    assert fields["upscale.seed"] == 5
    assert fields["upscale.sampler.steps"] == 12


def test_a_second_pass_of_the_same_size_gives_parameters() -> None:
    graph = hires()
    graph["21"]["inputs"]["latent_image"] = ["3", 0]
    del graph["20"]

    assert not [field for field in _fields(graph) if field.startswith("upscale")]
    assert 0.5 in _params(graph).values()


def test_what_makes_smaller_is_no_upscale() -> None:
    smaller = node("LatentUpscaleBy", samples=["3", 0], upscale_method="area", scale_by=0.5)

    assert not [field for field in _fields(hires(enlarge=smaller)) if field.startswith("upscale")]


def test_a_pack_s_node_that_enlarges_by_nothing_makes_no_upscale() -> None:
    same, larger = (
        node("Latent Upscale by Factor (WAS)", samples=["3", 0], mode="bicubic", factor=factor) for factor in (1.0, 2.0)
    )

    assert "upscale.denoise" not in _fields(hires(enlarge=same))
    assert _fields(hires(enlarge=larger))["upscale.denoise"] == 0.5


def test_the_denoise_of_a_detailer_is_a_parameter() -> None:
    settings = {"seed": 9, "steps": 15, "cfg": 4.5, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.4}
    links = {"image": ["8", 0], "model": ["4", 0], "clip": ["4", 1], "vae": ["4", 2], "positive": ["6", 0], "negative": ["7", 0]}
    graph = plain(d=node("FaceDetailer", **settings, **links), n9_images=["d", 0])

    assert not [field for field in _fields(graph) if field.startswith("upscale")]
    assert _fields(graph)["sampler.steps"] == 20
    assert _params(graph)["detailer_denoise"] == 0.4


def test_one_text_for_both_prompts_is_the_prompt_alone() -> None:
    fields = _fields(plain(n3_negative=["6", 0]))

    assert fields["prompt"] == "a red fox in the snow"
    assert "negative_prompt" not in fields


def test_one_seed_for_three_samplers_is_one_field() -> None:
    graph = hires(seed=["s", 0])
    graph["s"] = node("PrimitiveInt", value=77)
    graph["3"]["inputs"]["seed"] = ["s", 0]
    found = _found(graph)

    assert {each.field: each.value for each in found.fields}["seed"] == 77
    assert "upscale.seed" not in {each.field for each in found.fields}
    assert found.expressions["s", "value"] == "seed"


def test_values_that_no_recipe_can_have_stay_and_the_reason_is_said() -> None:
    found = _found(plain(n3_seed=-1, n5_width=1000, n5_height=1001, n5_batch_size=5000, n3_cfg=200))

    said = {each.field: each.why for each in found.kept}
    assert not {"seed", "size", "sampler.cfg"} & {each.field for each in found.fields}
    assert said["seed"].startswith("must be at least 0")
    assert said["size"].startswith("height 1001 becomes 1000")
    assert said["batch_size"] == "must be at most 4096 (got 5000)"
    assert found.params == ()
    assert {("3", "seed"), ("5", "width"), ("5", "height"), ("3", "cfg")} <= {each.place for each in found.left}
    assert said["sampler.cfg"] == "must be at most 100 (got 200)"


def test_a_chain_of_loras_is_a_list() -> None:
    graph = plain(n3_model=["11", 0], n6_clip=["11", 1], n7_clip=["11", 1])
    graph["10"] = node(
        "LoraLoader", model=["4", 0], clip=["4", 1], lora_name="a.safetensors", strength_model=0.8, strength_clip=0.8
    )
    graph["11"] = node(
        "LoraLoader", model=["10", 0], clip=["10", 1], lora_name="b.safetensors", strength_model=1, strength_clip=0.5
    )

    assert _fields(graph)["loras"] == [
        {"name": "a.safetensors", "strength_model": 0.8},
        {"name": "b.safetensors", "strength_model": 1, "strength_clip": 0.5},
    ]


def test_a_chain_of_loras_that_is_tapped_in_the_middle_gives_parameters() -> None:
    graph = plain(n3_model=["11", 0], n6_clip=["10", 1], n7_clip=["11", 1])
    graph["10"] = node(
        "LoraLoader", model=["4", 0], clip=["4", 1], lora_name="a.safetensors", strength_model=0.8, strength_clip=0.8
    )
    graph["11"] = node(
        "LoraLoader", model=["10", 0], clip=["10", 1], lora_name="b.safetensors", strength_model=1, strength_clip=0.5
    )

    assert "loras" not in _fields(graph)
    assert {"a.safetensors", "b.safetensors"} <= set(_params(graph).values())
