"""The upscalers of AUTOMATIC1111's and Forge's highres fix by their names, and what each of them is here: a route and its method.

The web UI has one list of them; in ComfyUI it decides the graph whether a latent is enlarged, or pixels, or a model paints larger
ones. So a name stands for a template, and for a value of ``upscale.method`` with it. ``None`` and ``Nearest`` there enlarge pixels,
the first with Lanczos (``modules/upscaler.py``), and what a model makes is brought to the exact size with Lanczos, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Route = Literal["latent", "pixel", "model"]

_LATENT_METHODS = frozenset(("nearest-exact", "bilinear", "area", "bicubic", "bislerp"))
_PIXEL_METHODS = _LATENT_METHODS - {"bislerp"} | {"lanczos"}
# What the method of a shipped template enlarges; in one of somebody's own nobody knows.
_LATENT_TEMPLATES = frozenset(("latent_upscale", "latent_upscale_by", "iterative_upscale", "sdxl_refiner", "compare"))
_PIXEL_TEMPLATES = frozenset(
    (
        *("pixel_upscale", "plain_image_upscale", "model_upscale", "plain_model_upscale", "img2img_upscale", "controlnet_tile"),
        *("flux", "sd35", "qwen_image", "z_image"),
    )
)
_NO_ANTIALIASING = "ComfyUI enlarges latents without antialiasing"
_NEAREST = "ComfyUI has nearest-exact instead, which is the same at whole factors"


@dataclass(frozen=True, slots=True)
class Upscaler:
    """What an upscaler of the web UI is here.

    Attributes:
        route: What is enlarged, and by what.
        method: The value of ``upscale.method`` with a template of that route.
        model: The file that the web UI downloads for it; empty for what is no model, or for one of the user's own.
        differs: What is not the same in ComfyUI; empty for nothing.
    """

    route: Route
    method: str
    model: str = ""
    differs: str = ""

    @property
    def template(self) -> str:
        """The shipped template of its route."""
        return f"{self.route}_upscale"


_MODELS = {
    "R-ESRGAN 4x+": "RealESRGAN_x4plus.pth",
    "R-ESRGAN 4x+ Anime6B": "RealESRGAN_x4plus_anime_6B.pth",
    "R-ESRGAN 2x+": "RealESRGAN_x2plus.pth",
    "R-ESRGAN General 4xV3": "realesr-general-x4v3.pth",
    "R-ESRGAN General WDN 4xV3": "realesr-general-wdn-x4v3.pth",
    "R-ESRGAN AnimeVideo": "realesr-animevideov3.pth",
    "ESRGAN_4x": "ESRGAN_4x.pth",
    "DAT x2": "DAT_x2.pth",
    "DAT x3": "DAT_x3.pth",
    "DAT x4": "DAT_x4.pth",
}
# Others of the web UI's own, whose files it does not name.
_NAMED_ONLY = ("SwinIR 4x", "SwinIR_4x", "ScuNET", "ScuNET PSNR", "LDSR", "ScuNET GAN")
_KNOWN: Mapping[str, Upscaler] = {
    "Latent": Upscaler("latent", "bilinear"),
    "Latent (bilinear)": Upscaler("latent", "bilinear"),
    "Latent (antialiased)": Upscaler("latent", "bilinear", differs=_NO_ANTIALIASING),
    "Latent (bicubic)": Upscaler("latent", "bicubic"),
    "Latent (bicubic antialiased)": Upscaler("latent", "bicubic", differs=_NO_ANTIALIASING),
    "Latent (nearest)": Upscaler("latent", "nearest-exact", differs=_NEAREST),
    "Latent (nearest-exact)": Upscaler("latent", "nearest-exact"),
    # What other programs have, and what this one writes for methods that the web UI does not have.
    "Latent (area)": Upscaler("latent", "area"),
    "Latent (bislerp)": Upscaler("latent", "bislerp"),
    "Bilinear": Upscaler("pixel", "bilinear"),
    "Bicubic": Upscaler("pixel", "bicubic"),
    "Area": Upscaler("pixel", "area"),
    "Nearest-exact": Upscaler("pixel", "nearest-exact"),
    "None": Upscaler("pixel", "lanczos"),
    "Lanczos": Upscaler("pixel", "lanczos"),
    "Nearest": Upscaler("pixel", "nearest-exact", differs=_NEAREST),
    **{name: Upscaler("model", "lanczos", model=file) for name, file in _MODELS.items()},
    **{name: Upscaler("model", "lanczos") for name in _NAMED_ONLY},
}


def upscaler_of(name: str) -> Upscaler | None:
    """Return what an upscaler of the web UI is; None for a name that is not the web UI's own, such as that of a model's file.

    Args:
        name: Such as ``Latent (nearest-exact)``, ``Lanczos`` or ``R-ESRGAN 4x+``; letter case, spaces, brackets, dashes and
            underscores do not count. ComfyUI's own methods, as ComfyUI spells them, are none of the web UI's: ``lanczos``.
    """
    return None if name in _PIXEL_METHODS | _LATENT_METHODS else _BY_KEY.get(_key(name))


def method_of(template: str, name: str) -> str:
    """Return ComfyUI's name of an ``upscale.method``; the name itself where it is none of the web UI's, or not for this template.

    Args:
        template: The recipe's template. In one that is not shipped the name is for its own nodes.
        name: What the recipe says.
    """
    found = upscaler_of(name)
    return found.method if found and found.route == _route(template) else name


def method_problem(template: str, name: str) -> tuple[str, str]:
    """Return what is wrong with an ``upscale.method`` of the web UI for a shipped template, and the way out; empty for nothing.

    Args:
        template: The recipe's template.
        name: What the recipe says.
    """
    found, route = upscaler_of(name) or (_OF_A_FILE if _FILE.search(name) else None), _route(template)
    if found is None or not route or found.route == route:
        return "", ""
    if found.route == "model":
        file = f" and params.upscale_model: {found.model}" if found.model else ""
        return "is an upscale model, not a method", f"use template: {found.template}{file or _OWN_FILE}"
    enlarged = {"latent": "latents", "pixel": "pixels"}
    what = f"enlarges {enlarged[found.route]}, but the template {template} enlarges {enlarged[route]}"
    return what, f"use template: {found.template} with upscale.method: {found.method}"


_OWN_FILE = " and the file of such a model as params.upscale_model"
_OF_A_FILE = Upscaler("model", "lanczos")
# How files of upscale models are mostly called: 4x-UltraSharp, 4x_NMKD-Siax_200k, RealESRGAN_x4plus.pth.
_FILE = re.compile(r"\A[1-9][0-9]?x[-_ ]|_x[1-9]|\.(?:pth?|safetensors)\Z", re.IGNORECASE)


def _route(template: str) -> Literal["latent", "pixel", ""]:
    return "latent" if template in _LATENT_TEMPLATES else "pixel" if template in _PIXEL_TEMPLATES else ""


def _key(name: str) -> str:
    return re.sub(r"[\s_()-]+", "", name).casefold() if len(name) <= 100 else ""


_BY_KEY = {_key(name): upscaler for name, upscaler in _KNOWN.items()}
