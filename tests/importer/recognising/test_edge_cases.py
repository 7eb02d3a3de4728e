"""Workflows at the edges: what they become, and that they render to themselves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import api
from comfy_runner.errors import UsageError, WorkflowError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.workflow import parse_workflow
from comfy_runner.importer.recognise import recognise
from comfy_runner.importer.recognised import Recognised
from comfy_runner.importer.write import prove, write_files, write_pair
from tests.importer.graphs import Graph, flux, hires, node, plain


def _proved(graph: Graph, **options: Any) -> Recognised:
    """Return what is recognised in a workflow, whose pair renders to it."""
    workflow = parse_workflow(graph)
    found = recognise(workflow, **options)
    prove(write_pair(found, name="fox", source="fox.json"), workflow)
    return found


def _fields(found: Recognised) -> dict[str, Any]:
    return {each.field: each.value for each in found.fields}


def _params(found: Recognised) -> dict[str, Any]:
    return {each.param.name: each.value for each in found.params}


def test_two_savers_of_one_node_have_two_roles() -> None:
    found = _proved(plain(x=node("SaveImage", "Large copy", images=["8", 0], filename_prefix="large")))

    assert found.roles.names == {"9": "picture", "x": "large-copy"}


def test_savers_of_one_title_are_numbered() -> None:
    savers = {name: node("SaveImage", "Large", images=["8", 0], filename_prefix="x") for name in "abc"}
    savers["b"]["_meta"]["title"] = "large"
    found = _proved(plain(**savers))

    assert found.roles.names == {"9": "picture", "a": "large", "b": "large-2", "c": "large-3"}


def test_many_passes_one_after_the_other_are_found_in_little_time() -> None:
    first = plain()["3"]["inputs"]
    passes = {str(n): node("KSampler", f"Pass {n}", **{**first, "latent_image": [str(n - 1), 0]}) for n in range(101, 1500)}
    passes["101"]["inputs"]["latent_image"] = ["3", 0]
    started = time.monotonic()
    found = recognise(parse_workflow(plain(n8_samples=["1499", 0], **passes)))

    assert time.monotonic() - started < 8
    assert len(found.passes.others) == 1399


def test_a_preview_alone_is_the_picture() -> None:
    found = _proved(plain(**{"9": node("PreviewImage", images=["8", 0])}))

    assert found.roles.names == {"9": "picture"}


def test_previews_beside_a_saver_have_no_role() -> None:
    found = _proved(plain(x=node("PreviewImage", images=["8", 0])))

    assert found.roles.names == {"9": "picture"}


def test_savers_of_both_passes_are_the_original_and_the_upscaled() -> None:
    assert _proved(hires()).roles.names == {"9": "original", "23": "upscaled"}


def test_a_saver_that_reports_nothing_says_so() -> None:
    found = _proved(plain(x=node("VAESave", vae=["4", 2], filename_prefix="vae")))

    assert found.roles.silent == {"x"}


def test_a_workflow_without_an_output_is_refused() -> None:
    graph = plain()
    del graph["9"]

    with pytest.raises(WorkflowError, match="no node of the workflow saves or shows a picture"):
        recognise(parse_workflow(graph))


def test_a_saver_of_a_node_pack_is_the_output() -> None:
    found = _proved(plain(**{"9": node("Image Saver", images=["8", 0], filename="%time", path="out")}))

    assert found.roles.names == {"9": "picture"}


def test_the_seed_of_a_second_pass_is_told_from_the_first() -> None:
    same, following, other = (_fields(_proved(hires(seed=seed)))["upscale.seed"] for seed in (156680208700286, 156680208700287, 3))

    assert (same, following, other) == ("same", "next", 3)


def test_a_second_pass_may_have_a_size() -> None:
    scale = node("ImageScale", image=["8", 0], upscale_method="lanczos", width=1536, height=1152, crop="disabled")
    graph = hires(enlarge=node("VAEEncode", pixels=["19", 0], vae=["4", 2]))
    graph["19"] = scale
    fields = _fields(_proved(graph))

    assert fields["upscale.size"] == {"width": 1536, "height": 1152}
    assert fields["upscale.method"] == "lanczos"


def test_a_factor_behind_an_upscale_model_is_no_factor_of_the_whole() -> None:
    graph = hires(enlarge=node("VAEEncode", pixels=["19", 0], vae=["4", 2]))
    graph["17"] = node("UpscaleModelLoader", model_name="4x.pth")
    graph["18"] = node("ImageUpscaleWithModel", upscale_model=["17", 0], image=["8", 0])
    graph["19"] = node("ImageScaleBy", image=["18", 0], upscale_method="area", scale_by=0.5)
    found = _proved(graph)

    assert "upscale.factor" not in _fields(found)
    assert _fields(found)["upscale.denoise"] == 0.5
    assert _params(found)["scale_by"] == 0.5
    assert _params(found)["upscale_model"] == "4x.pth"


def test_both_halves_of_a_pass_share_their_settings() -> None:
    def half(noise: str, start: int, end: int, latent: str, cfg: float) -> dict[str, Any]:
        settings = {"steps": 25, "sampler_name": "euler", "scheduler": "normal", "noise_seed": 4, "cfg": cfg}
        steps = {"add_noise": noise, "start_at_step": start, "end_at_step": end, "return_with_leftover_noise": "enable"}
        return node(
            "KSamplerAdvanced", **settings, **steps, model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=[latent, 0]
        )

    found = _proved(plain(**{"3": half("enable", 0, 20, "5", 7), "r": half("disable", 20, 10000, "3", 6)}, n8_samples=["r", 0]))

    assert found.expressions["r", "steps"] == found.expressions["3", "steps"] == "sampler.steps"
    assert ("r", "cfg") not in found.expressions or found.expressions["r", "cfg"].startswith("params.")
    assert _fields(found)["sampler.cfg"] == 7


def test_the_guider_of_a_second_prompt_is_not_taken_for_a_side() -> None:
    graph = flux()
    graph["22"] = node("CFGGuider", model=["30", 0], positive=["6", 0], negative=["n", 0], cfg=3)
    graph["n"] = node("CLIPTextEncode", text="blurry", clip=["11", 0])

    assert {"prompt": "a red fox", "negative_prompt": "blurry", "sampler.cfg": 3}.items() <= _fields(_proved(graph)).items()


def test_appended_and_local_texts_are_no_prompts() -> None:
    graph = plain(n3_positive=["c", 0])
    graph["c"] = node("ConditioningConcat", conditioning_to=["a", 0], conditioning_from=["t", 0])
    graph["a"] = node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["s", 0])
    graph["s"] = node("ConditioningSetArea", conditioning=["l", 0], width=64, height=64, x=0, y=0, strength=1.0)
    graph["l"] = node("CLIPTextEncode", text="a hat", clip=["4", 1])
    graph["t"] = node("CLIPTextEncode", text="snow", clip=["4", 1])
    found = _proved(graph)

    assert _fields(found)["prompt"] == "a red fox in the snow"
    assert {"a hat", "snow"} <= set(_params(found).values())


def test_two_texts_of_equal_rank_are_two_parameters() -> None:
    graph = plain(n3_positive=["a", 0], l=node("CLIPTextEncode", text="a hat", clip=["4", 1]))
    graph["a"] = node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["l", 0])
    found = _proved(graph)

    assert "prompt" not in _fields(found)
    assert {"prompt_1": "a red fox in the snow", "prompt_2": "a hat"}.items() <= _params(found).items()
    assert [each.why for each in found.kept] == ["it is made of 2 texts"]


def test_texts_through_boxes_joins_and_switches() -> None:
    graph = plain(n6_text=["j", 0], n7_text=["w", 0])
    graph["j"] = node("Text Concatenate", text_a=["t", 0], text_b="masterpiece", delimiter=", ")
    graph["t"] = node("Text Multiline", text="a fox")
    graph["w"] = node("ComfySwitchNode", switch=["b", 0], on_true=["y", 0], on_false=["t", 0])
    graph["b"] = node("PrimitiveBoolean", value=True)
    graph["y"] = node("PrimitiveStringMultiline", value="blurry")
    found = _proved(graph)

    assert _fields(found)["negative_prompt"] == "blurry"
    assert {"prompt_1": "a fox", "prompt_2": "masterpiece"}.items() <= _params(found).items()


def test_of_joined_texts_the_one_that_makes_most_of_them_is_the_prompt() -> None:
    graph = plain(n6_text=["j", 0], j=node("StringConcatenate", string_a=["t", 0], string_b="masterpiece", delimiter=", "))
    graph["t"] = node("PrimitiveStringMultiline", value="a red fox that looks at its footprints in the snow")
    found = _proved(graph)

    (prompt,) = (each for each in found.fields if each.field == "prompt")
    assert prompt.value == "a red fox that looks at its footprints in the snow"
    assert prompt.remark == "the longest of 2 joined texts"
    assert "masterpiece" in _params(found).values()


def test_the_outputs_of_nodes_that_pass_on_both_sides_are_told_by_the_input_that_asks() -> None:
    graph = plain(n3_positive=["i", 1], n3_negative=["i", 2], n3_model=["i", 0])
    graph["i"] = node("ApplyInstantID", model=["4", 0], positive=["6", 0], negative=["7", 0], weight=0.8)

    assert {"prompt": "a red fox in the snow", "negative_prompt": "text, watermark"}.items() <= _fields(_proved(graph)).items()


def test_a_sampler_by_a_name_of_the_web_uis_stays_as_it_is() -> None:
    found = _proved(plain(n3_sampler_name="DPM++ 2M Karras"))

    assert "sampler.name" not in _fields(found)
    assert [each.why for each in found.kept] == ['in a recipe, "DPM++ 2M Karras" is dpmpp_2m with karras in ComfyUI']


def test_a_detailer_alone_is_no_first_pass() -> None:
    settings = {
        "seed": 9,
        "steps": 15,
        "cfg": 4.5,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 0.4,
        "guide_size": 512,
    }
    links = {"image": ["i", 0], "model": ["4", 0], "clip": ["4", 1], "vae": ["4", 2], "positive": ["6", 0], "negative": ["7", 0]}
    graph = plain(i=node("LoadImage", image="a.png"), d=node("FaceDetailer", **settings, **links), n9_images=["d", 0])
    del graph["3"], graph["8"]

    found = _proved(graph)

    assert not {"seed", "sampler.steps"} & _fields(found).keys()
    assert _params(found)["detailer_seed"] == 9


def test_a_text_that_a_node_writes_is_no_prompt() -> None:
    graph = plain(
        n6_text=["f", 0], f=node("Florence2Run", image=["i", 0], text_input="describe"), i=node("LoadImage", image="a.png")
    )
    found = _proved(graph)

    assert "prompt" not in _fields(found)
    assert "describe" not in _fields(found).values()


def test_a_picture_of_the_server_can_be_one_of_yours(tmp_path: Path) -> None:
    graph = plain(n3_latent_image=["e", 0], e=node("VAEEncode", pixels=["i", 0], vae=["4", 2]), i=node("LoadImage", image="a.png"))
    graph["3"]["inputs"]["denoise"] = 0.6
    workflow = parse_workflow(graph)
    found = _proved(graph)
    recipe = write_files(write_pair(found, name="fox", source="fox.json"), tmp_path)

    assert _params(found)["denoise"] == 0.6
    assert "size" not in _fields(found)
    assert api.render(recipe).nodes["i"].inputs == workflow.nodes["i"].inputs


def test_no_size_is_judged_that_the_template_does_not_use(tmp_path: Path) -> None:
    graph = plain(n3_latent_image=["e", 0], e=node("VAEEncode", pixels=["i", 0], vae=["4", 2]), i=node("LoadImage", image="a.png"))
    graph["4"]["inputs"]["ckpt_name"] = "v1-5-pruned.safetensors"
    recipe = write_files(write_pair(_proved(graph), name="fox", source="fox.json"), tmp_path)

    assert [note.what for note in api.plan([recipe]).notes] == []


def test_ids_with_colons_and_names_that_jinja_and_yaml_know() -> None:
    graph = {f"30:{node_id}": each for node_id, each in plain().items()}
    for each in graph.values():
        each["inputs"] = {k: [f"30:{v[0]}", v[1]] if isinstance(v, list) else v for k, v in each["inputs"].items()}
    graph["30:9"]["inputs"]["items"] = 3
    graph["30:9"]["_meta"] = {"title": "null"}
    asked = {("30:9", "items"): "true", ("30:3", "cfg"): "if"}

    assert {"true": 3, "if": 8}.items() <= _params(_proved(graph, params=asked)).items()


def test_asked_parameters_come_before_fields_and_may_share_a_name() -> None:
    found = _proved(plain(n7_text="a red fox in the snow"), params={("6", "text"): "both", ("7", "text"): "both"})

    assert _params(found)["both"] == "a red fox in the snow"
    assert not {"prompt", "negative_prompt"} & _fields(found).keys()


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({("33", "text"): "a"}, 'there is no such node (got "33")'),
        ({("6", "txt"): "a"}, 'node 6 has no such input (got "txt")'),
        ({("6", "clip"): "a"}, "is a link, not a value: it comes from node 4"),
        ({("6", "text"): "items"}, 'this name is a word of the template language (got "items")'),
        ({("6", "text"): "__class__"}, 'this name is a word of the template language (got "__class__")'),
        ({("6", "text"): "a b"}, 'a parameter cannot have this name (got "a b")'),
        ({("6", "text"): "a", ("7", "text"): "a"}, "the values that are to become a differ"),
    ],
)
def test_parameters_that_cannot_be(asked: dict[tuple[str, str], str], what: str) -> None:
    with pytest.raises(UsageError) as caught:
        recognise(parse_workflow(plain()), params=asked)

    assert what in str(caught.value)


def test_a_server_tells_ranges_choices_and_where_nodes_come_from() -> None:
    def said(inputs: dict[str, Any], module: str = "nodes") -> dict[str, Any]:
        return {"input": {"required": inputs}, "output": ["IMAGE"], "output_node": False, "python_module": module}

    glow = {"strength": ["FLOAT", {"min": 0, "max": 2, "tooltip": "How bright. Or not."}], "mode": [["soft", "hard"]]}
    info = ObjectInfo({"Glow": said({"image": ["IMAGE"], **glow}, "custom_nodes.Glows")}, source="test")
    graph = plain(g=node("Glow", image=["8", 0], strength=1, mode="soft"), n9_images=["g", 0])
    found = _proved(graph, info=info, params={("g", "mode"): "mode"})

    params = {each.param.name: each.param for each in found.params}
    assert (params["strength"].type, params["strength"].minimum, params["strength"].maximum) == ("number", 0, 2)
    assert params["strength"].description == "How bright: strength of node g, Glow."
    assert params["mode"].choices == ("soft", "hard")
    assert found.packs == {"Glow": "the node pack Glows"}


def test_many_parameters_are_capped_and_the_rest_told() -> None:
    graph = plain(**{f"s{number}": node("Style", image=["8", 0], strength=0.1 * number, other=1) for number in range(20)})
    found = _proved(graph | {f"o{n}": node("SaveImage", images=[f"s{n}", 0], filename_prefix="x") for n in range(20)})

    assert len(found.params) == 12
    assert len({each.param.name for each in found.params}) == 12
    assert len({each.name for each in found.left} | {each.param.name for each in found.params}) == 12 + len(found.left)


def test_a_large_workflow_takes_no_time() -> None:
    graph = plain()
    for number in range(600):
        graph[f"r{number}"] = node("Reroute", **{"": [f"r{number - 1}" if number else "8", 0]})
    graph["9"]["inputs"]["images"] = ["r599", 0]
    begun = time.perf_counter()

    _proved(graph)

    assert time.perf_counter() - begun < 5


def test_switches_that_decide_each_other_take_no_time() -> None:
    graph = plain(n6_text=["s99", 0])
    for number in range(100):
        before: Any = [f"s{number - 1}", 0] if number else True
        graph[f"s{number}"] = node(
            "ComfySwitchNode", switch=before, on_true=before if number else "a", on_false=before if number else "b"
        )
    begun = time.perf_counter()

    recognise(parse_workflow(graph))

    assert time.perf_counter() - begun < 5


def test_seeds_and_sizes_behind_chains_of_nodes() -> None:
    graph = plain(n3_seed=["r", 0], n5_width=["w", 0], n5_height=["w", 0])
    graph["r"] = node("Reroute", **{"": ["s", 0]})
    graph["s"] = node("Seed (rgthree)", seed=99)
    graph["w"] = node("PrimitiveInt", value=768)
    found = _proved(graph)

    assert _fields(found)["seed"] == 99
    assert "size" not in _fields(found)
    assert [each.why for each in found.kept if each.field == "size"] == ["one value is both its width and its height"]
