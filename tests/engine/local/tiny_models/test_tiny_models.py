"""The tiny models on the real ComfyUI: each is listed, loaded without a complaint, and does to pictures what its kind does."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from PIL import Image

from comfy_runner.engine.local import LocalServer
from tests.engine.comfyui.support import Graph, following
from tests.real.support import likeness

WIDTH, HEIGHT = 128, 96

Picture = NDArray[np.float64]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def graph(*, model: str = "checkpoint", clip: str = "checkpoint", positive: str = "prompt", seed: int = 7, **more: Any) -> Graph:
    """Return what paints a picture of WIDTH x HEIGHT pixels and saves it.

    Args:
        model: Node whose output 0 samples.
        clip: Node whose output 1 reads the prompt.
        positive: Node whose output 0 is the prompt.
        seed: Of the sampler.
        more: More nodes.
    """
    sampler = {"seed": seed, "steps": 6, "cfg": 5.0, "sampler_name": "euler", "scheduler": "karras", "denoise": 1.0}
    return {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name="tiny-random-sd15.safetensors"),
        "prompt": node("CLIPTextEncode", clip=[clip, 1], text="a forest at sunrise"),
        "negative": node("CLIPTextEncode", clip=[clip, 1], text="blurry"),
        "latent": node("EmptyLatentImage", width=WIDTH, height=HEIGHT, batch_size=1),
        "sample": node(
            "KSampler", model=[model, 0], positive=[positive, 0], negative=["negative", 0], latent_image=["latent", 0], **sampler
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["checkpoint", 2]),
        "save": saved("decode"),
        **more,
    }


def saved(picture: str) -> dict[str, Any]:
    return node("SaveImage", images=[picture, 0], filename_prefix="tiny-models")


def painted(server: LocalServer, nodes: Graph) -> dict[str, Picture]:
    """Run a graph, and return the picture of each node that saves one: height, width, RGB."""
    with following(server.url) as rig:
        files = rig.finish(nodes).verdict.files
    found = {}
    for name, (file,) in files.items():
        where = {"filename": file.filename, "subfolder": file.subfolder, "type": "output"}
        answer = requests.get(f"{server.url}/view", params=where, timeout=60)
        with Image.open(io.BytesIO(answer.content)) as image:
            found[name] = np.asarray(image.convert("RGB"), dtype=np.float64)
    return found


def enlarged(picture: Picture, factor: int) -> Picture:
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def change(first: Picture, second: Picture) -> float:
    """Return by how much two pictures differ in the mean, of the 255 between black and white."""
    return float(np.abs(first - second).mean())


@pytest.fixture(scope="module")
def plain(comfyui_server: LocalServer) -> Picture:
    """What the checkpoint paints without any of the others."""
    return painted(comfyui_server, graph())["save"]


LISTED: Mapping[str, tuple[str, set[str]]] = {
    "ControlNetLoader": ("control_net_name", {"tiny-random-tile.safetensors"}),
    "LoraLoader": ("lora_name", {"tiny-random-a.safetensors", "tiny-random-b.safetensors"}),
    "UpscaleModelLoader": ("model_name", {"tiny-random-x2.safetensors", "tiny-random-x4.safetensors"}),
    "VAELoader": ("vae_name", {"tiny-random-vae.safetensors"}),
}


@pytest.mark.parametrize("loader", LISTED)
def test_each_model_is_listed_by_its_loader(comfyui_server: LocalServer, loader: str) -> None:
    name, wanted = LISTED[loader]
    info = requests.get(f"{comfyui_server.url}/object_info/{loader}", timeout=60).json()
    choices, *more = info[loader]["input"]["required"][name]
    # There are two ways of writing a list of choices.
    assert wanted <= set(more[0]["options"] if choices == "COMBO" else choices)


def lora(letter: str, *, strength: float = 1.0, on: str = "checkpoint") -> dict[str, Any]:
    file = f"tiny-random-{letter}.safetensors"
    return node("LoraLoader", model=[on, 0], clip=[on, 1], lora_name=file, strength_model=strength, strength_clip=strength)


@pytest.mark.parametrize("letter", ["a", "b"])
def test_a_lora_changes_the_picture_the_more_the_stronger_it_is(comfyui_server: LocalServer, plain: Picture, letter: str) -> None:
    weak, strong = (
        painted(comfyui_server, graph(model="lora", clip="lora", lora=lora(letter, strength=strength)))["save"]
        for strength in (0.3, 1.0)
    )
    assert 1 < change(weak, plain) < change(strong, plain)
    assert change(strong, plain) > 8
    assert strong.std() > 15


def test_a_lora_changes_how_prompts_are_read_too(comfyui_server: LocalServer, plain: Picture) -> None:
    # Only the text encoder's part of it is used.
    assert change(painted(comfyui_server, graph(clip="lora", lora=lora("a")))["save"], plain) > 3


def test_loras_can_be_chained(comfyui_server: LocalServer, plain: Picture) -> None:
    nodes = graph(model="second", clip="second", first=lora("a"), second=lora("b", on="first"))
    both = painted(comfyui_server, nodes)["save"]
    assert change(both, plain) > 8
    assert both.std() > 15


def test_the_controlnet_holds_the_composition_of_the_picture_it_is_given(comfyui_server: LocalServer, plain: Picture) -> None:
    def held(strength: float) -> float:
        """Return how much the picture of another seed is like the plain one, which is given."""
        given = {"control_net": ["load", 0], "image": ["given", 0], "strength": strength, "start_percent": 0.0, "end_percent": 1.0}
        nodes = graph(
            seed=8,
            positive="apply",
            load=node("ControlNetLoader", control_net_name="tiny-random-tile.safetensors"),
            apply=node("ControlNetApplyAdvanced", positive=["prompt", 0], negative=["negative", 0], **given),
            given=node("VAEDecode", samples=["first", 0], vae=["checkpoint", 2]),
            first=graph()["sample"],
        )
        nodes["sample"]["inputs"]["negative"] = ["apply", 1]
        return likeness(painted(comfyui_server, nodes)["save"], plain)

    free, half, full = (held(strength) for strength in (0.0, 0.5, 1.0))
    assert free < half < full
    assert full > free + 0.2


@pytest.mark.parametrize(("name", "factor"), [("tiny-random-x2", 2), ("tiny-random-x4", 4)])
def test_an_upscaler_enlarges_the_picture_and_adds_a_little(comfyui_server: LocalServer, name: str, factor: int) -> None:
    nodes = graph(
        load=node("UpscaleModelLoader", model_name=f"{name}.safetensors"),
        upscale=node("ImageUpscaleWithModel", upscale_model=["load", 0], image=["decode", 0]),
        upscaled=saved("upscale"),
    )
    pictures = painted(comfyui_server, nodes)
    original, upscaled = pictures["save"], pictures["upscaled"]
    assert upscaled.shape == (factor * HEIGHT, factor * WIDTH, 3)
    assert likeness(upscaled, enlarged(original, factor)) > 0.98
    assert upscaled.std() == pytest.approx(original.std(), rel=0.05)
    assert change(upscaled, enlarged(original, factor)) > 0.2


def test_the_vae_paints_in_other_colours_and_reads_them_again(comfyui_server: LocalServer, plain: Picture) -> None:
    nodes = graph(
        vae=node("VAELoader", vae_name="tiny-random-vae.safetensors"),
        decode=node("VAEDecode", samples=["sample", 0], vae=["vae", 0]),
        encode=node("VAEEncode", pixels=["decode", 0], vae=["vae", 0]),
        again=node("VAEDecode", samples=["encode", 0], vae=["vae", 0]),
        save_again=saved("again"),
    )
    pictures = painted(comfyui_server, nodes)
    assert change(pictures["save"], plain) > 10
    assert likeness(pictures["save"], pictures["save_again"]) > 0.9


@pytest.mark.parametrize("sideways", [-4, 4])
def test_nothing_moves_to_a_side_when_a_picture_is_encoded(comfyui_server: LocalServer, sideways: int) -> None:
    nodes = graph(
        encode=node("VAEEncode", pixels=["decode", 0], vae=["checkpoint", 2]),
        again=node("VAEDecode", samples=["encode", 0], vae=["checkpoint", 2]),
        save_again=saved("again"),
    )
    pictures = painted(comfyui_server, nodes)
    first, again = (pictures[name][8:-8, 8:-8] for name in ("save", "save_again"))
    moved = np.roll(pictures["save_again"], sideways, axis=1)[8:-8, 8:-8]
    assert likeness(first, again) > likeness(first, moved)


def test_comfyui_complains_about_no_key_of_any_of_them(comfyui_server: LocalServer, plain: Picture) -> None:
    nodes = graph(
        model="lora",
        clip="lora",
        lora=lora("a"),
        control=node("ControlNetLoader", control_net_name="tiny-random-tile.safetensors"),
        apply=node(
            "ControlNetApply", conditioning=["prompt", 0], control_net=["control", 0], image=["decode_vae", 0], strength=1.0
        ),
        vae=node("VAELoader", vae_name="tiny-random-vae.safetensors"),
        first=graph()["sample"],
        decode_vae=node("VAEDecode", samples=["first", 0], vae=["vae", 0]),
    )
    nodes["sample"]["inputs"]["positive"] = ["apply", 0]
    assert change(painted(comfyui_server, nodes)["save"], plain) > 1
    log = comfyui_server.log.read_text(encoding="utf-8", errors="replace")
    for complaint in ("lora key not loaded", "missing controlnet keys", "clip missing", "unet missing", "Missing VAE keys"):
        assert complaint not in log
