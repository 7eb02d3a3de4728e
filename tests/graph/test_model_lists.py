"""What a server lists, by kind, whatever it has; which kind somebody means; which nodes a search finds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.graph.model_lists import Listing, find_kind, fits, further_folders, listings
from comfy_runner.graph.object_info import ObjectInfo
from tests.graph.support import recorded, with_options


def _kinds(info: ObjectInfo, **folders: list[str]) -> dict[str, Listing]:
    return {listing.kind: listing for listing in listings(info, folders)}


def _one(class_type: str, name: str, spec: Any) -> ObjectInfo:
    return ObjectInfo({class_type: {"input": {"required": {name: spec}}}}, source="x")


def test_the_kinds_are_those_that_the_nodes_of_a_server_list() -> None:
    found = _kinds(recorded())

    assert list(found) == ["checkpoints", "loras", "vae", "samplers", "schedulers", "latent_upscale_methods"]
    assert found["checkpoints"] == Listing("checkpoints", "CheckpointLoaderSimple.ckpt_name", ("tiny-random-sd15.safetensors",))
    assert found["loras"].names == ()
    assert found["samplers"].names[:2] == ("euler", "euler_cfg_pp")
    assert "karras" in found["schedulers"].names
    assert found["latent_upscale_methods"].names == ("nearest-exact", "bilinear", "area", "bicubic", "bislerp")


def test_names_are_the_servers_own_in_its_order() -> None:
    info = recorded(KSampler=with_options("sampler_name", ["zeta", "SDXL\\alpha", "zeta "]))

    assert _kinds(info)["samplers"].names == ("zeta", "SDXL\\alpha", "zeta ")


def test_further_folders_stand_between_models_and_settings() -> None:
    found = _kinds(recorded(), ultralytics=["bbox/face.pt"], embeddings=[])

    assert list(found)[3:6] == ["ultralytics", "embeddings", "samplers"]
    assert found["ultralytics"] == Listing("ultralytics", "/models/ultralytics", ("bbox/face.pt",))


def test_newer_nodes_list_as_older_ones_do() -> None:
    spec = ["COMBO", {"multiselect": False, "options": ["4x.pth"]}]

    assert listings(_one("UpscaleModelLoader", "model_name", spec)) == (
        Listing("upscale_models", "UpscaleModelLoader.model_name", ("4x.pth",)),
    )


@pytest.mark.parametrize("spec", [["COMBO", {"remote": {"route": "/x"}}], ["STRING"], None, "x"])
def test_what_a_node_does_not_list_is_no_kind(spec: Any) -> None:
    assert listings(_one("LoraLoader", "lora_name", spec)) == ()


def test_options_that_are_no_names_are_left_out() -> None:
    (found,) = listings(_one("LoraLoader", "lora_name", [["a", 5, None, ["b"], {"c": 1}, True]]))

    assert found.names == ("a",)


@pytest.mark.parametrize(
    ("folders", "further"),
    [
        (["checkpoints", "loras", "embeddings", "configs"], ("embeddings", "configs")),
        (["unet", "clip", "diffusion_models", "text_encoders"], ()),
        (["custom_nodes"], ()),
        (["", ".", "..", "...", "a" * 201], ()),
        (["x", "x", "y"], ("x", "y")),
        (["../x", "a/b", ".hidden"], ("../x", "a/b", ".hidden")),
    ],
)
def test_folders_that_nodes_list_already_or_that_cannot_be_asked_for_are_not_further_ones(
    folders: list[str], further: tuple[str, ...]
) -> None:
    known = [Listing(kind, "", ()) for kind in ("checkpoints", "loras", "diffusion_models", "text_encoders")]

    assert further_folders(folders, known) == further


def test_the_old_names_of_folders_are_further_ones_where_no_node_lists_them() -> None:
    assert further_folders(["unet", "clip"], []) == ("unet", "clip")


def test_no_server_makes_us_ask_for_ever() -> None:
    assert len(further_folders(map(str, range(100_000)), [])) == 200


_KNOWN = (
    *("checkpoints", "loras", "vae", "controlnet", "upscale_models", "diffusion_models", "text_encoders", "samplers"),
    *("latent_upscale_methods", "embeddings", "ultralytics_bbox", "unet_gguf"),
)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        *((kind, kind) for kind in _KNOWN),
        *(("checkpoint", "checkpoints"), ("ckpt", "checkpoints"), ("lora", "loras"), ("LoRA", "loras"), ("sampler", "samplers")),
        *(("control_net", "controlnet"), ("ControlNets", "controlnet"), ("upscale-model", "upscale_models"), ("VAEs", "vae")),
        *(("unet", "diffusion_models"), ("diffusion model", "diffusion_models"), ("clip", "text_encoders")),
        *(("CLIP", "text_encoders"), ("upscale_method", "latent_upscale_methods"), ("textual inversion", "embeddings")),
    ],
)
def test_a_kind_is_found_however_it_is_said(given: str, kind: str) -> None:
    assert find_kind(given, _KNOWN) == kind


@pytest.mark.parametrize("given", ["", "s", "checkpiont", "model", "lora s x", "unet_", "\0", "x" * 100_000])
def test_what_is_no_kind_is_none(given: str) -> None:
    assert find_kind(given, ["checkpoints", "loras"]) is None


def test_an_alias_is_nothing_where_the_server_lacks_its_kind() -> None:
    assert find_kind("unet", ["loras"]) is None


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("LatentUpscale", {"LatentUpscale", "LatentUpscaleBy"}),
        ("load checkpoint", {"CheckpointLoaderSimple"}),
        ("conditioning", {"CLIPSetLastLayer", "CLIPTextEncode", "KSampler"}),
        ("VAE", {"CheckpointLoaderSimple", "VAELoader", "VAEDecode"}),
        ("mask", {"LoadImage"}),
        ("upscale LATENT by", {"LatentUpscaleBy"}),
        ("webcam", set()),
    ],
)
def test_a_search_looks_at_names_categories_and_types(text: str, classes: set[str]) -> None:
    info = recorded()

    assert {name for name in info.classes if (node := info.get(name)) and fits(node, text)} == classes


@given(st.lists(st.text(max_size=8), max_size=5), st.text(max_size=8))
def test_any_words_of_a_server_are_taken(folders: list[str], text: str) -> None:
    further = further_folders(folders, listings(recorded()))

    assert find_kind(text, further) in (None, *further)
    assert [listing.kind for listing in listings(recorded(), {folder: [text] for folder in further})]
