"""The graph of each shipped recipe as somebody would draw it in ComfyUI: with ids of their own, and without our templates.

``python -m tests.templating.shipped.golden`` writes the golden graphs; these here are written
by hand, from the descriptions of the routes.
"""

from __future__ import annotations

from typing import Any

from tests.graph.support import node

JUGGERNAUT = "juggernautXL_juggXIByRundiffusion.safetensors"
FOREST = (
    "A landscape photograph of a misty forest at sunrise, golden light rays between tall pine trees, dew on fern leaves, "
    "a narrow path leading into the distance, soft volumetric haze, rich detail, natural colors, wide-angle perspective"
)
NEGATIVE = "blurry, lowres, watermark"
SDXL: dict[str, Any] = {"steps": 30, "cfg": 5.0, "sampler_name": "dpmpp_2m_sde", "scheduler": "karras"}

Graph = dict[str, Any]


def sample(latent: str, denoise: float, *, model: str = "ckpt", settings: dict[str, Any] = SDXL, **changed: Any) -> Any:
    """Return a KSampler."""
    wires = {"model": [model, 0], "positive": ["pos", 0], "negative": ["neg", 0], "latent_image": [latent, 0]}
    return node("KSampler", **{**wires, "seed": 42, "denoise": denoise, **settings, **changed})


def saved(role: str, samples: str, vae: list[Any]) -> Graph:
    """Return a decoder and a SaveImage."""
    return {
        f"{role}.decode": node("VAEDecode", samples=[samples, 0], vae=vae),
        f"{role}.save": node("SaveImage", role=role, images=[f"{role}.decode", 0], filename_prefix="x"),
    }


def stretched(image: str, width: int = 2048, height: int = 1152, method: str = "lanczos", crop: str = "disabled") -> Any:
    """Return an ImageScale."""
    return node("ImageScale", image=[image, 0], upscale_method=method, width=width, height=height, crop=crop)


def latent(samples: str, width: int = 2048, height: int = 1152) -> Any:
    """Return a LatentUpscale."""
    return node("LatentUpscale", samples=[samples, 0], upscale_method="nearest-exact", width=width, height=height, crop="disabled")


def encoded(pixels: str, vae: list[Any]) -> Any:
    """Return a VAEEncode."""
    return node("VAEEncode", pixels=[pixels, 0], vae=vae)


VAE = ["ckpt", 2]


def texts(clip: list[Any] | None = None) -> Graph:
    """Return both prompts."""
    clip = clip or ["ckpt", 1]
    return {
        "pos": node("CLIPTextEncode", text=FOREST, clip=clip),
        "neg": node("CLIPTextEncode", text=NEGATIVE, clip=clip),
    }


def base() -> Graph:
    """Return the text-to-image pass of SDXL and its saved picture."""
    return {
        "ckpt": node("CheckpointLoaderSimple", ckpt_name=JUGGERNAUT),
        **texts(),
        "empty": node("EmptyLatentImage", width=1024, height=576, batch_size=1),
        "first": sample("empty", 1.0),
        **saved("original", "first", VAE),
    }


def esrgan(image: str = "original.decode", name: str = "4x-UltraSharp.pth") -> Graph:
    """Return an upscale model and what it makes of a picture."""
    return {
        "um": node("UpscaleModelLoader", model_name=name),
        "esrgan": node("ImageUpscaleWithModel", upscale_model=["um", 0], image=[image, 0]),
    }


def picture(role: str, image: str) -> Graph:
    """Return a SaveImage."""
    return {f"{role}.save": node("SaveImage", role=role, images=[image, 0], filename_prefix="x")}


def tiled(graph: Graph) -> Graph:
    """Return a graph that decodes all in tiles."""
    tiles = {"tile_size": 768, "overlap": 64, "temporal_size": 64, "temporal_overlap": 8}
    return {
        name: node("VAEDecodeTiled", **each["inputs"], **tiles) if each["class_type"] == "VAEDecode" else each
        for name, each in graph.items()
    }


def latent_upscale_by() -> Graph:
    enlarge = node("LatentUpscaleBy", samples=["first", 0], upscale_method="nearest-exact", scale_by=1.5)
    return tiled({**base(), "up": enlarge, "second": sample("up", 0.55), **saved("upscaled", "second", VAE)})


def lora_stack() -> Graph:
    def lora(model: list[Any], clip: list[Any], name: str, model_strength: float, clip_strength: float) -> Any:
        strengths = {"strength_model": model_strength, "strength_clip": clip_strength}
        return node("LoraLoader", model=model, clip=clip, lora_name=name, **strengths)

    return {
        **base(),
        "l1": lora(["ckpt", 0], ["ckpt", 1], "add-detail-xl.safetensors", 0.8, 0.8),
        "l2": lora(["l1", 0], ["l1", 1], "pixel-art-xl.safetensors", 0.4, 0.2),
        **texts(["l2", 1]),
        "first": sample("empty", 1.0, model="l2"),
        "up": latent("first"),
        "second": sample("up", 0.55, model="l2"),
        **saved("upscaled", "second", VAE),
    }


def plain_image_upscale() -> Graph:
    return {**base(), "resize": stretched("original.decode"), **picture("upscaled", "resize")}


def pixel_upscale() -> Graph:
    return {
        **base(),
        "resize": stretched("original.decode"),
        "encode": encoded("resize", VAE),
        "second": sample("encode", 0.45),
        **saved("upscaled", "second", VAE),
    }


def plain_model_upscale() -> Graph:
    return {**base(), **esrgan(), "resize": stretched("esrgan"), **picture("upscaled", "resize")}


def model_upscale() -> Graph:
    return {
        **base(),
        **esrgan(),
        "resize": stretched("esrgan"),
        **picture("plain", "resize"),
        "encode": encoded("resize", VAE),
        "second": sample("encode", 0.3),
        **saved("upscaled", "second", VAE),
    }


def iterative_upscale() -> Graph:
    return {
        **base(),
        "up1": latent("first", 1704, 960),
        "p1": sample("up1", 0.6),
        **saved("pass_1", "p1", VAE),
        "up2": latent("p1", 2392, 1344),
        "p2": sample("up2", 0.5, steps=20),
        **saved("pass_2", "p2", VAE),
        "up3": latent("p2", 3072, 1728),
        "p3": sample("up3", 0.4),
        **tiled(saved("upscaled", "p3", VAE)),  # more than 2048x2048 pixels
    }


def sdxl_refiner() -> Graph:
    settings = {"noise_seed": 42, **SDXL}
    return {
        **base(),
        "ckpt": node("CheckpointLoaderSimple", ckpt_name="sd_xl_base_1.0.safetensors"),
        "refiner": node("CheckpointLoaderSimple", ckpt_name="sd_xl_refiner_1.0.safetensors"),
        "rpos": node("CLIPTextEncode", text=FOREST, clip=["refiner", 1]),
        "rneg": node("CLIPTextEncode", text=NEGATIVE, clip=["refiner", 1]),
        "start": node(
            "KSamplerAdvanced",
            **settings,
            model=["ckpt", 0],
            positive=["pos", 0],
            negative=["neg", 0],
            latent_image=["empty", 0],
            add_noise="enable",
            start_at_step=0,
            end_at_step=24,
            return_with_leftover_noise="enable",
        ),
        "first": node(
            "KSamplerAdvanced",
            **settings,
            model=["refiner", 0],
            positive=["rpos", 0],
            negative=["rneg", 0],
            latent_image=["start", 0],
            add_noise="disable",
            start_at_step=24,
            end_at_step=10000,
            return_with_leftover_noise="disable",
        ),
        "up": latent("first"),
        "second": sample("up", 0.55),
        **saved("upscaled", "second", VAE),
    }


def controlnet_tile() -> Graph:
    return {
        **base(),
        "resize": stretched("original.decode"),
        "encode": encoded("resize", VAE),
        "cn": node("ControlNetLoader", control_net_name="controlnet-tile-sdxl-1.0.safetensors"),
        "apply": node(
            "ControlNetApplyAdvanced",
            positive=["pos", 0],
            negative=["neg", 0],
            control_net=["cn", 0],
            image=["resize", 0],
            strength=0.6,
            start_percent=0.0,
            end_percent=1.0,
            vae=VAE,
        ),
        "second": sample("encode", 0.75, positive=["apply", 0], negative=["apply", 1]),
        **saved("upscaled", "second", VAE),
    }


def img2img_upscale(image: str) -> Graph:
    return {
        "ckpt": node("CheckpointLoaderSimple", ckpt_name=JUGGERNAUT),
        **texts(),
        "image": node("LoadImage", image=image),
        "resize": stretched("image", width=192, height=128, crop="center"),
        "encode": encoded("resize", VAE),
        "second": sample("encode", 0.3),
        **saved("upscaled", "second", VAE),
    }


def compare() -> Graph:
    graph = {
        **base(),
        "latent": latent("first"),
        "pixel": stretched("original.decode"),
        **picture("plain", "pixel"),
        "pixel.encode": encoded("pixel", VAE),
        **esrgan(),
        "esrgan.resize": stretched("esrgan"),
        **picture("model", "esrgan.resize"),
        "esrgan.encode": encoded("esrgan.resize", VAE),
    }
    for route, start, values in (
        ("latent", "latent", (0.5, 0.6)),
        ("pixel", "pixel.encode", (0.35, 0.45)),
        ("model", "esrgan.encode", (0.25, 0.35)),
    ):
        for denoise in values:
            role = f"{route}_{denoise}".replace(".", "_")
            graph |= {f"sample.{role}": sample(start, denoise), **saved(role, f"sample.{role}", VAE)}
    return graph


def ultimate_sd_upscale() -> Graph:
    return {
        **base(),
        "um": node("UpscaleModelLoader", model_name="4x-UltraSharp.pth"),
        "usdu": node(
            "UltimateSDUpscale",
            image=["original.decode", 0],
            model=["ckpt", 0],
            positive=["pos", 0],
            negative=["neg", 0],
            vae=VAE,
            upscale_model=["um", 0],
            upscale_by=2.0,
            seed=42,
            denoise=0.2,
            **SDXL,
            mode_type="Linear",
            tile_width=1024,
            tile_height=1024,
            mask_blur=8,
            tile_padding=32,
            seam_fix_mode="None",
            seam_fix_denoise=1.0,
            seam_fix_width=64,
            seam_fix_mask_blur=8,
            seam_fix_padding=16,
            force_uniform_tiles=True,
            tiled_decode=False,
        ),
        **picture("upscaled", "usdu"),
    }


def by_pixels(
    front: Graph, width: int, height: int, *, model: str, vae: list[Any], settings: dict[str, Any], **wires: Any
) -> Graph:
    """Return a transformer's graph: its front, a first pass, then the pixel route to one and a half times the size."""
    wide, high = width * 3 // 2, height * 3 // 2
    return {
        **front,
        "empty": node("EmptySD3LatentImage", width=width, height=height, batch_size=1),
        "first": sample("empty", 1.0, model=model, settings=settings, **wires),
        **saved("original", "first", vae),
        "resize": stretched("original.decode", wide, high),
        "encode": encoded("resize", vae),
        "second": sample("encode", 0.3, model=model, settings=settings, **wires),
        **saved("upscaled", "second", vae),
    }


def flux() -> Graph:
    front = {
        "unet": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
        "clip": node("DualCLIPLoader", clip_name1="t5xxl_fp16.safetensors", clip_name2="clip_l.safetensors", type="flux"),
        "vae": node("VAELoader", vae_name="ae.safetensors"),
        "pos": node("CLIPTextEncode", text=FOREST, clip=["clip", 0]),
        "guide": node("FluxGuidance", conditioning=["pos", 0], guidance=3.5),
        "neg": node("ConditioningZeroOut", conditioning=["pos", 0]),
    }
    settings = {"steps": 20, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple"}
    return by_pixels(front, 1024, 1024, model="unet", vae=["vae", 0], settings=settings, positive=["guide", 0])


def sd35() -> Graph:
    front = {"ckpt": node("CheckpointLoaderSimple", ckpt_name="sd3.5_large_fp8_scaled.safetensors"), **texts()}
    settings = {"steps": 20, "cfg": 4.0, "sampler_name": "euler", "scheduler": "sgm_uniform"}
    return by_pixels(front, 1024, 1024, model="ckpt", vae=VAE, settings=settings)


def qwen_image() -> Graph:
    front = {
        "unet": node("UNETLoader", unet_name="qwen_image_fp8_e4m3fn.safetensors", weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name="qwen_2.5_vl_7b_fp8_scaled.safetensors", type="qwen_image"),
        "vae": node("VAELoader", vae_name="qwen_image_vae.safetensors"),
        "shift": node("ModelSamplingAuraFlow", model=["unet", 0], shift=3.1),
        **texts(["clip", 0]),
    }
    settings = {"steps": 20, "cfg": 2.5, "sampler_name": "euler", "scheduler": "simple"}
    return by_pixels(front, 1328, 1328, model="shift", vae=["vae", 0], settings=settings)


def _z_image() -> Graph:
    return {
        "unet": node("UNETLoader", unet_name="z_image_turbo_bf16.safetensors", weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name="qwen_3_4b.safetensors", type="lumina2"),
        "vae": node("VAELoader", vae_name="ae.safetensors"),
        "shift": node("ModelSamplingAuraFlow", model=["unet", 0], shift=3.0),
        "pos": node("CLIPTextEncode", text=FOREST, clip=["clip", 0]),
        "neg": node("ConditioningZeroOut", conditioning=["pos", 0]),
    }


def z_image() -> Graph:
    settings = {"steps": 8, "cfg": 1.0, "sampler_name": "res_multistep", "scheduler": "simple"}
    return by_pixels(_z_image(), 1024, 1024, model="shift", vae=["vae", 0], settings=settings)


def z_image_upscale(image: str) -> Graph:
    settings = {"steps": 5, "cfg": 1.0, "sampler_name": "dpmpp_2m_sde", "scheduler": "beta"}
    return {
        **_z_image(),
        "image": node("LoadImage", image=image),
        "one": node("ImageScaleToTotalPixels", image=["image", 0], upscale_method="lanczos", megapixels=1.0),
        **esrgan("one"),
        "half": node("ImageScaleBy", image=["esrgan", 0], upscale_method="lanczos", scale_by=0.5),
        "encode": encoded("half", ["vae", 0]),
        "second": sample("encode", 0.25, model="shift", settings=settings),
        **saved("upscaled", "second", ["vae", 0]),
    }


GRAPHS = {
    "text-to-image": base,
    "latent-upscale-by": latent_upscale_by,
    "lora-stack": lora_stack,
    "plain-image-upscale": plain_image_upscale,
    "pixel-upscale": pixel_upscale,
    "plain-model-upscale": plain_model_upscale,
    "model-upscale": model_upscale,
    "iterative-upscale": iterative_upscale,
    "sdxl-refiner": sdxl_refiner,
    "controlnet-tile": controlnet_tile,
    "compare": compare,
    "ultimate-sd-upscale": ultimate_sd_upscale,
    "flux": flux,
    "sd35": sd35,
    "qwen-image": qwen_image,
    "z-image": z_image,
}
"""By the name of a recipe; without those of the latent route, which `tests.graph` draws."""

OF_A_PICTURE = {"img2img-upscale": img2img_upscale, "z-image-upscale": z_image_upscale}
"""Likewise, for recipes that start from a picture, given by its name on the server."""
