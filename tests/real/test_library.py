"""The shipped templates on the real ComfyUI: executed where tiny random models allow it, otherwise validated by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from comfy_runner import api
from comfy_runner.engine.local import LocalOptions, LocalServer
from comfy_runner.graph.conformance import check
from comfy_runner.graph.object_info import ObjectInfo
from tests.real.support import comfy_runner, likeness, pixels, sidecar

TINY = "tiny-random-sd15.safetensors"
SMALL = (
    *("--set", f"checkpoint={TINY}", "--set", "size={width: 128, height: 72}"),
    *("--set", "sampler={name: dpmpp_2m, scheduler: karras, steps: 6, cfg: 5}"),
)
SHORT = (*SMALL, "--set", "sampler.steps=2")
# Where nobody looks at what the second pass paints.
BARELY = ("--set", "upscale.sampler.steps=1")
UPSCALER = ("--set", "params.upscale_model=tiny-random-x4.safetensors")
TWICE = {"original": (128, 72), "upscaled": (256, 144)}

EXECUTED: dict[str, tuple[tuple[str, ...], dict[str, tuple[int, int]]]] = {
    "forest-sunrise": ((), TWICE),
    "text-to-image": ((), {"original": (128, 72)}),
    "latent-upscale-by": ((), {"original": (128, 72), "upscaled": (192, 112)}),
    "plain-image-upscale": ((), TWICE),
    "pixel-upscale": ((), TWICE),
    "plain-model-upscale": (UPSCALER, TWICE),
    "model-upscale": (UPSCALER, {**TWICE, "plain": (256, 144)}),
    "iterative-upscale": ((), {"original": (128, 72), "pass_1": (216, 120), "pass_2": (296, 168), "upscaled": (384, 216)}),
    "sdxl-refiner": (("--set", f"params.refiner={TINY}"), TWICE),
    "lora-stack": (("--set", "loras=[tiny-random-a.safetensors, {name: tiny-random-b.safetensors, strength_model: 0.5}]"), TWICE),
    "controlnet-tile": (("--set", "params.control_net=tiny-random-tile.safetensors"), TWICE),
    "img2img-upscale": (("--set", "params.image=mine.png"), {"upscaled": (256, 144)}),
    "compare": (
        UPSCALER,
        {
            "original": (128, 72),
            **dict.fromkeys(("plain", "model", "latent_0_5", "latent_0_6"), (256, 144)),
            **dict.fromkeys(("pixel_0_35", "pixel_0_45", "model_0_25", "model_0_35"), (256, 144)),
        },
    ),
}

VALIDATED: dict[str, dict[str, tuple[str, ...]]] = {
    "flux": {
        "diffusion_models": ("flux1-dev.safetensors",),
        "text_encoders": ("t5xxl_fp16.safetensors", "clip_l.safetensors"),
        "vae": ("ae.safetensors",),
    },
    "sd35": {"checkpoints": ("sd3.5_large_fp8_scaled.safetensors",)},
    "qwen-image": {
        "diffusion_models": ("qwen_image_fp8_e4m3fn.safetensors",),
        "text_encoders": ("qwen_2.5_vl_7b_fp8_scaled.safetensors",),
        "vae": ("qwen_image_vae.safetensors",),
    },
    "z-image": {
        "diffusion_models": ("z_image_turbo_bf16.safetensors",),
        "text_encoders": ("qwen_3_4b.safetensors",),
        "vae": ("ae.safetensors",),
    },
    "z-image-upscale": {
        "diffusion_models": ("z_image_turbo_bf16.safetensors",),
        "text_encoders": ("qwen_3_4b.safetensors",),
        "vae": ("ae.safetensors",),
        "upscale_models": ("4x-UltraSharp.pth",),
    },
}


@pytest.fixture
def url(comfyui_server: LocalServer) -> str:
    return comfyui_server.url


@pytest.fixture
def placeholders(local_options: LocalOptions) -> Iterator[None]:
    """Files that have the names of models and nothing in them: a server lists them all the same."""
    made = [local_options.base / "models" / kind / name for kinds in VALIDATED.values() for kind in kinds for name in kinds[kind]]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    yield
    for path in made:
        path.unlink(missing_ok=True)


def picture(path: Path) -> None:
    """Write a picture of 90x90 pixels that is not flat."""
    ramp = np.linspace(0, 255, 90, dtype=np.uint8)
    Image.fromarray(np.stack([np.tile(ramp, (90, 1)), np.tile(ramp[:, None], (1, 90)), np.full((90, 90), 90, np.uint8)], -1)).save(
        path
    )


def test_a_picture_that_is_painted_over_keeps_the_shape_that_its_exif_data_give_it(url: str, tmp_path: Path) -> None:
    ramp = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    exif = ramp.getexif()
    exif[0x0112] = 6  # on its side
    ramp.save(tmp_path / "mine.jpg", exif=exif)
    small = ("--set", f"checkpoint={TINY}", "--set", "sampler={name: dpmpp_2m, scheduler: karras, steps: 2, cfg: 5}")

    comfy_runner(
        "run", "img2img-upscale", *small, "--set", "params.image=mine.jpg", "--server", url, "--out", "out", folder=tmp_path
    )

    assert pixels(tmp_path / "out" / "img2img-upscale" / "upscaled.png").shape[1::-1] == (96, 128)


@pytest.mark.parametrize("recipe", EXECUTED)
def test_every_route_gives_its_pictures_in_the_planned_sizes(recipe: str, url: str, tmp_path: Path) -> None:
    more, sizes = EXECUTED[recipe]
    picture(tmp_path / "mine.png")

    comfy_runner("run", recipe, *SHORT, *more, "--server", url, "--out", "out", folder=tmp_path)

    job = tmp_path / "out" / recipe
    assert sidecar(job)["state"] == "done"
    assert {role: pixels(job / f"{role}.png").shape[1::-1] for role in sizes} == sizes
    assert {path.stem for path in job.glob("*.png")} == set(sizes)


@pytest.mark.parametrize(
    ("recipe", "one", "other", "role"),
    [
        ("quickstart", "vae=null", "vae=tiny-random-vae.safetensors", "original"),
        ("quickstart", "loras=[]", "loras=[tiny-random-a.safetensors]", "original"),
        ("quickstart", "loras=[tiny-random-a.safetensors]", "loras=[tiny-random-b.safetensors]", "original"),
        ("controlnet-tile", "params.strength=0", "params.strength=1", "upscaled"),
    ],
)
def test_what_is_put_beside_a_checkpoint_shows(recipe: str, one: str, other: str, role: str, url: str, tmp_path: Path) -> None:
    more = BARELY if role == "original" else ("--set", "params.control_net=tiny-random-tile.safetensors")
    for number, change in enumerate((one, other)):
        comfy_runner("run", recipe, *SMALL, *more, "--set", change, "--server", url, "--out", str(number), folder=tmp_path)

    found = [pixels(tmp_path / str(number) / recipe / f"{role}.png") for number in (0, 1)]
    assert np.abs(found[0] - found[1]).mean() > 2


def test_an_upscale_model_gives_the_picture_itself_and_a_little_texture(url: str, tmp_path: Path) -> None:
    run = ("run", "model-upscale", *SMALL, *BARELY, *UPSCALER, "--set", "upscale.factor=4")
    comfy_runner(*run, "--server", url, "--out", "out", folder=tmp_path)

    original, plain = (pixels(tmp_path / "out" / "model-upscale" / f"{role}.png") for role in ("original", "plain"))
    assert plain.shape == (288, 512, 3)
    assert likeness(original, pixels(tmp_path / "out" / "model-upscale" / "plain.png", size=(128, 72))) > 0.98
    doubled = original.repeat(4, axis=0).repeat(4, axis=1)
    assert 0.5 < np.abs(plain - doubled).mean() < 15


def test_all_five_methods_enlarge_a_latent_differently(url: str, tmp_path: Path) -> None:
    methods = ("nearest-exact", "bilinear", "area", "bicubic", "bislerp")
    sweep = ("--sweep", f"upscale.method={','.join(methods)}", "--set", "upscale.factor=1.5")
    comfy_runner("run", "quickstart", *SHORT, *sweep, "--server", url, "--out", "out", folder=tmp_path)

    found = [pixels(path) for path in sorted((tmp_path / "out").glob("*/upscaled.png"))]
    assert len(found) == len(methods)
    assert all(np.abs(one - other).mean() > 0.5 for number, one in enumerate(found) for other in found[:number])


def test_routes_that_are_swept_over_share_their_first_pass_and_have_their_own_denoise(url: str, tmp_path: Path) -> None:
    templates = ("plain_image_upscale", "latent_upscale", "pixel_upscale", "model_upscale")
    sweep = f"sweep: {{template: [{', '.join(templates)}]}}\n"
    recipe = f"prompt: a\nseed: 5\nparams: {{upscale_model: tiny-random-x4.safetensors}}\n{sweep}"
    (tmp_path / "routes.yaml").write_text(recipe, encoding="utf-8")
    comfy_runner("run", "routes.yaml", *SHORT, "--server", url, "--out", "out", folder=tmp_path)

    jobs = sorted((tmp_path / "out").glob("*/job.json"))
    found = [json.loads(job.read_text(encoding="utf-8")) for job in jobs]
    assert len({job.with_name("original.png").read_bytes()[-4096:] for job in jobs}) == 1
    denoise = {each["recipe"]["template"]: each["recipe"]["upscale"]["denoise"] for each in found}
    assert denoise == {"plain_image_upscale": 0.55, "latent_upscale": 0.55, "pixel_upscale": 0.45, "model_upscale": 0.3}
    assert sum("first_pass" in each["cached_nodes"] for each in found) == len(jobs) - 1


def test_a_plain_enlargement_is_the_picture_itself_and_a_second_pass_keeps_it_the_less_the_more_it_paints(
    url: str, tmp_path: Path
) -> None:
    values = ("--set", "params={latent_denoise: [], pixel_denoise: [0.2, 0.9], model_denoise: []}")
    comfy_runner("run", "compare", *SMALL, *values, "--server", url, "--out", "out", folder=tmp_path)

    job, small = tmp_path / "out" / "compare", (128, 72)
    original = pixels(job / "original.png")
    alike = {name: likeness(original, pixels(job / f"{name}.png", size=small)) for name in ("plain", "pixel_0_2", "pixel_0_9")}
    assert alike["plain"] > 0.99
    assert alike["plain"] > alike["pixel_0_2"] > alike["pixel_0_9"]


@pytest.mark.usefixtures("placeholders")
@pytest.mark.parametrize("recipe", VALIDATED)
def test_routes_of_models_that_are_too_large_are_taken_by_the_server(recipe: str, url: str, tmp_path: Path) -> None:
    picture(tmp_path / "mine.png")
    sets = [f"params.image={tmp_path / 'mine.png'}"] if recipe == "z-image-upscale" else []

    comfy_runner("validate", recipe, *(word for one in sets for word in ("--set", one)), "--server", url, folder=tmp_path)

    graph = api.render(recipe, sets=sets)
    if recipe == "z-image-upscale":  # a server takes no picture that it does not have
        with (tmp_path / "mine.png").open("rb") as file:
            requests.post(f"{url}/upload/image", files={"image": file}, timeout=10).raise_for_status()
        graph = graph.with_inputs({("image", "image"): "mine.png"})
    info = ObjectInfo(requests.get(f"{url}/object_info", timeout=60).json(), source=url)
    body = {"prompt": check(graph, info, where=recipe).workflow.to_api(), "client_id": "test"}
    answer = requests.post(f"{url}/prompt", json=body, timeout=10)
    assert (answer.status_code, answer.json()["node_errors"]) == (200, {})
    requests.post(f"{url}/queue", json={"delete": [answer.json()["prompt_id"]]}, timeout=10)


def test_a_route_whose_node_pack_is_not_there_says_where_it_comes_from(url: str, tmp_path: Path) -> None:
    done = comfy_runner("validate", "ultimate-sd-upscale", *SMALL, *UPSCALER, "--server", url, code=2, folder=tmp_path)
    assert "UltimateSDUpscale" in done.stderr
    assert "ComfyUI_UltimateSDUpscale" in done.stderr
